//! One POST that is answered by a stream of events, with limits on time and size.
//!
//! Two clocks watch a stream. Any byte counts as life, pings and comments too; only an event of the
//! reply counts as progress. A silent line is given up after `idle`, a line that only pings after
//! `progress`. Dropping a [`Reply`] closes its connection (HTTP/1) or resets its stream (HTTP/2).

use std::collections::VecDeque;
use std::error::Error as _;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Response, Url};
use tokio::time::{Instant, timeout, timeout_at};

use crate::caps;
use crate::error::{Error, ErrorKind};
use crate::failure::Failure;
use crate::retry_after;
use crate::secret::Secret;
use crate::sse::{Decoder, Event};

/// llama.cpp closes idle connections after 5 s; a connection we drop first is never stale.
const POOL_IDLE_PLAIN: Duration = Duration::from_secs(4);
const POOL_IDLE_TLS: Duration = Duration::from_secs(55);
const DRAIN_MAX: Duration = Duration::from_millis(50);

/// Limits the time of a call; there is no limit on the whole, which is the caller's to set.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Until the connection stands.
    pub connect: Duration,
    /// From sending the request to the first line of the answer.
    pub answer: Duration,
    /// Without any byte, in the middle of a stream.
    pub idle: Duration,
    /// Without anything but pings and comments, in the middle of a stream.
    pub progress: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_mins(10),
            idle: Duration::from_mins(2),
            progress: Duration::from_mins(10),
        }
    }
}

/// Is a pool of connections to one provider.
#[derive(Debug)]
pub(crate) struct Http {
    client: Client,
    timeouts: Timeouts,
    url: Url,
    headers: HeaderMap,
    secret: Secret,
    /// Some earlier call had an answer, so a pooled connection may exist and be stale.
    answered: AtomicBool,
}

impl Http {
    /// `headers` carry the key, which `secret` repeats so that errors can be cleared of it.
    pub(crate) fn new(
        url: Url,
        headers: HeaderMap,
        secret: Secret,
        timeouts: Timeouts,
    ) -> Result<Self, Error> {
        let client = client(&url, timeouts)?;
        Ok(Self { client, timeouts, url, headers, secret, answered: AtomicBool::new(false) })
    }

    /// Sends the body and waits for a stream to begin.
    pub(crate) async fn post(&self, body: &Bytes) -> Result<Reply<'_>, Error> {
        if body.len() > caps::REQUEST_BYTES_MAX {
            let (size, max) = (body.len(), caps::REQUEST_BYTES_MAX);
            let message = format!("the request has {size} bytes, the limit is {max}");
            return Err(Error::new(ErrorKind::TooLong, message));
        }
        let response = match self.send(body).await {
            Err(SendError::Stale) => self.send(body).await,
            other => other,
        };
        let response = response.map_err(|error| self.send_error(error))?;
        self.answered.store(true, Ordering::Relaxed);
        self.accept(response).await
    }

    async fn send(&self, body: &Bytes) -> Result<Response, SendError> {
        let request =
            self.client.post(self.url.clone()).headers(self.headers.clone()).body(body.clone());
        match timeout(self.timeouts.answer, request.send()).await {
            Err(_) => Err(SendError::Late),
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if self.answered.load(Ordering::Relaxed) && is_stale(&error) => {
                self.answered.store(false, Ordering::Relaxed);
                Err(SendError::Stale)
            }
            Ok(Err(error)) => Err(SendError::Failed(error)),
        }
    }

    fn send_error(&self, error: SendError) -> Error {
        let host = self.url.origin().ascii_serialization();
        match error {
            SendError::Late => {
                let seconds = self.timeouts.answer.as_secs_f32();
                let message = format!("`{host}` did not answer within {seconds} s");
                Error::new(ErrorKind::Timeout, message)
            }
            SendError::Stale => {
                let message = format!("`{host}` closed the connection before answering");
                Error::new(ErrorKind::Connection, message)
            }
            SendError::Failed(error) => {
                let cause = self.secret.redact(&chain(&error.without_url()));
                let message = format!("cannot call `{host}`: {cause}");
                Error::new(ErrorKind::Connection, message)
            }
        }
    }

    /// Lets a stream through and makes an error of everything else.
    async fn accept(&self, response: Response) -> Result<Reply<'_>, Error> {
        let status = response.status();
        let request_id = request_id(response.headers());
        let streams = content_type(response.headers()).is_none_or(|t| t == "text/event-stream");
        if status.is_success() && streams {
            return Ok(Reply::new(self, response, request_id));
        }
        let headers = response.headers().clone();
        let body = timeout(self.timeouts.idle, read_error_body(response)).await.unwrap_or_default();
        let failure = Failure::parse(&body);
        if status.is_success() && !failure.is_error {
            let kind = content_type(&headers).unwrap_or_default();
            return Err(Error::protocol(format!("the answer is `{kind}`, not an event stream"))
                .with_hint("check the base URL; the server must support streaming")
                .with_request_id(request_id));
        }
        Err(failure
            .into_error((!status.is_success()).then_some(status.as_u16()), &self.secret)
            .with_request_id(request_id)
            .with_retry_after(retry_after::read(&headers, SystemTime::now()))
            .with_should_retry(should_retry(&headers)))
    }
}

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
    fn new(http: &'a Http, response: Response, request_id: Option<String>) -> Self {
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
                let cause = self.http.secret.redact(&chain(&error.without_url()));
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

enum SendError {
    Late,
    Stale,
    Failed(reqwest::Error),
}

fn client(url: &Url, timeouts: Timeouts) -> Result<Client, Error> {
    // Whoever came first has chosen the provider for the whole process; that is as good.
    rustls::crypto::ring::default_provider().install_default().ok();
    let is_tls = url.scheme() == "https";
    let mut builder = Client::builder()
        .connect_timeout(timeouts.connect)
        .pool_idle_timeout(if is_tls { POOL_IDLE_TLS } else { POOL_IDLE_PLAIN })
        // A redirect would carry the key to another host.
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("polos-llm/", env!("CARGO_PKG_VERSION")));
    if !is_tls {
        // No roots are read, so a machine without certificates can use a local model.
        builder = builder.tls_certs_only([]);
    }
    if is_loopback(url) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| {
        Error::config(
            format!("cannot set up TLS: {}", chain(&error)),
            "install the system's CA certificates (package ca-certificates) or set SSL_CERT_FILE",
        )
    })
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

/// Says whether the server closed a pooled connection while the request was being written. Nothing
/// of an answer had come, so one more try on a fresh connection is what the user means.
fn is_stale(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(http) = inner.downcast_ref::<hyper::Error>()
            && http.is_incomplete_message()
        {
            return true;
        }
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
            return !error.is_connect()
                && matches!(io.kind(), BrokenPipe | ConnectionAborted | ConnectionReset);
        }
        cause = inner.source();
    }
    false
}

/// Joins an error with its causes, each once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let part = inner.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        cause = inner.source();
    }
    text
}

async fn read_error_body(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(bytes)) = response.chunk().await {
        let room = caps::ERROR_BODY_BYTES_MAX - body.len();
        body.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() >= room {
            break;
        }
    }
    body
}

fn content_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or(value).trim())
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("request-id").or_else(|| headers.get("x-request-id"))?;
    Some(value.to_str().ok()?.chars().take(200).collect())
}

fn should_retry(headers: &HeaderMap) -> Option<bool> {
    match headers.get("x-should-retry")?.as_bytes() {
        b"true" => Some(true),
        b"false" => Some(false),
        _ => None,
    }
}

/// Makes the address of an endpoint below a base URL.
pub(crate) fn url(base: &str, path: &str) -> Result<Url, Error> {
    let refuse = || {
        let shown = base.rsplit('@').next().unwrap_or(base);
        Error::config(
            format!("base URL `{shown}` is not an http or https address"),
            "write it like https://host/v1",
        )
    };
    let url = Url::parse(&format!("{base}{path}")).map_err(|_| refuse())?;
    let usable = matches!(url.scheme(), "http" | "https") && url.has_host();
    if usable { Ok(url) } else { Err(refuse()) }
}

/// Makes a header value that `Debug` does not show.
pub(crate) fn secret_header(text: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        Error::config("the API key has characters that no key has", "set it again, without quotes")
    })?;
    value.set_sensitive(true);
    Ok(value)
}
