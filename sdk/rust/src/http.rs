//! The HTTP client that REST calls and the worker's socket share.

use polos_protocol::rest::ErrorResponse;
use std::time::Duration;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// How much of an answer that is not ours is shown.
const SHOWN_CHARS: usize = 300;

/// A client for one server. On a machine without root certificates it still speaks plain HTTP.
pub(crate) fn client(url: &str, http1: bool) -> reqwest::Result<reqwest::Client> {
    rustls::crypto::ring::default_provider().install_default().ok();
    let builder = || {
        let builder = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .pool_idle_timeout(Duration::from_secs(20))
            .user_agent(concat!("polos-sdk-rust/", env!("CARGO_PKG_VERSION")));
        if http1 { builder.http1_only() } else { builder }
    };
    match builder().build() {
        Err(_) if url.starts_with("http://") => {
            builder().tls_certs_only(std::iter::empty::<reqwest::Certificate>()).build()
        }
        built => built,
    }
}

/// The error and its causes in one line.
pub(crate) fn describe(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}

/// What an answer says that is not a success.
pub(crate) fn message_of(body: &str) -> String {
    match serde_json::from_str::<ErrorResponse>(body) {
        Ok(ErrorResponse { error }) => format!("{}: {}", error.code, error.message),
        Err(_) => body.chars().take(SHOWN_CHARS).collect(),
    }
}
