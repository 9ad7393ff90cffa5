//! What providers write when they refuse: one reader for the many forms.
//!
//! Anthropic: `{"type":"error","error":{"type","message","details"},"request_id"}`. OpenAI:
//! `{"error":{"type","code","message"}}`. Compatible servers: the same with a number as `code`, a
//! string as `error`, or `message` or `detail` alone.

use serde_json::Value;

use crate::caps;
use crate::error::{Error, ErrorKind};
use crate::secret::Secret;

/// Is a refusal, taken apart.
#[derive(Debug, Default)]
pub(crate) struct Failure {
    /// The body is JSON of one of the forms above.
    pub(crate) is_error: bool,
    /// The words that tell the kind: `type`, `code` and `details.error_code`.
    words: Vec<String>,
    message: String,
    request_id: Option<String>,
}

impl Failure {
    pub(crate) fn parse(body: &[u8]) -> Self {
        let Ok(value) = serde_json::from_slice::<Value>(body) else {
            return Self { message: String::from_utf8_lossy(body).into_owned(), ..Self::default() };
        };
        let error = value.get("error").filter(|error| !error.is_null()).unwrap_or(&value);
        let word = |at: Option<&Value>| at.and_then(Value::as_str).map(str::to_owned);
        let details = error.get("details");
        let words = [
            details.and_then(|details| details.get("error_code")),
            error.get("code"),
            error.get("type"),
        ];
        let message = error.as_str().map(str::to_owned);
        let message = message.or_else(|| word(error.get("message")));
        let message = message.or_else(|| word(error.get("detail")));
        Self {
            is_error: value.get("error").is_some_and(|error| !error.is_null()),
            words: words.into_iter().filter_map(word).collect(),
            message: message.unwrap_or_else(|| value.to_string()),
            request_id: word(value.get("request_id")),
        }
    }

    /// Makes the error; `status` is none for one that came in the middle of a stream.
    pub(crate) fn into_error(self, status: Option<u16>, secret: &Secret) -> Error {
        let kind = self.kind(status);
        let message = tidy(&secret.redact(&self.message));
        let message =
            if message.is_empty() { "the provider gave no reason".into() } else { message };
        let message = match self.words.last() {
            Some(word) if *word != "error" => format!("{}: {message}", tidy(word)),
            _ => message,
        };
        let error = Error::new(kind, message).with_request_id(self.request_id);
        match status {
            Some(status) => error.with_status(status),
            None => error,
        }
    }

    fn kind(&self, status: Option<u16>) -> ErrorKind {
        let kind = self.words.iter().find_map(|word| kind_of_word(word));
        let kind = kind.or_else(|| status.map(kind_of_status)).unwrap_or_else(|| {
            let is_ours = self.words.iter().any(|word| word == "invalid_request_error");
            if is_ours { ErrorKind::InvalidRequest } else { ErrorKind::Server }
        });
        match kind {
            ErrorKind::InvalidRequest => kind_of_text(&self.message),
            kind => kind,
        }
    }
}

/// `invalid_request_error` is not here: the status says more.
fn kind_of_word(word: &str) -> Option<ErrorKind> {
    Some(match word {
        "enforced_spend_limit_reached"
        | "insufficient_quota"
        | "billing_hard_limit_reached"
        | "billing_not_active"
        | "billing_error" => ErrorKind::SpendLimit,
        "context_length_exceeded" | "exceed_context_size_error" | "request_too_large" => {
            ErrorKind::TooLong
        }
        "model_not_found" | "not_found_error" => ErrorKind::NotFound,
        "rate_limit_error" | "rate_limit_exceeded" => ErrorKind::RateLimited,
        "overloaded_error" => ErrorKind::Overloaded,
        "authentication_error" | "permission_error" | "invalid_api_key" => ErrorKind::Auth,
        "timeout_error" => ErrorKind::Timeout,
        "api_error" | "server_error" => ErrorKind::Server,
        _ => return None,
    })
}

fn kind_of_status(status: u16) -> ErrorKind {
    match status {
        401 | 403 => ErrorKind::Auth,
        402 => ErrorKind::SpendLimit,
        404 => ErrorKind::NotFound,
        408 | 504 => ErrorKind::Timeout,
        413 => ErrorKind::TooLong,
        429 => ErrorKind::RateLimited,
        503 | 529 => ErrorKind::Overloaded,
        409 | 500.. => ErrorKind::Server,
        300..=399 => ErrorKind::Config,
        _ => ErrorKind::InvalidRequest,
    }
}

/// The providers have no word for these, only sentences. All of the outcomes are final, so that a
/// sentence that changes costs a hint and nothing more.
fn kind_of_text(message: &str) -> ErrorKind {
    let has = |needle: &str| message.contains(needle);
    if has("credit balance") || has("API usage limits") {
        ErrorKind::SpendLimit
    } else if has("prompt is too long") || has("maximum context length") {
        ErrorKind::TooLong
    } else {
        ErrorKind::InvalidRequest
    }
}

/// Makes others' words fit for one line of a terminal.
fn tidy(text: &str) -> String {
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(caps::ERROR_TEXT_CHARS_MAX)
        .collect();
    clean.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, body: &str, expect: ErrorKind) {
        let error = Failure::parse(body.as_bytes()).into_error(Some(status), &Secret::new("k"));
        assert_eq!(error.kind(), expect, "{status} {body}");
    }

    #[test]
    fn sorts_refusals_into_kinds() {
        use ErrorKind as K;
        let anthropic =
            |kind: &str| format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"m"}}}}"#);
        check(400, &anthropic("invalid_request_error"), K::InvalidRequest);
        check(401, &anthropic("authentication_error"), K::Auth);
        check(403, &anthropic("permission_error"), K::Auth);
        check(402, &anthropic("billing_error"), K::SpendLimit);
        check(404, &anthropic("not_found_error"), K::NotFound);
        check(413, &anthropic("request_too_large"), K::TooLong);
        check(429, &anthropic("rate_limit_error"), K::RateLimited);
        check(500, &anthropic("api_error"), K::Server);
        check(504, &anthropic("timeout_error"), K::Timeout);
        check(529, &anthropic("overloaded_error"), K::Overloaded);
        check(529, "", K::Overloaded);
        check(503, "<html>busy</html>", K::Overloaded);
        check(409, "{}", K::Server);
        check(418, "{}", K::InvalidRequest);
        check(401, r#"{"error":{"type":"invalid_request_error","code":null}}"#, K::Auth);
        check(302, "", K::Config);
        check(
            429,
            r#"{"error":{"type":"rate_limit_error","message":"m","details":{"error_code":"enforced_spend_limit_reached"}}}"#,
            K::SpendLimit,
        );
        check(
            400,
            r#"{"error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}"#,
            K::SpendLimit,
        );
        check(
            429,
            r#"{"error":{"type":"insufficient_quota","code":"insufficient_quota"}}"#,
            K::SpendLimit,
        );
        check(
            400,
            r#"{"error":{"type":"invalid_request_error","code":"context_length_exceeded","message":"m"}}"#,
            K::TooLong,
        );
        check(400, r#"{"error":{"code":400,"type":"exceed_context_size_error"}}"#, K::TooLong);
        check(
            401,
            r#"{"error":{"type":"invalid_request_error","code":"invalid_api_key"}}"#,
            K::Auth,
        );
        check(
            404,
            r#"{"error":{"type":"invalid_request_error","code":"model_not_found"}}"#,
            K::NotFound,
        );
        check(400, r#"{"error":"bad"}"#, K::InvalidRequest);
        check(422, r#"{"detail":"bad"}"#, K::InvalidRequest);
    }

    #[test]
    fn words_are_bounded_redacted_and_on_one_line() {
        let body = format!(
            r#"{{"error":{{"message":"key my-secret is bad\n\u001b[31m{}"}}}}"#,
            "x".repeat(5_000)
        );
        let error =
            Failure::parse(body.as_bytes()).into_error(Some(400), &Secret::new("my-secret"));
        assert!(error.message().starts_with("key [redacted] is bad  [31mxxx"));
        assert_eq!(error.message().chars().count(), caps::ERROR_TEXT_CHARS_MAX);
    }
}
