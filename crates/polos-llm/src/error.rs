//! What can go wrong with a call, and whether asking again can help.

use std::fmt;
use std::time::Duration;

/// Says what kind of failure it was. [`ErrorKind::code`] is persisted and stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Too many requests or tokens in a window of time.
    RateLimited,
    /// The provider has no capacity.
    Overloaded,
    /// The key is missing, wrong or not allowed to do this.
    Auth,
    /// The account has no money or has reached its own cap.
    SpendLimit,
    /// The provider refused the request as it is, or we did before sending it.
    InvalidRequest,
    /// The prompt is longer than the model's window, or the body larger than allowed.
    TooLong,
    /// The model or address does not exist.
    NotFound,
    /// The provider failed.
    Server,
    /// No connection, or it broke before the answer began.
    Connection,
    /// No answer began, or no content came, in the time allowed.
    Timeout,
    /// The stream fell silent.
    Stalled,
    /// The stream ended before the reply did.
    Truncated,
    /// The answer is not what the protocol says.
    Protocol,
    /// The answer is larger than this crate accepts.
    Limit,
    /// The settings do not allow a call.
    Config,
}

impl ErrorKind {
    /// Returns the stable word for journals and error pages.
    pub fn code(self) -> &'static str {
        match self {
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::Auth => "auth",
            Self::SpendLimit => "spend_limit",
            Self::InvalidRequest => "invalid_request",
            Self::TooLong => "too_long",
            Self::NotFound => "not_found",
            Self::Server => "server",
            Self::Connection => "connection",
            Self::Timeout => "timeout",
            Self::Stalled => "stalled",
            Self::Truncated => "truncated",
            Self::Protocol => "protocol",
            Self::Limit => "limit",
            Self::Config => "config",
        }
    }

    /// Reads the word that [`ErrorKind::code`] writes.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    const ALL: [Self; 15] = [
        Self::RateLimited,
        Self::Overloaded,
        Self::Auth,
        Self::SpendLimit,
        Self::InvalidRequest,
        Self::TooLong,
        Self::NotFound,
        Self::Server,
        Self::Connection,
        Self::Timeout,
        Self::Stalled,
        Self::Truncated,
        Self::Protocol,
        Self::Limit,
        Self::Config,
    ];

    fn is_retryable(self) -> bool {
        match self {
            Self::RateLimited
            | Self::Overloaded
            | Self::Server
            | Self::Connection
            | Self::Timeout
            | Self::Stalled
            | Self::Truncated
            | Self::Protocol => true,
            Self::Auth
            | Self::SpendLimit
            | Self::InvalidRequest
            | Self::TooLong
            | Self::NotFound
            | Self::Limit
            | Self::Config => false,
        }
    }

    fn hint(self) -> Option<&'static str> {
        match self {
            Self::Auth => Some("check the API key and what it is allowed to do"),
            Self::SpendLimit => Some("raise the spending limit or add credit at the provider"),
            Self::TooLong => {
                Some("shorten the conversation or choose a model with a larger window")
            }
            Self::NotFound => Some("check the model's name and the base URL"),
            Self::Connection => Some("check the network, the proxy settings and the base URL"),
            _ => None,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Is a failed call. It never holds a key, and what the provider wrote is bounded and redacted.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", self.describe())]
pub struct Error {
    inner: Box<Inner>,
}

#[derive(Clone, Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    status: Option<u16>,
    request_id: Option<String>,
    retry_after: Option<Duration>,
    should_retry: Option<bool>,
    hint: Option<String>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            inner: Box::new(Inner {
                kind,
                message: message.into(),
                status: None,
                request_id: None,
                retry_after: None,
                should_retry: None,
                hint: None,
            }),
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidRequest, message)
    }

    pub(crate) fn config(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message).with_hint(hint)
    }

    pub(crate) fn protocol(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Protocol, message)
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.inner.hint = Some(hint.into());
        self
    }

    pub(crate) fn with_status(mut self, status: u16) -> Self {
        self.inner.status = Some(status);
        self
    }

    pub(crate) fn with_request_id(mut self, id: Option<String>) -> Self {
        self.inner.request_id = self.inner.request_id.or(id);
        self
    }

    pub(crate) fn with_retry_after(mut self, after: Option<Duration>) -> Self {
        self.inner.retry_after = after;
        self
    }

    /// The provider's own word on it (`x-should-retry`) stands above ours, but for a reached spending
    /// limit: a 429 says `true` by habit, and waiting brings no money.
    pub(crate) fn with_should_retry(mut self, should: Option<bool>) -> Self {
        let is_final = self.inner.kind == ErrorKind::SpendLimit;
        self.inner.should_retry = should.filter(|&should| !(should && is_final));
        self
    }

    /// Returns what kind of failure it was.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// Says whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.inner.should_retry.unwrap_or_else(|| self.inner.kind.is_retryable())
    }

    /// Returns how long the provider asks to wait before the next try.
    pub fn retry_after(&self) -> Option<Duration> {
        self.inner.retry_after
    }

    /// Returns the HTTP status, when there was one that failed.
    pub fn status(&self) -> Option<u16> {
        self.inner.status
    }

    /// Returns the provider's id of the request, for its support.
    pub fn request_id(&self) -> Option<&str> {
        self.inner.request_id.as_deref()
    }

    /// Returns what happened, without status and id.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// Returns the way out, when we know one.
    pub fn hint(&self) -> Option<&str> {
        self.inner.hint.as_deref().or_else(|| self.inner.kind.hint())
    }

    fn describe(&self) -> String {
        let mut text = self.inner.message.clone();
        if let Some(status) = self.inner.status {
            text = format!("{text} (http {status})");
        }
        if let Some(id) = &self.inner.request_id {
            text = format!("{text} (request `{id}`)");
        }
        text
    }
}
