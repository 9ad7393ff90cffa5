//! Why a request could not be sent, read from the causes of an error.

use std::io;

/// Says whether the server closed a pooled connection while the request was being written. Nothing
/// of an answer had come, so one more try on a fresh connection is what the user means.
pub(super) fn is_stale(error: &reqwest::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    !error.is_connect()
        && causes(error).any(|cause| {
            let http = cause.downcast_ref::<hyper::Error>();
            let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
            http.is_some_and(hyper::Error::is_incomplete_message)
                || matches!(io, Some(BrokenPipe | ConnectionAborted | ConnectionReset))
        })
}

/// Says whether the server's certificate was refused; another try would end the same.
pub(super) fn is_untrusted(error: &reqwest::Error) -> bool {
    use rustls::Error::InvalidCertificate;
    causes(error).any(|cause| matches!(cause.downcast_ref(), Some(InvalidCertificate(_))))
}

/// Lists an error and its causes. An I/O error leaves out, as its source, the error it wraps.
fn causes(error: Cause<'_>) -> impl Iterator<Item = Cause<'_>> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>() {
        Some(io) => io.get_ref().map(|inner| inner as Cause<'_>),
        None => error.source(),
    })
}

type Cause<'a> = &'a (dyn std::error::Error + 'static);

/// Joins an error with its causes, each once.
pub(super) fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    for cause in causes(error).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}
