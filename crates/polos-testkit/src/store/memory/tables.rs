//! What the model holds: one sorted map a table, shared until it is changed.

use polos_protocol::{ApiKeyId, ApprovalId, Millis, Namespace, RunId, SessionId, StepKey};
use polos_store::row::{
    ApiKeyRow, ApprovalRow, AuditRow, EventRow, QueueRow, RecordRow, Run, SessionRow, SignalRow,
    StreamRow, TimerKind, TimerRow, WaiterRow,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A table, or a part of one, that snapshots share.
pub(super) type Shared<K, V> = Arc<BTreeMap<K, V>>;

/// A run's place.
pub(super) type Place = (Namespace, RunId);

/// All tables.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    pub(super) runs: Shared<Place, Arc<Run>>,
    pub(super) start_keys: Shared<(Namespace, String, String), StartKey>,
    pub(super) journals: Shared<Place, Arc<Vec<Arc<RecordRow>>>>,
    pub(super) timers: Shared<(Namespace, RunId, TimerKind, StepKey), Millis>,
    pub(super) timers_due: Arc<BTreeSet<TimerRow>>,
    pub(super) waiters: Arc<BTreeSet<WaiterRow>>,
    pub(super) topics: Shared<(Namespace, String), u64>,
    pub(super) events: Shared<(Namespace, String, u64), Arc<EventRow>>,
    pub(super) signals: Shared<(Namespace, RunId, u64), Arc<SignalRow>>,
    pub(super) approvals: Shared<(Namespace, ApprovalId), Arc<ApprovalRow>>,
    pub(super) sessions: Shared<(Namespace, SessionId), Arc<SessionRow>>,
    pub(super) queues: Shared<(Namespace, String), QueueRow>,
    pub(super) api_keys: Shared<(Namespace, ApiKeyId), Arc<ApiKeyRow>>,
    pub(super) audit: Arc<Vec<Arc<AuditRow>>>,
    pub(super) blobs: Shared<(Namespace, Arc<str>), Arc<str>>,
    pub(super) blob_refs: Arc<BTreeSet<(Namespace, RunId, Arc<str>)>>,
    pub(super) streams: Shared<(Namespace, RunId, u64), Arc<StreamRow>>,
    pub(super) builds: Shared<(Namespace, Arc<str>), Millis>,
}

/// Which run was started under a key, and when it had ended, once it is deleted.
#[derive(Debug, Clone)]
pub(super) struct StartKey {
    pub(super) run: RunId,
    pub(super) ended_ms: Option<Millis>,
}

/// Inserts where nothing is.
pub(super) fn insert<K: Ord + Clone + std::fmt::Debug, V: Clone>(
    table: &mut Shared<K, V>,
    key: K,
    value: V,
) -> Result<(), String> {
    if table.contains_key(&key) {
        return Err(format!("there is a {key:?} already"));
    }
    Arc::make_mut(table).insert(key, value);
    Ok(())
}

/// Drops what does not fit, without a copy where all of it fits.
pub(super) fn retain<K: Ord + Clone, V: Clone>(
    table: &mut Shared<K, V>,
    keep: impl Fn(&K, &V) -> bool,
) {
    if !table.iter().all(|(key, value)| keep(key, value)) {
        Arc::make_mut(table).retain(|key, value| keep(key, value));
    }
}

/// The same for a set.
pub(super) fn retain_set<K: Ord + Clone>(set: &mut Arc<BTreeSet<K>>, keep: impl Fn(&K) -> bool) {
    if !set.iter().all(&keep) {
        Arc::make_mut(set).retain(keep);
    }
}
