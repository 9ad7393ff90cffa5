//! The toolbox itself: serves connections, and outlives each of them for a while.
//!
//! The first connection is standard input and output; a later worker comes over the socket
//! `toolbox.sock` in the state directory. Without any, the grace runs; at its end everything that
//! runs is killed and the toolbox ends.

mod connection;
mod request;

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;

use crate::commands::Commands;
use crate::family::Family;
use crate::files::{Files, Mount, Roots};
use crate::inherit;
use crate::message::Refusal;
use crate::record;

/// How long the toolbox waits for the next worker, unless told otherwise.
pub const GRACE_DEFAULT: Duration = Duration::from_mins(10);
/// Workers connected at a time.
const CONNECTIONS_MAX: usize = 16;
/// Bytes passed on at a time.
const RELAY_BYTES: usize = 64 * 1024;
/// The socket's name in the state directory.
const SOCKET: &str = "toolbox.sock";

/// What a toolbox is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// A directory outside the workspace, for records of commands, the socket and notes.
    pub state: PathBuf,
    pub workspace: Mount,
    /// Further folders that the file tools may read.
    pub read_paths: Vec<Mount>,
    /// Whether the file tools reach what is mounted beneath their roots.
    pub cross_mounts: bool,
    /// A file that gets one line for each command that was really started.
    pub ledger: Option<PathBuf>,
    pub grace: Duration,
    /// Where later workers connect; in the state directory if absent.
    pub socket: Option<PathBuf>,
    pub peers: Peers,
    /// The arguments with which this program, executed again, becomes a supervisor.
    pub supervisor: Vec<OsString>,
}

/// Who may connect over the socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Peers {
    /// Whoever can open it.
    #[default]
    Any,
    /// Root only: where commands run as another user, a worker's process is told from theirs.
    Root,
}

/// Why a toolbox could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the state directory `{path}` cannot be used: {source}")]
    State { path: PathBuf, source: io::Error },
    #[error("another toolbox uses the state directory `{path}`\nhint: `attach` connects to it")]
    Taken { path: PathBuf },
    #[error(transparent)]
    Root(#[from] Refusal),
    #[error("the socket `{path}` cannot be made: {source}")]
    Socket { path: PathBuf, source: io::Error },
    #[error("this box does not let the toolbox supervise: {0}\nhint: it needs /proc")]
    Supervise(io::Error),
}

/// A toolbox that serves.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) files: Files,
    pub(crate) commands: Arc<Commands>,
    pub(crate) socket: PathBuf,
    connections: Mutex<Connections>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Connections {
    count: usize,
    shutdown: bool,
}

/// Serves until the grace is over or a worker says `Shutdown`.
pub fn serve(options: Options) -> Result<(), Error> {
    inherit::close_on_exec();
    let _lock = claim(&options.state)?;
    let socket = options.socket.clone().unwrap_or_else(|| options.state.join(SOCKET));
    let (grace, peers) = (options.grace, options.peers);
    let listener = listen(&socket, peers)?;
    let server = Arc::new(Server::new(options, socket)?);
    let accepting = Arc::clone(&server);
    thread::spawn(move || accepting.accept(&listener, peers));
    server.serve_standard_streams();
    server.wait(grace);
    server.commands.kill_all();
    // The next toolbox makes its own.
    let _ = fs::remove_file(&server.socket);
    Ok(())
}

/// Connects standard input and output to the toolbox that serves under a state directory.
pub fn attach(state: &Path) -> io::Result<()> {
    let socket = UnixStream::connect(state.join(SOCKET))?;
    // Not `Stdin` and `Stdout`, which hold back what they have.
    let stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let to_toolbox = socket.try_clone()?;
    thread::spawn(move || {
        // Whether it ended or failed, nothing more will come from there.
        let _ = relay(stdin, &to_toolbox);
        let _ = to_toolbox.shutdown(std::net::Shutdown::Write);
    });
    relay(socket, stdout)
}

/// Passes bytes on as soon as they come.
fn relay(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut buffer = vec![0; RELAY_BYTES];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Makes the state directory and locks it; it is ours for as long as the file is open.
fn claim(state: &Path) -> Result<File, Error> {
    let failed = |source| Error::State { path: state.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(state).map_err(failed)?;
    // A command of an earlier box may have taken our rights away.
    let _ = fs::set_permissions(state, Permissions::from_mode(0o700));
    fs::create_dir_all(record::commands_folder(state)).map_err(failed)?;
    record::take_back(state).map_err(failed)?;
    let lock = File::create(state.join("toolbox.lock")).map_err(failed)?;
    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| Error::Taken { path: state.to_owned() })?;
    Ok(lock)
}

/// Over what a dead toolbox left: the lock is ours.
fn listen(path: &Path, peers: Peers) -> Result<UnixListener, Error> {
    let failed = |source| Error::Socket { path: path.to_owned(), source };
    let _ = fs::remove_file(path);
    let listener = UnixListener::bind(path).map_err(failed)?;
    // Who is let in is looked at for each; root without its rights is like any other.
    let mode = if peers == Peers::Root { 0o666 } else { 0o600 };
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)?;
    Ok(listener)
}

impl Server {
    fn new(options: Options, socket: PathBuf) -> Result<Self, Error> {
        let family = Family::found().map_err(Error::Supervise)?;
        let mut readable = options.read_paths;
        // So that the model can read the whole of an output that was cut.
        readable.push(Mount::itself(&record::commands_folder(&options.state).to_string_lossy()));
        let roots = Roots::open(options.workspace, readable, options.cross_mounts)?;
        let state = options.state;
        let files = Files::new(roots, Some(state.clone()));
        let commands = Commands::new(state, options.ledger, options.supervisor, family);
        Ok(Self {
            files,
            commands: Arc::new(commands),
            socket,
            connections: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    fn serve_standard_streams(self: &Arc<Self>) {
        let input = io::stdin().as_fd().try_clone_to_owned();
        let output = io::stdout().as_fd().try_clone_to_owned();
        if let (Ok(input), Ok(output)) = (input, output) {
            self.connect(File::from(input), File::from(output));
        }
    }

    fn accept(self: &Arc<Self>, listener: &UnixListener, peers: Peers) {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { continue };
            if peers == Peers::Root && !is_roots(&stream) {
                continue;
            }
            let Ok(writer) = stream.try_clone() else { continue };
            self.connect(stream, writer);
        }
    }

    /// Serves on threads of its own, or closes the connection where there is no room for it.
    fn connect(
        self: &Arc<Self>,
        reader: impl Read + Send + 'static,
        writer: impl Write + Send + 'static,
    ) {
        let Some(seat) = self.enter() else { return };
        // A seat that could not be taken is given back with the thread's closure.
        let _ = thread::Builder::new().spawn(move || connection::serve(&seat.0, reader, writer));
    }

    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>) -> Option<Seat> {
        let mut connections = self.lock();
        if connections.count >= CONNECTIONS_MAX {
            return None;
        }
        connections.count += 1;
        self.changed.notify_all();
        Some(Seat(Arc::clone(self)))
    }

    /// Lets `wait` return, whoever is still connected.
    pub(crate) fn shut_down(&self) {
        self.lock().shutdown = true;
        self.changed.notify_all();
    }

    /// Returns when nobody has been connected for the grace.
    fn wait(&self, grace: Duration) {
        let mut connections = self.lock();
        let mut alone_since = None;
        while !connections.shutdown {
            if connections.count > 0 {
                alone_since = None;
                let woken = self.changed.wait(connections);
                connections = woken.unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let since = *alone_since.get_or_insert_with(Instant::now);
            let left = grace.saturating_sub(since.elapsed());
            if left.is_zero() {
                return;
            }
            let woken = self.changed.wait_timeout(connections, left);
            connections = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Whether root is at the other end.
fn is_roots(stream: &UnixStream) -> bool {
    let peer = rustix::net::sockopt::socket_peercred(stream);
    peer.is_ok_and(|peer| peer.uid.is_root())
}

/// One of the connections, for as long as it lives.
struct Seat(Arc<Server>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.lock().count -= 1;
        self.0.changed.notify_all();
    }
}
