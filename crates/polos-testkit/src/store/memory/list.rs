//! Lists of the model: filters, order and pages.

use super::tables::Tables;
use polos_protocol::rest::RunFilter;
use polos_protocol::{Namespace, RunId};
use polos_store::ReadError;
use polos_store::read::{PageOf, PageRequest, ReadyRun};
use polos_store::row::{EventRow, Run};
use std::sync::Arc;

/// A row's place in a list: its time and its id.
pub(super) type ListPlace = (u64, String);

/// A page of rows, from the highest place down.
pub(super) fn page<T>(
    rows: impl Iterator<Item = (ListPlace, T)>,
    request: &PageRequest,
) -> Result<PageOf<T>, ReadError> {
    let after = request.cursor.as_deref().map(parse_cursor).transpose()?;
    let mut rows: Vec<_> =
        rows.filter(|(place, _)| after.as_ref().is_none_or(|after| place < after)).collect();
    rows.sort_by(|(a, _), (b, _)| b.cmp(a));
    let limit = request.limit.max(1) as usize;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows.last().filter(|_| more).map(|((time, id), _)| format!("{time}.{id}"));
    Ok(PageOf { items: rows.into_iter().map(|(_, row)| row).collect(), next_cursor })
}

fn parse_cursor(text: &str) -> Result<ListPlace, ReadError> {
    text.split_once('.')
        .and_then(|(time, id)| Some((time.parse().ok()?, id.to_owned())))
        .ok_or_else(|| ReadError::Cursor(text.to_owned()))
}

/// Whether a run fits a filter.
pub(super) fn fits(run: &Run, filter: &RunFilter) -> bool {
    let (row, status) = (&run.row, &run.status);
    let blocked = status.blocked.as_ref().map(|blocked| &blocked.code);
    let code = blocked.or(status.error.as_ref().map(|error| &error.code));
    let labels = &row.options.labels;
    (filter.state.is_empty() || filter.state.contains(&status.state))
        && filter.workflow.as_ref().is_none_or(|wanted| row.workflow == *wanted)
        && filter.build.as_deref().is_none_or(|wanted| status.build.as_deref() == Some(wanted))
        && filter.error.as_ref().is_none_or(|wanted| code == Some(wanted))
        && filter.queue.as_ref().is_none_or(|wanted| row.queue == *wanted)
        && filter.session.is_none_or(|wanted| row.options.session == Some(wanted))
        && filter.parent.is_none_or(|wanted| row.parent == Some(wanted))
        && filter.root.is_none_or(|wanted| row.root == wanted)
        && (!filter.roots_only || row.parent.is_none())
        && filter.labels.iter().all(|(name, value)| labels.get(name) == Some(value))
        && filter.created_from_ms.is_none_or(|from| row.created_ms >= from)
        && filter.created_to_ms.is_none_or(|to| row.created_ms < to)
}

/// What the scheduler sees of a run.
pub(super) fn ready(run: &Run) -> ReadyRun {
    let (row, status) = (&run.row, &run.status);
    let options = &row.options;
    let build = status.build.clone().filter(|_| !status.any_build);
    ReadyRun {
        namespace: row.namespace.clone(),
        run: row.id,
        workflow: row.workflow.clone(),
        queue: row.queue.clone(),
        concurrency_key: options.concurrency_key.clone(),
        priority: options.priority,
        resumed: status.started_ms.is_some(),
        placement: options.placement.as_ref().map(|place| (place.key.clone(), place.require)),
        build: build.map(|build| (build, status.build_seen_ms, options.pin)),
        alone: status.alone,
    }
}

/// The event of a topic that was published under a key.
pub(super) fn event_with_key<'t>(
    tables: &'t Tables,
    namespace: &Namespace,
    topic: &str,
    key: &str,
) -> Option<&'t Arc<EventRow>> {
    events(tables, namespace, topic).find(|event| event.key.as_deref() == Some(key))
}

/// The events of a topic, in order.
pub(super) fn events<'t>(
    tables: &'t Tables,
    namespace: &Namespace,
    topic: &str,
) -> impl Iterator<Item = &'t Arc<EventRow>> {
    let from = (namespace.clone(), topic.to_owned(), 0);
    let to = (namespace.clone(), topic.to_owned(), u64::MAX);
    tables.events.range(from..=to).map(|(_, event)| event)
}

/// The runs of a namespace, in the order of their ids.
pub(super) fn runs<'t>(
    tables: &'t Tables,
    namespace: &Namespace,
) -> impl Iterator<Item = &'t Arc<Run>> {
    let from = (namespace.clone(), RunId::from_bytes([0; 16]));
    let to = (namespace.clone(), RunId::from_bytes([0xff; 16]));
    tables.runs.range(from..=to).map(|(_, run)| run)
}

/// Roots that ended before a time, with their attached descendants, where all have ended.
pub(super) fn ended_roots(
    tables: &Tables,
    namespace: &Namespace,
    before: u64,
    limit: usize,
) -> Vec<Vec<RunId>> {
    let is_root = |run: &Run| run.row.parent.is_none() || run.row.detached;
    let mut roots: Vec<_> = runs(tables, namespace)
        .filter(|run| is_root(run) && run.status.state.is_ended())
        .filter_map(|run| Some((run.status.ended_ms.filter(|ended| *ended < before)?, run.row.id)))
        .collect();
    roots.sort_unstable();
    roots.into_iter().filter_map(|(_, id)| ended_tree(tables, namespace, id)).take(limit).collect()
}

fn ended_tree(tables: &Tables, namespace: &Namespace, root: RunId) -> Option<Vec<RunId>> {
    let mut found = Vec::new();
    let mut open = vec![root];
    while let Some(parent) = open.pop() {
        for child in runs(tables, namespace) {
            if child.row.parent == Some(parent) && !child.row.detached {
                if !child.status.state.is_ended() {
                    return None;
                }
                found.push(child.row.id);
                open.push(child.row.id);
            }
        }
    }
    found.sort_unstable();
    found.insert(0, root);
    Some(found)
}
