//! Why a command ended, in a sentence that helps.

use std::fs;

use crate::message::{Ended, OutputLimits};

/// How the last process of a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    Code(i32),
    Signal(i32),
}

impl Exit {
    pub(super) fn is_success(self) -> bool {
        self == Self::Code(0)
    }

    pub(super) fn code(self) -> Option<i32> {
        match self {
            Self::Code(code) => Some(code),
            Self::Signal(_) => None,
        }
    }

    pub(super) fn signal(self) -> Option<String> {
        match self {
            Self::Code(_) => None,
            Self::Signal(number) => Some(signal_name(number)),
        }
    }
}

/// What is known about an end.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) ended: Ended,
    pub(super) exit: Exit,
    pub(super) timeout_ms: Option<u64>,
    pub(super) limits: OutputLimits,
    /// Why the first program could not be started.
    pub(super) spawn_error: Option<&'a str>,
}

pub(super) fn why(facts: &Facts<'_>) -> String {
    match (facts.ended, facts.exit) {
        (Ended::TimedOut, _) => {
            let limit = facts.timeout_ms.unwrap_or_default();
            format!("stopped after {}: the time limit was reached", seconds(limit))
        }
        (Ended::Killed, _) => "ended on request before it was done".to_owned(),
        (Ended::OutputLimit, _) => {
            format!("stopped: it wrote more than {} bytes", facts.limits.file_bytes)
        }
        (Ended::OutOfMemory, _) => {
            "killed by the kernel: the sandbox was out of memory (SIGKILL)".to_owned()
        }
        (Ended::NotSpawned, _) => {
            format!("could not be started: {}", facts.spawn_error.unwrap_or("no program"))
        }
        (_, Exit::Code(code)) => format!("exited with code {code}"),
        (_, Exit::Signal(libc::SIGSYS)) => {
            "ended by SIGSYS: it made a system call that the sandbox forbids".to_owned()
        }
        (_, Exit::Signal(libc::SIGKILL)) => {
            "ended by SIGKILL, which the toolbox did not send: another process or a memory limit"
                .to_owned()
        }
        (_, Exit::Signal(libc::SIGXFSZ)) => {
            "ended by SIGXFSZ: it wrote a larger file than the sandbox allows".to_owned()
        }
        (_, Exit::Signal(number)) => format!("ended by signal {}", signal_name(number)),
    }
}

fn seconds(milliseconds: u64) -> String {
    if milliseconds.is_multiple_of(1000) {
        format!("{} s", milliseconds / 1000)
    } else {
        format!("{milliseconds} ms")
    }
}

fn signal_name(number: i32) -> String {
    let name = match number {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        libc::SIGSYS => "SIGSYS",
        number => return format!("signal {number}"),
    };
    name.to_owned()
}

/// How often the kernel has killed for want of memory in this box's control group, where known.
pub(super) fn out_of_memory_kills() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let candidates = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        match controllers {
            "" => Some(format!("/sys/fs/cgroup{path}/memory.events")),
            "memory" => Some(format!("/sys/fs/cgroup/memory{path}/memory.oom_control")),
            _ => None,
        }
    });
    // In a namespace of its own the group is the root of what is mounted.
    let mounted = ["/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"];
    candidates.chain(mounted.map(str::to_owned)).find_map(|path| oom_kill_in(&path))
}

fn oom_kill_in(path: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}
