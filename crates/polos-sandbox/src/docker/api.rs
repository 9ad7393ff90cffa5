//! Docker's Engine API over its Unix socket: requests, answers, and streams that were upgraded.
//!
//! One connection a request, blocking, with limits on what is read: a daemon is trusted with the
//! host, but not with this process's memory.

use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

/// The oldest version with all that is asked for here: Docker 20.10.
const VERSION: &str = "v1.41";
/// The largest answer that is read as a whole.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The longest line of a head, and the most of them.
const LINE_BYTES_MAX: u64 = 64 * 1024;
const LINES_MAX: usize = 200;
/// How long the daemon may be silent.
const SILENCE_MAX: Duration = Duration::from_mins(10);

/// Why the daemon did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "Docker does not answer on `{socket}`: {error}\nhint: start the Docker daemon, or set DOCKER_HOST to its socket; `env = \"local\"` needs none"
    )]
    Unreachable { socket: PathBuf, error: io::Error },
    #[error(
        "`{0}` is no Unix socket\nhint: set DOCKER_HOST to `unix:///PATH`; other kinds are not in this build"
    )]
    Host(String),
    #[error("Docker says: {message}")]
    Refused { status: u16, message: String },
    #[error("Docker's answer cannot be read: {0}")]
    Answer(#[from] io::Error),
}

impl Error {
    /// Whether the thing that was named is not there.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// Whether something else is in the way, such as a container of that name.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status: 409, .. })
    }
}

/// The way to a daemon.
#[derive(Debug, Clone)]
pub(crate) struct Daemon {
    socket: PathBuf,
}

/// What is sent along.
#[derive(Debug, Clone, Copy)]
pub(super) enum Body<'a> {
    None,
    Json(&'a Value),
    Tar(&'a [u8]),
}

impl Daemon {
    /// The daemon that the environment names, else the usual one.
    pub(crate) fn found() -> Result<Self, Error> {
        let host = std::env::var("DOCKER_HOST").unwrap_or_default();
        let socket = match host.strip_prefix("unix://") {
            Some(path) => PathBuf::from(path),
            None if host.is_empty() => PathBuf::from("/var/run/docker.sock"),
            None => return Err(Error::Host(host)),
        };
        Ok(Self { socket })
    }

    /// Asks, and reads an answer of JSON.
    pub(super) fn json<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: Body<'_>,
    ) -> Result<T, Error> {
        let bytes = self.bytes(method, path, body)?;
        serde_json::from_slice(&bytes).map_err(|error| Error::Answer(error.into()))
    }

    /// Orders, and reads no more than whether it was done.
    pub(super) fn order(&self, method: &str, path: &str, body: Body<'_>) -> Result<(), Error> {
        self.bytes(method, path, body).map(drop)
    }

    /// Asks, and reads the whole answer.
    pub(super) fn bytes(&self, method: &str, path: &str, body: Body<'_>) -> Result<Vec<u8>, Error> {
        let mut answer = self.send(method, path, body, None)?;
        let mut bytes = Vec::new();
        (&mut answer.body).take(ANSWER_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Asks, and gives each line of the answer as it comes.
    pub(super) fn lines(
        &self,
        method: &str,
        path: &str,
        mut each: impl FnMut(&Value) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let answer = self.send(method, path, Body::None, None)?;
        let mut reader = BufReader::new(answer.body);
        while let Some(line) = read_line(&mut reader)? {
            if let Ok(value) = serde_json::from_str(&line) {
                each(&value)?;
            }
        }
        Ok(())
    }

    /// Asks for a stream in both directions.
    pub(super) fn upgrade(&self, path: &str, body: &Value) -> Result<Upgraded, Error> {
        let answer = self.send("POST", path, Body::Json(body), Some("tcp"))?;
        let stream = answer.body.stream.get_ref().try_clone()?;
        stream.set_read_timeout(None)?;
        Ok(Upgraded { stream, output: Output { stream: answer.body.stream, left: 0 } })
    }

    /// The answer's head of a `HEAD` request, by name.
    pub(super) fn head(&self, path: &str, name: &str) -> Result<Option<String>, Error> {
        let answer = self.send("HEAD", path, Body::None, None)?;
        Ok(answer.header(name).map(str::to_owned))
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        body: Body<'_>,
        upgrade: Option<&str>,
    ) -> Result<Answer, Error> {
        let unreachable = |error| Error::Unreachable { socket: self.socket.clone(), error };
        let mut stream = UnixStream::connect(&self.socket).map_err(unreachable)?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        let text;
        let (kind, bytes): (&str, &[u8]) = match body {
            Body::None => ("application/json", &[]),
            Body::Json(value) => {
                text = serde_json::to_vec(value).map_err(io::Error::other)?;
                ("application/json", &text)
            }
            Body::Tar(bytes) => ("application/x-tar", bytes),
        };
        let connection = match upgrade {
            Some(protocol) => format!("Connection: Upgrade\r\nUpgrade: {protocol}\r\n"),
            None => "Connection: close\r\n".to_owned(),
        };
        let head = format!(
            "{method} /{VERSION}{path} HTTP/1.1\r\nHost: docker\r\n{connection}\
             Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            bytes.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(bytes)?;
        let answer = Answer::read(stream, method)?;
        if answer.status < 400 {
            return Ok(answer);
        }
        Err(answer.refusal())
    }
}

/// An answer whose body is still to be read.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: BodyReader,
}

impl Answer {
    fn read(stream: UnixStream, method: &str) -> io::Result<Self> {
        let mut stream = BufReader::new(stream);
        let first = read_line(&mut stream)?.unwrap_or_default();
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other("no HTTP status"))?;
        let mut headers = Vec::new();
        loop {
            let line = read_line(&mut stream)?.unwrap_or_default();
            if line.is_empty() {
                break;
            }
            if headers.len() == LINES_MAX {
                return Err(io::Error::other("too many headers"));
            }
            if let Some((name, value)) = line.split_once(':') {
                headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        let header = |wanted: &str| {
            headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
        };
        let extent = match (header("transfer-encoding"), header("content-length")) {
            _ if method == "HEAD" || status == 204 || status == 304 => Extent::Known(0),
            (Some("chunked"), _) => Extent::Chunked { left: 0, is_first: true },
            (_, Some(length)) => Extent::Known(length.parse().map_err(io::Error::other)?),
            _ => Extent::ToTheEnd,
        };
        Ok(Self { status, headers, body: BodyReader { stream, extent } })
    }

    fn header(&self, wanted: &str) -> Option<&str> {
        self.headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    }

    fn refusal(mut self) -> Error {
        let mut bytes = Vec::new();
        // What of it can be read is what is told.
        let _ = (&mut self.body).take(LINE_BYTES_MAX).read_to_end(&mut bytes);
        let told: Option<Value> = serde_json::from_slice(&bytes).ok();
        let message = told.as_ref().and_then(|told| told["message"].as_str());
        let message = message.map_or_else(|| format!("status {}", self.status), str::to_owned);
        Error::Refused { status: self.status, message }
    }
}

#[derive(Debug)]
enum Extent {
    Known(u64),
    Chunked { left: u64, is_first: bool },
    ToTheEnd,
}

#[derive(Debug)]
struct BodyReader {
    stream: BufReader<UnixStream>,
    extent: Extent,
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Extent::Chunked { left: left @ 0, is_first } = &mut self.extent {
            if !*is_first {
                read_line(&mut self.stream)?;
            }
            *is_first = false;
            let line = read_line(&mut self.stream)?.unwrap_or_default();
            let size = line.split(';').next().unwrap_or_default().trim();
            *left = u64::from_str_radix(size, 16).map_err(io::Error::other)?;
            if *left == 0 {
                self.extent = Extent::Known(0);
            }
        }
        let left = match &mut self.extent {
            Extent::ToTheEnd => return self.stream.read(buffer),
            Extent::Known(left) | Extent::Chunked { left, .. } => left,
        };
        let room = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.stream.read(&mut buffer[..room])?;
        if count == 0 && room > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        *left -= count as u64;
        Ok(count)
    }
}

/// Reads a line without its end; `None` at the end of the stream.
fn read_line(reader: &mut impl io::BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    reader.take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.pop() != Some(b'\n') {
        return Err(io::Error::other("a line is cut off, or too long"));
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    String::from_utf8(bytes).map(Some).map_err(io::Error::other)
}

/// A stream to a process in a container.
#[derive(Debug)]
pub(super) struct Upgraded {
    /// To write to, and to shut down.
    pub(super) stream: UnixStream,
    pub(super) output: Output,
}

/// The standard output of a process, taken out of a stream in which standard error is mixed.
#[derive(Debug)]
pub(super) struct Output {
    stream: BufReader<UnixStream>,
    /// Bytes of standard output that come next.
    left: usize,
}

impl Read for Output {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.left == 0 {
            if self.stream.fill_buf()?.is_empty() {
                return Ok(0);
            }
            let mut head = [0; 8];
            self.stream.read_exact(&mut head)?;
            let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
            if head[0] == 1 {
                self.left = usize::try_from(length).map_err(io::Error::other)?;
            } else {
                // Standard error is for people, and there is none to read it.
                io::copy(&mut (&mut self.stream).take(u64::from(length)), &mut io::sink())?;
            }
        }
        let room = self.left.min(buffer.len());
        let count = self.stream.read(&mut buffer[..room])?;
        self.left -= count;
        Ok(count)
    }
}

/// A text as a part of a query.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push('%');
            escaped.push_str(&crate::hex(&[byte]).to_ascii_uppercase());
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read of an answer that comes as these bytes.
    fn answer(bytes: &[u8], method: &str) -> io::Result<(u16, String)> {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(bytes).unwrap();
        drop(theirs);
        let mut answer = Answer::read(ours, method)?;
        let mut text = String::new();
        answer.body.read_to_string(&mut text)?;
        Ok((answer.status, text))
    }

    #[test]
    fn bodies_end_where_they_say() {
        let check = |bytes: &str, expect: &str| {
            assert_eq!(answer(bytes.as_bytes(), "GET").unwrap(), (200, expect.to_owned()));
        };
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabrest", "ab");
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\n\r\n",
            "abc",
        );
        check("HTTP/1.1 200 OK\r\n\r\nto the end", "to the end");
        let head = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "HEAD").unwrap();
        assert_eq!(head, (200, String::new()));
    }

    #[test]
    fn broken_answers_are_errors() {
        for bytes in [
            &b""[..],
            b"nonsense\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab",
            b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nab",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab",
        ] {
            assert!(answer(bytes, "GET").is_err(), "{bytes:?}");
        }
        let endless = ["HTTP/1.1 200 OK\r\n".to_owned(), "a: b\r\n".repeat(1_000)].concat();
        assert!(answer(endless.as_bytes(), "GET").is_err());
    }

    #[test]
    fn standard_error_is_taken_out() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(&[2, 0, 0, 0, 0, 0, 0, 3]).unwrap();
        theirs.write_all(b"err").unwrap();
        theirs.write_all(&[1, 0, 0, 0, 0, 0, 0, 2]).unwrap();
        theirs.write_all(b"ou").unwrap();
        theirs.write_all(&[1, 0, 0, 0, 0, 0, 0, 1]).unwrap();
        theirs.write_all(b"t").unwrap();
        drop(theirs);
        let mut text = String::new();
        let mut output = Output { stream: BufReader::new(ours), left: 0 };
        output.read_to_string(&mut text).unwrap();
        assert_eq!(text, "out");
    }

    #[test]
    fn names_are_escaped() {
        assert_eq!(escape("a/b:1?&"), "a%2Fb%3A1%3F%26");
    }
}
