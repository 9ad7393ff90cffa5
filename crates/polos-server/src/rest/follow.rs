//! A run's events as they come: records, live output and states, resumable by position.

use super::error::Refusal;
use super::query::{Id, Parameter, Query, invalid, parameter};
use super::route::{Route, get};
use super::{App, view};
use crate::auth::Caller;
use crate::changes::Listener;
use axum::extract::State as Shared;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, stream};
use polos_protocol::limits::VALUE_BY_REFERENCE_BYTES;
use polos_protocol::rest::{RunEvent, Scope, StateEvent, StreamEvent};
use polos_protocol::{Namespace, Record, RunId};
use polos_store::row::StreamRow;
use polos_store::{Read, ReadError};
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::mpsc;

/// How many bytes of records are read at once, about.
const RECORDS_BYTES: usize = 256 << 10;
/// How many pieces of live output are read at once.
const PIECES_MAX: u32 = 256;
/// How many events may wait for a listener that is slow.
const EVENTS_MAX: usize = 64;
/// How long changes are gathered before they are read.
const GATHER: Duration = Duration::from_millis(10);
/// How often the store is looked at without a notice: a safety net only.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How often a comment keeps an idle stream open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

const LAST: Parameter = parameter(
    "last_event_id",
    "string",
    "go on after this event, as `SEQ.POSITION`; the header `Last-Event-ID` goes before it",
);

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/v1/runs/{id}/events", "Follows a run until it has ended.", events)
            .needs(Scope::Read)
            .query(&[LAST])
            .streams::<RunEvent>(),
    ]
}

/// How far a listener has come: in the journal, and in the live output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Place {
    seq: u64,
    position: u64,
}

impl std::str::FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let parts = text.split_once('.');
        let place = parts.and_then(|(seq, position)| {
            Some(Self { seq: seq.parse().ok()?, position: position.parse().ok()? })
        });
        place.ok_or("it must be `SEQ.POSITION`")
    }
}

async fn events(
    Shared(app): Shared<App>,
    caller: Caller,
    Id(run): Id<RunId>,
    query: Query,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let header = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let place = match header.filter(|text| !text.is_empty()) {
        Some(text) => text.parse().map_err(|error| invalid("Last-Event-ID", error))?,
        None => query.one(LAST.name)?.unwrap_or_default(),
    };
    let listener = app.handle.changes().listen(&caller.namespace, run);
    let namespace = caller.namespace.clone();
    if app.read(move |store| store.run(&namespace, run)).await?.is_none() {
        return Err(Refusal::not_found("run", run));
    }
    let (sender, receiver) = mpsc::channel(EVENTS_MAX);
    let follower = Follower { app, caller, run, place, state: None, sender };
    tokio::spawn(follower.run(listener));
    let events = stream::unfold(receiver, async |mut receiver| {
        let event: Event = receiver.recv().await?;
        Some((Ok(event), receiver))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

struct Follower {
    app: App,
    caller: Caller,
    run: RunId,
    place: Place,
    state: Option<StateEvent>,
    sender: mpsc::Sender<Event>,
}

/// What one look at the store found.
struct Found {
    state: StateEvent,
    records: Vec<Record>,
    pieces: Vec<StreamRow>,
    /// True if there may be more than was read.
    more: bool,
}

/// The listener has gone, or the stream has ended.
struct Over;

impl Follower {
    async fn run(mut self, mut listener: Listener) {
        let (stopping, revoked) = (self.app.stopping.clone(), self.caller.revoked.clone());
        tokio::select! {
            _ = self.follow(&mut listener) => {}
            () = stopping.cancelled() => {}
            () = revoked.cancelled() => {}
        }
    }

    async fn follow(&mut self, listener: &mut Listener) -> Result<(), Over> {
        loop {
            let found = match self.look().await {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(()),
                Err(refusal) => return self.fail(refusal).await,
            };
            // That a run has ended is told last: who hears it may go.
            if self.state.is_none() && !found.state.state.is_ended() {
                self.tell_state(&found.state).await?;
            }
            let more = found.more;
            self.tell(found.records, found.pieces).await?;
            if more {
                continue;
            }
            self.tell_state(&found.state).await?;
            if found.state.state.is_ended() {
                return Ok(());
            }
            tokio::select! {
                () = listener.changed() => tokio::time::sleep(GATHER).await,
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.sender.closed() => return Err(Over),
            }
        }
    }

    async fn look(&self) -> Result<Option<Found>, Refusal> {
        let (namespace, run, place) = (self.caller.namespace.clone(), self.run, self.place);
        self.app.read(move |store| look(store, &namespace, run, place)).await
    }

    /// Tells records and live output in the order in which they came.
    async fn tell(&mut self, records: Vec<Record>, pieces: Vec<StreamRow>) -> Result<(), Over> {
        let mut pieces = pieces.into_iter().peekable();
        for record in records {
            while let Some(piece) = pieces.next_if(|piece| piece.at <= record.at) {
                self.tell_piece(piece).await?;
            }
            self.place.seq = record.seq;
            let record = without_large_values(record);
            self.send("record", &RunEvent::Record(Box::new(record))).await?;
        }
        for piece in pieces {
            self.tell_piece(piece).await?;
        }
        Ok(())
    }

    async fn tell_piece(&mut self, piece: StreamRow) -> Result<(), Over> {
        self.place.position = piece.position;
        let StreamRow { position, at, item, .. } = piece;
        self.send("stream", &RunEvent::Stream(StreamEvent { position, at, item })).await
    }

    async fn tell_state(&mut self, new: &StateEvent) -> Result<(), Over> {
        let same =
            self.state.as_ref().is_some_and(|old| old.state == new.state && old.why == new.why);
        if same {
            return Ok(());
        }
        self.state = Some(new.clone());
        self.send("state", &RunEvent::State(new.clone())).await
    }

    async fn fail(&mut self, refusal: Refusal) -> Result<(), Over> {
        let error = polos_protocol::rest::ErrorResponse { error: refusal.body };
        self.send("error", &error).await
    }

    async fn send<T: serde::Serialize>(&self, name: &str, data: &T) -> Result<(), Over> {
        let Place { seq, position } = self.place;
        let event = Event::default().event(name).id(format!("{seq}.{position}"));
        let event = event.json_data(data).map_err(|error| {
            tracing::error!(%error, "an event cannot be written");
            Over
        })?;
        self.sender.send(event).await.map_err(|_| Over)
    }
}

/// Reads the state first: when it says that the run has ended, what is read after it is the whole.
fn look(
    store: &dyn Read,
    namespace: &Namespace,
    run: RunId,
    place: Place,
) -> Result<Option<Found>, ReadError> {
    let Some(row) = store.run(namespace, run)? else { return Ok(None) };
    let why = view::why(&row.status, &row.row.queue);
    let state = StateEvent { state: row.status.state, why };
    let mut records = store.journal(namespace, run, place.seq, RECORDS_BYTES)?;
    let pieces = store.stream(namespace, run, place.position, PIECES_MAX)?;
    if let Some(last) = pieces.last().filter(|_| pieces.len() as u64 == u64::from(PIECES_MAX)) {
        // Records that came later wait for the pieces before them.
        records.retain(|record| record.at <= last.at);
    }
    let more = !records.is_empty() || !pieces.is_empty();
    Ok(Some(Found { state, records, pieces, more }))
}

/// A value that would make the event large is left out: the journal has it.
fn without_large_values(mut record: Record) -> Record {
    let text = record.record.value.as_ref().and_then(|value| value.text());
    if text.is_some_and(|text| text.len() > VALUE_BY_REFERENCE_BYTES) {
        record.record.value = None;
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_back() {
        assert_eq!("3.14".parse(), Ok(Place { seq: 3, position: 14 }));
        for text in ["", "3", "3.", "a.b", "-1.2", "1.2.3"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
