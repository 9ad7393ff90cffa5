//! What 100,000 parked runs cost: memory and time to start. One run is parked in earnest; the others
//! are copies of its rows, written through the store's own commands.

use super::{Place, replay, runtime};
use crate::clock::millis;
use crate::figure::Figure;
use anyhow::{Context as _, Result, bail};
use polos_protocol::{Millis, Namespace, RunId};
use polos_store::row::{RecordRow, Run, RunRow, WaiterRow};
use polos_store::{Batch, Change, Command, Outcome, Read as _, Store as _, sqlite};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const RUNS: u64 = 100_000;
const BATCH: u64 = 2000;
const JOURNAL_BYTES_MAX: usize = 1 << 20;

pub(super) fn measure(place: &Place) -> Result<Vec<Figure>> {
    let bench = place.bench()?;
    let server = bench.server()?;
    let worker = bench.worker(10, 1)?;
    let run = runtime()?.block_on(async {
        let run = server.client.start("parked", &()).await?;
        replay::waiting(&server.client, run.id).await.map(|()| run.id)
    })?;
    worker.process.stop()?;
    server.process.stop()?;
    let before = bench.server()?;
    std::thread::sleep(Duration::from_secs(1));
    let empty = before.process.memory()?;
    let empty_ms = millis(before.start_ns);
    before.process.stop()?;
    fill(&bench.data(), run)?;
    let full = bench.server()?;
    std::thread::sleep(Duration::from_secs(1));
    let memory = full.process.memory()?;
    let start_ms = millis(full.start_ns);
    full.process.stop()?;
    let more = (memory.anonymous_mb - empty.anonymous_mb).max(0.0);
    Ok(vec![
        Figure::new("memory for 100000 parked runs", more, "MB more").at_most(50.0).detail(
            format!(
                "anonymous; resident {:.1} -> {:.1} MB; {:.0} bytes a run",
                empty.resident_mb,
                memory.resident_mb,
                more * 1e6 / 1e5
            ),
        ),
        Figure::new("start with 100000 parked runs", start_ms, "ms")
            .at_most(1000.0)
            .detail(format!("{empty_ms:.0} ms with one")),
    ])
}

/// Copies a parked run.
fn fill(data: &Path, id: RunId) -> Result<()> {
    let store = sqlite::Store::open(data, sqlite::Options::default())?;
    let namespace = Namespace::default();
    let original = store.run(&namespace, id)?.context("the run is gone")?;
    let journal = store.journal(&namespace, id, 0, JOURNAL_BYTES_MAX)?;
    let waiters = store.waiters(&namespace, crate::worker::TOPIC)?;
    for start in (1..RUNS).step_by(usize::try_from(BATCH)?) {
        let copies = start..(start + BATCH).min(RUNS);
        let commands = copies.map(|n| copy(&original, &journal, &waiters, n)).collect();
        let outcomes = store.commit(Batch { owner: store.incarnation(), commands })?;
        if outcomes.iter().any(|outcome| *outcome != Outcome::Applied) {
            bail!("the store refused a copy");
        }
    }
    Ok(())
}

fn copy(original: &Run, journal: &[RecordRow], waiters: &[WaiterRow], n: u64) -> Command {
    let created_ms: Millis = original.row.created_ms + n;
    let mut random = [0; 10];
    random[..8].copy_from_slice(&n.to_be_bytes());
    let id = RunId::from_parts(created_ms, random);
    let row = RunRow { id, root: id, created_ms, ..(*original.row).clone() };
    let mut changes = vec![
        Change::InsertRun(Arc::new(row), Box::new(original.status.clone())),
        Change::AppendRecords(id, journal.to_vec()),
    ];
    let waiters = waiters.iter().map(|waiter| WaiterRow { run: id, ..waiter.clone() });
    changes.extend(waiters.map(Change::PutWaiter));
    Command { namespace: original.row.namespace.clone(), checks: Vec::new(), changes }
}
