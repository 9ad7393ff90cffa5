//! `polos sessions`: conversations over many runs.

use crate::context::Context;
use crate::exit::Exit;
use crate::show::table::{Cell, Table};
use crate::show::{json, moment};
use crate::{story, talk};
use anyhow::Result;
use clap::Subcommand;
use polos_protocol::SessionId;
use polos_protocol::rest::{PAGE_ITEMS_MAX, Session, Turn};

/// Look at sessions: conversations over many runs
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List sessions, newest first
    List,
    /// Show a session's turns, oldest first
    Show {
        /// The session
        session: SessionId,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit> {
        let client = context.client().await?;
        match self {
            Self::List => list(context, &client.sessions(None, None).await?.items)?,
            Self::Show { session } => {
                show(context, &client.turns(session, None, Some(PAGE_ITEMS_MAX)).await?.items)?;
            }
        }
        Ok(Exit::Done)
    }
}

fn list(context: &Context, sessions: &[Session]) -> Result<()> {
    if context.is_json() {
        return talk::json(sessions);
    }
    if sessions.is_empty() {
        talk::say("no conversation has begun; begin one with `polos run AGENT`");
        return Ok(());
    }
    let now = moment::now();
    let mut table = Table::new(&["SESSION", "UPDATED", "TITLE"]);
    for session in sessions {
        table.push(vec![
            session.id.to_string().into(),
            moment::relative(session.updated_ms, now).into(),
            session.title.as_deref().unwrap_or("").into(),
        ]);
    }
    talk::data(&context.table(&table))
}

fn show(context: &Context, turns: &[Turn]) -> Result<()> {
    if context.is_json() {
        return talk::json(turns);
    }
    let mut table = Table::new(&["RUN", "WORKFLOW", "STATE", "AT", "INPUT", "OUTPUT"]);
    for turn in turns {
        let output = turn.output.as_ref().map(|json| json.text().to_owned());
        let error = turn.error.as_ref().map(|error| error.message.clone());
        table.push(vec![
            turn.run.to_string().into(),
            turn.workflow.as_str().into(),
            Cell::toned(turn.state.name(), story::tone_of(turn.state)),
            moment::absolute(turn.created_ms).into(),
            json::brief(turn.input.text(), 40).into(),
            json::brief(&output.or(error).unwrap_or_default(), 200).into(),
        ]);
    }
    talk::data(&context.table(&table))
}
