//! Why the engine refuses a request: a code for programs, a message and a way out for people.

use polos_protocol::rest::ErrorBody;
use polos_store::ReadError;

/// A refusal.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What sort of refusal: the server maps it to a status.
    pub class: Class,
    /// A stable word for programs.
    pub code: &'static str,
    /// What is wrong, naming the thing.
    pub message: String,
    /// The way out; empty if none is known.
    pub hint: String,
}

/// What sort of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The request makes no sense (400).
    Invalid,
    /// The caller may not do it (403).
    Forbidden,
    /// The thing is not there (404).
    NotFound,
    /// The thing is not in a state for this (409).
    Conflict,
    /// A limit is reached (429).
    Limit,
    /// The store cannot be read or written now (503).
    Unavailable,
}

impl Error {
    /// Makes a refusal.
    pub fn new(
        class: Class,
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { class, code, message: message.into(), hint: hint.into() }
    }

    /// The thing is not there.
    pub fn not_found(what: &str, name: impl std::fmt::Display) -> Self {
        Self::new(
            Class::NotFound,
            "not_found",
            format!("there is no {what} `{name}` in this namespace"),
            "",
        )
    }

    /// The form in which REST shows it.
    pub fn body(&self) -> ErrorBody {
        ErrorBody {
            code: self.code.to_owned(),
            message: self.message.clone(),
            hint: self.hint.clone(),
            details: serde_json::Value::Null,
        }
    }
}

impl From<ReadError> for Error {
    fn from(cause: ReadError) -> Self {
        Self::new(
            Class::Unavailable,
            "store_unavailable",
            cause.to_string(),
            "see the server's log; try again later",
        )
    }
}
