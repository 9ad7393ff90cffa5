//! An engine with a real store, driven by hand: what goes in, what comes out, and time as the test
//! says.

use polos_engine::{
    Config, ConnectionId, Engine, Input, Moment, Output, Pager, Request, RequestId, Response,
};
use polos_protocol::frame::{
    Append, FromServer, FromWorker, Hello, Host, RecordRequest, RunRecords, Start,
};
use polos_protocol::record::{Kind, NewRecord};
use polos_protocol::rest::{StartRequest, Verb};
use polos_protocol::{Definition, Json, Namespace, RunId, State, StepKey, Value, WorkerId, limits};
use polos_store::row::Run;
use polos_store::sqlite;
use polos_store::{Batch, Outcome, Read, Store};

pub(crate) struct Rig {
    pub(crate) engine: Engine,
    pub(crate) store: sqlite::Store,
    pub(crate) now: u64,
    pub(crate) config: Config,
    pub(crate) out: Vec<Output>,
    inputs: u64,
    _directory: tempfile::TempDir,
}

/// A worker's side of one run.
pub(crate) struct Hands {
    pub(crate) run: RunId,
    pub(crate) assignment: u64,
    pub(crate) seq: u64,
    pub(crate) n: u64,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = sqlite::Store::open(directory.path(), sqlite::Options::default()).unwrap();
        let config = Config { incarnation: store.incarnation(), ..Config::default() };
        let now = 1_000_000;
        let engine = Engine::load(config.clone(), now, &store).unwrap();
        Self { engine, store, now, config, out: Vec::new(), inputs: 0, _directory: directory }
    }

    /// A crash of the server: what was in memory is gone.
    pub(crate) fn restart(&mut self) {
        self.engine = Engine::load(self.config.clone(), self.now, &self.store).unwrap();
        self.out.clear();
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.inputs += 1;
        let mut entropy = [0; 16];
        entropy[..8].copy_from_slice(&self.inputs.to_be_bytes());
        self.engine.handle(Moment { now: self.now, entropy }, input, &self.store);
        self.commit();
    }

    fn commit(&mut self) {
        let commands = self.engine.take_commands(&self.store);
        if !commands.is_empty() {
            let outcomes =
                self.store.commit(Batch { owner: self.config.incarnation, commands }).unwrap();
            assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Applied), "{outcomes:?}");
        }
        let outputs = self.engine.committed(self.now, &self.store).unwrap();
        assert_eq!(self.engine.audit(&self.store).unwrap(), Ok(()));
        self.out.extend(outputs);
        self.pages();
    }

    /// Carries orders of pages out, as the driver does.
    fn pages(&mut self) {
        let is_order = |output: &Output| matches!(output, Output::Page(..));
        while let Some(at) = self.out.iter().position(is_order) {
            let Output::Page(connection, order) = self.out.remove(at) else { unreachable!() };
            let mut pager = Pager::new(limits::PAGES_UNDER_WAY_MAX);
            pager.begin(*order);
            while let Some(read) = pager.next_read() {
                let records =
                    self.store.replay_page(&read.namespace, read.run, read.stretch).unwrap();
                let page = pager.page(&read, records);
                let frames = page.frames.into_iter().map(|frame| Output::Send(connection, frame));
                self.out.extend(frames);
                if let Some(ended) = page.ended {
                    self.input(Input::Paged { connection, ended });
                }
            }
        }
    }

    /// Lets time pass, with every tick that is due.
    pub(crate) fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(at) = self.engine.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.input(Input::Tick);
        }
        self.now = end;
    }

    pub(crate) fn try_request(
        &mut self,
        request: Request,
    ) -> Result<Response, polos_engine::Error> {
        let id = RequestId(self.inputs);
        self.input(Input::Request {
            id,
            namespace: Namespace::default(),
            principal: "ana".into(),
            request,
        });
        let at =
            self.out.iter().position(|o| matches!(o, Output::Reply(of, _) if *of == id)).unwrap();
        let Output::Reply(_, reply) = self.out.remove(at) else { unreachable!() };
        reply
    }

    pub(crate) fn request(&mut self, request: Request) -> Response {
        self.try_request(request).unwrap()
    }

    pub(crate) fn start(&mut self, request: StartRequest) -> RunId {
        let Response::Started(started) = self.request(Request::Start(Box::new(request))) else {
            unreachable!()
        };
        started.id
    }

    pub(crate) fn start_run(&mut self) -> RunId {
        self.start(StartRequest { workflow: "w".into(), ..StartRequest::default() })
    }

    pub(crate) fn verb(&mut self, run: RunId, verb: Verb) -> polos_protocol::rest::VerbResponse {
        let Response::Done(done) = self.request(Request::Verb(run, verb)) else { unreachable!() };
        done
    }

    pub(crate) fn connect(&mut self, number: u64, hello: Hello) {
        self.input(Input::Connect {
            connection: ConnectionId(number),
            namespace: Namespace::default(),
            hello: Box::new(hello),
        });
    }

    /// Connects a worker whose connection has the worker's own number.
    pub(crate) fn worker(&mut self, number: u64) {
        self.connect(number, hello(number, 1));
    }

    pub(crate) fn frame(&mut self, connection: u64, frame: FromWorker) {
        self.input(Input::Frame { connection: ConnectionId(connection), frame });
    }

    /// The frames that went to a connection since the last call.
    pub(crate) fn frames(&mut self, connection: u64) -> Vec<FromServer> {
        let (mine, rest) = std::mem::take(&mut self.out)
            .into_iter()
            .partition(|o| matches!(o, Output::Send(to, _) if *to == ConnectionId(connection)));
        self.out = rest;
        let frame =
            |output| if let Output::Send(_, frame) = output { frame } else { unreachable!() };
        mine.into_iter().map(frame).collect()
    }

    /// The runs that were given to a connection since the last call of this or `frames`.
    pub(crate) fn starts(&mut self, connection: u64) -> Vec<Start> {
        let frames = self.frames(connection);
        frames
            .into_iter()
            .filter_map(|f| if let FromServer::Start(start) = f { Some(*start) } else { None })
            .collect()
    }

    /// Takes the one run that was given to a connection, and accepts it.
    pub(crate) fn take(&mut self, connection: u64) -> (Start, Hands) {
        let mut starts = self.starts(connection);
        assert_eq!(starts.len(), 1, "one run was to be given");
        let start = starts.remove(0);
        let hands = Hands { run: start.run, assignment: start.assignment, seq: start.seq, n: 0 };
        self.frame(connection, FromWorker::Accept(reference(&hands)));
        (start, hands)
    }

    pub(crate) fn record(&mut self, connection: u64, hands: &mut Hands, record: NewRecord) {
        hands.n += 1;
        let mut record = record;
        record.n = hands.n;
        let records = vec![record];
        let runs = vec![RunRecords { run: hands.run, assignment: hands.assignment, records }];
        self.frame(connection, FromWorker::Record(RecordRequest { runs }));
        self.learn(connection, hands);
    }

    /// Takes in acknowledgements and appended records; other frames stay.
    pub(crate) fn learn(
        &mut self,
        connection: u64,
        hands: &mut Hands,
    ) -> Vec<polos_protocol::Record> {
        let mut news = Vec::new();
        let mut others = Vec::new();
        for frame in self.frames(connection) {
            match frame {
                FromServer::Recorded(recorded) => {
                    for (run, _, _, seq) in recorded.runs {
                        if run == hands.run {
                            hands.seq = seq;
                        }
                    }
                }
                FromServer::Append(Append { run, records, seq, .. }) if run == hands.run => {
                    hands.seq = seq;
                    news.extend(records);
                }
                other => others.push(Output::Send(ConnectionId(connection), other)),
            }
        }
        self.out.extend(others);
        news
    }

    pub(crate) fn step(&mut self, connection: u64, hands: &mut Hands, name: &str) {
        let mut record = NewRecord::new(0, Kind::Step, key(name), hands.seq);
        record.value = Some(Value::from_text(&format!("\"{name}\"")).unwrap());
        self.record(connection, hands, record);
    }

    pub(crate) fn complete(&mut self, connection: u64, hands: &Hands) {
        self.frame(
            connection,
            FromWorker::Complete(polos_protocol::frame::CompleteRequest {
                run: hands.run,
                assignment: hands.assignment,
                n: hands.n,
                value: Value::from_text("42").unwrap(),
            }),
        );
    }

    pub(crate) fn run(&self, id: RunId) -> Run {
        self.store.run(&Namespace::default(), id).unwrap().unwrap()
    }

    pub(crate) fn state(&self, id: RunId) -> State {
        self.run(id).status.state
    }

    /// The journal as `kind key` lines.
    pub(crate) fn journal(&self, id: RunId) -> Vec<String> {
        let records = self.store.journal(&Namespace::default(), id, 0, usize::MAX).unwrap();
        records
            .iter()
            .map(|r| format!("{} {}", r.kind().name(), r.key()).trim().to_owned())
            .collect()
    }
}

pub(crate) fn key(name: &str) -> StepKey {
    StepKey::run().child(name, 1)
}

pub(crate) fn json(text: &str) -> Json {
    Json::from_text(text).unwrap()
}

pub(crate) fn reference(hands: &Hands) -> polos_protocol::frame::RunRef {
    polos_protocol::frame::RunRef { run: hands.run, assignment: hands.assignment }
}

pub(crate) fn worker_id(number: u64) -> WorkerId {
    WorkerId::from_parts(number, [0; 10])
}

pub(crate) fn hello(worker: u64, connection: u64) -> Hello {
    let definition = |name: &str| Definition { name: name.into(), ..Definition::default() };
    Hello {
        protocol: [1, 1],
        features: vec![],
        kinds: vec![],
        worker: worker_id(worker),
        name: format!("worker-{worker}"),
        host: Host::default(),
        sdk: "test/0".into(),
        build: "build-1".into(),
        connection,
        definitions: vec![definition("w"), definition("child")],
        queues: vec![],
        slots: 10,
        placements: vec![],
        held: vec![],
        pages: 2,
    }
}
