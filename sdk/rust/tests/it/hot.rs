//! Runs that wait in a worker's memory: within limits, and the one that has waited longest parks
//! first.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::panic, reason = "a test that cannot go on has failed")]

use crate::server::{Connection, start, worker};
use polos_protocol::frame::{FromServer, FromWorker, Kept, Recorded, RunRef};
use polos_protocol::{Kind, RunId, Value};
use polos_sdk::replay::{Input, Run, RunOutput, Settings};
use polos_sdk::worker::Builder;
use polos_sdk::{Ctx, NoStreams, Worker, Workflow, workflow};
use std::sync::Arc;
use std::time::Duration;

const HOUR: u64 = 3_600_000;

async fn sleep_on(ctx: Ctx, text: String) -> polos_sdk::Result<usize> {
    ctx.sleep(Duration::from_hours(2)).await?;
    Ok(text.len())
}

fn sleeper() -> Builder {
    Worker::builder().workflow("w", sleep_on)
}

fn id(number: u8) -> RunId {
    RunId::from_bytes([number; 16])
}

/// Gives the worker a run that waits, and comes back when it says so.
async fn let_wait(connection: &mut Connection, number: u8, text: &str) {
    let mut start = start(Vec::new());
    (start.run, start.root) = (id(number), id(number));
    start.input = Value::from_text(&serde_json::to_string(text).unwrap()).unwrap();
    connection.send(FromServer::Start(Box::new(start))).await;
    assert!(matches!(connection.next().await, FromWorker::Accept(of) if of.run == id(number)));
    let FromWorker::Record(request) = connection.next().await else { panic!("no record") };
    assert_eq!(request.runs[0].records[0].kind, Kind::Open);
    let runs = vec![(id(number), 1, 1, 1)];
    connection.send(FromServer::Recorded(Recorded { at: 1_000_001, runs })).await;
    assert!(matches!(connection.next().await, FromWorker::Wait(wait) if wait.run == id(number)));
}

/// The run that the worker now parks, and the server takes.
async fn parked(connection: &mut Connection) -> RunId {
    let FromWorker::Park(park) = connection.next().await else { panic!("not parked") };
    assert_eq!((park.seq, park.n), (1, 1));
    connection.send(FromServer::Done(RunRef { run: park.run, assignment: 1 })).await;
    park.run
}

#[tokio::test]
async fn beyond_the_number_the_run_that_has_waited_longest_parks() {
    let (mut server, _handle, _running) = worker(sleeper().hot_limits(2, u64::MAX));
    server.hot_ms = HOUR;
    let mut connection = server.accept(Vec::new()).await;
    let_wait(&mut connection, 1, "").await;
    let_wait(&mut connection, 2, "").await;
    // The next frame after the third wait is the first run's, so none parked before.
    let_wait(&mut connection, 3, "").await;
    assert_eq!(parked(&mut connection).await, id(1));
    let_wait(&mut connection, 4, "").await;
    assert_eq!(parked(&mut connection).await, id(2));
}

#[tokio::test]
async fn beyond_the_bytes_the_run_that_has_waited_longest_parks() {
    let (mut server, _handle, _running) = worker(sleeper().hot_limits(usize::MAX, 1 << 20));
    server.hot_ms = HOUR;
    let mut connection = server.accept(Vec::new()).await;
    let half = "x".repeat(500 << 10);
    let_wait(&mut connection, 1, &half).await;
    let_wait(&mut connection, 2, &half).await;
    let_wait(&mut connection, 3, &half).await;
    assert_eq!(parked(&mut connection).await, id(1));
}

#[tokio::test]
async fn a_drain_parks_at_once_what_waits_already() {
    let (mut server, handle, running) = worker(sleeper());
    server.hot_ms = HOUR;
    let mut connection = server.accept(Vec::new()).await;
    let_wait(&mut connection, 1, "").await;
    handle.drain();
    assert!(matches!(connection.next().await, FromWorker::Drain(_)));
    assert_eq!(parked(&mut connection).await, id(1));
    running.await.unwrap().unwrap();
}

/// A run without its worker: the frames that it sends.
struct Alone(Run);

impl Alone {
    /// Waits for its timer, which is durable.
    fn waiting() -> Self {
        let code: Arc<dyn Workflow> = workflow(sleep_on);
        let mut start = start(Vec::new());
        start.input = Value::from_text("\"\"").unwrap();
        let settings = Settings { hot_ms: HOUR, ..Settings::new("b1") };
        let streams = Arc::new(NoStreams);
        let mut alone = Self(Run::new(Box::new(start), code, settings, streams, 1_000_000));
        assert_eq!(alone.frames(), ["accept", "records"]);
        alone
    }

    fn handle(&mut self, input: Input) -> Vec<&'static str> {
        self.0.handle(input, 1_000_010);
        self.frames()
    }

    fn frames(&mut self) -> Vec<&'static str> {
        let name = |output| match output {
            RunOutput::Records(_) => "records",
            RunOutput::Frame(FromWorker::Accept(_)) => "accept",
            RunOutput::Frame(FromWorker::Wait(_)) => "wait",
            RunOutput::Frame(FromWorker::Park(_)) => "park",
            other => panic!("{other:?}"),
        };
        std::iter::from_fn(|| self.0.next_output()).map(name).collect()
    }
}

const RECORDED: Input = Input::Recorded { n: 1, seq: 1, at: 1_000_005 };

#[test]
fn one_that_does_not_wait_yet_is_left_alone() {
    let mut run = Alone::waiting();
    assert!(run.handle(Input::Cool).is_empty(), "its timer is not durable yet");
    assert_eq!(run.handle(RECORDED), ["wait"], "another wait is as hot as any");
    assert_eq!(run.handle(Input::Cool), ["park"]);
    assert!(run.handle(Input::Cool).is_empty(), "it was said once");
}

#[test]
fn one_that_is_told_while_there_is_no_connection_parks_when_there_is() {
    let mut run = Alone::waiting();
    assert_eq!(run.handle(RECORDED), ["wait"]);
    assert!(run.handle(Input::Detached).is_empty());
    assert!(run.handle(Input::Cool).is_empty());
    let kept = Kept { run: run.0.id(), assignment: 1, seq: 1, n: 1 };
    assert_eq!(run.handle(Input::Attached(kept)), ["wait", "park"]);
}
