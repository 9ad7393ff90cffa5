//! The client: everything under `/v1`, typed.

mod address;
mod calls;
mod events;

pub use address::{Address, AddressError};
pub use calls::{ApprovalsQuery, RunsQuery};
pub use events::{EventStream, RunUpdate};

use polos_protocol::rest::{ErrorBody, ErrorResponse};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// How long a call may take that is not a long poll.
const CALL: Duration = Duration::from_secs(30);

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The server said no, and how to mend it.
    #[error("{}{}", .body.message, hint(.body))]
    Api {
        /// The HTTP status.
        status: u16,
        /// What the server said.
        body: ErrorBody,
    },
    /// The server was not reached, or the answer broke off.
    #[error(
        "`{url}` cannot be reached: {message}\nhint: is `polos dev` or `polos serve` running there?"
    )]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// What went wrong.
        message: String,
    },
    /// The answer is not one of this protocol.
    #[error("the answer of `{path}` was not understood: {message}")]
    Answer {
        /// What was called.
        path: String,
        /// What the parser said.
        message: String,
    },
    /// No server is known.
    #[error(transparent)]
    Address(#[from] AddressError),
}

fn hint(body: &ErrorBody) -> String {
    if body.hint.is_empty() { String::new() } else { format!("\nhint: {}", body.hint) }
}

impl ClientError {
    /// The server's word for the error, if it gave one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Api { body, .. } => Some(&body.code),
            _ => None,
        }
    }

    /// True if the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Api { status, .. } => matches!(status, 429 | 502 | 503 | 504),
            Self::Unreachable { .. } => true,
            Self::Answer { .. } | Self::Address(_) => false,
        }
    }
}

/// A client of one server. Cheap to clone.
///
/// ```no_run
/// # use polos_sdk::client::{Client, StartRequest};
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::from_env()?;
/// let started = client.start("greet", &"Ada").await?;
/// let result = client.wait(started.id).await?;
/// println!("{:?}", result.output);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    address: Address,
}

pub use polos_protocol::rest::StartRequest;

impl Client {
    /// A client of the server at `url` (`http://…` or `https://…`) with an API key.
    pub fn new(url: &str, token: &str) -> Result<Self, ClientError> {
        Self::at(Address::new(url, token))
    }

    /// A client of the server that the environment names (`POLOS_URL`, `POLOS_TOKEN`), or of the
    /// one whose data directory is found: `POLOS_DATA_DIR`, or `.polos` here or in a parent.
    pub fn from_env() -> Result<Self, ClientError> {
        Self::at(Address::find()?)
    }

    /// A client of the server at an address.
    pub fn at(address: Address) -> Result<Self, ClientError> {
        let http =
            crate::http::client(&address.url, false).map_err(|cause| ClientError::Unreachable {
                url: address.url.clone(),
                message: crate::http::describe(&cause),
            })?;
        Ok(Self { http, address })
    }

    /// Where it calls.
    pub fn address(&self) -> &Address {
        &self.address
    }

    fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.address.url))
            .bearer_auth(&self.address.token)
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, ClientError> {
        self.get_within(path, query, CALL).await
    }

    async fn get_within<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
        limit: Duration,
    ) -> Result<T, ClientError> {
        let path = format!("{path}{}", query_string(query));
        let request = self.request(reqwest::Method::GET, &path).timeout(limit);
        self.answer(&path, request).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: reqwest::Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let request = self.request(method, path).timeout(CALL).json(body);
        self.answer(path, request).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.send(reqwest::Method::POST, path, body).await
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        path: &str,
        request: reqwest::RequestBuilder,
    ) -> Result<T, ClientError> {
        let response = request.send().await.map_err(|cause| self.unreachable(&cause))?;
        let status = response.status();
        let body = response.bytes().await.map_err(|cause| self.unreachable(&cause))?;
        if !status.is_success() {
            return Err(refused(status.as_u16(), &body));
        }
        let body: &[u8] = if body.is_empty() { b"null" } else { &body };
        serde_json::from_slice(body).map_err(|cause| ClientError::Answer {
            path: path.to_owned(),
            message: cause.to_string(),
        })
    }

    fn unreachable(&self, cause: &reqwest::Error) -> ClientError {
        ClientError::Unreachable {
            url: self.address.url.clone(),
            message: crate::http::describe(cause),
        }
    }
}

fn refused(status: u16, body: &[u8]) -> ClientError {
    let body = match serde_json::from_slice::<ErrorResponse>(body) {
        Ok(answer) => answer.error,
        Err(_) => ErrorBody {
            code: "http".to_owned(),
            message: format!(
                "the server answered {status}: {}",
                crate::http::message_of(&String::from_utf8_lossy(body))
            ),
            ..ErrorBody::default()
        },
    };
    ClientError::Api { status, body }
}

fn query_string(query: &[(&str, String)]) -> String {
    let mut text = String::new();
    for (name, value) in query {
        text.push(if text.is_empty() { '?' } else { '&' });
        encode_into(&mut text, name);
        text.push('=');
        encode_into(&mut text, value);
    }
    text
}

/// A path segment or query part, percent-encoded.
fn encode(part: &str) -> String {
    let mut text = String::new();
    encode_into(&mut text, part);
    text
}

fn encode_into(text: &mut String, part: &str) {
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            text.push(char::from(byte));
        } else {
            let digits = b"0123456789ABCDEF";
            text.push('%');
            text.push(char::from(digits[usize::from(byte >> 4)]));
            text.push(char::from(digits[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_encoded() {
        let query = [("state", "queued".to_owned()), ("labels", "a b=ä&c".to_owned())];
        assert_eq!(query_string(&query), "?state=queued&labels=a%20b%3D%C3%A4%26c");
        assert_eq!(query_string(&[]), "");
    }
}
