//! The record of a command, in files: the intent before its start, then its output and outcome.
//!
//! `intent.json` is made exclusively and is durable before anything is started: that is what makes
//! a command start at most once. `lock` is held, as a file lock, for as long as the command's
//! supervisor lives. `result.json` appears when the command has ended; a power cut may take it, and
//! then the outcome is unknown, which is true. None of them holds the environment, in which there
//! may be secrets.
//!
//! What cannot be read is never taken for absent: a command runs as the user who owns these files,
//! and may have taken the right to read them away.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::durable;
use crate::files::sha256_hex;
use crate::message::{Exec, ExecResult};

/// The folder of one command.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    folder: PathBuf,
}

/// Persisted as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Intent {
    /// The version of this form.
    version: u32,
    pub(crate) command: String,
    pub(crate) argv_sha256: String,
}

/// What the files say.
#[derive(Debug)]
pub(crate) enum State {
    NotStarted,
    Running,
    Done(Box<ExecResult>),
    Unknown,
}

impl Record {
    pub(crate) fn of(state: &Path, command: &str) -> Self {
        let name = &sha256_hex(command.as_bytes())[..32];
        Self { folder: commands_folder(state).join(name) }
    }

    /// The record in a folder that is known already.
    pub(crate) fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn output_path(&self) -> PathBuf {
        self.folder.join("output")
    }

    /// Takes the lock and writes the intent; `None` if there is one already.
    pub(crate) fn begin(&self, intent: &Intent) -> io::Result<Option<File>> {
        fs::create_dir_all(&self.folder)?;
        let lock = File::create(self.folder.join("lock"))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
        let bytes = serde_json::to_vec(intent).map_err(io::Error::other)?;
        match durable::create(&self.folder.join("intent.json"), &bytes) {
            Ok(()) => Ok(Some(lock)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn intent(&self) -> Option<Intent> {
        serde_json::from_slice(&fs::read(self.folder.join("intent.json")).ok()?).ok()
    }

    pub(crate) fn state(&self) -> State {
        if self.has_intent().is_err() {
            // Where that helps, the look sees what this one was kept from.
            let _ = self.take_back();
        }
        self.look()
    }

    fn look(&self) -> State {
        if let Some(result) = self.result() {
            return State::Done(result);
        }
        match self.has_intent() {
            Ok(true) => {}
            Ok(false) => return State::NotStarted,
            Err(_) => return State::Unknown,
        }
        if self.is_locked() {
            return State::Running;
        }
        // It may have ended between the two looks.
        self.result().map_or(State::Unknown, State::Done)
    }

    fn has_intent(&self) -> io::Result<bool> {
        use io::ErrorKind::{NotADirectory, NotFound};
        match fs::symlink_metadata(self.folder.join("intent.json")) {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), NotFound | NotADirectory) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes the rights back that a command may have taken away.
    fn take_back(&self) -> io::Result<()> {
        let state = self.folder.parent().and_then(Path::parent).unwrap_or(&self.folder);
        take_back(state)?;
        give_rights(&self.folder)
    }

    pub(crate) fn result(&self) -> Option<Box<ExecResult>> {
        serde_json::from_slice(&fs::read(self.folder.join("result.json")).ok()?).ok()
    }

    /// Writes the outcome; it is worth more than the output, which makes room for it if need be.
    /// Without the file it is still told now; later it is unknown.
    pub(crate) fn write_result(&self, result: &ExecResult) {
        let Ok(bytes) = serde_json::to_vec(result) else { return };
        let path = self.folder.join("result.json");
        let written = put(&path, &bytes);
        if written.is_err_and(|error| error.kind() == io::ErrorKind::StorageFull) {
            self.forget_output();
            let _ = put(&path, &bytes);
        }
    }

    /// Gives the room of the output back. What is kept of it in the outcome stays.
    fn forget_output(&self) {
        // One that is gone takes no room.
        let _ = File::options().write(true).truncate(true).open(self.output_path());
    }

    /// Whether the command's supervisor lives.
    pub(crate) fn is_locked(&self) -> bool {
        let Ok(lock) = File::open(self.folder.join("lock")) else { return false };
        let taken = rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared);
        taken == Err(rustix::io::Errno::WOULDBLOCK)
    }

    /// Asks a supervisor that another toolbox started to end its command.
    pub(crate) fn ask_to_kill(&self) -> io::Result<()> {
        File::create(self.folder.join("kill")).map(drop)
    }

    /// Whether a later toolbox has asked for the command's end.
    pub(crate) fn is_kill_asked(&self) -> bool {
        self.folder.join("kill").exists()
    }
}

impl Intent {
    pub(crate) fn of(exec: &Exec) -> Self {
        Self { version: 1, command: exec.command.clone(), argv_sha256: argv_sha256(exec) }
    }
}

/// Gives back the room of the oldest outputs of commands that have ended, until the rest is within
/// `bytes_max`; gives what is left. Intents and outcomes are kept: they are what makes a command
/// start once.
pub(crate) fn prune_outputs(state: &Path, bytes_max: u64) -> u64 {
    let Ok(entries) = fs::read_dir(commands_folder(state)) else { return 0 };
    let mut outputs: Vec<(SystemTime, u64, Record)> = entries
        .flatten()
        .filter_map(|entry| {
            let record = Record::at(entry.path());
            let metadata = fs::metadata(record.output_path()).ok()?;
            Some((metadata.modified().ok()?, metadata.len(), record))
        })
        .collect();
    outputs.sort_by_key(|(modified, ..)| *modified);
    let mut all: u64 = outputs.iter().map(|(_, bytes, _)| bytes).sum();
    for (_, bytes, record) in outputs {
        if all <= bytes_max {
            break;
        }
        if !record.is_locked() {
            record.forget_output();
            all -= bytes;
        }
    }
    all
}

/// Puts a file in place whole.
fn put(path: &Path, content: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    fs::write(&fresh, content)?;
    fs::rename(fresh, path)
}

/// What tells one command from another: the program, where it runs, what it reads. Not its
/// environment, which a later worker may set differently.
pub(crate) fn argv_sha256(exec: &Exec) -> String {
    let bytes = serde_json::to_vec(&(&exec.program, &exec.cwd, &exec.stdin)).unwrap_or_default();
    sha256_hex(&bytes)
}

/// Takes the rights back that a command, which runs as the same user, may have taken away.
pub(crate) fn take_back(state: &Path) -> io::Result<()> {
    [state, &commands_folder(state)].into_iter().try_for_each(give_rights)
}

fn give_rights(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}

pub(crate) fn commands_folder(state: &Path) -> PathBuf {
    state.join("commands")
}
