//! The tools that change files: looked at first, approved where need be, then done once. What was
//! shown is what is done: the change is bound to the content that it was shown against.

use std::sync::Arc;

use polos_sandbox::policy::{FileOperation, FileVerdict};
use polos_sandbox::toolbox::client;
use polos_sandbox::toolbox::message::{
    EditRequest, Expected, Preview, PreviewRequest, Reply, StatRequest, WriteRequest,
};
use polos_sandbox::toolbox::tools::text_of;
use polos_sdk::{Answer, Approval, Ctx, StepContext, StepError, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::exec::{refused, rejected};
use crate::recorded::{NOTE, TOOL, ToolOutcome};
use crate::work::Work;

/// A change that the model wants.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Write(WriteRequest),
    Edit(EditRequest),
}

/// What the change would do. Persisted in the journal.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "outlook", rename_all = "snake_case")]
enum Outlook {
    Would {
        path: String,
        /// Only where a person is to see it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        diff: String,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        diff_truncated: bool,
        expected: Expected,
        after_sha256: String,
    },
    /// The toolbox says no; the model reads why.
    Refused(ToolOutcome),
}

impl Change {
    fn tool(&self) -> &'static str {
        match self {
            Self::Write(_) => "write",
            Self::Edit(_) => "edit",
        }
    }

    fn path(&self) -> &str {
        match self {
            Self::Write(request) => &request.path,
            Self::Edit(request) => &request.path,
        }
    }

    fn preview(self) -> PreviewRequest {
        match self {
            Self::Write(request) => PreviewRequest::Write(request),
            Self::Edit(request) => PreviewRequest::Edit(request),
        }
    }

    /// The change, bound to what it was shown against, under the step's own id.
    fn bound(self, expected: Expected, id: String) -> Self {
        match self {
            Self::Write(request) => {
                Self::Write(WriteRequest { expected: Some(expected), ..request })
            }
            Self::Edit(request) => {
                Self::Edit(EditRequest { expected: Some(expected), id: Some(id), ..request })
            }
        }
    }
}

/// Carries out a change.
pub(crate) async fn call(
    ctx: &Ctx,
    work: &Arc<Work>,
    change: Change,
) -> polos_sdk::Result<ToolOutcome> {
    let (tool, about) = (change.tool(), change.path().to_owned());
    let policy = work.agent.sandbox.file_policy();
    let reason = match policy.check(FileOperation::Write, &about) {
        FileVerdict::Allow => None,
        FileVerdict::Ask { reason } => Some(reason),
        FileVerdict::Deny { reason } => {
            return Ok(ToolOutcome::text(tool, about, reason).failed());
        }
    };
    let outlook = look_ahead(ctx, work, &change, reason.is_some()).await?;
    let (path, diff, diff_truncated, expected, after_sha256) = match outlook {
        Outlook::Refused(outcome) => return Ok(outcome),
        Outlook::Would { path, diff, diff_truncated, expected, after_sha256 } => {
            (path, diff, diff_truncated, expected, after_sha256)
        }
    };
    if let Some(reason) = reason {
        let shown = Shown { tool, path: &path, diff: &diff, diff_truncated, reason: &reason };
        let bound = json!([tool, path, expected, after_sha256, work.desk.id()]);
        let answer = ask(ctx, work, &shown, &bound).await?;
        if let Some(answer) = answer.filter(|answer| !answer.approved) {
            return Ok(rejected(tool, &about, &answer));
        }
    }
    apply(ctx, work, change, expected, after_sha256).await
}

async fn look_ahead(
    ctx: &Ctx,
    work: &Arc<Work>,
    change: &Change,
    is_shown: bool,
) -> polos_sdk::Result<Outlook> {
    let (work, change) = (work.clone(), change.clone());
    ctx.step("preview", move || {
        let (work, change) = (work.clone(), change.clone());
        async move {
            let sandbox = work.desk.open().await?;
            let (tool, about) = (change.tool(), change.path().to_owned());
            Ok(match sandbox.preview(change.preview()).await {
                Ok(preview) => would(preview, is_shown),
                Err(error) => Outlook::Refused(refused(tool, &about, error)?),
            })
        }
    })
    .label(NOTE)
    .await
}

fn would(preview: Preview, is_shown: bool) -> Outlook {
    Outlook::Would {
        path: preview.path,
        diff: if is_shown { preview.diff } else { String::new() },
        diff_truncated: is_shown && preview.diff_truncated,
        expected: preview.expected,
        after_sha256: preview.after_sha256,
    }
}

struct Shown<'a> {
    tool: &'a str,
    path: &'a str,
    diff: &'a str,
    diff_truncated: bool,
    reason: &'a str,
}

/// Asks, unless a person has allowed changes of this file for the rest of the run.
async fn ask(
    ctx: &Ctx,
    work: &Work,
    shown: &Shown<'_>,
    bound: &serde_json::Value,
) -> polos_sdk::Result<Option<Answer>> {
    let of_path = format!("file {}", shown.path);
    if work.is_allowed(&of_path) {
        return Ok(None);
    }
    let approval = Approval {
        title: format!("`{}` wants to {} `{}`", work.agent.id, shown.tool, shown.path),
        subject: json!({
            "diff": shown.diff,
            "diff_truncated": shown.diff_truncated,
            "path": shown.path,
            "reason": shown.reason,
        }),
        subject_hash: polos_sdk::replay::fingerprint(bound).ok().map(|hash| hash.to_string()),
        scopes: vec!["run".to_owned()],
        ..Approval::default()
    };
    let asked = ctx.now();
    let answer = ctx.ask("approve", approval).await;
    work.waited(ctx.now().saturating_sub(asked));
    let answer = answer?;
    if answer.approved {
        work.keep(&answer, &of_path);
    }
    Ok(Some(answer))
}

async fn apply(
    ctx: &Ctx,
    work: &Arc<Work>,
    change: Change,
    expected: Expected,
    after_sha256: String,
) -> polos_sdk::Result<ToolOutcome> {
    let bound = (change.path().to_owned(), expected.clone(), after_sha256.clone());
    let (tool, begun, found) = (change.tool(), work.clone(), work.clone());
    let (of, before) = (change.clone(), expected.clone());
    ctx.step_with(tool, move |step| {
        let (work, change, expected) = (begun.clone(), change.clone(), expected.clone());
        async move { act(&work, &step, change, expected).await }
    })
    .once()
    .fenced()
    .verify(move |_| {
        let (work, change) = (found.clone(), of.clone());
        let (before, after) = (before.clone(), after_sha256.clone());
        async move { settle(&work, &change, &before, &after).await }
    })
    .label(TOOL)
    .args(&bound)
    .await
}

async fn act(
    work: &Work,
    step: &StepContext,
    change: Change,
    expected: Expected,
) -> Result<ToolOutcome, StepError> {
    let sandbox = work.desk.open().await?;
    let (tool, about) = (change.tool(), change.path().to_owned());
    let done = match change.bound(expected, step.idempotency_key()) {
        Change::Write(request) => sandbox.write(request).await.map(Reply::Write),
        Change::Edit(request) => sandbox.edit(request).await.map(Reply::Edit),
    };
    match done {
        Ok(reply) => Ok(ToolOutcome::text(tool, about, text_of(&reply))),
        Err(error) => refused(tool, &about, error),
    }
}

/// Whether the change went through: the file is as it was to be, or as it was before.
async fn settle(
    work: &Work,
    change: &Change,
    before: &Expected,
    after_sha256: &str,
) -> Result<Verdict<ToolOutcome>, StepError> {
    let sandbox = work.desk.open().await?;
    let path = change.path().to_owned();
    let found = sandbox.stat(StatRequest { path: path.clone(), hash: true }).await;
    let sha256 = match found {
        Ok(stat) => stat.sha256,
        Err(polos_sandbox::Error::Client(client::Error::Refused(_))) => None,
        Err(error) => return Err(error.into()),
    };
    let is_before = match before {
        Expected::Absent => sha256.is_none(),
        Expected::Content { sha256: of } => sha256.as_ref() == Some(of),
    };
    if is_before {
        return Ok(Verdict::NotDone);
    }
    if sha256.as_deref() != Some(after_sha256) {
        return Ok(Verdict::Unknown);
    }
    let text = format!("The change of `{path}` is made.");
    Ok(Verdict::Done(ToolOutcome::text(change.tool(), path, text)))
}
