//! `polos runs fork`

use super::target;
use crate::context::Context;
use crate::exit::Exit;
use crate::input;
use anyhow::Result;
use polos_protocol::rest::{ForkRequest, Verb};
use polos_protocol::{RunId, StepKey};

/// Start a new run with the journal of another, up to a step
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run
    run: RunId,
    /// The first step that is not copied; by default all that is recorded is copied
    #[arg(long, value_name = "STEP")]
    at: Option<String>,
    /// Another input, as JSON, `@FILE`, or `-` for standard input
    #[arg(long, value_name = "JSON")]
    input: Option<String>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<Exit> {
    let request = ForkRequest {
        at: args.at.as_deref().map(StepKey::from_recorded),
        input: input::json_if(args.input.as_deref())?,
    };
    let response = target::order(&context.client().await?, args.run, &Verb::Fork(request)).await?;
    target::tell(context, &response)?;
    Ok(Exit::Done)
}
