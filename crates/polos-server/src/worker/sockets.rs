//! Threads for the workers' sockets: each has a reactor of its own, so that what comes from the
//! driver wakes the one thread that will send it, and nobody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// More threads than this have nothing to do: the driver is one thread.
const THREADS_MAX: usize = 4;

/// The threads. They end with the last clone of this.
#[derive(Debug, Clone)]
pub(crate) struct Sockets(Arc<Threads>);

#[derive(Debug)]
struct Threads {
    first: Handle,
    others: Vec<Handle>,
    next: AtomicUsize,
    _end: DropGuard,
}

impl Sockets {
    /// Starts the threads: one for each two processors.
    pub(crate) fn start() -> std::io::Result<Self> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let end = CancellationToken::new();
        let threads = (processors / 2).clamp(1, THREADS_MAX);
        let first = start(end.clone())?;
        let others = (1..threads).map(|_| start(end.clone())).collect::<Result<_, _>>()?;
        let next = AtomicUsize::new(0);
        Ok(Self(Arc::new(Threads { first, others, next, _end: end.drop_guard() })))
    }

    /// Where the next connection is to live.
    pub(crate) fn next(&self) -> &Handle {
        let Threads { first, others, next, .. } = &*self.0;
        let turn = next.fetch_add(1, Ordering::Relaxed) % (others.len() + 1);
        others.get(turn).unwrap_or(first)
    }
}

fn start(end: CancellationToken) -> std::io::Result<Handle> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name("polos-socket".into())
        .spawn(move || runtime.block_on(end.cancelled()))?;
    Ok(handle)
}
