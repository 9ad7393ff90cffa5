//! `polos approvals approve`

use crate::context::Context;
use crate::exit::Exit;
use crate::{input, talk};
use anyhow::Result;
use polos_protocol::ApprovalId;
use polos_protocol::rest::{Approval, DecideRequest};

/// Say yes, or give an answer
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The approval
    approval: ApprovalId,
    /// Say something besides: it reaches the model or the code
    #[arg(long)]
    feedback: Option<String>,
    /// The filled form, or changed arguments: JSON, `@FILE`, or `-` for standard input
    #[arg(long, value_name = "JSON")]
    value: Option<String>,
    /// How far the yes goes: `once`, `run`, `session` or `always`
    #[arg(long)]
    scope: Option<String>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<Exit> {
    let value = input::json_if(args.value.as_deref())?.map(|json| json.parse()).transpose()?;
    let request = DecideRequest {
        approved: true,
        feedback: args.feedback,
        value,
        scope: args.scope,
        subject_hash: None,
    };
    decide(args.approval, request, context).await
}

/// Answers, bound to the very thing that stands there now.
pub(super) async fn decide(
    id: ApprovalId,
    mut request: DecideRequest,
    context: &Context,
) -> Result<Exit> {
    let client = context.client().await?;
    request.subject_hash = client.approval(id).await?.question.subject_hash;
    let approval = client.decide(id, &request).await?;
    tell(&approval, context)?;
    Ok(Exit::Done)
}

fn tell(approval: &Approval, context: &Context) -> Result<()> {
    if context.is_json() {
        return talk::json(approval);
    }
    talk::line(&format!("{} {}", approval.id, approval.state.name()))?;
    talk::say(&format!("see what follows: polos runs tail {}", approval.run));
    Ok(())
}
