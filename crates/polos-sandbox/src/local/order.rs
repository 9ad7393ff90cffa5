//! What the worker orders the keeper to do: everything that is decided before, as plain data.
//!
//! It is handed over in a sealed memory file, so that it is what the worker wrote and nothing else.

use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::PathBuf;

use rustix::fs::{MemfdFlags, SealFlags};
use serde::{Deserialize, Serialize};

use crate::config::{Isolation, Limits, Network};

/// The largest order, in bytes.
const ORDER_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A box to be made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) id: String,
    /// The box's own folder on the host.
    pub(crate) folder: PathBuf,
    /// The workspace on the host.
    pub(crate) workspace: PathBuf,
    /// What is bound into the box besides the system; the workspace is the first.
    pub(crate) binds: Vec<Bind>,
    pub(crate) isolation: Isolation,
    pub(crate) network: Network,
    pub(crate) limits: Limits,
    pub(crate) uid: Option<u32>,
    pub(crate) grace_ms: u64,
}

/// A part of the host that is seen in the box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bind {
    pub(crate) source: PathBuf,
    /// Absolute, in the box.
    pub(crate) target: PathBuf,
    pub(crate) writable: bool,
    /// Applied in order, beneath the bind.
    pub(crate) guards: Vec<Guard>,
    /// Paths beneath the bind that are covered.
    pub(crate) masks: Vec<PathBuf>,
}

/// A path beneath a writable bind that is not as writable as the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Guard {
    /// Relative to the bind.
    pub(crate) path: PathBuf,
    pub(crate) kind: GuardKind,
}

/// What a guard does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum GuardKind {
    /// Cannot be renamed or removed, but its content can change.
    Pinned,
    /// Cannot change; does nothing where there is nothing.
    ReadOnly,
    /// Cannot change; an empty folder is made where there is none.
    ReadOnlyFolder,
    /// Cannot change; a file is made where there is none, and taken away when the box ends.
    ReadOnlyFile { content: String },
}

impl Order {
    /// Tells whether two orders are for the same box; what was found in the workspace by the way
    /// (repositories, sockets) makes no difference.
    pub(crate) fn sha256(&self) -> String {
        use sha2::Digest as _;
        let mut order = self.clone();
        for bind in &mut order.binds {
            bind.guards.clear();
            bind.masks.clear();
        }
        crate::hex(&sha2::Sha256::digest(serde_json::to_vec(&order).unwrap_or_default()))
    }
}

impl Bind {
    pub(crate) fn read_only(source: PathBuf, target: PathBuf) -> Self {
        Self { source, target, writable: false, guards: Vec::new(), masks: Vec::new() }
    }
}

/// Writes an order to a sealed memory file.
pub(crate) fn seal(order: &Order) -> io::Result<std::fs::File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = std::fs::File::from(rustix::fs::memfd_create("polos-order", flags)?);
    file.write_all(&serde_json::to_vec(order)?)?;
    file.rewind()?;
    rustix::fs::fcntl_add_seals(&file, seals())?;
    Ok(file)
}

/// Reads an order from standard input, which must be a sealed memory file.
pub(crate) fn read_sealed(file: &mut std::fs::File) -> io::Result<Order> {
    let found = rustix::fs::fcntl_get_seals(&*file)?;
    if !found.contains(seals()) {
        return Err(io::Error::other("the order is not sealed"));
    }
    let mut bytes = Vec::new();
    file.take(ORDER_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

fn seals() -> SealFlags {
    SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL
}
