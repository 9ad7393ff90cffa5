//! The processes under measurement, on a data directory of their own.

use crate::clock::now_ns;
use crate::process::Process;
use anyhow::{Context as _, Result, bail};
use polos_sdk::Client;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take before a measurement gives up.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);

/// A data directory and where its server listens.
pub(crate) struct Bench {
    directory: TempDir,
    program: PathBuf,
    /// True if the program is `polos` itself.
    is_polos: bool,
    address: SocketAddr,
}

/// A running server.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) client: Client,
    /// From its start to the first answered request, in nanoseconds.
    pub(crate) start_ns: u64,
}

/// A running worker and what it says.
pub(crate) struct Worker {
    pub(crate) process: Process,
    lines: Receiver<String>,
}

impl Bench {
    /// A fresh data directory under `root`. The program is `polos` if it was built.
    pub(crate) fn new(root: &Path, polos: Option<&Path>) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("polos-bench-").tempdir_in(root)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let (program, is_polos) = match polos {
            Some(polos) => (polos.to_owned(), true),
            None => (std::env::current_exe()?, false),
        };
        Ok(Self { directory, program, is_polos, address })
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Starts the server and waits for its first answer.
    pub(crate) fn server(&self) -> Result<Server> {
        let mut command = Command::new(&self.program);
        command.arg(if self.is_polos { "serve" } else { "server" });
        command.args(["--listen", &self.address.to_string(), "--data-dir"]).arg(self.data());
        command.env("POLOS_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(self.directory.path().join("server.log"))?);
        let start = now_ns();
        let mut process = Process::start(&mut command)?;
        self.answered(&mut process)?;
        let start_ns = now_ns() - start;
        let token = std::fs::read_to_string(self.data().join("token"))?;
        let client = Client::new(&self.url(), token.trim())?;
        Ok(Server { process, client, start_ns })
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn answered(&self, process: &mut Process) -> Result<()> {
        let begin = Instant::now();
        while !self.answers() {
            if let Some(status) = process.child().try_wait()? {
                let said = std::fs::read_to_string(self.directory.path().join("server.log"))?;
                bail!("the server ended at once: {status}: {said}");
            }
            if begin.elapsed() > LIMIT {
                bail!("the server did not answer within {LIMIT:?}");
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        Ok(())
    }

    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(self.address) else { return false };
        let request = format!(
            "GET /v1/health HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.address
        );
        let mut answer = String::new();
        stream.write_all(request.as_bytes()).is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && answer.starts_with("HTTP/1.1 200")
    }

    /// Starts a worker and waits until it is connected.
    pub(crate) fn worker(&self, slots: u32, report: u64) -> Result<Worker> {
        let mut command = Command::new(std::env::current_exe()?);
        let token = std::fs::read_to_string(self.data().join("token"))?;
        command.args(["worker", "--server", &self.url(), "--token", token.trim()]);
        command.args(["--slots", &slots.to_string(), "--report", &report.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = Process::start(&mut command)?;
        let stdout = process.child().stdout.take().context("the worker has no output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let worker = Worker { process, lines };
        worker.said("ready")?;
        Ok(worker)
    }
}

impl Worker {
    /// Waits for a line that begins with `word`; gives its time.
    pub(crate) fn said(&self, word: &str) -> Result<u64> {
        self.heard(word, LIMIT)?.with_context(|| format!("the worker never said `{word}`"))
    }

    /// As [`Worker::said`], but silence is an answer too.
    pub(crate) fn heard(&self, word: &str, limit: Duration) -> Result<Option<u64>> {
        let end = Instant::now() + limit;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) if line.starts_with(word) => {
                    let time = line.rsplit(' ').next().and_then(|time| time.parse().ok());
                    return time.map(Some).context("a line without a time");
                }
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => bail!("the worker has ended"),
            }
        }
    }

    /// All lines so far that begin with `word`, with their times.
    pub(crate) fn lines(&self, word: &str) -> Vec<(String, u64)> {
        let lines = self.lines.try_iter().filter(|line| line.starts_with(word));
        lines
            .filter_map(|line| {
                let (text, time) = line.rsplit_once(' ')?;
                Some((text.to_owned(), time.parse().ok()?))
            })
            .collect()
    }
}
