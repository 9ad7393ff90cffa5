//! The one interface that every provider has.

use std::fmt;
use std::pin::Pin;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::request::Request;
use crate::response::{Delta, Response};

/// Is the future of a reply. Dropping it cancels the call: the connection closes.
pub type Streaming<'a> = Pin<Box<dyn Future<Output = Result<Response, Error>> + Send + 'a>>;

/// Is told each piece of a reply as it comes; it must not block.
pub type OnDelta<'a> = dyn FnMut(Delta) + Send + 'a;

/// Calls models over one wire protocol.
pub trait Provider: Send + Sync + fmt::Debug {
    /// Returns the provider's name as it stands in [`Response::provider`].
    fn name(&self) -> &str;

    /// Makes the exact bytes that [`Provider::stream`] would send, without sending them.
    fn prepare(&self, request: &Request) -> Result<Prepared, Error>;

    /// Calls the model once. Nothing is retried, but for a pooled connection that had gone stale.
    fn stream<'a>(&'a self, request: &'a Request, on_delta: &'a mut OnDelta<'a>) -> Streaming<'a>;
}

/// Calls the model and waits for the whole reply, with nobody watching.
pub async fn complete(provider: &dyn Provider, request: &Request) -> Result<Response, Error> {
    provider.stream(request, &mut |_| {}).await
}

impl<P: Provider + ?Sized> Provider for std::sync::Arc<P> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn prepare(&self, request: &Request) -> Result<Prepared, Error> {
        (**self).prepare(request)
    }

    fn stream<'a>(&'a self, request: &'a Request, on_delta: &'a mut OnDelta<'a>) -> Streaming<'a> {
        (**self).stream(request, on_delta)
    }
}

/// Is a request ready to be sent.
#[derive(Clone, Debug)]
pub struct Prepared {
    body: Bytes,
    hash: String,
}

impl Prepared {
    pub(crate) fn new(body: Vec<u8>) -> Self {
        let hash = hex(&Sha256::digest(&body));
        Self { body: Bytes::from(body), hash }
    }

    /// Returns the body, byte for byte.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Returns the body's sha256 in hexadecimal.
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
