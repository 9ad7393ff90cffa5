//! `polos approvals list`

use crate::context::Context;
use crate::exit::Exit;
use crate::show::moment;
use crate::show::table::{Cell, Table};
use crate::talk;
use anyhow::Result;
use polos_protocol::rest::{Approval, ApprovalState};
use polos_sdk::client::ApprovalsQuery;

/// List questions that wait for a person
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show answered, expired and withdrawn ones too
    #[arg(long)]
    all: bool,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<Exit> {
    let state = if args.all { None } else { Some(ApprovalState::Pending) };
    let query = ApprovalsQuery { state, ..ApprovalsQuery::default() };
    let approvals = context.client().await?.approvals(&query).await?.items;
    if context.is_json() {
        talk::json(&approvals)?;
        return Ok(Exit::Done);
    }
    if approvals.is_empty() {
        talk::say("nothing waits for a person");
        return Ok(Exit::Done);
    }
    talk::data(&context.table(&table(&approvals)))?;
    Ok(Exit::Done)
}

fn table(approvals: &[Approval]) -> Table {
    let now = moment::now();
    let mut table = Table::new(&["APPROVAL", "STATE", "ASKED", "WORKFLOW", "QUESTION"]);
    for approval in approvals {
        table.push(vec![
            approval.id.to_string().into(),
            Cell::toned(approval.state.name(), super::show::tone_of(approval.state)),
            moment::relative(approval.created_ms, now).into(),
            approval.workflow.as_str().into(),
            approval.question.title.as_str().into(),
        ]);
    }
    table
}
