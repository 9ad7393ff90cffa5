//! A server in this process for as long as one command takes, under the lock and the token of the
//! data directory: nobody needs to start one first. Whoever comes meanwhile attaches to it.

use crate::context::Server;
use crate::crew::{Crew, Wanted};
use crate::host;
use crate::project::Project;
use crate::talk;
use anyhow::Result;
use polos_server::serve::Options;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// What takes longer than this is told.
const SILENT: Duration = Duration::from_secs(1);
/// Where it listens: on any free port.
const LISTEN: &str = "127.0.0.1:0";

/// A server of this process, and the workers of the project if a run is to go on.
#[derive(Debug)]
pub(crate) struct Embedded {
    /// Where it is.
    pub(crate) server: Server,
    /// The workers, if there are any.
    pub(crate) crew: Option<Crew>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), polos_server::Error>>,
}

impl Embedded {
    /// Starts a server for a command that only asks. Others do not see it; they wait until it is
    /// gone.
    pub(crate) async fn start(directory: PathBuf) -> Result<Self> {
        let mut options = Options::new(directory);
        options.announces = false;
        Ok(Self::serve(options).await?.0)
    }

    /// Starts a server that others find, and workers of the project.
    pub(crate) async fn with_crew(directory: PathBuf, wanted: Wanted<'_>) -> Result<Self> {
        let project = Project::find(&std::env::current_dir()?)?;
        let (mut embedded, handle) = Self::serve(Options::new(directory.clone())).await?;
        let server = &embedded.server;
        match Crew::start(&project, &directory, server, &handle, wanted).await {
            Ok(crew) => embedded.crew = Some(crew),
            Err(error) => {
                embedded.end().await;
                return Err(error);
            }
        }
        Ok(embedded)
    }

    async fn serve(mut options: Options) -> Result<(Self, polos_server::Handle)> {
        LISTEN.clone_into(&mut options.listen);
        let running = host::start(options).await?;
        let server = Server { url: running.url().to_owned(), token: running.token().to_owned() };
        let handle = running.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(running.run(async {
            stopped.await.ok();
        }));
        Ok((Self { server, crew: None, stop, serving }, handle))
    }

    /// Ends the workers, then the server: all that is recorded stays.
    pub(crate) async fn end(self) {
        if let Some(crew) = self.crew {
            let told = async {
                tokio::time::sleep(SILENT).await;
                talk::say("ending: steps that run may end first");
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = crew.end() => {}
                () = told => {}
            }
        }
        self.stop.send(()).ok();
        self.serving.await.ok();
    }
}
