//! The processes beneath this one: found through `/proc`, signalled, reaped.
//!
//! This process is a subreaper: what a command leaves behind becomes its child, however it was
//! forked and whatever session it made itself. So no child means no descendant.

use std::fs;

use rustix::process::{self, Pid, Signal, WaitOptions, WaitStatus};

/// Descendants looked at in one pass; more are seen in the next.
const PASS_MAX: usize = 10_000;

/// Makes orphans beneath this process its children.
pub(crate) fn adopt_orphans() -> rustix::io::Result<()> {
    process::set_child_subreaper(Some(process::getpid()))
}

/// The children of this process.
pub(crate) fn children() -> Vec<Pid> {
    children_of("self")
}

/// All descendants that can be seen now.
pub(crate) fn descendants() -> Vec<Pid> {
    let mut found = children();
    let mut next = 0;
    while next < found.len() && found.len() < PASS_MAX {
        let more = children_of(&found[next].as_raw_nonzero().to_string());
        found.extend(more);
        next += 1;
    }
    found
}

fn children_of(process: &str) -> Vec<Pid> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
    tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok())
        .flat_map(|line| {
            let pids = line.split_ascii_whitespace().filter_map(|pid| pid.parse().ok());
            pids.filter_map(Pid::from_raw).collect::<Vec<_>>()
        })
        .collect()
}

/// Asks every descendant to end. One that is gone by now needs no signal.
pub(crate) fn terminate() {
    for pid in descendants() {
        let _ = process::kill_process(pid, Signal::TERM);
        // A stopped process takes the signal only when it goes on.
        let _ = process::kill_process(pid, Signal::CONT);
    }
}

/// One pass of killing: all are stopped before any is killed, so that none forks away.
pub(crate) fn kill() {
    let all = descendants();
    for signal in [Signal::STOP, Signal::KILL] {
        for pid in &all {
            let _ = process::kill_process(*pid, signal);
        }
    }
}

/// What there was to reap.
#[derive(Debug)]
pub(crate) enum Reaped {
    Ended(Pid, WaitStatus),
    /// There are children, and none has ended.
    NoneEnded,
    NoChildren,
}

/// Reaps one child, if one has ended.
pub(crate) fn reap() -> Reaped {
    loop {
        return match process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => Reaped::Ended(pid, status),
            Ok(None) => Reaped::NoneEnded,
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => Reaped::NoChildren,
        };
    }
}
