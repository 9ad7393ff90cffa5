//! Counts the calls that were really made, outside of any journal: one line appended per call.
//!
//! A line is written when a call starts, with one `write` to a file opened for appending, so several
//! processes may share the file and a killed one leaves whole lines. Lines of one `request_hash`
//! beyond the first are calls that were repeated.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::error::{Error, ErrorKind};
use crate::provider::{OnDelta, Prepared, Provider, Streaming};
use crate::request::Request;

/// Is a file with one JSON line per call.
#[derive(Clone, Debug)]
pub struct Ledger {
    path: Arc<PathBuf>,
}

/// The persisted line.
#[derive(Serialize)]
struct Line<'a> {
    provider: &'a str,
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<&'a str>,
    turn: usize,
    attempt: u32,
    request_hash: &'a str,
    pid: u32,
}

impl Ledger {
    /// Names the file; it is made at the first call.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: Arc::new(path.into()) }
    }

    /// Returns the file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn append(
        &self,
        provider: &str,
        request: &Request,
        hash: &str,
    ) -> Result<(), Error> {
        let line = Line {
            provider,
            model: &request.model,
            agent: request.agent.as_deref(),
            turn: request.turns(),
            attempt: request.attempt,
            request_hash: hash,
            pid: std::process::id(),
        };
        self.write(&line).map_err(|error| {
            let path = self.path.display();
            Error::new(ErrorKind::Config, format!("cannot append to call ledger `{path}`: {error}"))
                .with_hint("choose a path that can be written, or no ledger")
        })
    }

    fn write(&self, line: &Line<'_>) -> std::io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        let mut file = OpenOptions::new().append(true).create(true).open(&*self.path)?;
        let written = file.write(&bytes)?;
        if written == bytes.len() { Ok(()) } else { Err(std::io::ErrorKind::WriteZero.into()) }
    }
}

/// Records each call of a provider in a [`Ledger`] before it is made.
#[derive(Clone, Debug)]
pub struct Ledgered<P> {
    provider: P,
    ledger: Ledger,
}

impl<P: Provider> Ledgered<P> {
    /// Wraps a provider.
    pub fn new(provider: P, ledger: Ledger) -> Self {
        Self { provider, ledger }
    }
}

impl<P: Provider> Provider for Ledgered<P> {
    fn name(&self) -> &str {
        self.provider.name()
    }

    fn prepare(&self, request: &Request) -> Result<Prepared, Error> {
        self.provider.prepare(request)
    }

    fn stream<'a>(&'a self, request: &'a Request, on_delta: &'a mut OnDelta<'a>) -> Streaming<'a> {
        Box::pin(async move {
            let prepared = self.provider.prepare(request)?;
            self.ledger.append(self.name(), request, prepared.hash())?;
            self.provider.stream(request, on_delta).await
        })
    }
}
