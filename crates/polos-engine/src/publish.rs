//! Events and signals: what arrives before anyone waits is kept; each run sees each once.

use crate::engine::Engine;
use crate::error::{Class, Error};
use crate::journal::OpenWait;
use crate::request::start::check_name;
use crate::resolve::Outcome;
use polos_protocol::record::{EventValue, ResolvedDetail};
use polos_protocol::rest::PublishResponse;
use polos_protocol::{EventId, Namespace, RunId, State, StepKey, Value};
use polos_store::row::{EventRow, SignalRow};
use polos_store::{Change, Check, Read};
use std::collections::BTreeSet;

/// Something to be published.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) topic: String,
    pub(crate) run: Option<RunId>,
    pub(crate) key: Option<String>,
    pub(crate) payload: Value,
}

impl Engine {
    /// Publishes an event on a topic, or sends a signal to a run.
    pub(crate) fn publish(
        &mut self,
        namespace: &Namespace,
        publication: Publication,
        store: &dyn Read,
    ) -> Result<PublishResponse, Error> {
        check_name("topic", &publication.topic)?;
        if let Some(key) = &publication.key {
            check_name("key", key)?;
        }
        match publication.run {
            Some(run) => self.send_signal(namespace, run, publication, store),
            None => self.publish_event(namespace, publication, store),
        }
    }

    fn publish_event(
        &mut self,
        namespace: &Namespace,
        publication: Publication,
        store: &dyn Read,
    ) -> Result<PublishResponse, Error> {
        let Publication { topic, key, payload, .. } = publication;
        if let Some(key) = &key {
            if let Some(old) = self.overlay.event_key(namespace, &topic, key, store)? {
                same_payload(key, &old.payload, &payload)?;
                return Ok(response(old.id, old.position, old.at, true));
            }
            self.require(Check::EventKeyAbsent { topic: topic.clone(), key: key.clone() });
        }
        let position = self.overlay.topic_head(namespace, &topic, store)? + 1;
        let (now, tail) = self.ids.parts();
        let id = EventId::from_parts(now, tail);
        let row = EventRow {
            namespace: namespace.clone(),
            topic: topic.clone(),
            position,
            id,
            key,
            payload,
            at: self.now,
        };
        self.overlay.put_event(row.clone());
        self.change(Change::InsertEvent(row));
        for waiter in self.overlay.waiters(namespace, &topic, store)? {
            if self.bring(namespace, waiter.run, store)? {
                self.take_event(waiter.run, &waiter.key, &topic, store)?;
            }
        }
        Ok(response(id, position, self.now, false))
    }

    /// Resolves a wait on a topic with the next event that the run has not seen. False if there is
    /// none.
    pub(crate) fn take_event(
        &mut self,
        id: RunId,
        key: &StepKey,
        topic: &str,
        store: &dyn Read,
    ) -> Result<bool, Error> {
        let Some(live) = self.runs.get(&id) else { return Ok(false) };
        if !live.journal.is_open(key) {
            return Ok(false);
        }
        let Some(event) = self.next_event(id, topic, store)? else { return Ok(false) };
        let value = EventValue {
            id: event.id,
            position: event.position,
            at: event.at,
            payload: event.payload,
        };
        self.resolve(id, key, taken("event", topic, &value), store)?;
        Ok(true)
    }

    /// The oldest event on a topic that a run has not seen, or has given back: seen from now on.
    fn next_event(
        &mut self,
        id: RunId,
        topic: &str,
        store: &dyn Read,
    ) -> Result<Option<EventRow>, Error> {
        loop {
            let Some(live) = self.runs.get(&id) else { return Ok(None) };
            let (row, status) = (live.run.row.clone(), &live.run.status);
            let returned = status.given_back.get(topic).and_then(|places| places.first().copied());
            let cursor = status.cursors.get(topic).copied().unwrap_or(0);
            let from = (returned.map_or(cursor, |place| place.saturating_sub(1)), row.created_ms);
            let found = self.overlay.next_event(&row.namespace, topic, from, store)?;
            let Some(place) = returned else {
                if let Some(event) = &found {
                    self.see_event(id, topic, event.position);
                }
                return Ok(found);
            };
            self.take_given_back(id, topic, place);
            if found.as_ref().is_some_and(|event| event.position == place) {
                return Ok(found);
            }
            // It has been deleted meanwhile.
        }
    }

    fn see_event(&mut self, id: RunId, topic: &str, position: u64) {
        let forgets = self.config.is_mutated("events_seen_twice");
        if let Some(live) = self.runs.get_mut(&id).filter(|_| !forgets) {
            live.run.status.cursors.insert(topic.to_owned(), position);
        }
        self.mark_dirty(id);
    }

    fn take_given_back(&mut self, id: RunId, topic: &str, place: u64) {
        if let Some(live) = self.runs.get_mut(&id)
            && let Some(places) = live.run.status.given_back.get_mut(topic)
        {
            places.remove(&place);
            if places.is_empty() {
                live.run.status.given_back.remove(topic);
            }
        }
        self.mark_dirty(id);
    }

    fn send_signal(
        &mut self,
        namespace: &Namespace,
        id: RunId,
        publication: Publication,
        store: &dyn Read,
    ) -> Result<PublishResponse, Error> {
        if !self.bring(namespace, id, store)? {
            return Err(Error::not_found("run", id));
        }
        self.bring_inbox(namespace, id, store)?;
        let Some(live) = self.runs.get(&id) else { return Err(Error::not_found("run", id)) };
        let Publication { topic, key, payload, .. } = publication;
        let inbox = live.inbox.as_deref().unwrap_or_default();
        let sent = |key| inbox.iter().find(|s| s.topic == topic && s.key.as_deref() == Some(key));
        if let Some(key) = &key
            && let Some(old) = sent(key.as_str())
        {
            same_payload(key, &old.payload, &payload)?;
            return Ok(response(old.id, old.position, old.at, true));
        }
        if live.run.status.state.is_ended() {
            let message = format!(
                "run `{id}` has ended ({}); it takes no more signals",
                live.run.status.state.name()
            );
            return Err(Error::new(
                Class::Conflict,
                "run_ended",
                message,
                "start a new run, or resume a failed one first",
            ));
        }
        let position = inbox.iter().map(|signal| signal.position).max().unwrap_or(0) + 1;
        let (now, tail) = self.ids.parts();
        let event = EventId::from_parts(now, tail);
        let row = SignalRow {
            namespace: namespace.clone(),
            run: id,
            position,
            topic: topic.clone(),
            id: event,
            key,
            payload,
            at: self.now,
            consumed: false,
        };
        self.change(Change::InsertSignal(row.clone()));
        if let Some(inbox) = self.runs.get_mut(&id).and_then(|live| live.inbox.as_mut()) {
            inbox.push(row);
        }
        let waiting = self.runs.get(&id).and_then(|live| {
            let mut opens = live.journal.opens.iter();
            opens.find(|(_, open)| is_signal_wait(open, &topic)).map(|(key, _)| key.clone())
        });
        if let Some(key) = waiting {
            self.take_signal(id, &key, &topic, store)?;
        }
        Ok(response(event, position, self.now, false))
    }

    /// Resolves a wait on a signal with the oldest one that was not consumed, if there is one.
    pub(crate) fn take_signal(
        &mut self,
        id: RunId,
        key: &StepKey,
        topic: &str,
        store: &dyn Read,
    ) -> Result<(), Error> {
        let Some(namespace) = self.runs.get(&id).map(|live| live.run.row.namespace.clone()) else {
            return Ok(());
        };
        self.bring_inbox(&namespace, id, store)?;
        let Some(live) = self.runs.get_mut(&id) else { return Ok(()) };
        if !live.journal.is_open(key)
            || live.run.status.state == State::Blocked && live.journal.opens.is_empty()
        {
            return Ok(());
        }
        let inbox = live.inbox.as_mut();
        let Some(signal) =
            inbox.and_then(|inbox| inbox.iter_mut().find(|s| !s.consumed && s.topic == topic))
        else {
            return Ok(());
        };
        signal.consumed = true;
        let (position, value) = (
            signal.position,
            EventValue {
                id: signal.id,
                position: signal.position,
                at: signal.at,
                payload: signal.payload.clone(),
            },
        );
        self.change(Change::MarkSignal(id, position, true));
        self.resolve(id, key, taken("signal", topic, &value), store)
    }

    fn bring_inbox(
        &mut self,
        namespace: &Namespace,
        id: RunId,
        store: &dyn Read,
    ) -> Result<(), Error> {
        if self.runs.get(&id).is_some_and(|live| live.inbox.is_none()) {
            let signals = store.signals(namespace, id)?;
            if let Some(live) = self.runs.get_mut(&id) {
                live.inbox = Some(signals);
            }
        }
        Ok(())
    }

    /// A wait that lost a race consumes nothing: what came for it and was not seen is put back.
    pub(crate) fn put_back(
        &mut self,
        id: RunId,
        scope: &StepKey,
        after: u64,
        store: &dyn Read,
    ) -> Result<(), Error> {
        let Some(live) = self.runs.get(&id) else { return Ok(()) };
        let unseen = live.journal.unseen_within(scope, after);
        self.give_back_taken(id, unseen, store)
    }

    /// Puts back events and signals that a run took; other waits of the run that stand open take
    /// them at once.
    pub(crate) fn give_back_taken(
        &mut self,
        id: RunId,
        details: Vec<ResolvedDetail>,
        store: &dyn Read,
    ) -> Result<(), Error> {
        let mut topics = BTreeSet::new();
        for detail in details {
            let (Some(topic), Some(position)) = (detail.topic, detail.position) else { continue };
            let signal = detail.by == "signal";
            if signal {
                self.mark_signal(id, position, false, store)?;
            } else if let Some(live) = self.runs.get_mut(&id) {
                let places = live.run.status.given_back.entry(topic.clone()).or_default();
                places.insert(position);
                self.mark_dirty(id);
            }
            topics.insert((topic, signal));
        }
        for (topic, signal) in topics {
            self.offer(id, &topic, signal, store)?;
        }
        Ok(())
    }

    /// Events and signals that were given back and belong to a standing outcome after all.
    pub(crate) fn take_again(
        &mut self,
        id: RunId,
        detail: &ResolvedDetail,
        store: &dyn Read,
    ) -> Result<(), Error> {
        let (Some(topic), Some(position)) = (&detail.topic, detail.position) else {
            return Ok(());
        };
        if detail.by == "signal" {
            self.mark_signal(id, position, true, store)
        } else {
            self.take_given_back(id, topic, position);
            Ok(())
        }
    }

    fn mark_signal(
        &mut self,
        id: RunId,
        position: u64,
        consumed: bool,
        store: &dyn Read,
    ) -> Result<(), Error> {
        let Some(live) = self.runs.get(&id) else { return Ok(()) };
        let namespace = live.run.row.namespace.clone();
        self.bring_inbox(&namespace, id, store)?;
        let inbox = self.runs.get_mut(&id).and_then(|live| live.inbox.as_mut());
        let signal = inbox.and_then(|i| i.iter_mut().find(|s| s.position == position));
        if let Some(signal) = signal.filter(|signal| signal.consumed != consumed) {
            signal.consumed = consumed;
            self.change(Change::MarkSignal(id, position, consumed));
        }
        Ok(())
    }

    /// Offers what is there on a topic to the waits on it that stand open.
    fn offer(
        &mut self,
        id: RunId,
        topic: &str,
        signal: bool,
        store: &dyn Read,
    ) -> Result<(), Error> {
        let Some(live) = self.runs.get(&id) else { return Ok(()) };
        let is_for = |open: &OpenWait| matches!(open, OpenWait::Event { topic: of, signal: s, .. } if of == topic && *s == signal);
        let waits: Vec<StepKey> = live
            .journal
            .opens
            .iter()
            .filter(|(_, open)| is_for(open))
            .map(|(key, _)| key.clone())
            .collect();
        for key in waits {
            if signal {
                self.take_signal(id, &key, topic, store)?;
            } else {
                self.take_event(id, &key, topic, store)?;
            }
        }
        Ok(())
    }
}

/// A key stands for one event: another one under it would be lost in silence.
fn same_payload(key: &str, old: &Value, new: &Value) -> Result<(), Error> {
    if old == new {
        return Ok(());
    }
    let message = format!("the key `{key}` has published another payload on this topic");
    let hint = "use another key, or the same payload";
    Err(Error::new(Class::Conflict, "event_key_conflict", message, hint))
}

fn is_signal_wait(open: &OpenWait, name: &str) -> bool {
    matches!(open, OpenWait::Event { topic, signal: true, .. } if topic == name)
}

fn taken(by: &str, topic: &str, event: &EventValue) -> Outcome {
    let detail = ResolvedDetail {
        by: by.to_owned(),
        position: Some(event.position),
        topic: Some(topic.to_owned()),
    };
    Outcome { result: Ok(Value::from_serialize(event).unwrap_or_default()), detail }
}

fn response(id: EventId, position: u64, at: u64, existing: bool) -> PublishResponse {
    PublishResponse { id, position, existing, at }
}
