//! The commands of this toolbox: begun at most once, followed by whoever asks.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::family::Family;
use crate::frame;
use crate::message::{
    Code, Ended, Exec, ExecResult, Output, OutputRequest, Refusal, Status, StdinRequest, Stream,
};
use crate::plain;
use crate::record::{self, Intent, Record, State};
use crate::room;
use crate::supervisor::control::{FromSupervisor, Spec, ToSupervisor};

/// Commands in the background, and those that left something running.
const BACKGROUND_MAX: usize = 16;
/// Commands in all.
const COMMANDS_MAX: usize = 64;
/// Output kept of commands that have ended, in all.
const OUTPUTS_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// How long a kill is waited for: the grace, the kill itself, and some.
const KILL_WAIT: Duration = Duration::from_secs(15);
/// How often a command of another toolbox is looked at.
const FOREIGN_EVERY: Duration = Duration::from_millis(100);
/// Output given in one reply.
const OUTPUT_BYTES_DEFAULT: u64 = 64 * 1024;
const OUTPUT_BYTES_MAX: u64 = 1024 * 1024;

/// All commands under one state directory.
#[derive(Debug)]
pub(crate) struct Commands {
    state: PathBuf,
    ledger: Option<PathBuf>,
    /// The arguments with which this program becomes a supervisor.
    supervisor: Vec<OsString>,
    family: Arc<Family>,
    /// Also held while a command begins, so that two requests do not begin it both.
    live: Mutex<HashMap<String, Arc<Live>>>,
    /// Bytes of output kept, so that not all of them are counted for each command.
    kept: AtomicU64,
}

/// A command whose supervisor is our child.
#[derive(Debug)]
pub(crate) struct Live {
    control: Mutex<UnixStream>,
    background: bool,
    progress: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Progress {
    pid: Option<u32>,
    finished: Option<Box<ExecResult>>,
    /// Nothing of it runs any more.
    gone: bool,
    followers: Vec<Sender<News>>,
}

/// What followers of a command hear.
#[derive(Debug, Clone)]
pub(crate) enum News {
    Stream(Stream),
    Finished(Box<ExecResult>),
    /// Its supervisor was killed before it said how the command ended.
    Lost,
}

/// A command that was asked for.
#[derive(Debug)]
pub(crate) enum Begun {
    Live(Arc<Live>),
    /// It runs under a supervisor that an earlier toolbox started.
    Foreign(Record),
    Done(Box<ExecResult>),
}

impl Commands {
    pub(crate) fn new(
        state: PathBuf,
        ledger: Option<PathBuf>,
        supervisor: Vec<OsString>,
        family: Arc<Family>,
    ) -> Self {
        let kept = AtomicU64::new(record::prune_outputs(&state, OUTPUTS_BYTES_MAX));
        Self { state, ledger, supervisor, family, live: Mutex::default(), kept }
    }

    /// Begins a command, or finds the one that was begun under its id.
    pub(crate) fn begin(self: &Arc<Self>, exec: &Exec, cwd: &Path) -> Result<Begun, Refusal> {
        let mut live = self.lock();
        if let Some(found) = self.find_in(&live, &exec.command)? {
            self.require_same(exec)?;
            return Ok(found);
        }
        require_room(&live, exec)?;
        // Before anything is written: without it nobody would hear how the command ends.
        let follower = Follower::start(self, &exec.command)?;
        let record = Record::of(&self.state, &exec.command);
        let begun = self.record(&record, exec).map_err(|error| not_recorded(&error))?;
        let Some(lock) = begun else {
            // Another toolbox was faster by a hair.
            return self.find_in(&live, &exec.command)?.ok_or_else(|| unknown(&exec.command));
        };
        match self.start(exec, cwd, &record, lock) {
            Ok((started, child, socket)) => {
                live.insert(exec.command.clone(), Arc::clone(&started));
                follower.follow(Arc::clone(&started), child, socket);
                Ok(Begun::Live(started))
            }
            Err(error) => Ok(Begun::Done(Box::new(never_started(exec, &record, &error)))),
        }
    }

    /// Finds a command that was begun.
    pub(crate) fn find(&self, command: &str) -> Result<Begun, Refusal> {
        self.find_in(&self.lock(), command)?.ok_or_else(|| not_started(command))
    }

    pub(crate) fn status(&self, command: &str) -> Status {
        match self.find(command) {
            Ok(Begun::Done(result)) => Status::Done { result },
            Ok(Begun::Foreign(_)) => Status::Running,
            Ok(Begun::Live(live)) => match live.lock().finished.clone() {
                Some(result) => Status::Done { result },
                None => Status::Running,
            },
            Err(refusal) if refusal.code == Code::NotStarted => Status::NotStarted,
            Err(_) => Status::Unknown { output_file: self.output_file(command) },
        }
    }

    /// Ends a command and all that it started; false if nothing of it ran.
    pub(crate) fn kill(&self, command: &str) -> Result<bool, Refusal> {
        // Looked up here, for one that has finished may still have left something behind.
        let live = self.lock().get(command).cloned();
        let gone = if let Some(live) = live {
            live.send(&ToSupervisor::Kill);
            live.wait_gone(KILL_WAIT)
        } else {
            let record = Record::of(&self.state, command);
            match record.state() {
                State::NotStarted => return Err(not_started(command)),
                _ if !record.is_locked() => return Ok(false),
                _ => kill_foreign(&record)?,
            }
        };
        if gone {
            return Ok(true);
        }
        let message = format!("`{command}` could not be ended within {} s", KILL_WAIT.as_secs());
        Err(Refusal::new(Code::Exhausted, message))
    }

    /// Ends all that runs.
    pub(crate) fn kill_all(&self) {
        let all: Vec<Arc<Live>> = self.lock().values().cloned().collect();
        for live in &all {
            live.send(&ToSupervisor::Kill);
        }
        let until = Instant::now() + KILL_WAIT;
        for live in &all {
            live.wait_gone(until.saturating_duration_since(Instant::now()));
        }
    }

    /// Ids of the commands that run.
    pub(crate) fn running(&self) -> Vec<String> {
        let mut ids: Vec<String> = self.lock().keys().cloned().collect();
        ids.sort();
        ids
    }

    pub(crate) fn output_file(&self, command: &str) -> String {
        Record::of(&self.state, command).output_path().display().to_string()
    }

    /// A part of what a command has printed.
    pub(crate) fn output(&self, request: &OutputRequest) -> Result<Output, Refusal> {
        let (running, result) = match self.status(&request.command) {
            Status::NotStarted => return Err(not_started(&request.command)),
            Status::Running => (true, None),
            Status::Done { result } => (false, Some(result)),
            Status::Unknown { .. } => (false, None),
        };
        let path = Record::of(&self.state, &request.command).output_path();
        let part = read_part(&path, request).map_err(|error| {
            Refusal::new(Code::System, format!("the output could not be read: {error}"))
        })?;
        Ok(Output { running, result, ..part })
    }

    /// Passes input on to a command.
    pub(crate) fn stdin(&self, request: &StdinRequest) -> Result<(), Refusal> {
        let live = self.lock().get(&request.command).cloned();
        let open = live.filter(|live| live.lock().finished.is_none());
        let Some(live) = open else {
            let message = format!("`{}` does not run here", request.command);
            return Err(Refusal::new(Code::NotRunning, message));
        };
        live.send(&ToSupervisor::Stdin { text: request.text.clone(), close: request.close });
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Live>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find_in(
        &self,
        live: &HashMap<String, Arc<Live>>,
        command: &str,
    ) -> Result<Option<Begun>, Refusal> {
        if let Some(live) = live.get(command) {
            return Ok(Some(Begun::Live(Arc::clone(live))));
        }
        let record = Record::of(&self.state, command);
        match record.state() {
            State::NotStarted => Ok(None),
            State::Running => Ok(Some(Begun::Foreign(record))),
            State::Done(result) => Ok(Some(Begun::Done(result))),
            State::Unknown => Err(unknown(command)),
        }
    }

    /// Writes the intent, and makes room for it where outputs have taken it all.
    fn record(&self, record: &Record, exec: &Exec) -> io::Result<Option<File>> {
        if self.kept.load(Ordering::Relaxed) > OUTPUTS_BYTES_MAX {
            let left = record::prune_outputs(&self.state, OUTPUTS_BYTES_MAX);
            self.kept.store(left, Ordering::Relaxed);
        }
        let intent = Intent::of(exec);
        match record.begin(&intent) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                record::prune_outputs(&self.state, 0);
                record.begin(&intent)
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                record::take_back(&self.state)?;
                record.begin(&intent)
            }
            begun => begun,
        }
    }

    fn require_same(&self, exec: &Exec) -> Result<(), Refusal> {
        let record = Record::of(&self.state, &exec.command);
        let same = Intent::of(exec).argv_sha256;
        if record.intent().is_none_or(|intent| intent.argv_sha256 == same) {
            return Ok(());
        }
        let message = format!("`{}` was started before, as another command", exec.command);
        Err(Refusal::new(Code::CommandConflict, message)
            .hint("a command id is the key of one step; use another id for another command"))
    }

    fn start(
        &self,
        exec: &Exec,
        cwd: &Path,
        record: &Record,
        lock: File,
    ) -> io::Result<(Arc<Live>, Child, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        let spec = Spec {
            command: exec.command.clone(),
            program: exec.program.clone(),
            cwd: cwd.to_owned(),
            env: exec.env.clone(),
            stdin: exec.stdin.clone(),
            timeout_ms: exec.timeout_ms,
            limits: exec.limits,
            folder: record.folder().to_owned(),
            ledger: self.ledger.clone(),
            argv_sha256: Intent::of(exec).argv_sha256,
        };
        let spec = frame::encode(&ToSupervisor::Spec(Box::new(spec))).map_err(io::Error::other)?;
        let mut command = Command::new("/proc/self/exe");
        // The lock is handed over as standard output, and with it the right to run.
        command
            .args(&self.supervisor)
            .env_clear()
            .current_dir("/")
            .stdin(OwnedFd::from(theirs))
            .stdout(lock)
            .stderr(Stdio::null());
        let child = self.family.spawn(&mut command)?;
        // Our copies of what the child got are closed with this, or its end would not be seen.
        drop(command);
        io::Write::write_all(&mut &ours, &spec)?;
        let socket = ours.try_clone()?;
        let live = Live {
            control: Mutex::new(ours),
            background: exec.background,
            progress: Mutex::default(),
            changed: Condvar::new(),
        };
        Ok((Arc::new(live), child, socket))
    }

    /// Hears a supervisor out, until nothing of its command is left.
    fn follow(&self, command: &str, live: &Live, child: Child, mut socket: UnixStream) {
        while let Ok(Some(message)) = frame::read::<FromSupervisor>(&mut socket) {
            live.note(message);
        }
        self.family.wait(child);
        let record = Record::of(&self.state, command);
        let bytes = std::fs::metadata(record.output_path()).map_or(0, |output| output.len());
        self.kept.fetch_add(bytes, Ordering::Relaxed);
        let result = record.result();
        self.lock().remove(command);
        live.end(result);
    }
}

/// A thread that waits for a command to follow.
struct Follower(Sender<(Arc<Live>, Child, UnixStream)>);

impl Follower {
    fn start(commands: &Arc<Commands>, command: &str) -> Result<Self, Refusal> {
        let start = || {
            let (sender, receiver) = mpsc::channel::<(Arc<Live>, Child, UnixStream)>();
            let (commands, command) = (Arc::clone(commands), command.to_owned());
            thread::Builder::new().spawn(move || {
                if let Ok((live, child, socket)) = receiver.recv() {
                    commands.follow(&command, &live, child, socket);
                }
            })?;
            Ok(Self(sender))
        };
        room::wait(start).map_err(|error| {
            Refusal::new(Code::Busy, format!("the box has no room for another command: {error}"))
                .hint("kill what is no longer needed")
        })
    }

    fn follow(self, live: Arc<Live>, child: Child, socket: UnixStream) {
        // The thread waits for nothing else.
        let _ = self.0.send((live, child, socket));
    }
}

impl Live {
    /// What comes of it from now on; what it is already known to have come to comes first.
    pub(crate) fn listen(&self) -> Receiver<News> {
        let (sender, receiver) = mpsc::channel();
        let mut progress = self.lock();
        let known = match (&progress.finished, progress.gone, progress.pid) {
            (Some(result), ..) => Some(News::Finished(result.clone())),
            (None, true, _) => Some(News::Lost),
            (None, false, Some(pid)) => Some(News::Stream(Stream::Running { pid })),
            (None, false, None) => None,
        };
        if let Some(known) = known {
            // The receiver is in our hands.
            let _ = sender.send(known);
        }
        progress.followers.push(sender);
        receiver
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A supervisor that is gone needs to be told nothing.
    fn send(&self, message: &ToSupervisor) {
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = frame::write(&mut *control, message);
    }

    fn note(&self, message: FromSupervisor) {
        let mut progress = self.lock();
        let news = match message {
            FromSupervisor::Running { pid } => {
                progress.pid = Some(pid);
                News::Stream(Stream::Running { pid })
            }
            FromSupervisor::Output { stream, text, skipped_bytes } => {
                News::Stream(Stream::Output { stream, text, skipped_bytes })
            }
            FromSupervisor::Finished { result } => {
                progress.finished = Some(result.clone());
                News::Finished(result)
            }
        };
        progress.tell(&news);
    }

    fn end(&self, result: Option<Box<ExecResult>>) {
        let mut progress = self.lock();
        progress.gone = true;
        if progress.finished.is_none() {
            progress.finished.clone_from(&result);
            let news = result.map_or(News::Lost, News::Finished);
            progress.tell(&news);
        }
        self.changed.notify_all();
    }

    fn wait_gone(&self, limit: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), limit, |progress| !progress.gone);
        waited.unwrap_or_else(PoisonError::into_inner).0.gone
    }
}

impl Progress {
    /// Followers that have gone away are forgotten.
    fn tell(&mut self, news: &News) {
        self.followers.retain(|follower| follower.send(news.clone()).is_ok());
    }
}

/// Waits for a command of an earlier toolbox, for as long as `wanted` says.
pub(crate) fn await_foreign(record: &Record, wanted: impl Fn() -> bool) -> Option<News> {
    while wanted() {
        match record.state() {
            State::Running => thread::sleep(FOREIGN_EVERY),
            State::Done(result) => return Some(News::Finished(result)),
            State::NotStarted | State::Unknown => return Some(News::Lost),
        }
    }
    None
}

fn not_started(command: &str) -> Refusal {
    Refusal::new(Code::NotStarted, format!("no command was started as `{command}`"))
}

pub(crate) fn unknown(command: &str) -> Refusal {
    let message = format!("`{command}` was begun, and nobody can say how it ended");
    Refusal::new(Code::OutcomeUnknown, message)
        .hint("look at what it was to change, then decide whether to run it again under a new id")
}

fn kill_foreign(record: &Record) -> Result<bool, Refusal> {
    record.ask_to_kill().map_err(|error| not_recorded(&error))?;
    let until = Instant::now() + KILL_WAIT;
    while Instant::now() < until {
        if !record.is_locked() {
            return Ok(true);
        }
        thread::sleep(FOREIGN_EVERY);
    }
    Ok(false)
}

fn require_room(live: &HashMap<String, Arc<Live>>, exec: &Exec) -> Result<(), Refusal> {
    let background =
        live.values().filter(|live| live.background || live.lock().finished.is_some()).count();
    if live.len() >= COMMANDS_MAX || (exec.background && background >= BACKGROUND_MAX) {
        let message =
            format!("{} commands run already, {background} of them in the background", live.len());
        return Err(Refusal::new(Code::Busy, message).hint("kill one that is no longer needed"));
    }
    Ok(())
}

fn not_recorded(error: &io::Error) -> Refusal {
    Refusal::new(Code::System, format!("the command could not be recorded: {error}"))
        .hint("nothing was started; the state directory must be writable and have room")
}

/// Its intent is written, but nothing of it was started, and that is known.
fn never_started(exec: &Exec, record: &Record, error: &io::Error) -> ExecResult {
    let result = ExecResult {
        command: exec.command.clone(),
        exit_code: None,
        signal: None,
        timed_out: false,
        stdout: String::new(),
        stderr: String::new(),
        duration_ms: 0,
        truncated: None,
        output_file: record.output_path().display().to_string(),
        ended: Ended::NotSpawned,
        why: format!("could not be started: the toolbox cannot execute itself: {error}"),
        left_running: 0,
    };
    record.write_result(&result);
    result
}

fn read_part(path: &Path, request: &OutputRequest) -> io::Result<Output> {
    let max = request.bytes_max.unwrap_or(OUTPUT_BYTES_DEFAULT).clamp(16, OUTPUT_BYTES_MAX);
    let mut bytes = Vec::new();
    let mut total_bytes = 0;
    match File::open(path) {
        Ok(mut file) => {
            total_bytes = file.metadata()?.len();
            file.seek(SeekFrom::Start(request.offset))?;
            file.take(max).read_to_end(&mut bytes)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // A character that the cut goes through is left for the next part, if there is one.
    if let Err(error) = std::str::from_utf8(&bytes)
        && error.error_len().is_none()
        && error.valid_up_to() > 0
        && request.offset + (bytes.len() as u64) < total_bytes
    {
        bytes.truncate(error.valid_up_to());
    }
    let next_offset = request.offset + bytes.len() as u64;
    let text = plain::text_of(&bytes);
    Ok(Output { text, next_offset, total_bytes, running: false, result: None })
}
