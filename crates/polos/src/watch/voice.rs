//! Tells events as they come: streamed text as it is, records as lines. With `--json`, one event a
//! line on standard output. A terminal gets what a model says on standard output; a pipe gets only
//! the result there, and all that is live goes to standard error.

use crate::context::Context;
use crate::show::paint::{Paint, Tone};
use crate::show::{amount, json, moment, text};
use crate::story::{self, Entry, Stand};
use crate::talk;
use anyhow::Result;
use polos_protocol::frame::StreamItem;
use polos_protocol::rest::{RunEvent, StateEvent};
use polos_protocol::{Record, RunId, State};
use serde::Serialize;
use std::io::IsTerminal;

/// Tells events.
pub(super) struct Voice {
    is_json: bool,
    paint: Paint,
    columns: usize,
    root: RunId,
    /// Where streamed text stands that has no line end yet.
    open: Option<Speaker>,
    last_state: String,
    /// True if a person reads standard output.
    is_read: bool,
    /// What the run itself has said last on standard output.
    said: String,
}

/// What is kept of what was said, in bytes: more than this is printed again.
const SAID_BYTES_MAX: usize = 256 << 10;

/// Who speaks: a step of a run in one of its attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Speaker {
    run: RunId,
    key: String,
    attempt: u32,
    kind: String,
}

#[derive(Serialize)]
struct Line<'a> {
    run: RunId,
    #[serde(flatten)]
    event: &'a RunEvent,
}

impl Voice {
    pub(super) fn new(context: &Context, root: RunId) -> Self {
        Self {
            is_json: context.is_json(),
            paint: Paint::for_stderr(),
            columns: context.columns(),
            root,
            open: None,
            last_state: String::new(),
            is_read: std::io::stdout().is_terminal(),
            said: String::new(),
        }
    }

    pub(super) fn tell(&mut self, run: RunId, event: &RunEvent) -> Result<()> {
        if self.is_json {
            return talk::json(&Line { run, event });
        }
        match event {
            RunEvent::Record(record) => self.record(run, record),
            RunEvent::Stream(stream) => self.stream(run, &stream.item),
            RunEvent::State(state) => self.state(run, state),
        }
    }

    /// What the run itself has said last on standard output.
    pub(super) fn take_said(&mut self) -> String {
        std::mem::take(&mut self.said)
    }

    /// Ends a line that is open.
    pub(super) fn end(&mut self) -> Result<()> {
        match self.open.take() {
            Some(speaker) if self.is_read && speaker.kind == "text" => talk::line(""),
            Some(_) => {
                talk::say("");
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn record(&mut self, run: RunId, record: &Record) -> Result<()> {
        let Some(entry) = story::describe(run, record) else { return Ok(()) };
        self.end()?;
        talk::say(&self.line(run, record, &entry));
        Ok(())
    }

    fn line(&self, run: RunId, record: &Record, entry: &Entry) -> String {
        let took = entry.took_ms.filter(|ms| *ms > 0 && entry.stand != Stand::Note);
        let took = took.map(|ms| format!(" {}", moment::duration(ms))).unwrap_or_default();
        let cost = entry.cost_micros.filter(|micros| *micros > 0).map(amount::dollars);
        let cost = cost.map(|cost| format!(" {cost}")).unwrap_or_default();
        let failure = entry.failures.first().cloned().unwrap_or_default();
        let note = if entry.note.is_empty() { failure } else { entry.note.clone() };
        let child = if run == self.root { "" } else { "  " };
        let label = if entry.label == entry.key { "" } else { entry.label.as_str() };
        let head = format!(
            "{child}{} {} {} {label}{took}{cost} ",
            moment::clock(record.at),
            entry.stand.sign(),
            text::plain(&entry.key),
        );
        let room = self.columns.saturating_sub(text::width(&head)).max(16);
        let line = head + &json::brief(&note, room);
        self.paint.tone(Tone::Dim, line.trim_end())
    }

    fn stream(&mut self, run: RunId, item: &StreamItem) -> Result<()> {
        // A call of a tool comes in fragments of JSON; the record tells it whole.
        if &*item.kind == "tool_call" {
            return Ok(());
        }
        let speaker = Speaker {
            run,
            key: item.key.as_str().to_owned(),
            attempt: item.attempt,
            kind: item.kind.to_string(),
        };
        if self.open.as_ref() != Some(&speaker) {
            self.end()?;
            self.said.clear();
            let again = self.open.as_ref().is_some_and(|open| open.attempt < speaker.attempt);
            if again || (item.attempt > 1 && self.open.is_none()) {
                talk::say(&format!("(attempt {} of `{}`)", item.attempt, speaker.key));
            }
        }
        let said = said(item);
        if speaker.kind == "text" && self.is_read {
            talk::data(&said)?;
            if run == self.root && self.said.len() < SAID_BYTES_MAX {
                self.said.push_str(&said);
            }
        } else {
            talk::whisper(&self.paint.tone(Tone::Dim, &said));
        }
        self.open = (!said.ends_with('\n')).then_some(speaker);
        Ok(())
    }

    fn state(&mut self, run: RunId, state: &StateEvent) -> Result<()> {
        if run != self.root || state.why == self.last_state {
            return Ok(());
        }
        self.end()?;
        state.why.clone_into(&mut self.last_state);
        let why = text::plain(&state.why);
        let tone = story::tone_of(state.state);
        // `waiting: waits for …` says one thing twice.
        let line = match state.state {
            State::Waiting => self.paint.tone(tone, &why),
            state if why == state.name() => self.paint.tone(tone, &why),
            state => format!("{}: {why}", self.paint.tone(tone, state.name())),
        };
        talk::say(&line);
        Ok(())
    }
}

/// A piece of live output as text that cannot talk to the terminal.
fn said(item: &StreamItem) -> String {
    let raw = item.data.text().unwrap_or_default();
    let text = serde_json::from_str::<String>(raw).unwrap_or_else(|_| format!("{raw}\n"));
    text.chars().filter(|c| !c.is_control() || *c == '\n' || *c == '\t').collect()
}
