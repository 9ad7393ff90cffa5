//! The task of one run: inputs go into its replay, effects are run, frames go out.

use crate::ctx::Token;
use crate::replay::{
    BeginEffect, EffectId, EffectOutcome, EffectReport, Fault, Input, Run, RunOutput,
};
use crate::worker::held::Standing;
use crate::worker::hot::Ticket;
use crate::worker::routes::Routes;
use futures_util::FutureExt as _;
use polos_protocol::Millis;
use polos_protocol::frame::{FromWorker, Kept, RunRef};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Sleep;

/// What a run's task is told.
#[derive(Debug)]
pub(crate) enum Note {
    Input(Input),
    /// The connection of this number stands.
    Attached(u64, Kept),
}

/// How many notes are taken before the code has its turn.
const NOTES_AT_ONCE: usize = 64;

pub(crate) struct RunTask {
    run: Run,
    routes: Arc<Routes>,
    reference: RunRef,
    connection: u64,
    standing: Arc<Standing>,
    /// How many `append` frames it has taken in.
    appended: u64,
    /// Its wait in memory, if its standing says that it waits.
    waits: Option<Ticket>,
    notes: mpsc::UnboundedSender<Note>,
    effects: HashMap<EffectId, (AbortHandle, Token)>,
    timer: Option<(Millis, Pin<Box<Sleep>>)>,
    lease_lost: bool,
}

impl RunTask {
    pub(crate) fn new(
        run: Run,
        routes: Arc<Routes>,
        connection: u64,
        standing: Arc<Standing>,
        notes: mpsc::UnboundedSender<Note>,
    ) -> Self {
        let reference = run.run_ref();
        Self {
            run,
            routes,
            reference,
            connection,
            standing,
            appended: 0,
            waits: None,
            notes,
            effects: HashMap::new(),
            timer: None,
            lease_lost: false,
        }
    }

    pub(crate) async fn serve(mut self, mut inbox: mpsc::UnboundedReceiver<Note>) {
        loop {
            self.carry_out();
            self.leave_standing();
            if self.run.is_gone() {
                break;
            }
            let first = std::future::poll_fn(|context| self.poll_next(&mut inbox, context)).await;
            self.note(first);
            for _ in 1..NOTES_AT_ONCE {
                let Ok(note) = inbox.try_recv() else { break };
                self.note(note);
            }
            let now = self.routes.clock.now();
            self.run.turn(now);
        }
        self.stop_all();
        self.routes.ended(self.reference);
    }

    /// Writes down what `hello` is to say of the run.
    fn leave_standing(&mut self) {
        self.standing.leave(self.run.seq());
        let wait = self.run.waits_for();
        if self.waits.is_none() && wait.is_none() {
            return;
        }
        match (self.waits, &wait) {
            (None, Some(_)) => self.begin_waiting(),
            (Some(_), None) => self.end_waiting(),
            _ => {}
        }
        self.standing.leave_waiting(self.appended, wait);
    }

    fn begin_waiting(&mut self) {
        let bytes = self.run.handed_bytes();
        self.waits = Some(self.routes.hot.enter(bytes, self.notes.clone()));
    }

    fn end_waiting(&mut self) {
        if let Some(ticket) = self.waits.take() {
            self.routes.hot.leave(ticket);
        }
    }

    fn poll_next(
        &mut self,
        inbox: &mut mpsc::UnboundedReceiver<Note>,
        context: &mut Context<'_>,
    ) -> Poll<Note> {
        if let Poll::Ready(note) = inbox.poll_recv(context) {
            return Poll::Ready(note.unwrap_or(Note::Input(Input::Done)));
        }
        self.run.register(context.waker());
        if self.run.is_woken() {
            return Poll::Ready(Note::Input(Input::Tick));
        }
        self.set_timer();
        match &mut self.timer {
            Some((_, sleep)) => sleep.as_mut().poll(context).map(|()| {
                self.timer = None;
                Note::Input(Input::Tick)
            }),
            None => Poll::Pending,
        }
    }

    fn set_timer(&mut self) {
        let wanted = self.run.timer();
        if self.timer.as_ref().map(|(at, _)| *at) == wanted {
            return;
        }
        self.timer = wanted.map(|at| {
            // One millisecond more, so that the time has come when the timer says so.
            let wait = self.routes.clock.until(at) + Duration::from_millis(1);
            (at, Box::pin(tokio::time::sleep(wait)))
        });
    }

    fn note(&mut self, note: Note) {
        let now = self.routes.clock.now();
        match note {
            Note::Attached(connection, kept) => {
                self.connection = connection;
                self.lease_lost = false;
                self.run.note(Input::Attached(kept), now);
            }
            Note::Input(Input::LeaseLost) => self.lose_lease(),
            Note::Input(input) => {
                self.appended += u64::from(matches!(input, Input::Append(_)));
                self.run.note(input, now);
            }
        }
    }

    fn lose_lease(&mut self) {
        if !self.lease_lost {
            self.lease_lost = true;
            self.run.note(Input::LeaseLost, self.routes.clock.now());
        }
    }

    /// Does all that the run wants done, until it wants nothing more.
    fn carry_out(&mut self) {
        loop {
            let mut reported = false;
            while let Some(output) = self.run.next_output() {
                match output {
                    RunOutput::Records(records) => {
                        self.routes.outbox.records(self.connection, records);
                    }
                    RunOutput::Frame(frame) => self.send(frame),
                    RunOutput::Begin(begin) => reported |= self.begin(begin),
                    RunOutput::Stop(effect) => self.stop(effect),
                    RunOutput::Forget => {}
                }
            }
            if !reported {
                return;
            }
            let now = self.routes.clock.now();
            self.run.turn(now);
        }
    }

    fn send(&self, frame: FromWorker) {
        let askers = &self.routes.askers;
        match &frame {
            FromWorker::Fetch(fetch) => askers.fetch(&fetch.hash, self.reference.run),
            FromWorker::Store(store) => askers.store(&store.hash, self.reference.run),
            _ => {}
        }
        self.routes.outbox.frame(self.connection, frame);
    }

    /// Begins an effect. What is ready at once needs no task of its own; `true` if it was.
    fn begin(&mut self, begin: BeginEffect) -> bool {
        if !self.routes.clock.is_leased() || self.standing.is_gone() {
            // The machine takes the effect back; it begins again after the re-attachment.
            self.lose_lease();
            return true;
        }
        let BeginEffect { begin, mut future, token } = begin;
        let (request, effect) = (begin.request, begin.effect);
        let started_ms = self.routes.clock.now();
        if let Some(mut report) = future.as_mut().now_or_never() {
            report.started_ms = started_ms;
            report.ended_ms = self.routes.clock.now();
            self.run.note(Input::Report { request, effect, report }, started_ms);
            return true;
        }
        let limit = Duration::from_millis(begin.timeout_ms);
        let notes = self.notes.clone();
        let clock = self.routes.clock.clone();
        let stopped = token.clone();
        let task = tokio::spawn(async move {
            let ended = tokio::time::timeout(limit, future).await;
            let ended_ms = clock.now();
            let mut report = ended.unwrap_or_else(|_| {
                stopped.stop();
                let fault = Fault::timed_out(begin.timeout_ms);
                EffectReport::new(EffectOutcome::Failed(fault), ended_ms)
            });
            report.started_ms = started_ms;
            report.ended_ms = ended_ms;
            let _ = notes.send(Note::Input(Input::Report { request, effect, report }));
        });
        self.effects.retain(|_, (task, _)| !task.is_finished());
        self.effects.insert(effect, (task.abort_handle(), token));
        false
    }

    fn stop(&mut self, effect: EffectId) {
        if let Some((task, token)) = self.effects.remove(&effect) {
            token.stop();
            task.abort();
        }
    }

    fn stop_all(&mut self) {
        for (_, (task, token)) in self.effects.drain() {
            token.stop();
            task.abort();
        }
    }
}

impl Drop for RunTask {
    fn drop(&mut self) {
        self.end_waiting();
        self.stop_all();
    }
}
