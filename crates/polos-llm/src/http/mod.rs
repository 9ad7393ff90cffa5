//! One POST that is answered by a stream of events, with limits on time and size.
//!
//! Two clocks watch a stream. Any byte counts as life, pings and comments too; only an event of the
//! reply counts as progress. A silent line is given up after `idle`, a line that only pings after
//! `progress`. Dropping a [`Reply`] closes its connection (HTTP/1) or resets its stream (HTTP/2).

mod cause;
mod client;
mod reply;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Client, Response, Url};
use tokio::time::timeout;

pub(crate) use client::{secret_header, url};
pub(crate) use reply::Reply;

use crate::caps;
use crate::error::{Error, ErrorKind};
use crate::failure::Failure;
use crate::retry_after;
use crate::secret::Secret;

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
        let client = client::client(&url, timeouts)?;
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
            Ok(Err(error)) if self.answered.load(Ordering::Relaxed) && cause::is_stale(&error) => {
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
            SendError::Failed(error) if cause::is_untrusted(&error) => {
                let cause = cause::chain(&error.without_url());
                Error::config(
                    format!("`{host}` is not trusted: {cause}"),
                    "check the clock and the base URL; set SSL_CERT_FILE to trust a CA of your own",
                )
            }
            SendError::Failed(error) => {
                let cause = self.secret.redact(&cause::chain(&error.without_url()));
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

enum SendError {
    Late,
    Stale,
    Failed(reqwest::Error),
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
