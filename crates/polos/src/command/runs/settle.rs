//! `polos runs settle`

use super::target;
use crate::context::Context;
use crate::exit::Exit;
use crate::input;
use anyhow::Result;
use clap::ArgGroup;
use polos_protocol::rest::{SettleRequest, Verb};
use polos_protocol::{RunId, StepKey};

/// Say how a `once` step in doubt ended
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("outcome").required(true))]
pub(crate) struct Args {
    /// The run
    run: RunId,
    /// The step, as `polos runs show` names it
    step: String,
    /// It is done, with this result: JSON, `@FILE`, or `-` for standard input
    #[arg(long, value_name = "JSON", group = "outcome")]
    done: Option<String>,
    /// It was not done: run it again, with the same idempotency key
    #[arg(long, group = "outcome")]
    not_done: bool,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<Exit> {
    let request = SettleRequest {
        step: StepKey::from_recorded(&args.step),
        done: input::json_if(args.done.as_deref())?,
        not_done: args.not_done,
    };
    let response =
        target::order(&context.client().await?, args.run, &Verb::Settle(request)).await?;
    target::tell(context, &response)?;
    Ok(Exit::Done)
}
