//! The worker's end of a connection: sends requests, hands back what comes.
//!
//! It needs no runtime: two threads own the two halves of the stream. Whoever lives in an async
//! runtime gives [`Client::send`] a callback that feeds a channel of its own.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::frame;
use crate::message::{
    FromToolbox, Hello, Refusal, Reply, Request, Stream, ToToolbox, VERSION, Welcome,
};

/// Why a request got no reply.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The toolbox refused, and says why.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The connection is gone; what became of the request is not known.
    #[error("the connection to the toolbox is lost: {0}")]
    Lost(String),
    /// The toolbox speaks another version.
    #[error("the toolbox offers protocol version {theirs}, this worker speaks {VERSION}")]
    Version { theirs: u32 },
}

/// What comes back for a request: any number of `Stream`, then one of the others.
#[derive(Debug)]
pub enum Incoming {
    Stream(Stream),
    Reply(Box<Reply>),
    Refused(Refusal),
    Lost(String),
}

type Handler = Box<dyn FnMut(Incoming) + Send>;

/// A connection to a toolbox. Clones share it; it ends when the stream does.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    outgoing: Sender<Vec<u8>>,
    welcome: Arc<Welcome>,
}

struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next_id: u64,
    waiting: HashMap<u64, Handler>,
    lost: Option<String>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Client").field("welcome", &self.welcome).finish_non_exhaustive()
    }
}

impl Client {
    /// Says hello, waits for the welcome, then serves the stream from two threads of its own.
    pub fn connect(
        mut reader: impl Read + Send + 'static,
        mut writer: impl Write + Send + 'static,
        peer: &str,
    ) -> Result<Self, Error> {
        frame::write(&mut writer, &ToToolbox::Hello(Hello::new(peer))).map_err(lost)?;
        let welcome = match frame::read::<FromToolbox>(&mut reader).map_err(lost)? {
            Some(FromToolbox::Welcome(welcome)) => welcome,
            Some(FromToolbox::Fault { message }) => return Err(Error::Lost(message)),
            Some(other) => return Err(Error::Lost(format!("no welcome but `{other:?}`"))),
            None => return Err(Error::Lost("it ended before the welcome".to_owned())),
        };
        if welcome.version != VERSION {
            return Err(Error::Version { theirs: welcome.version });
        }
        let shared = Arc::new(Shared { state: Mutex::default() });
        let (outgoing, queue) = mpsc::channel();
        let reading = Arc::clone(&shared);
        thread::spawn(move || reading.read_all(reader));
        let writing = Arc::clone(&shared);
        thread::spawn(move || writing.write_all(&queue, writer));
        Ok(Self { shared, outgoing, welcome: Arc::new(welcome) })
    }

    /// Connects to the socket of a toolbox that serves already.
    pub fn connect_unix(path: &Path, peer: &str) -> Result<Self, Error> {
        let socket = UnixStream::connect(path).map_err(|error| Error::Lost(error.to_string()))?;
        let reader = socket.try_clone().map_err(|error| Error::Lost(error.to_string()))?;
        Self::connect(reader, ClosesSocket(socket), peer)
    }

    /// What the toolbox said of itself.
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// Sends a request; `handler` is called, on the reading thread, with all that comes of it.
    ///
    /// It must not block: it would hold up every other request.
    pub fn send(
        &self,
        request: Request,
        handler: impl FnMut(Incoming) + Send + 'static,
    ) -> Result<u64, Error> {
        let id = self.shared.register(Box::new(handler))?;
        let sent = frame::encode(&ToToolbox::Request { id, request })
            .map_err(|error| error.to_string())
            .and_then(|bytes| self.outgoing.send(bytes).map_err(|error| error.to_string()));
        sent.map_err(|error| {
            self.shared.lock().waiting.remove(&id);
            Error::Lost(error)
        })?;
        Ok(id)
    }

    /// Sends a request and waits for its reply; streams are dropped.
    pub fn call(&self, request: Request) -> Result<Reply, Error> {
        self.call_with(request, |_| {})
    }

    /// Sends a request and waits for its reply; `on_stream` sees what comes before it.
    pub fn call_with(
        &self,
        request: Request,
        mut on_stream: impl FnMut(Stream),
    ) -> Result<Reply, Error> {
        let (sender, receiver) = mpsc::channel();
        self.send(request, move |incoming| {
            // A caller that has gone away needs no answer.
            let _ = sender.send(incoming);
        })?;
        loop {
            match receiver.recv() {
                Ok(Incoming::Stream(stream)) => on_stream(stream),
                Ok(Incoming::Reply(reply)) => return Ok(*reply),
                Ok(Incoming::Refused(refusal)) => return Err(refusal.into()),
                Ok(Incoming::Lost(why)) => return Err(Error::Lost(why)),
                Err(_) => return Err(Error::Lost("the reading thread ended".to_owned())),
            }
        }
    }

    /// Why the connection is gone, when it is.
    pub fn lost(&self) -> Option<String> {
        self.shared.lock().lost.clone()
    }
}

/// The writing half of a socket: ends the connection when it is dropped, whoever else reads it.
struct ClosesSocket(UnixStream);

impl Write for ClosesSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Drop for ClosesSocket {
    fn drop(&mut self) {
        // It may be closed already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&self, handler: Handler) -> Result<u64, Error> {
        let mut state = self.lock();
        if let Some(why) = &state.lost {
            return Err(Error::Lost(why.clone()));
        }
        state.next_id += 1;
        let id = state.next_id;
        state.waiting.insert(id, handler);
        Ok(id)
    }

    fn read_all(&self, mut reader: impl Read) {
        let why = loop {
            match frame::read::<FromToolbox>(&mut reader) {
                Ok(Some(message)) => {
                    if let Err(why) = self.dispatch(message) {
                        break why;
                    }
                }
                Ok(None) => break "the toolbox closed it".to_owned(),
                Err(error) => break error.to_string(),
            }
        };
        self.lose(&why);
    }

    fn dispatch(&self, message: FromToolbox) -> Result<(), String> {
        match message {
            FromToolbox::Stream { id, stream } => self.stream(id, stream),
            FromToolbox::Reply { id, reply } => return self.finish(id, Incoming::Reply(reply)),
            FromToolbox::Refused { id, refusal } => {
                return self.finish(id, Incoming::Refused(refusal));
            }
            FromToolbox::Fault { message } => return Err(message),
            FromToolbox::Welcome(_) => return Err("a second welcome".to_owned()),
        }
        Ok(())
    }

    /// Handlers are called without the lock, so that they may send.
    fn stream(&self, id: u64, stream: Stream) {
        let handler = self.lock().waiting.remove(&id);
        if let Some(mut handler) = handler {
            handler(Incoming::Stream(stream));
            let mut state = self.lock();
            if let Some(why) = state.lost.clone() {
                drop(state);
                handler(Incoming::Lost(why));
            } else {
                state.waiting.insert(id, handler);
            }
        }
    }

    fn finish(&self, id: u64, incoming: Incoming) -> Result<(), String> {
        let handler = self.lock().waiting.remove(&id);
        let mut handler = handler.ok_or_else(|| format!("a reply to no request, id {id}"))?;
        handler(incoming);
        Ok(())
    }

    fn lose(&self, why: &str) {
        let waiting = {
            let mut state = self.lock();
            state.lost.get_or_insert_with(|| why.to_owned());
            std::mem::take(&mut state.waiting)
        };
        for (_, mut handler) in waiting {
            handler(Incoming::Lost(why.to_owned()));
        }
    }

    fn write_all(&self, queue: &Receiver<Vec<u8>>, mut writer: impl Write) {
        while let Ok(bytes) = queue.recv() {
            if let Err(error) = writer.write_all(&bytes).and_then(|()| writer.flush()) {
                self.lose(&format!("writing failed: {error}"));
                return;
            }
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to `map_err`")]
fn lost(error: frame::Error) -> Error {
    Error::Lost(error.to_string())
}
