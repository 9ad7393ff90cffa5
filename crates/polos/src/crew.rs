//! The workers of a project, in and beside this process, for as long as one command takes.

use crate::context::Server;
use crate::exit::Problem;
use crate::native::{self, Native};
use crate::own::{self, Own};
use crate::project::Project;
use crate::talk;
use anyhow::Result;
use polos_protocol::DefinitionKind;
use polos_sdk::client::Client;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// How long the native worker may take to reach the server of its own process.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long the user's worker may take to bring what is wanted: it may have to be built first.
const BRING_MAX: Duration = Duration::from_mins(10);
/// Between two looks whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Between two words to whoever waits.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Which workers are wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted<'a> {
    /// The native one, to see its agents.
    Agents,
    /// All that the project has.
    All,
    /// All, and the native one has the agent of a file besides.
    With(&'a Path),
}

/// The workers of a project.
#[derive(Debug)]
pub(crate) struct Crew {
    /// The name of the agent whose file was given.
    pub(crate) named: Option<String>,
    agents: PathBuf,
    running: native::Running,
    own: Option<own::Running>,
    native: Native,
    tending: JoinHandle<()>,
}

impl Crew {
    /// Starts them on a server of this process.
    pub(crate) async fn start(
        project: &Project,
        data: &Path,
        server: &Server,
        handle: &polos_server::Handle,
        wanted: Wanted<'_>,
    ) -> Result<Self> {
        let client = Client::new(&server.url, &server.token)?;
        let mut native = Native::new(project.agents(), data.to_owned(), client);
        let named = match wanted {
            Wanted::With(file) => Some(native.add(file)?),
            Wanted::All | Wanted::Agents => None,
        };
        let running = native.start(handle)?;
        tokio::time::timeout(CONNECT_MAX, running.connected()).await.ok();
        let own = match wanted {
            Wanted::Agents => None,
            Wanted::All | Wanted::With(_) => Own::new(project, &server.url, &server.token),
        };
        let tended = native.clone();
        Ok(Self {
            named,
            agents: native.agents.clone(),
            running,
            own: own.map(Own::start),
            tending: tokio::spawn(async move { tended.tend().await }),
            native,
        })
    }

    /// Waits until a worker brings what is to run; says what it is.
    pub(crate) async fn brings(&self, client: &Client, name: &str) -> Result<DefinitionKind> {
        let began = Instant::now();
        let mut told = None::<Instant>;
        loop {
            let all = client.definitions(None).await?.items;
            if let Some(found) = all.iter().find(|status| status.definition.name == name) {
                return Ok(found.definition.kind);
            }
            let own = self.own.as_ref().filter(|own| !own.has_ended());
            let Some(own) = own.filter(|_| began.elapsed() < BRING_MAX) else {
                let names = all.iter().map(|status| status.definition.name.as_str());
                let known: Vec<_> =
                    names.filter(|name| *name != polos_agent::guest::NAME).collect();
                return Err(self.unknown(name, &known));
            };
            if told.is_none_or(|told| told.elapsed() > TELL_EVERY) {
                told = Some(Instant::now());
                talk::say(&format!("waiting for `{}` to bring `{name}`", own.command));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn unknown(&self, name: &str, known: &[&str]) -> anyhow::Error {
        let there = match known {
            [] => "there is none".to_owned(),
            known => format!("there is {}", known.join(", ")),
        };
        let own = match &self.own {
            Some(own) => format!("`{}` does not bring it", own.command),
            None => "`polos.toml` names no worker of your own".to_owned(),
        };
        Problem::new(
            "unknown_workflow",
            format!("no agent or workflow `{name}` is known here: {there}"),
            format!("agents are read from {}; {own}", self.agents.display()),
        )
    }

    /// Ends them in good order: what runs is given back, and boxes are stopped.
    pub(crate) async fn end(self) {
        if let Some(own) = self.own {
            own.end().await;
        }
        self.running.end().await;
        self.tending.abort();
        self.native.end().await;
    }
}
