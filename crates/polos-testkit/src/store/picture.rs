//! A store as text: every read over a small universe, a line each. Two stores that hold the same
//! give the same picture.

use polos_protocol::rest::{ApprovalState, RunFilter};
use polos_protocol::{ApprovalId, Namespace, RunId, SessionId, State, StepKey};
use polos_store::ReadError;
use polos_store::read::{PageOf, PageRequest, Read, Stretch};
use std::fmt::{Debug, Write as _};

/// What a picture asks for by name.
#[derive(Debug, Clone, Default)]
pub struct Universe {
    /// Namespaces.
    pub namespaces: Vec<Namespace>,
    /// Runs.
    pub runs: Vec<RunId>,
    /// Names of workflows, and of queues, topics, keys, builds, labels and blobs alike.
    pub names: Vec<String>,
    /// Approvals.
    pub approvals: Vec<ApprovalId>,
    /// Sessions.
    pub sessions: Vec<SessionId>,
    /// Step keys.
    pub keys: Vec<StepKey>,
    /// Times.
    pub times: Vec<u64>,
}

/// Takes the picture.
///
/// # Errors
/// A read failed.
pub fn of(store: &dyn Read, universe: &Universe) -> Result<String, ReadError> {
    let mut picture = Picture { text: String::new() };
    picture.everywhere(store)?;
    for namespace in &universe.namespaces {
        picture.lists(store, universe, namespace)?;
        picture.filters(store, universe, namespace)?;
        picture.topics(store, universe, namespace)?;
        for run in &universe.runs {
            picture.run(store, universe, namespace, *run)?;
        }
    }
    Ok(picture.text)
}

struct Picture {
    text: String,
}

impl Picture {
    fn line(&mut self, name: impl Debug, what: impl Debug) {
        _ = writeln!(self.text, "{name:?}: {what:?}");
    }

    fn everywhere(&mut self, store: &dyn Read) -> Result<(), ReadError> {
        self.line("ready", store.ready_runs()?);
        self.line("running", store.running_runs()?);
        self.line("queues", store.queues()?);
        self.line("api keys", store.api_keys()?);
        self.line("builds", store.builds()?);
        self.line("namespaces", store.namespaces()?);
        let mut after = None;
        // In pages of three, each after the last one's last.
        loop {
            let timers = store.timers(after.as_ref(), 3)?;
            self.line("timers", &timers);
            after = timers.last().cloned();
            if after.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn lists(
        &mut self,
        store: &dyn Read,
        universe: &Universe,
        namespace: &Namespace,
    ) -> Result<(), ReadError> {
        self.line("counts", store.queue_counts(namespace)?);
        self.paged("sessions", |page| store.sessions(namespace, page))?;
        self.paged("audit", |page| store.audit(namespace, page))?;
        self.paged("approvals", |page| store.approvals(namespace, None, None, page))?;
        let pending = Some(ApprovalState::Pending);
        self.paged("pending", |page| store.approvals(namespace, pending, None, page))?;
        for id in &universe.approvals {
            self.line(id, store.approval(namespace, *id)?);
        }
        for id in &universe.sessions {
            self.line(id, store.session(namespace, *id)?);
        }
        for name in &universe.names {
            self.line(("blob", name), store.blob(namespace, name)?);
        }
        for before in &universe.times {
            self.line(("ended", before), store.ended_roots(namespace, *before, 2)?);
        }
        Ok(())
    }

    fn filters(
        &mut self,
        store: &dyn Read,
        universe: &Universe,
        namespace: &Namespace,
    ) -> Result<(), ReadError> {
        let mut filters = vec![
            RunFilter::default(),
            RunFilter { roots_only: true, ..RunFilter::default() },
            RunFilter { state: vec![State::Waiting, State::Blocked], ..RunFilter::default() },
        ];
        let all = RunFilter::default;
        filters.extend(State::ALL.map(|state| RunFilter { state: vec![state], ..all() }));
        for name in universe.names.iter().cloned().map(Some) {
            filters.push(RunFilter { workflow: name.clone(), ..all() });
            filters.push(RunFilter { build: name.clone(), ..all() });
            filters.push(RunFilter { error: name.clone(), ..all() });
            filters.push(RunFilter { queue: name.clone(), ..all() });
            let labels = name.into_iter().map(|name| ("tier".to_owned(), name)).collect();
            filters.push(RunFilter { labels, ..all() });
        }
        filters
            .extend(universe.sessions.iter().map(|id| RunFilter { session: Some(*id), ..all() }));
        filters.extend(universe.runs.iter().map(|id| RunFilter { parent: Some(*id), ..all() }));
        filters.extend(universe.runs.iter().map(|id| RunFilter { root: Some(*id), ..all() }));
        for time in universe.times.iter().copied().map(Some) {
            filters.push(RunFilter { created_from_ms: time, ..all() });
            filters.push(RunFilter { created_to_ms: time, ..all() });
        }
        for filter in filters {
            self.paged(&filter, |page| store.runs(namespace, &filter, page))?;
        }
        Ok(())
    }

    fn topics(
        &mut self,
        store: &dyn Read,
        universe: &Universe,
        namespace: &Namespace,
    ) -> Result<(), ReadError> {
        for topic in &universe.names {
            self.line(("waiters", topic), store.waiters(namespace, topic)?);
            self.line(("head", topic), store.topic_head(namespace, topic)?);
            for position in 0..4 {
                for from in &universe.times {
                    let next = store.next_event(namespace, topic, position, *from)?;
                    self.line(("next", topic, position, from), next);
                }
            }
            for key in &universe.names {
                self.line(("event", topic, key), store.event_key(namespace, topic, key)?);
                self.line(("start", topic, key), store.start_key(namespace, topic, key)?);
            }
        }
        Ok(())
    }

    fn run(
        &mut self,
        store: &dyn Read,
        universe: &Universe,
        namespace: &Namespace,
        run: RunId,
    ) -> Result<(), ReadError> {
        self.line(run, store.run(namespace, run)?);
        self.line("children", store.living_children(namespace, run)?);
        self.line("count", store.child_count(namespace, run)?);
        self.line("signals", store.signals(namespace, run)?);
        self.line("stream", store.stream(namespace, run, 1, 2)?);
        self.line("stream head", store.stream_head(namespace, run)?);
        self.paged("asks", |page| store.approvals(namespace, None, Some(run), page))?;
        self.line("end", store.journal_end(namespace, run)?);
        self.line("bytes", store.journal_bytes(namespace, run)?);
        self.line("marks", store.journal_marks(namespace, run)?);
        for (after, bytes_max) in [(0, usize::MAX), (0, 0), (1, 200)] {
            let records = store.journal(namespace, run, after, bytes_max)?;
            self.line(("journal", after, bytes_max), records);
            for (upto, value_bytes_max) in [(u64::MAX, usize::MAX), (2, 3)] {
                let stretch = Stretch { after, upto, bytes_max, value_bytes_max };
                let records = store.replay_page(namespace, run, stretch)?;
                self.line(("replay", after, bytes_max, upto), records);
            }
        }
        for name in &universe.names {
            self.line(("blob size", name), store.blob_size(namespace, run, name)?);
        }
        self.line("value", store.journal_value(namespace, run, 1)?);
        for key in &universe.keys {
            self.line(("key", key), store.journal_key(namespace, run, key)?);
        }
        Ok(())
    }

    /// All pages of two of a list, with what shows where the pages end.
    fn paged<T: Debug>(
        &mut self,
        name: impl Debug,
        read: impl Fn(&PageRequest) -> Result<PageOf<T>, ReadError>,
    ) -> Result<(), ReadError> {
        let mut request = PageRequest { cursor: None, limit: 2 };
        loop {
            let page = read(&request)?;
            self.line(&name, &page.items);
            if page.next_cursor.is_none() {
                return Ok(());
            }
            request.cursor = page.next_cursor;
        }
    }
}
