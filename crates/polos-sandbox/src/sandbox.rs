//! A box in use: opened or found again, asked, stopped.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use polos_toolbox::client::{self, Client, Incoming};
use polos_toolbox::message::{
    self, Exec, ExecResult, Reply, Request, Started, Status, Stream, Welcome,
};
use rustix::process::Signal;
use tokio::sync::oneshot;

use crate::config::Environment;
use crate::docker::{self, Container};
use crate::local::footing::Made;
use crate::local::keeper::{Alive, Announcement};
use crate::local::order::{self, Order};
use crate::local::report::Report;
use crate::local::{SUBCOMMAND, mounts};
use crate::spec::{self, SandboxSpec};

/// How long a box may take to come up.
const START_MAX: Duration = Duration::from_secs(30);
/// How long a box that another keeper holds is tried.
const TAKEN_MAX: Duration = Duration::from_secs(5);
/// Between two tries.
const TAKEN_PAUSE: Duration = Duration::from_millis(20);
/// How long a box may take to end.
const STOP_MAX: Duration = Duration::from_secs(10);
/// The toolbox's socket for the next worker.
const SOCKET: &str = "toolbox.sock";
/// The longest announcement.
const ANNOUNCEMENT_BYTES_MAX: usize = 64 * 1024;

/// Why a box could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Spec(#[from] spec::Error),
    #[error("no box: {0}")]
    Refused(String),
    #[error(transparent)]
    Docker(#[from] docker::Error),
    #[error("the box `{id}` runs with other settings\nhint: stop it first")]
    Different { id: String },
    #[error("the box `{id}` is held by another process and does not answer")]
    Silent { id: String },
    #[error("the box could not be started: {0}")]
    Io(#[from] io::Error),
    #[error("the toolbox in the box does not answer: {0}")]
    Toolbox(#[from] client::Error),
}

/// Why a request to a box has no reply.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Client(#[from] client::Error),
    #[error("the toolbox answered something else than it was asked")]
    Unexpected,
}

impl Error {
    /// Whether the box may have done what it was asked, and nobody knows.
    pub fn is_outcome_unknown(&self) -> bool {
        !matches!(self, Self::Client(client::Error::Refused(_)))
    }
}

/// A reply to an exec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Executed {
    Ended(Box<ExecResult>),
    /// It runs in the background.
    Started(Started),
}

/// A box. Clones share it; dropping the last leaves it to its grace.
#[derive(Debug, Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    connection: Connection,
    kind: Kind,
    report: Report,
    folder: PathBuf,
    /// What guards stand on, where the keeper is this process.
    made: Mutex<Vec<Made>>,
    env: BTreeMap<String, String>,
    notes: Vec<String>,
    attached: bool,
}

/// Where the box is.
#[derive(Debug, Clone)]
enum Kind {
    Local(Alive),
    Docker(Container),
}

/// The connection to the toolbox; its end is seen in the box at once.
#[derive(Debug)]
pub(crate) struct Connection {
    client: Client,
    stream: UnixStream,
}

impl Connection {
    /// A client, and the stream that is to be shut down with it.
    pub(crate) fn new(client: Client, stream: UnixStream) -> Self {
        Self { client, stream }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The threads of the client hold the stream too, and would hold it for ever.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

impl Sandbox {
    /// Makes the box, or attaches to it if it lives.
    pub async fn open(spec: SandboxSpec) -> Result<Self, OpenError> {
        let opened = tokio::task::spawn_blocking(move || open(&spec)).await;
        opened.map_err(|error| OpenError::Io(io::Error::other(error)))?
    }

    /// What isolation is in force.
    pub fn report(&self) -> &Report {
        &self.inner.report
    }

    /// Remarks on the workspace, in sentences.
    pub fn notes(&self) -> &[String] {
        &self.inner.notes
    }

    /// Whether the box lived before this handle.
    pub fn was_attached(&self) -> bool {
        self.inner.attached
    }

    /// What the toolbox said of itself.
    pub fn welcome(&self) -> &Welcome {
        self.inner.connection.client.welcome()
    }

    /// Why the connection is gone, when it is.
    pub fn lost(&self) -> Option<String> {
        self.inner.connection.client.lost()
    }

    /// The file on the host with a line for each command that was really started.
    pub fn ledger(&self) -> PathBuf {
        self.inner.folder.join("state/ledger")
    }

    /// Runs a command; `on_stream` sees its output live, on another thread, and must not block.
    ///
    /// The environment is the box's own with that of the request on top.
    pub async fn exec(
        &self,
        exec: Exec,
        on_stream: impl FnMut(Stream) + Send + 'static,
    ) -> Result<Executed, Error> {
        match self.request_with(self.complete(Request::Exec(exec)), on_stream).await? {
            Reply::Exec(result) => Ok(Executed::Ended(Box::new(result))),
            Reply::Started(started) => Ok(Executed::Started(started)),
            _ => Err(Error::Unexpected),
        }
    }

    /// Gives a command the box's own environment, beneath that which it has.
    pub fn complete(&self, mut request: Request) -> Request {
        if let Request::Exec(exec) = &mut request {
            for (name, value) in &self.inner.env {
                exec.env.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        request
    }

    /// Follows a command that was started before, to its end.
    pub async fn attach(
        &self,
        command: &str,
        on_stream: impl FnMut(Stream) + Send + 'static,
    ) -> Result<ExecResult, Error> {
        let request = Request::Attach { command: command.to_owned() };
        match self.request_with(request, on_stream).await? {
            Reply::Exec(result) => Ok(result),
            _ => Err(Error::Unexpected),
        }
    }

    /// What is known of a command id: a step's verify.
    pub async fn status(&self, command: &str) -> Result<Status, Error> {
        match self.request(Request::Status { command: command.to_owned() }).await? {
            Reply::Status(status) => Ok(status),
            _ => Err(Error::Unexpected),
        }
    }

    /// Ends a command and all that it started; says whether anything ran.
    pub async fn kill(&self, command: &str) -> Result<bool, Error> {
        match self.request(Request::Kill { command: command.to_owned() }).await? {
            Reply::Killed { was_running, .. } => Ok(was_running),
            _ => Err(Error::Unexpected),
        }
    }

    /// Sends a request and waits for its reply; live news are dropped.
    pub async fn request(&self, request: Request) -> Result<Reply, Error> {
        self.request_with(request, |_| {}).await
    }

    /// Sends a request and waits for its reply.
    pub async fn request_with(
        &self,
        request: Request,
        mut on_stream: impl FnMut(Stream) + Send + 'static,
    ) -> Result<Reply, Error> {
        let (sender, receiver) = oneshot::channel();
        let mut sender = Some(sender);
        let mut answer = move |reply| {
            if let Some(sender) = Option::<oneshot::Sender<_>>::take(&mut sender) {
                // A caller that has gone away needs no answer.
                let _ = sender.send(reply);
            }
        };
        self.inner.connection.client.send(request, move |incoming| match incoming {
            Incoming::Stream(stream) => on_stream(stream),
            Incoming::Reply(reply) => answer(Ok(*reply)),
            Incoming::Refused(refusal) => answer(Err(client::Error::Refused(refusal))),
            Incoming::Lost(why) => answer(Err(client::Error::Lost(why))),
        })?;
        let gone = || client::Error::Lost("the connection was dropped".to_owned());
        Ok(receiver.await.unwrap_or_else(|_| Err(gone()))?)
    }

    /// Ends the box and every process in it; the workspace and the box's folder stay.
    pub async fn stop(self) -> io::Result<()> {
        tokio::task::spawn_blocking(move || {
            match &self.inner.kind {
                Kind::Local(alive) => end(alive)?,
                Kind::Docker(container) => {
                    container.end(&self.inner.folder).map_err(io::Error::other)?;
                }
            }
            let made = self.inner.made.lock().map(|mut made| std::mem::take(&mut *made));
            made.unwrap_or_default().into_iter().for_each(Made::remove);
            Ok(())
        })
        .await
        .map_err(io::Error::other)?
    }
}

/// One method for each plain request: its words in, its answer out.
macro_rules! requests {
    ($($(#[$doc:meta])* $name:ident($request:ty) -> $reply:ty = $variant:ident;)*) => {
        impl Sandbox {
            $(
                $(#[$doc])*
                pub async fn $name(&self, request: $request) -> Result<$reply, Error> {
                    match self.request(Request::$variant(request)).await? {
                        Reply::$variant(reply) => Ok(reply),
                        _ => Err(Error::Unexpected),
                    }
                }
            )*
        }
    };
}

requests! {
    /// Reads what a command has printed so far.
    output(message::OutputRequest) -> message::Output = Output;
    /// Reads a file.
    read(message::ReadRequest) -> message::Read = Read;
    /// Writes a file as a whole.
    write(message::WriteRequest) -> message::Write = Write;
    /// Changes a file.
    edit(message::EditRequest) -> message::Edit = Edit;
    /// Says what a change would do.
    preview(message::PreviewRequest) -> message::Preview = Preview;
    /// Finds files by name.
    glob(message::GlobRequest) -> message::Glob = Glob;
    /// Finds text in files.
    grep(message::GrepRequest) -> message::Grep = Grep;
    /// Says what lies at a path.
    stat(message::StatRequest) -> message::Stat = Stat;
}

/// Ends the box with this folder, if it lives, whoever made it.
pub async fn stop_by_folder(folder: PathBuf) -> io::Result<bool> {
    let stopped =
        tokio::task::spawn_blocking(move || match (alive_in(&folder), docker::find(&folder)) {
            (Some(alive), _) => end(&alive).map(|()| true),
            (None, Some(container)) => container.end(&folder).map_err(io::Error::other),
            (None, None) => Ok(false),
        });
    stopped.await.map_err(io::Error::other)?
}

fn open(spec: &SandboxSpec) -> Result<Sandbox, OpenError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(&spec.folder)?;
    if spec.config.env == Environment::Docker {
        return open_container(spec);
    }
    let (order, notes) = spec.order()?;
    let deadline = Instant::now() + TAKEN_MAX;
    loop {
        if let Some((alive, connection)) = attach(&order)? {
            return Ok(sandbox(&order, spec, (alive, connection, notes, true)));
        }
        if let Some((alive, connection)) = start(&order, spec.program.as_deref())? {
            return Ok(sandbox(&order, spec, (alive, connection, notes, false)));
        }
        if Instant::now() > deadline {
            return Err(OpenError::Silent { id: order.id });
        }
        std::thread::sleep(TAKEN_PAUSE);
    }
}

fn open_container(spec: &SandboxSpec) -> Result<Sandbox, OpenError> {
    let (order, notes) = spec.order()?;
    let opened = docker::open(spec, &order.binds)?;
    let report = Report::of_container(opened.user.uid);
    Ok(Sandbox {
        inner: Arc::new(Inner {
            connection: opened.connection,
            kind: Kind::Docker(opened.container),
            report,
            folder: order.folder,
            made: Mutex::new(opened.made),
            env: opened.env,
            notes,
            attached: opened.attached,
        }),
    })
}

fn sandbox(
    order: &Order,
    spec: &SandboxSpec,
    (alive, connection, notes, attached): (Alive, Connection, Vec<String>, bool),
) -> Sandbox {
    let env = spec::base_env(alive.report.namespaces, &order.folder, &spec.config.local.env);
    let folder = order.folder.clone();
    let (report, made) = (alive.report.clone(), Mutex::default());
    let kind = Kind::Local(alive);
    Sandbox {
        inner: Arc::new(Inner { connection, kind, report, folder, made, env, notes, attached }),
    }
}

/// Connects to the box if it lives; `None` if it does not, or not any more.
fn attach(order: &Order) -> Result<Option<(Alive, Connection)>, OpenError> {
    let Some(alive) = alive_in(&order.folder) else { return Ok(None) };
    if alive.order_sha256 != order.sha256() {
        return Err(OpenError::Different { id: order.id.clone() });
    }
    hide_socket(&order.folder);
    let folder = mounts::folder(&order.folder)?;
    // Through the descriptor, since the path of a socket has to be short.
    let socket = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd());
    let Ok(stream) = UnixStream::connect(socket) else { return Ok(None) };
    connect(stream).map(|connection| Some((alive, connection)))
}

/// Moves the toolbox's socket out of what the box sees of its state; it stays the same socket.
fn hide_socket(folder: &Path) {
    // Moved before, or not there yet: then there is nothing to connect to either.
    let _ = fs::rename(folder.join("state").join(SOCKET), folder.join(SOCKET));
}

fn connect(stream: UnixStream) -> Result<Connection, OpenError> {
    let client = Client::connect(stream.try_clone()?, stream.try_clone()?, "polos-sandbox")?;
    Ok(Connection { client, stream })
}

/// What the folder says of a box, if its keeper lives.
fn alive_in(folder: &Path) -> Option<Alive> {
    let alive: Alive = serde_json::from_slice(&fs::read(folder.join("box.json")).ok()?).ok()?;
    alive.keeper.open().map(|_| alive)
}

/// Starts a keeper; `None` if another holds the box.
fn start(order: &Order, program: Option<&Path>) -> Result<Option<(Alive, Connection)>, OpenError> {
    let (ours, theirs) = UnixStream::pair()?;
    let log = log_file(&order.folder)?;
    let program = program.map_or_else(std::env::current_exe, |path| Ok(path.to_owned()))?;
    let mut keeper = Command::new(program)
        .arg(SUBCOMMAND)
        .env_clear()
        .current_dir("/")
        .stdin(order::seal(order)?)
        .stdout(Stdio::from(OwnedFd::from(theirs)))
        .stderr(log)
        .spawn()?;
    std::thread::Builder::new().name("polos-keeper".to_owned()).spawn(move || keeper.wait())?;
    ours.set_read_timeout(Some(START_MAX))?;
    let announcement = read_announcement(&ours)?;
    ours.set_read_timeout(None)?;
    match announcement {
        Announcement::Ready(alive) => {
            let connection = connect(ours)?;
            // No command has been asked for yet, so none has seen it.
            hide_socket(&order.folder);
            Ok(Some((alive, connection)))
        }
        Announcement::Taken => Ok(None),
        Announcement::Refused { message } => Err(OpenError::Refused(message)),
    }
}

fn log_file(folder: &Path) -> io::Result<File> {
    File::options().create(true).append(true).mode(0o600).open(folder.join("log"))
}

/// Reads one line and not a byte more: what follows belongs to the toolbox.
fn read_announcement(mut stream: &UnixStream) -> Result<Announcement, OpenError> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < ANNOUNCEMENT_BYTES_MAX {
        match stream.read(&mut byte) {
            Ok(0) => break,
            Ok(_) if byte[0] == b'\n' => break,
            Ok(_) => line.push(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    if line.is_empty() {
        let message = "the keeper ended without a word; its log is in the box's folder".to_owned();
        return Err(OpenError::Refused(message));
    }
    serde_json::from_slice(&line).map_err(|error| OpenError::Io(error.into()))
}

/// Kills the first process, and waits until the keeper has cleared away.
fn end(alive: &Alive) -> io::Result<()> {
    let Some(keeper) = alive.keeper.open() else { return Ok(()) };
    if let Some(first) = alive.first.open() {
        match rustix::process::pidfd_send_signal(&first, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    if !ends_within(&keeper, STOP_MAX)? {
        rustix::process::pidfd_send_signal(&keeper, Signal::KILL)?;
        ends_within(&keeper, STOP_MAX)?;
    }
    Ok(())
}

fn ends_within(process: &OwnedFd, limit: Duration) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let limit = Timespec { tv_sec: i64::try_from(limit.as_secs()).unwrap_or(0), tv_nsec: 0 };
    let mut fds = [PollFd::from_borrowed_fd(process.as_fd(), PollFlags::IN)];
    Ok(poll(&mut fds, Some(&limit))? > 0)
}
