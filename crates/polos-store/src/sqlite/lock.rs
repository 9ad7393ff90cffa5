//! The lock of a data directory: a file that one server holds locked, with its process and address
//! in it for those who come second (durability.md 34).

use crate::error::OpenError;
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

const FILE: &str = "polos.lock";
/// More than a process and an address take.
const TEXT_BYTES_MAX: u64 = 4096;

/// A held lock; it goes when this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    file: Mutex<File>,
}

/// Who has a data directory, as its lock file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holder {
    /// The process.
    pub pid: Option<u32>,
    /// Where it answers requests.
    pub address: Option<String>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pid, &self.address) {
            (Some(pid), Some(address)) => write!(f, "process {pid} at {address}"),
            (Some(pid), None) => write!(f, "process {pid}"),
            (None, Some(address)) => write!(f, "the server at {address}"),
            (None, None) => f.write_str("another process"),
        }
    }
}

/// Who has a data directory now; none if nobody does.
///
/// # Errors
/// The lock file is there and cannot be read.
pub fn holder(directory: &Path) -> io::Result<Option<Holder>> {
    let mut file = match File::open(directory.join(FILE)) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(cause),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => read(&mut file).map(Some),
        Err(TryLockError::Error(cause)) => Err(cause),
    }
}

fn read(file: &mut File) -> io::Result<Holder> {
    let mut text = String::new();
    file.take(TEXT_BYTES_MAX).read_to_string(&mut text)?;
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    Ok(Holder {
        pid: field("pid ").and_then(|pid| pid.parse().ok()),
        address: field("address ").map(str::to_owned),
    })
}

impl Lock {
    /// Takes the lock of a directory, or says who has it.
    pub(super) fn take(directory: &Path, address: Option<&str>) -> Result<Self, OpenError> {
        let unusable = |cause| OpenError::Directory { directory: directory.to_owned(), cause };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(directory.join(FILE)).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = read(&mut file).unwrap_or_default().to_string();
                return Err(OpenError::Locked { directory: directory.to_owned(), holder });
            }
            Err(TryLockError::Error(cause)) => return Err(unusable(cause)),
        }
        let lock = Self { file: Mutex::new(file) };
        lock.write(address).map_err(unusable)?;
        Ok(lock)
    }

    /// Writes the server's address beside its process.
    pub(super) fn announce(&self, address: &str) -> io::Result<()> {
        self.write(Some(address))
    }

    fn write(&self, address: Option<&str>) -> io::Result<()> {
        let address = address.map(|address| address.replace(['\n', '\r'], " "));
        let line = address.map_or_else(String::new, |address| format!("address {address}\n"));
        let text = format!("pid {}\n{line}", std::process::id());
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(text.as_bytes())
    }
}
