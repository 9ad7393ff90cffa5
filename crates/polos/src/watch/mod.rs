//! Follows a run and the runs that it starts, live: what they say, what they record, what they ask.

mod ask;
mod feed;
mod voice;

use crate::context::Context;
use crate::exit::{Exit, Problem};
use crate::{host, prompt, talk};
use anyhow::Result;
use feed::{Feed, Heard};
use polos_protocol::record::Open;
use polos_protocol::rest::RunEvent;
use polos_protocol::{Kind, Record, RunId, State};
use polos_sdk::client::{Client, ClientError};
use voice::Voice;

/// How to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Manner {
    /// Tell what is recorded and said, not only the end.
    pub(crate) tells: bool,
    /// Ask the person at the terminal what the run asks of people.
    pub(crate) asks: bool,
}

/// How the following ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The run has come to rest.
    Rest {
        /// In this state.
        state: State,
        /// What the run itself said last on standard output: an answer that needs no repeating.
        said: String,
    },
    /// The person does not want to watch any more; the run goes on.
    Detached,
}

impl Ended {
    /// The exit status that says so.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Rest { state, .. } => Exit::of_run(*state),
            Self::Detached => Exit::Interrupted,
        }
    }
}

/// Follows a run until it has ended or is blocked.
pub(crate) async fn follow(
    context: &Context,
    client: &Client,
    run: RunId,
    manner: Manner,
) -> Result<Ended> {
    let mut watch = Watch {
        feed: Feed::new(client.clone()),
        client: client.clone(),
        voice: Voice::new(context, run),
        manner,
        root: run,
    };
    watch.feed.follow(run);
    tokio::select! {
        ended = watch.until_rest() => ended.map_err(|error| orphaned(error, run)),
        () = host::asked_to_end() => {
            talk::say(&format!("\n{}", parting(context, run)));
            Ok(Ended::Detached)
        }
    }
}

/// A server that was another command's is gone with it; the run is not.
fn orphaned(error: anyhow::Error, run: RunId) -> anyhow::Error {
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Unreachable { .. }) => Problem::new(
            "no_answer",
            "the server has ended; nothing that is recorded is lost",
            format!("the run goes on with `polos runs tail {run}`, or with `polos dev`"),
        ),
        _ => error,
    }
}

/// What becomes of a run that is not watched any more.
fn parting(context: &Context, run: RunId) -> String {
    if context.embedded().is_some() {
        format!(
            "the run rests, and nothing that is recorded is done again; it goes on with `polos runs \
             tail {run}`, or with `polos dev`"
        )
    } else {
        format!(
            "the run goes on; watch it again with `polos runs tail {run}`, end it with `polos runs \
             cancel {run}`"
        )
    }
}

struct Watch {
    client: Client,
    feed: Feed,
    voice: Voice,
    manner: Manner,
    root: RunId,
}

impl Watch {
    async fn until_rest(&mut self) -> Result<Ended> {
        loop {
            let Heard { run, event } = self.feed.next().await?;
            if self.manner.tells {
                self.voice.tell(run, &event)?;
            }
            match event {
                RunEvent::Record(record) => self.recorded(run, &record).await?,
                RunEvent::State(state) if run == self.root && is_rest(state.state) => {
                    self.voice.end()?;
                    let said = self.voice.take_said();
                    return Ok(Ended::Rest { state: state.state, said });
                }
                RunEvent::State(_) | RunEvent::Stream(_) => {}
            }
        }
    }

    async fn recorded(&mut self, run: RunId, record: &Record) -> Result<()> {
        if record.kind() != Kind::Open {
            return Ok(());
        }
        match record.record.detail() {
            Ok(Open::Child(child)) if !child.detached => {
                self.feed.follow(RunId::derived(run.bytes(), record.key().as_str()));
            }
            Ok(Open::Approval(_)) => self.question(run, record).await?,
            _ => {}
        }
        Ok(())
    }

    /// A question to a person: put here, or told where to answer it.
    async fn question(&mut self, run: RunId, record: &Record) -> Result<()> {
        let Some(approval) = ask::pending(&self.client, run, record.key()).await? else {
            return Ok(());
        };
        self.voice.end()?;
        if self.manner.asks && prompt::is_possible() {
            return ask::put(&self.client, &approval).await;
        }
        talk::say(&format!("waits for a person: {}", approval.question.title));
        talk::say(&format!("  polos approvals show {}", approval.id));
        Ok(())
    }
}

fn is_rest(state: State) -> bool {
    state.is_ended() || state == State::Blocked
}
