//! The workflow under fire: it appends lines to files, through `once` steps and through keyed
//! repeatable ones. The files are the outside world; only they say what really happened.

use crate::place::WORKER_OF;
use polos_sdk::{Ctx, StepContext, Verdict, Worker};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Lines of `once` steps.
pub(crate) const ONCE: &str = "once.log";
/// Lines of keyed steps.
pub(crate) const KEYED: &str = "keyed.log";
/// Lines of verifications that found the effect done.
pub(crate) const FOUND: &str = "found.log";
/// Lines of verifications that found it not done.
pub(crate) const NOT_FOUND: &str = "not-found.log";

/// How many runs a worker has at once: the others wait for their turn.
const SLOTS: u32 = 8;
/// How long the effect's process lives on after the effect, so that kills fall in between.
const AFTER: Duration = Duration::from_millis(3);

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Work {
    pub(crate) number: u64,
    pub(crate) steps: u64,
}

/// What a run that lost nothing gives.
pub(crate) fn expected(work: Work) -> u64 {
    (0..work.steps).map(|step| 3 * (work.number + step)).sum()
}

/// Not a test: what a worker process does. Started by the other tests, with a folder.
#[test]
#[ignore = "the worker process of the other tests"]
fn is_the_worker_process() {
    let Some(folder) = std::env::var_os(WORKER_OF).map(PathBuf::from) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let worker = Worker::builder()
            .build_id("kills")
            .slots(SLOTS)
            .workflow("ledger", move |ctx, work| ledger(ctx, work, folder.clone()))
            .build()
            .unwrap();
        worker.run().await.unwrap();
    });
}

async fn ledger(ctx: Ctx, work: Work, folder: PathBuf) -> polos_sdk::Result<u64> {
    let mut sum = 0;
    for step in 0..work.steps {
        let value = work.number + step;
        sum += once(&ctx, &folder, value).await?;
        let folder = folder.clone();
        sum += ctx
            .step_with("keyed", move |step| {
                let folder = folder.clone();
                async move {
                    append(&folder, KEYED, &line(&step))?;
                    tokio::time::sleep(AFTER).await;
                    Ok(2 * value)
                }
            })
            .await?;
    }
    Ok(sum)
}

async fn once(ctx: &Ctx, folder: &Path, value: u64) -> polos_sdk::Result<u64> {
    let (acting, looking) = (folder.to_owned(), folder.to_owned());
    ctx.step_with("once", move |step| {
        let folder = acting.clone();
        async move {
            append(&folder, ONCE, &line(&step))?;
            tokio::time::sleep(AFTER).await;
            Ok(value)
        }
    })
    .once()
    .timeout(Duration::from_secs(1))
    .verify(move |step| {
        let folder = looking.clone();
        async move {
            let done = count(&folder, ONCE).contains_key(line(&step).as_str());
            append(&folder, if done { FOUND } else { NOT_FOUND }, &line(&step))?;
            Ok(if done { Verdict::Done(value) } else { Verdict::NotDone })
        }
    })
    .await
}

fn line(step: &StepContext) -> String {
    format!("{} {} {}", step.run(), step.key(), step.idempotency_key())
}

/// One write a line: a kill leaves a line whole or not there.
fn append(folder: &Path, file: &str, line: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(folder.join(file))?;
    file.write_all(format!("{line}\n").as_bytes())
}

/// How often each line is in a file.
pub(crate) fn count(folder: &Path, file: &str) -> HashMap<String, usize> {
    let text = std::fs::read_to_string(folder.join(file)).unwrap_or_default();
    let mut lines = HashMap::new();
    for line in text.lines() {
        *lines.entry(line.to_owned()).or_insert(0) += 1;
    }
    lines
}
