//! A conversation with an agent at the terminal: a session, one run a turn.

use super::{Args, watched};
use crate::context::Context;
use crate::exit::Exit;
use crate::{prompt, talk};
use anyhow::Result;
use polos_protocol::Json;
use polos_protocol::rest::{SessionRequest, StartRequest};
use polos_sdk::client::Client;

/// Talks until the person has nothing more to say.
pub(super) async fn run(args: &Args, context: &Context, client: &Client) -> Result<Exit> {
    let session = if let Some(session) = args.how.session {
        session
    } else {
        let title = Some(format!("{} at the terminal", args.name));
        client.create_session(&SessionRequest { title, ..SessionRequest::default() }).await?.id
    };
    talk::say(&format!("talking with {} in {session}; an empty line or Ctrl-D ends it", args.name));
    let mut last = Exit::Done;
    loop {
        let said = tokio::task::spawn_blocking(|| prompt::ask("> ")).await??;
        let Some(said) = said.filter(|said| !said.trim().is_empty()) else { return Ok(last) };
        let mut options = args.how.to_rest();
        options.session = Some(session);
        let request = StartRequest {
            workflow: args.name.clone(),
            input: Json::from_serialize(&said)?,
            key: None,
            options,
            must_exist: false,
        };
        let started = client.start_run(&request).await?;
        last = watched(args, context, client, started.id).await?;
        if last == Exit::Interrupted {
            return Ok(last);
        }
    }
}
