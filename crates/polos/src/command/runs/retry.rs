//! `polos runs retry`

use super::target::Target;
use crate::context::Context;
use crate::exit::Exit;
use anyhow::Result;
use polos_protocol::StepKey;
use polos_protocol::rest::{RetryRequest, Verb};

/// Do a step and all after it again
///
/// What was recorded after the step is superseded, not deleted. A `once` step in that range is
/// not repeated unless it is named with `--again`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// The step from which to begin again; by default the one that failed
    #[arg(long, value_name = "STEP")]
    from: Option<String>,
    /// A `once` step that may act again; may be repeated
    #[arg(long, value_name = "STEP")]
    again: Vec<String>,
    /// Give keyed effects new idempotency keys
    #[arg(long)]
    new_keys: bool,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<Exit> {
    let verb = RetryRequest {
        step: args.from.as_deref().map(StepKey::from_recorded),
        again: args.again.iter().map(|key| StepKey::from_recorded(key)).collect(),
        new_keys: args.new_keys,
    };
    args.target.order(context, Verb::Retry(verb)).await
}
