//! The process that runs one command: started by the toolbox, one for each, with one thread.
//!
//! It is the parent of the command and, as a subreaper, of whatever that leaves behind; so "all
//! that this command started" is exactly "all beneath this process", and can be killed to the
//! last. It writes output and outcome to the command's record itself, and goes on without the
//! toolbox if that dies.

pub(crate) mod control;
pub(crate) mod tree;

mod capture;
mod expand;
mod launch;
mod pipes;
mod verdict;

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, WaitStatus};

use crate::frame;
use crate::inherit;
use crate::message::{Ended, ExecResult, StreamKind};
use crate::record::Record;

use capture::Capture;
use control::{Control, FromSupervisor, Spec, ToSupervisor};
use launch::{Launcher, Process};
use pipes::Pipes;
use verdict::{Exit, Facts};

/// Between the request to end and the kill.
const KILL_GRACE: Duration = Duration::from_millis(500);
/// For output that processes left behind may still write, after the command has ended.
const DRAIN_MAX: Duration = Duration::from_secs(2);
/// Silence after which nothing more is expected of them.
const DRAIN_QUIET: Duration = Duration::from_millis(250);
/// After which processes that cannot be killed are given up.
const KILL_MAX: Duration = Duration::from_secs(10);
/// How long a command outlives the toolbox, if it has no nearer limit.
const ORPHAN_MAX: Duration = Duration::from_mins(10);
/// Pauses of the loop: while killing; without a signal from the kernel; otherwise.
const PAUSE_KILLING: Duration = Duration::from_millis(1);
const PAUSE_BLIND: Duration = Duration::from_millis(20);
const PAUSE_ORPHAN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Runs in each new process of a command before it is executed, so it may only make system calls.
/// An environment takes away here what supervisors need and commands do not.
pub type BeforeCommand = fn() -> io::Result<()>;

/// Runs the command whose specification comes over standard input, until nothing of it is left.
pub(crate) fn run(before: Option<BeforeCommand>) -> io::Result<()> {
    inherit::close_on_exec();
    tree::adopt_orphans()?;
    // A session of its own keeps a terminal's signals away.
    let _ = rustix::process::setsid();
    let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let first = frame::read::<ToSupervisor>(&mut socket).map_err(io::Error::other)?;
    let Some(ToSupervisor::Spec(spec)) = first else {
        return Err(io::Error::other("no specification"));
    };
    Supervisor::new(*spec, Control::new(socket)?, before)?.run();
    Ok(())
}

struct Supervisor {
    spec: Spec,
    record: Record,
    control: Control,
    launcher: Launcher,
    capture: Capture,
    processes: Vec<Process>,
    pipes: Pipes,
    started: Instant,
    deadline: Option<Instant>,
    /// Why and when it is being ended by force.
    stop: Option<Stop>,
    /// When the last pipeline ended.
    done: Option<Instant>,
    last_output: Instant,
    phase: Phase,
    orphaned: bool,
    no_children: bool,
    out_of_memory_before: Option<u64>,
}

/// An end by force.
#[derive(Debug, Clone, Copy)]
struct Stop {
    ended: Ended,
    kill_at: Instant,
}

/// How far a command has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing was started yet.
    New,
    Started,
    /// Its outcome is told; what it left behind may still run.
    Reported,
}

/// What became ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Control,
    Output(StreamKind),
    Input,
    /// A process of the command has ended.
    Process,
}

impl Supervisor {
    fn new(spec: Spec, control: Control, before: Option<BeforeCommand>) -> io::Result<Self> {
        let (pipes, ends) = Pipes::new(&spec.stdin)?;
        let now = Instant::now();
        let record = Record::at(spec.folder.clone());
        Ok(Self {
            launcher: Launcher::new(&spec, ends, before),
            capture: Capture::new(&record.output_path(), spec.limits),
            record,
            processes: Vec::new(),
            pipes,
            started: now,
            deadline: spec.timeout_ms.map(|limit| now + Duration::from_millis(limit)),
            stop: None,
            done: None,
            last_output: now,
            phase: Phase::New,
            orphaned: false,
            no_children: true,
            out_of_memory_before: verdict::out_of_memory_kills(),
            spec,
            control,
        })
    }

    fn run(mut self) {
        loop {
            self.reap();
            let now = Instant::now();
            self.advance(now);
            self.enforce(now);
            if self.may_report(now) {
                self.report();
            }
            if self.phase == Phase::Reported && (self.no_children || self.is_hopeless(now)) {
                break;
            }
            for source in self.wait(now) {
                self.serve(source);
            }
            if self.capture.news_at().is_some_and(|at| Instant::now() >= at) {
                self.send_news();
            }
        }
        self.flush();
    }

    fn reap(&mut self) {
        loop {
            match tree::reap() {
                tree::Reaped::Ended(pid, status) => self.note_end(pid, status),
                tree::Reaped::NoneEnded => return self.no_children = false,
                tree::Reaped::NoChildren => return self.no_children = true,
            }
        }
    }

    fn note_end(&mut self, ended: Pid, status: WaitStatus) {
        let exit = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => return,
        };
        for process in &mut self.processes {
            if matches!(process, Process::Running { pid, .. } if *pid == ended) {
                *process = Process::Ended(exit);
            }
        }
    }

    /// Starts the next pipeline when the one before has ended.
    fn advance(&mut self, now: Instant) {
        while self.stop.is_none() && self.done.is_none() {
            match self.processes.last() {
                _ if self.processes.iter().any(|one| matches!(one, Process::Running { .. })) => {
                    return;
                }
                Some(Process::Ended(exit)) => self.launcher.last = *exit,
                _ => {}
            }
            match self.launcher.next() {
                Some(processes) => self.processes = processes,
                None => self.done = Some(now),
            }
            self.no_children = false;
            for complaint in std::mem::take(&mut self.launcher.complaints) {
                self.capture.take(StreamKind::Stderr, complaint.as_bytes(), now);
            }
            self.announce();
        }
    }

    /// Says once that something was really started.
    fn announce(&mut self) {
        let Some(pid) = self.launcher.first.filter(|_| self.phase == Phase::New) else { return };
        self.phase = Phase::Started;
        if let Some(ledger) = &self.spec.ledger {
            let line = serde_json::json!({
                "id": self.spec.command,
                "argv_sha256": self.spec.argv_sha256,
            });
            let opened = OpenOptions::new().create(true).append(true).open(ledger);
            // A count for demonstrations must not fail the command.
            let _ = opened.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
        }
        self.control
            .send(&FromSupervisor::Running { pid: pid.as_raw_nonzero().get().cast_unsigned() });
    }

    fn enforce(&mut self, now: Instant) {
        if !self.orphaned && !self.control.is_open() {
            self.orphan(now);
        }
        if self.orphaned && self.record.is_kill_asked() {
            self.end(Ended::Killed, KILL_GRACE);
        }
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            self.deadline = None;
            self.end(Ended::TimedOut, KILL_GRACE);
        }
        if self.stop.is_some_and(|stop| now >= stop.kill_at) && !self.no_children {
            tree::kill();
        }
    }

    /// The toolbox is gone: a command may end in its own time, what it left behind may not stay.
    fn orphan(&mut self, now: Instant) {
        self.orphaned = true;
        if self.phase == Phase::Reported {
            self.end(Ended::Killed, KILL_GRACE);
        }
        let limit = now + ORPHAN_MAX;
        self.deadline = Some(self.deadline.map_or(limit, |deadline| deadline.min(limit)));
        self.pipes.close_input();
    }

    /// Begins to end everything by force; the first cause counts.
    fn end(&mut self, ended: Ended, grace: Duration) {
        if self.stop.is_some() {
            return;
        }
        self.stop = Some(Stop { ended, kill_at: Instant::now() + grace });
        self.launcher.abandon();
        self.pipes.close_input();
        if !grace.is_zero() {
            tree::terminate();
        }
    }

    fn may_report(&self, now: Instant) -> bool {
        if self.phase == Phase::Reported {
            return false;
        }
        if self.stop.is_some() {
            return self.no_children || self.is_hopeless(now);
        }
        let Some(done) = self.done else { return false };
        let silent = now >= done + DRAIN_QUIET && now >= self.last_output + DRAIN_QUIET;
        self.pipes.are_ended() || silent || now >= done + DRAIN_MAX
    }

    /// Whether processes withstand even a kill, as one does that waits for a dead disk.
    fn is_hopeless(&self, now: Instant) -> bool {
        self.stop.is_some_and(|stop| now >= stop.kill_at + KILL_MAX)
    }

    fn report(&mut self) {
        self.read_output(StreamKind::Stdout);
        self.read_output(StreamKind::Stderr);
        self.phase = Phase::Reported;
        self.deadline = None;
        self.pipes.close_input();
        let result = self.result();
        self.send_news();
        self.record.write_result(&result);
        self.control.send(&FromSupervisor::Finished { result: Box::new(result) });
    }

    fn result(&mut self) -> ExecResult {
        let exit = match self.processes.last() {
            Some(Process::Ended(exit)) => *exit,
            _ => self.launcher.last,
        };
        let ended = self.ended(exit);
        let facts = Facts {
            ended,
            exit,
            timeout_ms: self.spec.timeout_ms,
            limits: self.spec.limits,
            spawn_error: self.launcher.spawn_error.as_deref(),
        };
        let mut why = verdict::why(&facts);
        if let Some(error) = self.capture.file_error() {
            why = format!("{why}; the output file is not whole: {error}");
        }
        let texts = self.capture.texts();
        let left_running = if self.no_children { 0 } else { tree::descendants().len() };
        ExecResult {
            command: self.spec.command.clone(),
            exit_code: if self.stop.is_none() { exit.code() } else { None },
            signal: exit.signal(),
            timed_out: ended == Ended::TimedOut,
            stdout: texts.stdout,
            stderr: texts.stderr,
            duration_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            truncated: texts.truncated,
            output_file: self.record.output_path().display().to_string(),
            ended,
            why,
            left_running: u32::try_from(left_running).unwrap_or(u32::MAX),
        }
    }

    fn ended(&self, exit: Exit) -> Ended {
        if let Some(stop) = self.stop {
            return stop.ended;
        }
        if self.launcher.first.is_none() && self.launcher.spawn_error.is_some() {
            return Ended::NotSpawned;
        }
        // Shells say 137 of a child that was killed.
        let killed = matches!(exit, Exit::Signal(libc::SIGKILL) | Exit::Code(137));
        let more = verdict::out_of_memory_kills() > self.out_of_memory_before;
        match exit {
            _ if killed && more => Ended::OutOfMemory,
            Exit::Signal(_) => Ended::Signaled,
            Exit::Code(_) => Ended::Exited,
        }
    }

    fn pause(&self, now: Instant) -> Duration {
        let blind =
            self.processes.iter().any(|one| matches!(one, Process::Running { pidfd: None, .. }));
        let killing = self.stop.is_some_and(|stop| now >= stop.kill_at);
        let drain = self
            .done
            .filter(|_| self.phase != Phase::Reported)
            .map(|done| (done.max(self.last_output) + DRAIN_QUIET).min(done + DRAIN_MAX));
        let longest = match () {
            () if killing => PAUSE_KILLING,
            // What was terminated may be a grandchild, of whose end nothing tells.
            () if blind || self.stop.is_some() => PAUSE_BLIND,
            () if self.orphaned => PAUSE_ORPHAN,
            () => PAUSE_MAX,
        };
        let times =
            [self.deadline, self.capture.news_at(), drain, self.stop.map(|stop| stop.kill_at)];
        let next =
            times.into_iter().flatten().map(|time| time.saturating_duration_since(now)).min();
        next.map_or(longest, |next| next.min(longest))
    }

    fn wait(&self, now: Instant) -> Vec<Source> {
        let control = self.control.is_open().then(|| (self.control.fd(), self.control_flags()));
        let output = |stream| (Source::Output(stream), self.pipes.output(stream));
        let watched = [
            (Source::Control, control),
            output(StreamKind::Stdout),
            output(StreamKind::Stderr),
            (Source::Input, self.pipes.input()),
        ];
        let mut sources = Vec::new();
        let mut fds = Vec::new();
        for (source, watched) in watched {
            if let Some((fd, flags)) = watched {
                sources.push(source);
                fds.push(PollFd::from_borrowed_fd(fd, flags));
            }
        }
        for process in &self.processes {
            if let Process::Running { pidfd: Some(pidfd), .. } = process {
                sources.push(Source::Process);
                fds.push(PollFd::new(pidfd, PollFlags::IN));
            }
        }
        let timeout = Timespec::try_from(self.pause(now)).ok();
        // Interrupted or not, the loop looks at everything again.
        let _ = rustix::event::poll(&mut fds, timeout.as_ref());
        let ready = sources.into_iter().zip(fds).filter(|(_, fd)| !fd.revents().is_empty());
        ready.map(|(source, _)| source).collect()
    }

    fn control_flags(&self) -> PollFlags {
        if self.control.wants_to_write() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN }
    }

    fn serve(&mut self, source: Source) {
        match source {
            Source::Control => {
                self.control.write();
                for message in self.control.read() {
                    self.obey(message);
                }
            }
            Source::Output(stream) => self.read_output(stream),
            Source::Input => self.pipes.write_input(),
            Source::Process => {}
        }
    }

    fn obey(&mut self, message: ToSupervisor) {
        match message {
            ToSupervisor::Kill => self.end(Ended::Killed, KILL_GRACE),
            ToSupervisor::Stdin { text, close } => {
                if !self.pipes.add_input(text, close) {
                    let complaint = b"polos: too much input waits to be read; it ends here\n";
                    self.capture.take(StreamKind::Stderr, complaint, Instant::now());
                }
            }
            ToSupervisor::Spec(_) => {}
        }
    }

    fn send_news(&mut self) {
        for news in self.capture.news() {
            self.control.send(&news);
        }
    }

    fn read_output(&mut self, stream: StreamKind) {
        let arrived = self.pipes.read(stream, &mut self.capture);
        if arrived.any {
            self.last_output = Instant::now();
        }
        if arrived.over_limit {
            self.end(Ended::OutputLimit, Duration::ZERO);
        }
    }

    /// Hands over the last words, within reason.
    fn flush(&mut self) {
        let until = Instant::now() + DRAIN_MAX;
        while self.control.wants_to_write() && Instant::now() < until {
            let fd = self.control.fd();
            let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
            let timeout = Timespec::try_from(PAUSE_BLIND).ok();
            let _ = rustix::event::poll(&mut fds, timeout.as_ref());
            self.control.write();
        }
    }
}
