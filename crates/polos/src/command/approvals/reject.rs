//! `polos approvals reject`

use super::approve;
use crate::context::Context;
use crate::exit::Exit;
use anyhow::Result;
use polos_protocol::ApprovalId;
use polos_protocol::rest::DecideRequest;

/// Say no
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The approval
    approval: ApprovalId,
    /// Say why, and what to do instead: it reaches the model or the code
    #[arg(long)]
    feedback: Option<String>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<Exit> {
    let request = DecideRequest { feedback: args.feedback, ..DecideRequest::default() };
    approve::decide(args.approval, request, context).await
}
