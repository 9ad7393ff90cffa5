//! A reply on its way: bytes in, events out, under limits on time and size.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Response;
use tokio::time::{Instant, timeout, timeout_at};

use super::{Http, cause};
use crate::caps;
use crate::error::{Error, ErrorKind};
use crate::failure::Failure;
use crate::sse::{Decoder, Event};

const DRAIN_MAX: Duration = Duration::from_millis(50);

/// Is a reply on its way.
#[derive(Debug)]
pub(crate) struct Reply<'a> {
    http: &'a Http,
    response: Response,
    request_id: Option<String>,
    decoder: Decoder,
    events: VecDeque<Event>,
    bytes_read: usize,
    progress_at: Instant,
}

impl<'a> Reply<'a> {
    pub(super) fn new(http: &'a Http, response: Response, request_id: Option<String>) -> Self {
        Self {
            http,
            response,
            request_id,
            decoder: Decoder::default(),
            events: VecDeque::new(),
            bytes_read: 0,
            progress_at: Instant::now(),
        }
    }

    /// Returns the next event, or none at the end of the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            let Some(bytes) = self.read().await.map_err(|error| self.sign(error))? else {
                return Ok(None);
            };
            self.decode(&bytes).map_err(|error| self.sign(error))?;
        }
    }

    /// Says that the last event belonged to the reply and was no mere sign of life.
    pub(crate) fn progressed(&mut self) {
        self.progress_at = Instant::now();
    }

    /// Reads what follows the last event, so that the connection can be used again. A server that
    /// takes its time over ending the stream is not waited for.
    pub(crate) async fn drain(&mut self) {
        let rest = async { while let Ok(Some(_)) = self.response.chunk().await {} };
        timeout(DRAIN_MAX, rest).await.ok();
    }

    /// Returns the provider's id of this request.
    pub(crate) fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// Makes an error of what the provider reports in the middle of a stream.
    pub(crate) fn failure(&self, data: &str) -> Error {
        self.sign(Failure::parse(data.as_bytes()).into_error(None, &self.http.secret))
    }

    /// Makes the error for a stream that ended too early.
    pub(crate) fn truncated(&self, missing: &str) -> Error {
        let message = format!("the stream ended without {missing}");
        self.sign(Error::new(ErrorKind::Truncated, message))
    }

    /// Adds the request's id to an error.
    pub(crate) fn sign(&self, error: Error) -> Error {
        error.with_request_id(self.request_id.clone())
    }

    async fn read(&mut self) -> Result<Option<Bytes>, Error> {
        let limits = self.http.timeouts;
        let now = Instant::now();
        let (idle_at, stall_at) = (now + limits.idle, self.progress_at + limits.progress);
        match timeout_at(idle_at.min(stall_at), self.response.chunk()).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(error)) => {
                let cause = self.http.secret.redact(&cause::chain(&error.without_url()));
                let message = format!("the connection broke in the middle of the reply: {cause}");
                Err(Error::new(ErrorKind::Truncated, message))
            }
            Err(_) if idle_at <= stall_at => {
                let seconds = limits.idle.as_secs_f32();
                let message = format!("the stream was silent for {seconds} s");
                Err(Error::new(ErrorKind::Stalled, message))
            }
            Err(_) => {
                let seconds = limits.progress.as_secs_f32();
                let message = format!("the stream brought only pings for {seconds} s");
                Err(Error::new(ErrorKind::Stalled, message))
            }
        }
    }

    fn decode(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.bytes_read = self.bytes_read.saturating_add(bytes.len());
        if self.bytes_read > caps::REPLY_BYTES_MAX {
            let message = format!("the reply has more than {} bytes", caps::REPLY_BYTES_MAX);
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let mut events = Vec::new();
        let fits = self.decoder.push(bytes, &mut events);
        self.events.extend(events);
        fits.map_err(|_| {
            let message = format!("an event has more than {} bytes", caps::EVENT_BYTES_MAX);
            Error::new(ErrorKind::Limit, message)
        })
    }
}
