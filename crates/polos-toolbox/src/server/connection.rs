//! One worker's connection: hello and welcome, then requests, each on a thread of its own.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::Server;
use super::request::{self, Ordered};
use crate::frame;
use crate::message::{Code, FromToolbox, Hello, Refusal, Reply, Request, Stream, VERSION, Welcome};
use crate::room;

/// Requests of one connection that are worked on at a time.
const REQUESTS_MAX: usize = 64;
/// Frames that wait to be written; live news beyond them is dropped.
const ITEMS_WAITING_MAX: usize = 256;
/// How long the last word may take to be written.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// What comes in, with the request still to be understood: one that is not is refused by itself.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Incoming {
    Hello(Hello),
    Request { id: u64, request: Value },
}

/// What the writing thread is given.
#[derive(Debug)]
enum Item {
    Frame(Vec<u8>),
    /// To be told when all before it is written.
    Barrier(Sender<()>),
    /// Nothing more is to be written.
    End,
}

/// Where the answers to one request go.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    id: u64,
    items: SyncSender<Item>,
    open: Arc<AtomicBool>,
}

/// Serves until the stream ends or says what cannot be understood.
pub(super) fn serve(server: &Arc<Server>, reader: impl Read, writer: impl Write + Send + 'static) {
    let (items, waiting) = mpsc::sync_channel(ITEMS_WAITING_MAX);
    let open = Arc::new(AtomicBool::new(true));
    let outgoing = Outgoing { id: 0, items, open };
    let writing = thread::Builder::new().spawn({
        let open = Arc::clone(&outgoing.open);
        move || write_all(&waiting, writer, &open)
    });
    if writing.is_err() {
        return;
    }
    if let Err(message) = converse(server, reader, &outgoing) {
        outgoing.send(&FromToolbox::Fault { message });
    }
    outgoing.open.store(false, Ordering::Relaxed);
    // Requests under way still hold the channel, so the writing thread must be told. Where the
    // channel is full it hangs on a peer that does not read, and ends with that.
    let _ = outgoing.items.try_send(Item::End);
}

fn write_all(waiting: &Receiver<Item>, mut writer: impl Write, open: &AtomicBool) {
    while let Ok(item) = waiting.recv() {
        match item {
            Item::Frame(bytes) => {
                if writer.write_all(&bytes).and_then(|()| writer.flush()).is_err() {
                    open.store(false, Ordering::Relaxed);
                    return;
                }
            }
            // Whoever waits for it may have given up.
            Item::Barrier(reached) => drop(reached.send(())),
            Item::End => return,
        }
    }
}

fn converse(
    server: &Arc<Server>,
    mut reader: impl Read,
    connection: &Outgoing,
) -> Result<(), String> {
    let outgoing = |id| Outgoing { id, ..connection.clone() };
    match next(&mut reader)? {
        Some(Incoming::Hello(hello)) => outgoing(0).send(&welcome(server, &hello)?),
        Some(Incoming::Request { .. }) => return Err("a request before the hello".to_owned()),
        None => return Ok(()),
    }
    let under_way = Arc::new(AtomicUsize::new(0));
    while let Some(incoming) = next(&mut reader)? {
        let Incoming::Request { id, request } = incoming else {
            return Err("a second hello".to_owned());
        };
        let outgoing = outgoing(id);
        // The thread comes first: what has begun must have somebody who waits for it.
        let ready = Place::take(&under_way).zip(hand());
        let Some((place, hand)) = ready else {
            let message = format!("no more than {REQUESTS_MAX} requests, or no room for a thread");
            outgoing.finish(Err(Refusal::new(Code::Busy, message)));
            continue;
        };
        let request = request::understand(request);
        let ends = matches!(request, Ok(Request::Shutdown));
        let ordered = request.and_then(|request| request::in_order(server, request));
        let rest = Rest { server: Arc::clone(server), outgoing, ends };
        // It waits for just this.
        let _ = hand.send(Box::new(move || rest.carry_out(ordered, place)));
    }
    Ok(())
}

/// What a thread of its own carries out.
type Job = Box<dyn FnOnce() + Send>;

/// A thread that waits for one job, if there is room for it.
fn hand() -> Option<Sender<Job>> {
    let start = || {
        let (sender, job) = mpsc::channel::<Job>();
        thread::Builder::new().spawn(move || {
            if let Ok(job) = job.recv() {
                job();
            }
        })?;
        Ok(sender)
    };
    room::wait(start).ok()
}

/// What is left of a request, for a thread of its own.
struct Rest {
    server: Arc<Server>,
    outgoing: Outgoing,
    /// Whether the toolbox ends with it.
    ends: bool,
}

impl Rest {
    fn carry_out(self, ordered: Result<Ordered, Refusal>, place: Place) {
        let Self { server, outgoing, ends } = self;
        let reply = ordered.and_then(|ordered| request::carry_out(&server, ordered, &outgoing));
        // Given back first: the worker may send the next as soon as it has the reply.
        drop(place);
        outgoing.finish(reply);
        if ends {
            outgoing.flush();
            server.shut_down();
        }
    }
}

/// One of the places for requests under way.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(under_way: &Arc<AtomicUsize>) -> Option<Self> {
        let place = Self(Arc::clone(under_way));
        (under_way.fetch_add(1, Ordering::SeqCst) < REQUESTS_MAX).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn next(reader: &mut impl Read) -> Result<Option<Incoming>, String> {
    frame::read(reader).map_err(|error| error.to_string())
}

fn welcome(server: &Server, hello: &Hello) -> Result<FromToolbox, String> {
    let (low, high) = (hello.version_min, hello.version_max);
    if !(low..=high).contains(&VERSION) {
        return Err(format!("versions {low} to {high} are offered, this toolbox speaks {VERSION}"));
    }
    let roots = server.files.roots();
    Ok(FromToolbox::Welcome(Welcome {
        version: VERSION,
        toolbox: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        arch: std::env::consts::ARCH.to_owned(),
        workspace: roots.workspace().to_owned(),
        read_paths: roots.readable(),
        running: server.commands.running(),
        socket: Some(server.socket.display().to_string()),
    }))
}

impl Outgoing {
    /// Whether somebody still listens.
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// Sends live news, unless too much waits already.
    pub(super) fn stream(&self, stream: Stream) {
        if let Ok(bytes) = frame::encode(&FromToolbox::Stream { id: self.id, stream }) {
            let _ = self.items.try_send(Item::Frame(bytes));
        }
    }

    /// Waits until all that was sent is written, within reason.
    fn flush(&self) {
        let (sender, reached) = mpsc::channel();
        if self.items.try_send(Item::Barrier(sender)).is_ok() {
            let _ = reached.recv_timeout(FLUSH_MAX);
        }
    }

    fn finish(&self, reply: Result<Reply, Refusal>) {
        let id = self.id;
        self.send(&match reply {
            Ok(reply) => FromToolbox::Reply { id, reply: Box::new(reply) },
            Err(refusal) => FromToolbox::Refused { id, refusal },
        });
    }

    fn send(&self, message: &FromToolbox) {
        let bytes = frame::encode(message).or_else(|error| {
            let refusal = Refusal::new(Code::TooLarge, error.to_string());
            frame::encode(&FromToolbox::Refused { id: self.id, refusal })
        });
        if let Ok(bytes) = bytes {
            // A worker that is gone needs no answer.
            let _ = self.items.send(Item::Frame(bytes));
        }
    }
}
