//! The two streams: data goes to standard output, talk goes to standard error.

use serde::Serialize;
use std::io::Write;

/// Writes text as it is to standard output.
pub(crate) fn data(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}

/// Writes a line to standard output.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    data(&format!("{text}\n"))
}

/// Writes JSON on one line to standard output.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> anyhow::Result<()> {
    line(&serde_json::to_string(value)?)
}

/// Says a line to whoever is there. What nobody hears is no error.
pub(crate) fn say(text: &str) {
    let mut stderr = std::io::stderr().lock();
    writeln!(stderr, "{text}").ok();
}

/// Says something without a line end.
pub(crate) fn whisper(text: &str) {
    let mut stderr = std::io::stderr().lock();
    stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush()).ok();
}
