//! A hundred runs while server and workers are killed: at the end every run is completed, every
//! `once` effect happened exactly once, and nothing is lost.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stderr, reason = "says what a long test is doing")]
#![expect(clippy::naive_bytecount, reason = "small inputs")]

use crate::ledger::{self, FOUND, KEYED, NOT_FOUND, ONCE, Work};
use crate::numbers::Numbers;
use crate::place::{PATIENCE, Place, Process};
use polos_protocol::failure::codes;
use polos_protocol::rest::StartRequest;
use polos_protocol::{Json, Kind, RunId, State};
use polos_sdk::{Client, ClientError};
use polos_store::sqlite::{Options, Store};
use std::collections::HashMap;
use std::time::{Duration, Instant};

const RUNS: u64 = 100;
const WORKERS: usize = 3;
const SEED: u64 = 20_261_124;
/// A pause between two looks.
const LOOK: Duration = Duration::from_millis(2);
/// Kills fall this much after the progress that calls for them, at most.
const JITTER_MS: u64 = 12;

/// How much is done: the long tier is asked for by `cargo xtask test --full`.
struct Size {
    kills: u64,
    steps: u64,
}

fn size() -> Size {
    let asked = |name| std::env::var_os(name).is_some_and(|value| value == "1");
    if asked("POLOS_TEST_FULL") || asked("POLOS_FULL") {
        Size { kills: 200, steps: 30 }
    } else {
        Size { kills: 20, steps: 6 }
    }
}

/// The processes, and what was done to them.
struct Fire<'a> {
    place: &'a Place,
    server: Process,
    workers: Vec<Process>,
    numbers: Numbers,
    killed: HashMap<&'static str, u64>,
}

impl Fire<'_> {
    /// Kills one process at a random moment and starts its successor at once.
    async fn kill(&mut self) {
        tokio::time::sleep(Duration::from_millis(self.numbers.below(JITTER_MS))).await;
        match self.numbers.below(6) {
            0 => self.kill_server("server"),
            1 => {
                // The successor too, at some moment of its start.
                self.kill_server("server");
                tokio::time::sleep(Duration::from_millis(self.numbers.below(60))).await;
                self.kill_server("starting server");
            }
            _ => {
                let worker = usize::try_from(self.numbers.below(WORKERS as u64)).unwrap();
                self.workers[worker].kill();
                self.workers[worker] = self.place.worker();
                *self.killed.entry("worker").or_insert(0) += 1;
            }
        }
    }

    fn kill_server(&mut self, what: &'static str) {
        self.server.kill();
        self.server = self.place.server();
        *self.killed.entry(what).or_insert(0) += 1;
    }

    fn kills(&self) -> u64 {
        self.killed.values().sum()
    }
}

#[test]
fn every_run_completes_and_every_once_effect_happens_once() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(Box::pin(under_fire()));
}

async fn under_fire() {
    let size = size();
    let place = Place::new();
    let mut server = place.server();
    let client = place.client(&mut server).await;
    let workers = (0..WORKERS).map(|_| place.worker()).collect();
    let numbers = Numbers::new(SEED);
    let mut fire = Fire { place: &place, server, workers, numbers, killed: HashMap::new() };
    let starting = tokio::spawn(start_all(client.clone(), size.steps));
    let all = RUNS * size.steps;
    while fire.kills() < size.kills {
        // The work itself sets the pace, so that no kill comes when all is done.
        let wanted = all * fire.kills() / (size.kills + 1);
        progress(&place, wanted).await;
        fire.kill().await;
    }
    let ids = starting.await.unwrap();
    let resumed = complete(&client, &ids, size.steps).await;
    journals(&client, &ids, size.steps).await;
    let world = World::of(&place);
    world.check(all);
    let killed = std::mem::take(&mut fire.killed);
    drop(fire);
    whole(&place);
    eprintln!(
        "killed {killed:?}; {} verified done, {} not done; {} keyed effects repeated; {resumed} runs \
         resumed after poison",
        world.found, world.not_found, world.keyed_repeats
    );
}

/// Waits until so many `once` effects have happened.
async fn progress(place: &Place, wanted: u64) {
    let file = place.folder().join(ONCE);
    let end = Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read(&file).unwrap_or_default();
        let lines = text.iter().filter(|byte| **byte == b'\n').count() as u64;
        if lines >= wanted {
            return;
        }
        assert!(Instant::now() < end, "stuck at {lines} effects, waiting for {wanted}");
        tokio::time::sleep(LOOK).await;
    }
}

/// Starts all runs, each under a key, asking again until it is acknowledged.
async fn start_all(client: Client, steps: u64) -> Vec<RunId> {
    let mut ids = Vec::new();
    for number in 0..RUNS {
        let request = StartRequest {
            workflow: "ledger".to_owned(),
            input: Json::from_serialize(&Work { number, steps }).unwrap(),
            key: Some(format!("run {number}")),
            ..StartRequest::default()
        };
        ids.push(again(|| client.start_run(&request)).await.id);
    }
    ids
}

/// Asks until there is an answer; an answer that says no fails the test.
async fn again<T, F>(ask: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, ClientError>>,
{
    let end = Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => {
                assert!(error.is_retryable(), "{error}");
                assert!(Instant::now() < end, "no answer: {error}");
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

/// Waits until all runs are completed, with the value of a run that lost nothing. Three workers
/// that die under a run before it gets anywhere are a reason to ask a person (durability.md 15):
/// here the test is that person.
async fn complete(client: &Client, ids: &[RunId], steps: u64) -> u64 {
    let mut resumed = 0;
    for (number, id) in (0..).zip(ids) {
        let end = Instant::now() + PATIENCE;
        let result = loop {
            let result = again(|| client.result(*id, Duration::from_secs(5))).await;
            match &result.blocked {
                Some(blocked) => {
                    assert_eq!(blocked.code, codes::POISON, "{result:?}");
                    client
                        .resume(*id, &polos_protocol::rest::ResumeRequest::default())
                        .await
                        .unwrap();
                    resumed += 1;
                }
                None if result.state.is_ended() => break result,
                None => {}
            }
            assert!(Instant::now() < end, "run {number} does not end: {result:?}");
        };
        assert_eq!(result.state, State::Completed, "{result:?}");
        let output = serde_json::to_string(&result.output).unwrap();
        assert_eq!(output, ledger::expected(Work { number, steps }).to_string());
    }
    resumed
}

/// Every step is recorded once.
async fn journals(client: &Client, ids: &[RunId], steps: u64) {
    for id in ids {
        let mut outcomes: HashMap<String, u64> = HashMap::new();
        let mut after = Some(0);
        while let Some(from) = after {
            let page = client.journal(*id, from, None).await.unwrap();
            after = page.next_after;
            for entry in page.records.iter().filter(|entry| entry.record.kind() == Kind::Step) {
                *outcomes.entry(entry.record.key().to_string()).or_insert(0) += 1;
            }
        }
        assert_eq!(outcomes.len() as u64, 2 * steps, "{outcomes:?}");
        assert!(outcomes.values().all(|times| *times == 1), "{outcomes:?}");
    }
}

/// What really happened outside.
struct World {
    once: HashMap<String, usize>,
    keyed: HashMap<String, usize>,
    keyed_repeats: usize,
    found: usize,
    not_found: usize,
}

impl World {
    fn of(place: &Place) -> Self {
        let count = |file| ledger::count(place.folder(), file);
        let keyed = count(KEYED);
        Self {
            once: count(ONCE),
            keyed_repeats: keyed.values().sum::<usize>() - keyed.len(),
            keyed,
            found: count(FOUND).len(),
            not_found: count(NOT_FOUND).len(),
        }
    }

    fn check(&self, all: u64) {
        assert_eq!(self.once.len() as u64, all, "`once` effects are missing");
        let twice: Vec<_> = self.once.iter().filter(|(_, times)| **times != 1).collect();
        assert!(twice.is_empty(), "`once` effects happened more than once: {twice:?}");
        assert_eq!(self.keyed.len() as u64, all, "each keyed effect has one key of its own");
    }
}

/// The database is sound after all that.
fn whole(place: &Place) {
    let store = Store::open(&place.data(), Options::default()).unwrap();
    assert_eq!(store.check().unwrap(), [""; 0]);
}
