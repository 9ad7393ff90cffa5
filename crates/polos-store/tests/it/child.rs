//! Another process: this test binary again, made to run one function that is no test by itself.

use polos_protocol::State;
use polos_store::Store as _;
use polos_store::row::TimerKind;
use polos_store::sqlite::{Options, Store};
use polos_store::{Change, Command};
use polos_testkit::store::sample::{
    NOW, command, insert_run, record, run, run_row, signal_row, status, timer,
};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};

/// Where the child works.
const DIRECTORY: &str = "POLOS_TEST_DIRECTORY";

/// The command that runs a function of this binary in a child.
pub(crate) fn arguments(function: &str) -> [String; 4] {
    [format!("child::{function}"), "--exact".into(), "--ignored".into(), "--nocapture".into()]
}

/// A running child and what it says.
pub(crate) struct Running {
    pub(crate) process: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

/// Starts a program that runs a function of this binary.
pub(crate) fn start(mut program: std::process::Command, directory: &Path) -> Running {
    let mut process = program
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    Running { process, lines }
}

/// Starts this binary.
pub(crate) fn start_self(function: &str, directory: &Path) -> Running {
    let mut program = std::process::Command::new(std::env::current_exe().unwrap());
    program.args(arguments(function));
    start(program, directory)
}

impl Running {
    /// The next line that begins with `word`, without it; none when the child has ended.
    pub(crate) fn next(&mut self, word: &str) -> Option<String> {
        loop {
            let line = self.lines.next()?.unwrap();
            if let Some(rest) = line.strip_prefix(word) {
                return Some(rest.trim().to_owned());
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already, or it is not to outlive the test.
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Without a parent that reads there is nothing to go on for.
    writeln!(out, "{line}").and_then(|()| out.flush()).unwrap();
}

fn directory() -> std::path::PathBuf {
    std::env::var_os(DIRECTORY).unwrap().into()
}

/// The batch with this number: some tables, some pages.
pub(crate) fn batch(number: u64) -> Vec<Command> {
    let id = run(number);
    let fat = |seq| {
        let mut record = record(seq);
        let text = "x".repeat(700);
        record.record.value = Some(polos_testkit::store::sample::value(&format!("\"{text}\"")));
        record
    };
    vec![
        command(vec![], vec![insert_run(run_row(number), status(State::Running))]),
        command(
            vec![],
            vec![
                Change::AppendRecords(id, (1..=20).map(fat).collect()),
                Change::PutTimer(timer(NOW + number, id, TimerKind::Open, "t")),
                Change::InsertSignal(signal_row(id, 1)),
            ],
        ),
    ]
}

/// Writes batch after batch, saying `acked N` after each, from the first that is not there.
#[test]
#[ignore = "run by other tests in a process of its own"]
fn writes() {
    // A short write-ahead log, so that checkpoints are among the moments to die in.
    let options = Options { checkpoint_pages: 64, ..Options::default() };
    let store = Store::open(&directory(), options).unwrap();
    let mut number = store.running_runs_len() + 1;
    say("open");
    loop {
        let batch = polos_store::Batch { owner: store.incarnation(), commands: batch(number) };
        match store.commit(batch) {
            Ok(_) => say(&format!("acked {number}")),
            Err(error) => {
                say(&format!("failed {error:?}"));
                break;
            }
        }
        number += 1;
    }
    // Still alive: reads go on. A file named `ballast` is the disk that somebody frees.
    say(&format!("holds {}", store.running_runs_len()));
    let ballast = directory().join("ballast");
    if ballast.exists() {
        std::fs::remove_file(ballast).unwrap();
        let batch = polos_store::Batch { owner: store.incarnation(), commands: batch(number) };
        match store.commit(batch) {
            Ok(_) => say(&format!("recovered {number}")),
            Err(error) => say(&format!("lost {error:?}")),
        }
    }
}

trait Count {
    fn running_runs_len(&self) -> u64;
}

impl Count for Store {
    fn running_runs_len(&self) -> u64 {
        polos_store::Read::running_runs(self).unwrap().len() as u64
    }
}

/// Opens the store, says how that went, and holds it until its standard input ends.
#[test]
#[ignore = "run by other tests in a process of its own"]
fn holds() {
    let options = Options { address: Some("http://127.0.0.1:7777".into()), ..Options::default() };
    match Store::open(&directory(), options) {
        Ok(_store) => {
            say("open");
            std::io::stdin().lines().for_each(drop);
        }
        Err(error) => say(&format!("refused {error}")),
    }
}
