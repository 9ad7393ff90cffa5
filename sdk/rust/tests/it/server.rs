//! A worker against a server in memory that the test plays itself, frame by frame.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::panic, reason = "a test that cannot go on has failed")]

use futures_util::{SinkExt as _, StreamExt as _};
use polos_protocol::frame::{
    Blob, Empty, FromServer, FromWorker, Hello, Kept, Recorded, RunRef, Start, Stored, Welcome,
};
use polos_protocol::record::{Open, RunOptions};
use polos_protocol::value::BlobRef;
use polos_protocol::{DefinitionKind, Kind, Namespace, NewRecord, Record, RunId, StepKey, Value};
use polos_sdk::worker::{Builder, Error, Handle, InMemory, Link};
use polos_sdk::{Ctx, Worker};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

/// The server's side of all connections that a worker makes.
pub(crate) struct Server {
    links: mpsc::UnboundedReceiver<Link>,
    incarnation: u64,
    lease_ms: u64,
    pub(crate) hot_ms: u64,
}

/// One connection after its welcome.
pub(crate) struct Connection {
    link: Link,
    hello: Hello,
}

pub(crate) fn worker(builder: Builder) -> (Server, Handle, JoinHandle<Result<(), Error>>) {
    let (accepted, links) = mpsc::unbounded_channel();
    let transport = InMemory::new(move |link| {
        let _ = accepted.send(link);
        Ok(())
    });
    let worker = builder.transport(transport).build_id("b1").build().unwrap();
    let handle = worker.handle();
    (
        Server { links, incarnation: 1, lease_ms: 10_000, hot_ms: 20 },
        handle,
        tokio::spawn(worker.run()),
    )
}

impl Server {
    pub(crate) async fn accept(&mut self, kept: Vec<Kept>) -> Connection {
        let mut link = self.links.recv().await.expect("the worker connects");
        let FromWorker::Hello(hello) = receive(&mut link).await else { panic!("no hello") };
        let mut connection = Connection { link, hello };
        connection
            .send(FromServer::Welcome(Welcome {
                protocol: 1,
                features: Vec::new(),
                server: "test".to_owned(),
                incarnation: self.incarnation,
                namespace: Namespace::default(),
                now: 1_000_000,
                lease_ms: self.lease_ms,
                ping_ms: 100,
                hot_ms: self.hot_ms,
                kept,
            }))
            .await;
        connection
    }
}

async fn receive(link: &mut Link) -> FromWorker {
    let text = link.stream.next().await.expect("the worker is there").unwrap();
    assert!(text.len() <= polos_protocol::limits::FRAME_BYTES_MAX, "{} bytes", text.len());
    FromWorker::from_text(&text).unwrap()
}

impl Connection {
    pub(crate) async fn send(&mut self, frame: FromServer) {
        self.link.sink.send(frame.to_text()).await.unwrap();
    }

    /// The next frame that says something.
    pub(crate) async fn next(&mut self) -> FromWorker {
        loop {
            match receive(&mut self.link).await {
                FromWorker::Pong(_) => {}
                frame => return frame,
            }
        }
    }

    async fn start(&mut self, journal: Vec<Record>) {
        self.send(FromServer::Start(Box::new(start(journal)))).await;
        assert!(matches!(self.next().await, FromWorker::Accept(_)));
    }

    async fn records(&mut self) -> Vec<NewRecord> {
        match self.next().await {
            FromWorker::Record(mut request) => request.runs.remove(0).records,
            other => panic!("{other:?} instead of records"),
        }
    }

    async fn recorded(&mut self, n: u64, seq: u64) {
        let runs = vec![(run(), 1, n, seq)];
        self.send(FromServer::Recorded(Recorded { at: 1_000_000 + seq, runs })).await;
    }

    async fn done(&mut self) {
        self.send(FromServer::Done(RunRef { run: run(), assignment: 1 })).await;
    }

    /// The output of the run that now ends.
    async fn completed(&mut self) -> Value {
        match self.next().await {
            FromWorker::Complete(complete) => complete.value,
            other => panic!("{other:?} instead of an end"),
        }
    }
}

fn run() -> RunId {
    RunId::from_bytes([4; 16])
}

pub(crate) fn start(journal: Vec<Record>) -> Start {
    Start {
        run: run(),
        assignment: 1,
        workflow: "w".to_owned(),
        kind: DefinitionKind::Workflow,
        input: Value::null(),
        seed: "00".into(),
        created_ms: 1_000_000,
        now: 1_000_000,
        options: RunOptions::default(),
        root: run(),
        parent: None,
        depth: 0,
        build: None,
        principal: "test".to_owned(),
        previous: None,
        lost: Vec::new(),
        alone: false,
        key_generation: 0,
        settled: Vec::new(),
        accepted: Vec::new(),
        seq: journal.last().map_or(0, |record| record.seq),
        journal,
    }
}

/// Two steps after each other; counts how often either acts.
fn two_steps(acted: &Arc<AtomicU32>) -> Builder {
    let acted = acted.clone();
    Worker::builder().workflow("w", move |ctx: Ctx, (): ()| {
        let acted = acted.clone();
        async move {
            let mut sum = 0;
            for name in ["a", "b"] {
                let acted = acted.clone();
                let act = move || {
                    let acted = acted.clone();
                    async move { Ok(acted.fetch_add(1, Ordering::SeqCst) + 1) }
                };
                sum += ctx.step(name, act).await?;
            }
            Ok(sum)
        }
    })
}

#[tokio::test]
async fn a_run_goes_from_start_to_done() {
    let acted = Arc::default();
    let (mut server, handle, running) = worker(two_steps(&acted));
    let mut connection = server.accept(Vec::new()).await;
    assert_eq!(connection.hello.definitions[0].name, "w");
    assert_eq!(connection.hello.host.pid, std::process::id());
    connection.start(Vec::new()).await;
    for n in 1..=2 {
        let records = connection.records().await;
        assert_eq!((records.len(), records[0].n, records[0].kind), (1, n, Kind::Step));
        connection.recorded(n, n).await;
    }
    assert_eq!(connection.completed().await.text(), Some("3"));
    connection.done().await;
    handle.drain();
    assert!(matches!(connection.next().await, FromWorker::Drain(_)));
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_was_not_acknowledged_is_sent_again_and_only_that() {
    for durable in [false, true] {
        let acted = Arc::default();
        let (mut server, _handle, _running) = worker(two_steps(&acted));
        let mut first = server.accept(Vec::new()).await;
        first.start(Vec::new()).await;
        let sent = first.records().await.remove(0);
        drop(first);

        // The record was committed before the connection broke, or it was not.
        let (n, seq) = if durable { (1, 1) } else { (0, 0) };
        let mut second = server.accept(vec![Kept { run: run(), assignment: 1, seq, n }]).await;
        assert_eq!(second.hello.connection, 2);
        assert_eq!((second.hello.held[0].run, second.hello.held[0].seq), (run(), 0));
        if durable {
            let record = Record {
                seq: 1,
                at: 1_000_001,
                assignment: 1,
                worker: None,
                build: Some("b1".into()),
                record: sent.clone(),
            };
            let append = polos_protocol::frame::Append {
                run: run(),
                assignment: 1,
                records: vec![record],
                seq: 1,
                more: false,
            };
            second.send(FromServer::Append(append)).await;
        } else {
            let again = second.records().await.remove(0);
            assert_eq!((again.n, again.value), (1, sent.value.clone()));
            second.recorded(1, 1).await;
        }
        assert_eq!(second.records().await[0].key.as_str(), "b");
        second.recorded(2, 2).await;
        assert_eq!(second.completed().await.text(), Some("3"));
        assert_eq!(acted.load(Ordering::SeqCst), 2, "a step acted twice");
    }
}

#[tokio::test]
async fn an_end_that_was_not_answered_is_said_again() {
    let builder = Worker::builder().workflow("w", |_: Ctx, (): ()| async { Ok(5_u32) });
    let (mut server, _handle, _running) = worker(builder);
    let mut first = server.accept(Vec::new()).await;
    first.start(Vec::new()).await;
    assert_eq!(first.completed().await.text(), Some("5"));
    drop(first);
    let kept = Kept { run: run(), assignment: 1, seq: 0, n: 0 };
    let mut second = server.accept(vec![kept]).await;
    assert_eq!(second.completed().await.text(), Some("5"));
}

#[tokio::test]
async fn a_run_that_is_not_kept_is_dropped_with_its_effects() {
    let begun = Arc::new(Notify::new());
    let dropped = Arc::new(Notify::new());
    let (mut server, handle, running) = worker(hanging(&begun, &dropped));
    let mut first = server.accept(Vec::new()).await;
    first.start(Vec::new()).await;
    begun.notified().await;
    drop(first);
    let mut second = server.accept(Vec::new()).await;
    dropped.notified().await;
    handle.drain();
    assert!(matches!(second.next().await, FromWorker::Drain(_)));
    running.await.unwrap().unwrap();
}

struct SaysDropped(Arc<Notify>);

impl Drop for SaysDropped {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// A step that never ends, and says when it begins and when it is dropped.
fn hanging(begun: &Arc<Notify>, dropped: &Arc<Notify>) -> Builder {
    let (begun, dropped) = (begun.clone(), dropped.clone());
    Worker::builder().workflow("w", move |ctx: Ctx, (): ()| {
        let (begun, dropped) = (begun.clone(), dropped.clone());
        async move {
            let hang = move || {
                let guard = SaysDropped(dropped.clone());
                begun.notify_one();
                async move {
                    let _guard = guard;
                    std::future::pending::<()>().await;
                    Ok(0_u32)
                }
            };
            ctx.step("hang", hang).await
        }
    })
}

#[tokio::test]
async fn silence_for_the_lease_stops_effects_until_the_run_is_kept() {
    let begun = Arc::new(Notify::new());
    let dropped = Arc::new(Notify::new());
    let (mut server, _handle, _running) = worker(hanging(&begun, &dropped));
    server.lease_ms = 300;
    let mut first = server.accept(Vec::new()).await;
    first.start(Vec::new()).await;
    begun.notified().await;
    // The test says nothing for the lease, on a connection that stands.
    dropped.notified().await;
    let kept = Kept { run: run(), assignment: 1, seq: 0, n: 0 };
    let _second = server.accept(vec![kept]).await;
    begun.notified().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_busy_program_answers_pings() {
    let (busy, is_busy) = std::sync::mpsc::channel::<()>();
    let (free, is_free) = std::sync::mpsc::channel::<()>();
    let is_free = Arc::new(std::sync::Mutex::new(is_free));
    let builder = Worker::builder().workflow("w", move |_: Ctx, (): ()| {
        busy.send(()).unwrap();
        // The only thread of the program's runtime, held fast.
        is_free.lock().unwrap().recv().unwrap();
        async { Ok(1_u32) }
    });
    let (accepted, mut links) = mpsc::unbounded_channel();
    let transport = InMemory::new(move |link| {
        let _ = accepted.send(link);
        Ok(())
    });
    let worker = builder.transport(transport).build().unwrap();
    let server = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let link = links.recv().await.unwrap();
            let (other, links) = mpsc::unbounded_channel();
            other.send(link).unwrap();
            let mut server = Server { links, incarnation: 1, lease_ms: 10_000, hot_ms: 20 };
            let mut connection = server.accept(Vec::new()).await;
            connection.send(FromServer::Start(Box::new(start(Vec::new())))).await;
            is_busy.recv().unwrap();
            for _ in 0..3 {
                connection.send(FromServer::Ping(Empty {})).await;
                let pong = receive(&mut connection.link).await;
                assert!(matches!(pong, FromWorker::Pong(_)), "{pong:?}");
            }
            free.send(()).unwrap();
            assert!(matches!(connection.next().await, FromWorker::Accept(_)));
            assert_eq!(connection.completed().await.text(), Some("1"));
        });
    });
    let running = tokio::spawn(worker.run());
    tokio::task::spawn_blocking(move || server.join()).await.unwrap().unwrap();
    running.abort();
}

#[tokio::test]
async fn an_older_life_of_the_store_is_refused() {
    let (mut server, _handle, running) = worker(two_steps(&Arc::default()));
    server.incarnation = 7;
    drop(server.accept(Vec::new()).await);
    server.incarnation = 6;
    let _connection = server.accept(Vec::new()).await;
    let error = running.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::OlderStore { seen: 7, found: 6 }), "{error}");
}

#[tokio::test]
async fn a_large_value_is_stored_before_it_is_referred_to() {
    let text = "\"x\" ".repeat(500_000);
    let expect = text.clone();
    let builder = Worker::builder().workflow("w", move |ctx: Ctx, (): ()| {
        let text = text.clone();
        async move {
            let make = move || {
                let text = text.clone();
                async move { Ok(text) }
            };
            let made: String = ctx.step("make", make).await?;
            Ok(made.len())
        }
    });
    let (mut server, _handle, _running) = worker(builder);
    let mut connection = server.accept(Vec::new()).await;
    connection.start(Vec::new()).await;
    let mut stored = String::new();
    let hash = loop {
        let FromWorker::Store(piece) = connection.next().await else { panic!("not a piece") };
        assert_eq!(piece.offset, stored.len() as u64);
        stored.push_str(&piece.text);
        if stored.len() as u64 == piece.size {
            break piece.hash;
        }
    };
    assert_eq!(serde_json::from_str::<String>(&stored).unwrap(), expect);
    connection.send(FromServer::Stored(Stored { hash: hash.clone() })).await;
    let record = connection.records().await.remove(0);
    assert_eq!(record.value.unwrap().reference().unwrap().hash, hash);
    connection.recorded(1, 1).await;
    assert_eq!(connection.completed().await.text(), Some("2000000"));
}

/// Takes the pieces of one value, and says that it is kept.
async fn keep(connection: &mut Connection) -> (BlobRef, String) {
    let mut text = String::new();
    loop {
        let FromWorker::Store(piece) = connection.next().await else { panic!("not a piece") };
        text.push_str(&piece.text);
        if text.len() as u64 == piece.size {
            let (hash, size) = (piece.hash, piece.size);
            connection.send(FromServer::Stored(Stored { hash: hash.clone() })).await;
            return (BlobRef { hash, size }, text);
        }
    }
}

#[tokio::test]
async fn a_child_s_large_input_is_stored_before_the_child_is_opened() {
    let builder = Worker::builder().workflow("w", move |ctx: Ctx, (): ()| async move {
        let input = "x".repeat(3 << 20);
        ctx.call::<u32>("child", &input).await
    });
    let (mut server, _handle, _running) = worker(builder);
    let mut connection = server.accept(Vec::new()).await;
    connection.start(Vec::new()).await;
    let (kept, text) = keep(&mut connection).await;
    assert_eq!(serde_json::from_str::<String>(&text).unwrap().len(), 3 << 20);
    let record = connection.records().await.remove(0);
    let Open::Child(child) = record.detail().unwrap() else { panic!("not a child") };
    assert_eq!(child.input.reference(), Some(&kept));
    assert!(record.fingerprint.is_some());
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_is_sent() {
    let builder = Worker::builder().workflow("w", move |ctx: Ctx, (): ()| async move {
        let large = "x".repeat(1 << 20);
        let refused = [
            ctx.publish("topic", &large).await.unwrap_err().to_string(),
            ctx.call::<()>("child", &large.repeat(33)).await.unwrap_err().to_string(),
        ];
        Ok(refused)
    });
    let (mut server, _handle, _running) = worker(builder);
    let mut connection = server.accept(Vec::new()).await;
    connection.start(Vec::new()).await;
    let refused: [String; 2] = connection.completed().await.parse().unwrap();
    assert!(refused[0].contains("at most 1048576 bytes, not 1048578"), "{refused:?}");
    assert!(refused[1].contains("larger than the limit of 33554432 bytes"), "{refused:?}");
}

#[tokio::test]
async fn a_value_by_reference_is_fetched_before_the_code_goes_on() {
    let acted = Arc::default();
    let (mut server, _handle, _running) = worker(two_steps(&acted));
    let mut connection = server.accept(Vec::new()).await;
    let mut record = NewRecord::new(1, Kind::Step, StepKey::from_recorded("a"), 0);
    record.value = Some(Value::from_reference(BlobRef { hash: "h".into(), size: 3 }));
    let record = Record {
        seq: 1,
        at: 1_000_001,
        assignment: 0,
        worker: None,
        build: Some("b1".into()),
        record,
    };
    connection.start(vec![record]).await;
    assert!(matches!(connection.next().await, FromWorker::Fetch(fetch) if &*fetch.hash == "h"));
    for (offset, text) in [(0, "4"), (1, "00")] {
        let piece = Blob { hash: "h".into(), size: 3, offset, text: text.to_owned() };
        connection.send(FromServer::Blob(piece)).await;
    }
    assert_eq!(connection.records().await[0].key.as_str(), "b");
    connection.recorded(1, 2).await;
    assert_eq!(connection.completed().await.text(), Some("401"));
}

#[tokio::test]
async fn a_drain_parks_what_waits() {
    let builder = Worker::builder().workflow("w", |ctx: Ctx, (): ()| async move {
        ctx.sleep(Duration::from_hours(1)).await?;
        Ok(0_u32)
    });
    let (mut server, handle, running) = worker(builder);
    let mut connection = server.accept(Vec::new()).await;
    connection.start(Vec::new()).await;
    assert_eq!(connection.records().await[0].kind, Kind::Open);
    handle.drain();
    assert!(matches!(connection.next().await, FromWorker::Drain(_)));
    connection.recorded(1, 1).await;
    assert!(matches!(connection.next().await, FromWorker::Wait(_)));
    let FromWorker::Park(park) = connection.next().await else { panic!("not parked") };
    assert_eq!((park.seq, park.n), (1, 1));
    connection.done().await;
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_drain_gives_back_what_goes_on() {
    let acted = Arc::default();
    let (mut server, handle, running) = worker(two_steps(&acted));
    let mut connection = server.accept(Vec::new()).await;
    connection.start(Vec::new()).await;
    connection.records().await;
    handle.drain();
    assert!(matches!(connection.next().await, FromWorker::Drain(_)));
    connection.recorded(1, 1).await;
    assert!(matches!(connection.next().await, FromWorker::Release(_)));
    connection.done().await;
    running.await.unwrap().unwrap();
    assert_eq!(acted.load(Ordering::SeqCst), 1, "it went on although it was draining");
}
