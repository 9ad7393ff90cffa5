//! One worker's connection: hello and welcome, then requests, each on a thread of its own.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use serde::Deserialize;
use serde_json::Value;

use super::{Server, request};
use crate::frame;
use crate::message::{Code, FromToolbox, Hello, Refusal, Reply, Stream, VERSION, Welcome};

/// Requests of one connection that are worked on at a time.
const REQUESTS_MAX: usize = 64;
/// Frames that wait to be written; live news beyond them is dropped.
const FRAMES_WAITING_MAX: usize = 256;

/// What comes in, with the request still to be understood: one that is not is refused by itself.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Incoming {
    Hello(Hello),
    Request { id: u64, request: Value },
}

/// Where the answers to one request go.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    id: u64,
    frames: SyncSender<Vec<u8>>,
    open: Arc<Mutex<bool>>,
}

/// Serves until the stream ends or says what cannot be understood.
pub(super) fn serve(server: &Arc<Server>, reader: impl Read, writer: impl Write + Send + 'static) {
    let (frames, waiting) = mpsc::sync_channel(FRAMES_WAITING_MAX);
    let open = Arc::new(Mutex::new(true));
    let writing = thread::spawn({
        let open = Arc::clone(&open);
        move || write_all(&waiting, writer, &open)
    });
    let fault = converse(server, reader, &frames, &open).err();
    if let Some(message) = fault {
        let outgoing = Outgoing { id: 0, frames: frames.clone(), open: Arc::clone(&open) };
        outgoing.send(&FromToolbox::Fault { message });
    }
    close(&open);
    drop(frames);
    // Requests under way still hold the channel; what they say now is thrown away.
    let _ = writing.join();
}

fn close(open: &Mutex<bool>) {
    *open.lock().unwrap_or_else(PoisonError::into_inner) = false;
}

fn is_open(open: &Mutex<bool>) -> bool {
    *open.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write_all(waiting: &Receiver<Vec<u8>>, mut writer: impl Write, open: &Mutex<bool>) {
    while let Ok(bytes) = waiting.recv() {
        if writer.write_all(&bytes).and_then(|()| writer.flush()).is_err() {
            close(open);
        }
    }
}

fn converse(
    server: &Arc<Server>,
    mut reader: impl Read,
    frames: &SyncSender<Vec<u8>>,
    open: &Arc<Mutex<bool>>,
) -> Result<(), String> {
    let outgoing = |id| Outgoing { id, frames: frames.clone(), open: Arc::clone(open) };
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
        if under_way.fetch_add(1, Ordering::SeqCst) >= REQUESTS_MAX {
            under_way.fetch_sub(1, Ordering::SeqCst);
            let message = format!("{REQUESTS_MAX} requests are under way");
            outgoing.finish(Err(Refusal::new(Code::Busy, message)));
            continue;
        }
        let (server, under_way) = (Arc::clone(server), Arc::clone(&under_way));
        thread::spawn(move || {
            let reply = request::understand(request)
                .and_then(|request| request::carry_out(&server, request, &outgoing));
            // Given back first: the worker may send the next as soon as it has the reply.
            under_way.fetch_sub(1, Ordering::SeqCst);
            outgoing.finish(reply);
        });
    }
    Ok(())
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
        is_open(&self.open)
    }

    /// Sends live news, unless too much waits already.
    pub(super) fn stream(&self, stream: Stream) {
        if let Ok(bytes) = frame::encode(&FromToolbox::Stream { id: self.id, stream }) {
            let _ = self.frames.try_send(bytes);
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
            let _ = self.frames.send(bytes);
        }
    }
}
