//! Deletes what has ended long ago, a namespace at a time.

use crate::driver::{Call, Handle};
use polos_engine::{Error, Request, Response};
use std::time::Duration;

/// The first look after the start, and the time between looks.
const FIRST: Duration = Duration::from_mins(1);
const EVERY: Duration = Duration::from_hours(1);

/// Looks again and again; never returns.
pub(crate) async fn run(handle: Handle, keep: Duration) {
    let mut pause = FIRST;
    loop {
        tokio::time::sleep(pause).await;
        pause = EVERY;
        match once(&handle, keep).await {
            Ok(0) => {}
            Ok(deleted) => tracing::info!(deleted, "old runs are deleted"),
            Err(error) => tracing::warn!(%error, "old runs could not be deleted"),
        }
    }
}

async fn once(handle: &Handle, keep: Duration) -> Result<u64, Error> {
    let keep_ms = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
    let before = handle.clock().now().saturating_sub(keep_ms);
    let mut deleted = 0;
    for namespace in handle.read(|store| store.namespaces()).await? {
        loop {
            let request = Request::Retain(before);
            let principal = "server".into();
            let call = Call { namespace: namespace.clone(), principal, request, audit: None };
            match handle.request(call).await? {
                Response::Deleted(count) if count > 0 => deleted += count,
                _ => break,
            }
        }
    }
    Ok(deleted)
}
