//! The simulated server: the driver's loop around the engine, with commits that fail, commits whose
//! answer is lost, and a death before or after each.

#![expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#![expect(clippy::too_many_arguments, reason = "each part comes from another place")]

use super::Options;
use super::random::Random;
use crate::store::Memory;
use polos_engine::{
    Config, ConnectionId, Engine, Error, Input, Moment, Output, Pager, Request, RequestId, Response,
};
use polos_protocol::frame::{FromServer, FromWorker};
use polos_protocol::{Millis, Namespace, WorkerId};
use polos_store::{Batch, Outcome, Read as _, Store};
use std::collections::{BTreeMap, VecDeque};

/// A page of a journal: so small that most journals have several.
const PAGE_BYTES: usize = 400;
/// How long a step may take, for the server and the SDK.
pub(super) const STEP_TIMEOUT_MS: u64 = 5_000;
/// The most inputs that one batch takes in.
const INPUTS_PER_BATCH: usize = 16;

/// A server's process.
#[derive(Debug)]
pub(super) struct Server {
    engine: Option<Engine>,
    incarnation: u64,
    mutation: Option<&'static str>,
    is_impatient: bool,
    inbox: VecDeque<Input>,
    /// The journals that each link is being sent.
    pagers: BTreeMap<u64, Pager>,
}

/// What a turn came to.
#[derive(Debug, Default)]
pub(super) struct Turned {
    /// Texts for links.
    pub(super) sent: Vec<(u64, String)>,
    /// Links to be closed.
    pub(super) closed: Vec<u64>,
    /// Answers.
    pub(super) replies: Vec<(u64, Result<Response, Error>)>,
    /// True if the process died.
    pub(super) crashed: bool,
    /// True if the engine was thrown away and built anew: all links are to be closed.
    pub(super) reset: bool,
    /// True if something was committed.
    pub(super) committed: bool,
    /// True if there is more to handle.
    pub(super) more: bool,
    /// What happened, for the log.
    pub(super) lines: Vec<String>,
}

impl Server {
    /// A server that starts on what the store holds.
    pub(super) fn new(store: &Memory, now: Millis, options: &Options) -> Self {
        let mut server = Self {
            engine: None,
            incarnation: store.reopen(),
            mutation: options.mutation,
            is_impatient: !options.seed.is_multiple_of(3),
            inbox: VecDeque::new(),
            pagers: BTreeMap::new(),
        };
        server.load(store, now);
        server
    }

    fn load(&mut self, store: &Memory, now: Millis) {
        let mut config =
            Config { incarnation: self.incarnation, mutation: self.mutation, ..Config::default() };
        if self.is_impatient {
            // Code that hangs loses its runs while its connection stands.
            config.accept_ms = 3_000;
            config.step_timeout_ms = STEP_TIMEOUT_MS;
            config.wedged_margin_ms = 2_000;
        }
        self.engine = Engine::load(config, now, store).ok();
    }

    /// True while the process lives.
    pub(super) fn is_up(&self) -> bool {
        self.engine.is_some()
    }

    /// The process dies.
    pub(super) fn down(&mut self) {
        self.engine = None;
        self.inbox.clear();
        self.pagers.clear();
    }

    /// When a tick is due.
    pub(super) fn deadline(&self) -> Option<Millis> {
        self.engine.as_ref()?.next_deadline()
    }

    /// Time has passed.
    pub(super) fn tick(&mut self) {
        self.inbox.push_back(Input::Tick);
    }

    /// A text has come on a link.
    pub(super) fn hear(&mut self, link: u64, text: &str) -> Result<(), String> {
        let connection = ConnectionId(link);
        let input = match FromWorker::from_text(text).map_err(|error| error.to_string())? {
            FromWorker::Hello(hello) => {
                let pager = Pager::new(hello.pages).with_page_bytes(PAGE_BYTES);
                self.pagers.insert(link, pager);
                let hello = Box::new(hello);
                Input::Connect { connection, namespace: Namespace::default(), hello }
            }
            FromWorker::More(more) => {
                let pager = self.pagers.get_mut(&link);
                let taken = pager.map_or(Ok(false), |pager| pager.more(&more));
                if taken.map_err(|error| error.to_string())? {
                    return Ok(());
                }
                Input::Frame { connection, frame: FromWorker::More(more) }
            }
            frame => Input::Frame { connection, frame },
        };
        self.inbox.push_back(input);
        Ok(())
    }

    /// What the server says of a run, for a person who looks into a violation.
    pub(super) fn explain(
        &mut self,
        store: &Memory,
        run: polos_protocol::RunId,
        now: Millis,
    ) -> String {
        let Some(engine) = self.engine.as_mut() else { return "the server is down".to_owned() };
        let (namespace, principal) = (Namespace::default(), "client".into());
        let request = Request::Explain(run);
        let input = Input::Request { id: RequestId(u64::MAX), namespace, principal, request };
        engine.handle(Moment { now, entropy: [0; 16] }, input, store);
        let outputs = engine.committed(now, store).unwrap_or_default();
        let why = outputs.into_iter().find_map(|output| match output {
            Output::Reply(_, Ok(Response::Why(why))) => Some(why),
            _ => None,
        });
        why.unwrap_or_default()
    }

    /// Whether what the server holds in memory agrees with the store.
    pub(super) fn audit(&self, store: &Memory) -> Result<(), String> {
        self.engine.as_ref().map_or(Ok(()), |engine| engine.audit(store).unwrap_or(Ok(())))
    }

    /// A link is gone.
    pub(super) fn unlinked(&mut self, link: u64) {
        self.pagers.remove(&link);
        self.inbox.push_back(Input::Disconnect { connection: ConnectionId(link) });
    }

    /// A worker's supervisor has seen its process end.
    pub(super) fn worker_dead(&mut self, worker: WorkerId) {
        self.inbox.push_back(Input::WorkerDead { worker });
    }

    /// Somebody asks for something.
    pub(super) fn ask(&mut self, id: u64, request: Request) {
        let (namespace, principal) = (Namespace::default(), "client".into());
        self.inbox.push_back(Input::Request { id: RequestId(id), namespace, principal, request });
    }

    /// Handles some of what has come, commits it, and says what may leave.
    pub(super) fn turn(
        &mut self,
        store: &Memory,
        now: Millis,
        random: &mut Random,
        calm: bool,
    ) -> Turned {
        let mut turned = Turned::default();
        let Some(engine) = self.engine.as_mut() else { return turned };
        for _ in 0..INPUTS_PER_BATCH {
            let Some(input) = self.inbox.pop_front() else { break };
            turned.lines.push(describe(&input));
            engine.handle(Moment { now, entropy: random.bytes() }, input, store);
        }
        turned.more = !self.inbox.is_empty();
        let commands = engine.take_commands(store);
        let (before, after) =
            if calm { (false, false) } else { (random.chance(10), random.chance(10)) };
        if before {
            turned.crashed = true;
            return turned;
        }
        if !commands.is_empty() {
            turned.committed = true;
            let failed = self.commit(store, commands, random, calm, &mut turned);
            if failed && self.mutation != Some("acknowledge_before_commit") {
                turned.reset = true;
                self.inbox.clear();
                self.pagers.clear();
                self.load(store, now);
                return turned;
            }
        }
        if after {
            turned.crashed = true;
            return turned;
        }
        let Some(engine) = self.engine.as_mut() else { return turned };
        for output in engine.committed(now, store).unwrap_or_default() {
            match output {
                Output::Send(ConnectionId(link), frame) => self.send(link, &frame, &mut turned),
                Output::Page(ConnectionId(link), order) => {
                    if let Some(pager) = self.pagers.get_mut(&link) {
                        pager.begin(*order);
                    }
                }
                Output::Close(ConnectionId(link)) => turned.closed.push(link),
                Output::Reply(RequestId(id), reply) => turned.replies.push((id, reply)),
                Output::Changed(..) => {}
            }
        }
        self.send_pages(store, random, &mut turned);
        turned
    }

    fn send(&mut self, link: u64, frame: &FromServer, turned: &mut Turned) {
        let gone = match frame {
            FromServer::Done(of) => Some((of.run, of.assignment)),
            FromServer::Revoked(of) => Some((of.run, of.assignment)),
            _ => None,
        };
        if let (Some((run, assignment)), Some(pager)) = (gone, self.pagers.get_mut(&link)) {
            pager.forget(run, assignment);
        }
        turned.sent.push((link, frame.to_text()));
    }

    /// Sends pages of journals; some are left for a later turn.
    fn send_pages(&mut self, store: &Memory, random: &mut Random, turned: &mut Turned) {
        for (link, pager) in &mut self.pagers {
            while let Some(read) = pager.next_read() {
                let records = store.replay_page(&read.namespace, read.run, read.stretch);
                let page = pager.page(&read, records.unwrap_or_default());
                let sent = page.frames.iter().map(|frame| (*link, frame.to_text()));
                turned.sent.extend(sent);
                let connection = ConnectionId(*link);
                self.inbox.extend(page.ended.map(|ended| Input::Paged { connection, ended }));
                turned.more = true;
                if random.chance(300) {
                    break;
                }
            }
        }
    }

    /// Commits; true if it failed, or if nobody knows.
    fn commit(
        &self,
        store: &Memory,
        commands: Vec<polos_store::Command>,
        random: &mut Random,
        calm: bool,
        turned: &mut Turned,
    ) -> bool {
        use crate::store::Fault;
        use polos_store::CommitError;
        let fault = match random.below(1000) {
            _ if calm => Fault::None,
            0..=9 => Fault::Refuse(CommitError::Unavailable("the disk is full".to_owned())),
            10..=19 => Fault::Lose,
            _ => Fault::None,
        };
        let mut fault = Some(fault);
        store.set_plan(move |_| fault.take().unwrap_or(Fault::None));
        match store.commit(Batch { owner: self.incarnation, commands }) {
            Ok(outcomes) => {
                let refused = outcomes.iter().any(|outcome| *outcome != Outcome::Applied);
                if refused {
                    turned.lines.push("a command was refused".to_owned());
                }
                refused
            }
            Err(error) => {
                turned.lines.push(format!("commit: {error}"));
                true
            }
        }
    }
}

fn describe(input: &Input) -> String {
    match input {
        Input::Frame { connection, frame } => format!("in {} {}", connection.0, frame.to_text()),
        Input::Connect { connection, hello, .. } => {
            format!("hello {} {}", connection.0, hello.worker)
        }
        Input::Request { id, request, .. } => format!("ask {} {request:?}", id.0),
        other => format!("{other:?}"),
    }
}
