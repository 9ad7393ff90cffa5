//! Dry replays by a worker: it connects to no server, and answers for each run that it is given
//! whether its code and the stored journal agree.

use crate::replay::{Need, Rehearsal, Settings};
use crate::worker::routes::Registered;
use crate::worker::transport::{Link, Transport, TransportError};
use crate::worker::{Error, Worker};
use futures_util::future::BoxFuture;
use futures_util::{SinkExt as _, StreamExt as _};
use polos_protocol::frame::{
    FetchRequest, Finding, FromServer, FromWorker, MoreRequest, REPLAY_VARIABLE, Replayed, Start,
};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// The socket of whoever wants dry replays, if this process was started for them.
pub(super) fn socket() -> Option<PathBuf> {
    std::env::var_os(REPLAY_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// The way to a server of a worker that must not reach one.
pub(super) struct Nowhere;

impl Transport for Nowhere {
    fn connect(&self) -> BoxFuture<'static, Result<Link, TransportError>> {
        let refused = TransportError::Refused("this worker only replays".to_owned());
        Box::pin(std::future::ready(Err(refused)))
    }
}

impl Worker {
    /// Answers dry replays over a connection until that ends. The worker's code runs against
    /// journals as they were stored; no step begins, and nothing is recorded.
    pub async fn rehearse(self, link: Link) -> Result<(), Error> {
        let hello = self.connection.hello.clone();
        let (workflows, build) = (self.routes.workflows.clone(), self.routes.build.clone());
        let mut stage = Stage { link, workflows, build };
        stage.say(FromWorker::Hello(hello)).await?;
        while let Some(frame) = stage.hear().await? {
            let FromServer::Start(start) = frame else { continue };
            let Some(replayed) = stage.rehearse(start).await? else { break };
            stage.say(FromWorker::Replayed(replayed)).await?;
        }
        Ok(())
    }

    /// The same over the socket that the environment names.
    #[cfg(unix)]
    pub(super) async fn rehearse_at(self, socket: PathBuf) -> Result<(), Error> {
        let stream = tokio::net::UnixStream::connect(&socket).await.map_err(|cause| {
            Error::Runtime(format!("`{}` ({REPLAY_VARIABLE}): {cause}", socket.display()))
        })?;
        self.rehearse(Link::lines(stream)).await
    }

    /// The same over the socket that the environment names.
    #[cfg(not(unix))]
    pub(super) async fn rehearse_at(self, _: PathBuf) -> Result<(), Error> {
        Err(Error::Runtime(format!("{REPLAY_VARIABLE} needs Unix sockets")))
    }
}

struct Stage {
    link: Link,
    workflows: HashMap<String, Registered>,
    build: Arc<str>,
}

impl Stage {
    async fn say(&mut self, frame: FromWorker) -> Result<(), Error> {
        let sent = self.link.sink.send(frame.to_text()).await;
        sent.map_err(|cause| Error::Runtime(cause.to_string()))
    }

    /// The next frame; nothing once the other side is gone.
    async fn hear(&mut self) -> Result<Option<FromServer>, Error> {
        let Some(Ok(text)) = self.link.stream.next().await else { return Ok(None) };
        FromServer::from_text(&text).map(Some).map_err(|cause| Error::Runtime(cause.to_string()))
    }

    /// Replays a run, dry; nothing if the other side is gone.
    async fn rehearse(&mut self, start: Box<Start>) -> Result<Option<Replayed>, Error> {
        let (run, assignment) = (start.run, start.assignment);
        let Some(registered) = self.workflows.get(&start.workflow) else {
            let message = format!("this worker does not run `{}`", start.workflow);
            let finding = Finding::Unchecked { message };
            return Ok(Some(Replayed {
                run,
                build: self.build.clone(),
                finding,
                notes: Vec::new(),
            }));
        };
        let mut settings = Settings::new(&self.build);
        if let Some(limit) = registered.definition.step_timeout_ms {
            settings.step_timeout_ms = limit;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_millis()).unwrap_or(0).max(start.now);
        let mut rehearsal = Rehearsal::new(start, registered.workflow.clone(), settings, now);
        loop {
            let asked = match rehearsal.go_on() {
                Need::Nothing(replayed) => return Ok(Some(*replayed)),
                Need::Page(seq) => FromWorker::More(MoreRequest { run, assignment, seq }),
                Need::Value(hash) => FromWorker::Fetch(FetchRequest { run, hash }),
            };
            self.say(asked).await?;
            match self.hear().await? {
                None => return Ok(None),
                Some(FromServer::Append(append)) => rehearsal.append(append),
                Some(FromServer::Blob(blob)) => rehearsal.value(blob),
                Some(other) => {
                    let kind = other.kind();
                    return Err(Error::Runtime(format!("`{kind}` came in a dry replay")));
                }
            }
        }
    }
}
