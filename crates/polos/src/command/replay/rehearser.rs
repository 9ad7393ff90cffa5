//! Workers that answer dry replays: the native one in this process, and the user's own as a process
//! that reaches no server.

use crate::context::Context;
use crate::exit::Problem;
use crate::native::{self, Native};
use crate::own;
use crate::project::Project;
use crate::talk;
use anyhow::{Context as _, Result};
use futures_util::{SinkExt as _, StreamExt as _};
use polos_protocol::frame::{
    Append, Blob, FromServer, FromWorker, Hello, REPLAY_VARIABLE, Replayed,
};
use polos_protocol::{Record, RunId};
use polos_sdk::client::Client;
use polos_sdk::worker::Link;
use std::collections::HashSet;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::process::Child;

/// How many records one page brings.
const PAGE_RECORDS: u32 = 500;
/// How long the user's worker may take to say hello: it may have to be built first.
const HELLO_MAX: Duration = Duration::from_mins(10);
/// How long it may take for one run.
const RUN_MAX: Duration = Duration::from_mins(1);
/// Between two words to whoever waits.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// Where nobody listens: a worker that knows no dry replay must not find a server.
const NO_SERVER: &str = "http://127.0.0.1:9";

/// A worker that answers dry replays.
pub(super) struct Rehearser {
    /// For people.
    name: String,
    link: Link,
    definitions: HashSet<String>,
    process: Option<(Child, SocketDir)>,
}

impl Rehearser {
    /// The workers of a project, as far as it has any.
    pub(super) async fn all(project: &Project, context: &Context) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        all.extend(Self::native(project, context).await?);
        if let Some(command) = &project.dev.worker {
            all.push(Self::own(project, command).await?);
        }
        Ok(all)
    }

    /// The native worker, with the agents as their files stand now.
    async fn native(project: &Project, context: &Context) -> Result<Option<Self>> {
        let native = Native::new(project.agents(), context.data_dir()?, context.client().await?);
        if native.count()? == 0 {
            return Ok(None);
        }
        let builder = native.builder()?.without_server();
        let worker = builder.build().map_err(|error| native::worker_problem(&error))?;
        let (theirs, ours) = Link::pair();
        tokio::spawn(worker.rehearse(theirs));
        Self::greet("the agents".to_owned(), ours, None).await.map(Some)
    }

    /// The user's own worker.
    async fn own(project: &Project, command: &str) -> Result<Self> {
        let place = SocketDir::new()?;
        let listener = UnixListener::bind(place.socket())?;
        let mut child = own::shell(command)
            .current_dir(&project.folder)
            .env(REPLAY_VARIABLE, place.socket())
            .env("POLOS_URL", NO_SERVER)
            .env("POLOS_TOKEN", "dry-replay")
            .spawn()
            .with_context(|| format!("`{command}` cannot be started"))?;
        let waiting = async {
            loop {
                tokio::time::sleep(TELL_EVERY).await;
                talk::say(&format!("waiting for `{command}`"));
            }
        };
        let stream = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            ended = child.wait() => {
                let ended = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
                return Err(mute(&quoted(command), &format!("it has ended ({ended})")));
            }
            () = tokio::time::sleep(HELLO_MAX) => {
                return Err(mute(&quoted(command), "it does not ask for any"));
            }
            () = waiting => return Err(mute(&quoted(command), "nobody waits for it")),
        };
        Self::greet(quoted(command), Link::lines(stream), Some((child, place))).await
    }

    async fn greet(name: String, link: Link, process: Option<(Child, SocketDir)>) -> Result<Self> {
        let mut rehearser = Self { name, link, definitions: HashSet::new(), process };
        match rehearser.hear().await? {
            FromWorker::Hello(Hello { definitions, .. }) => {
                rehearser.definitions.extend(definitions.into_iter().map(|d| d.name));
                Ok(rehearser)
            }
            other => Err(mute(&rehearser.name, &format!("it says `{}` first", other.kind()))),
        }
    }

    /// True if it has the code of this.
    pub(super) fn runs(&self, workflow: &str) -> bool {
        self.definitions.contains(workflow)
    }

    /// Has it replay a run, with all that it asks for.
    pub(super) async fn replay(&mut self, client: &Client, run: RunId) -> Result<Replayed> {
        let start = client.start_of(run).await?;
        let (assignment, end) = (start.assignment, start.seq);
        self.say(FromServer::Start(Box::new(start))).await?;
        loop {
            let answer = match self.hear().await? {
                FromWorker::Replayed(replayed) => return Ok(replayed),
                FromWorker::More(more) => {
                    let (records, seq) = page(client, run, more.seq, end).await?;
                    let more = seq < end;
                    FromServer::Append(Append { run, assignment, records, seq, more })
                }
                FromWorker::Fetch(fetch) => {
                    let text = client.value(&fetch.hash).await?.text().to_owned();
                    let size = text.len() as u64;
                    FromServer::Blob(Blob { hash: fetch.hash, size, offset: 0, text })
                }
                other => return Err(mute(&self.name, &format!("it says `{}`", other.kind()))),
            };
            self.say(answer).await?;
        }
    }

    /// Ends it.
    pub(super) async fn end(mut self) {
        self.link.sink.close().await.ok();
        if let Some((mut child, _place)) = self.process {
            own::end(&mut child).await;
        }
    }

    async fn say(&mut self, frame: FromServer) -> Result<()> {
        let sent = self.link.sink.send(frame.to_text()).await;
        sent.map_err(|error| mute(&self.name, &error.to_string()))
    }

    async fn hear(&mut self) -> Result<FromWorker> {
        let heard = tokio::time::timeout(RUN_MAX, self.link.stream.next()).await;
        let text = match heard {
            Ok(Some(Ok(text))) => text,
            Ok(Some(Err(error))) => return Err(mute(&self.name, &error.to_string())),
            Ok(None) => return Err(mute(&self.name, "it has gone")),
            Err(_) => {
                let why = format!("it says nothing for {} s", RUN_MAX.as_secs());
                return Err(mute(&self.name, &why));
            }
        };
        FromWorker::from_text(&text).map_err(|error| mute(&self.name, &error.to_string()))
    }
}

/// The records that stand, after one and up to the end that the replay began with; and up to where
/// they go.
async fn page(client: &Client, run: RunId, after: u64, end: u64) -> Result<(Vec<Record>, u64)> {
    let page = client.journal(run, after, Some(PAGE_RECORDS)).await?;
    let last = page.records.last().map_or(end, |entry| entry.record.seq).min(end);
    let standing = page.records.into_iter().filter(|entry| !entry.superseded);
    let records = standing.map(|entry| entry.record).filter(|record| record.seq <= end);
    Ok((records.collect(), last))
}

fn quoted(command: &str) -> String {
    format!("`{command}`")
}

fn mute(name: &str, why: &str) -> anyhow::Error {
    Problem::new(
        "worker",
        format!("{name} does not answer dry replays: {why}"),
        "its SDK must know `POLOS_REPLAY`; check less with `--workflow NAME`",
    )
}

/// A folder for a socket, for this user alone; gone with its owner.
struct SocketDir(PathBuf);

impl SocketDir {
    fn new() -> Result<Self> {
        let parent = std::env::temp_dir();
        let path = parent.join(format!("polos-replay-{}", std::process::id()));
        let made = std::fs::DirBuilder::new().mode(0o700).create(&path);
        made.with_context(|| format!("cannot make folder `{}`", path.display()))?;
        Ok(Self(path))
    }

    fn socket(&self) -> PathBuf {
        Path::new(&self.0).join("socket")
    }
}

impl Drop for SocketDir {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}
