//! What the toolbox and the supervisor of one command say to each other, over a socket pair.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::frame::{self, Decoder};
use crate::message::{ExecResult, OutputLimits, Program, Stdin, StreamKind};

/// Bytes waiting to be sent beyond which live output is dropped.
const WAITING_BYTES_MAX: usize = 1024 * 1024;

/// To the supervisor; the first is the specification.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToSupervisor {
    Spec(Box<Spec>),
    Kill,
    Stdin { text: String, close: bool },
}

/// All that a supervisor needs to know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) command: String,
    pub(crate) program: Program,
    pub(crate) cwd: PathBuf,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) stdin: Stdin,
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) limits: OutputLimits,
    /// The folder of this command's record.
    pub(crate) folder: PathBuf,
    pub(crate) ledger: Option<PathBuf>,
    pub(crate) argv_sha256: String,
}

/// From the supervisor. It stays after `Finished` for as long as something of the command runs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromSupervisor {
    Running { pid: u32 },
    Output { stream: StreamKind, text: String, skipped_bytes: u64 },
    Finished { result: Box<ExecResult> },
}

/// The supervisor's end, which never blocks.
#[derive(Debug)]
pub(super) struct Control {
    socket: UnixStream,
    decoder: Decoder,
    waiting: VecDeque<u8>,
    open: bool,
}

impl Control {
    pub(super) fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket, decoder: Decoder::default(), waiting: VecDeque::new(), open: true })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether the toolbox is still there.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    pub(super) fn wants_to_write(&self) -> bool {
        self.open && !self.waiting.is_empty()
    }

    /// Queues a message; live output is dropped when too much waits.
    pub(super) fn send(&mut self, message: &FromSupervisor) {
        let live = matches!(message, FromSupervisor::Output { .. });
        if !self.open || (live && self.waiting.len() > WAITING_BYTES_MAX) {
            return;
        }
        // What does not fit a frame is also in the record, where the toolbox looks next.
        if let Ok(bytes) = frame::encode(message) {
            self.waiting.extend(bytes);
            self.write();
        }
    }

    pub(super) fn write(&mut self) {
        while self.open && !self.waiting.is_empty() {
            let (front, _) = self.waiting.as_slices();
            match self.socket.write(front) {
                Ok(count) => drop(self.waiting.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.open = false,
            }
        }
    }

    /// Reads what has come; a toolbox that says what cannot be understood is taken for gone.
    pub(super) fn read(&mut self) -> Vec<ToSupervisor> {
        let mut buffer = [0; 16 * 1024];
        let mut messages = Vec::new();
        while self.open {
            match self.socket.read(&mut buffer) {
                Ok(0) => self.open = false,
                Ok(count) => self.decoder.push(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.open = false,
            }
        }
        loop {
            match self.decoder.next_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => return messages,
                Err(_) => {
                    self.open = false;
                    return messages;
                }
            }
        }
    }
}
