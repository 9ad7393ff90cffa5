//! The user's own worker: a shell command, started again when its files change or it ends.

use crate::changed::Changed;
use crate::project::Project;
use crate::talk;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::process::{Child, Command};

/// How long to wait before a worker that ended by itself is started again.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
/// How long a worker may take to end in good order.
const END_MAX: Duration = Duration::from_secs(10);

/// What the user's worker is, and where it finds the server.
#[derive(Debug)]
pub(super) struct Own {
    command: String,
    folder: PathBuf,
    watched: Vec<PathBuf>,
    environment: [(&'static str, String); 2],
}

impl Own {
    /// The worker of a project, if it has one.
    pub(super) fn new(project: &Project, url: &str, token: &str) -> Option<Self> {
        Some(Self {
            command: project.dev.worker.clone()?,
            folder: project.folder.clone(),
            watched: project.watched(),
            environment: [("POLOS_URL", url.to_owned()), ("POLOS_TOKEN", token.to_owned())],
        })
    }

    /// Keeps it running.
    pub(super) async fn keep(self) {
        let mut files = Changed::new(self.watched.clone());
        loop {
            let Some(mut child) = self.start() else {
                files.wait().await;
                continue;
            };
            tokio::select! {
                ended = child.wait() => {
                    talk::say(&format!("`{}` has ended ({})", self.command, told(ended)));
                    tokio::select! {
                        () = files.wait() => {}
                        () = tokio::time::sleep(AGAIN_AFTER) => {}
                    }
                }
                () = files.wait() => {
                    talk::say(&format!("files have changed: `{}` starts again", self.command));
                    end(&mut child).await;
                }
            }
        }
    }

    fn start(&self) -> Option<Child> {
        let mut command = Command::new("sh");
        // `exec` makes the shell become the command, so that it gets the signals itself.
        command.arg("-c").arg(format!("exec {}", self.command)).current_dir(&self.folder);
        command.envs(self.environment.iter().map(|(name, value)| (*name, value)));
        command.kill_on_drop(true).stdin(std::process::Stdio::null());
        match command.spawn() {
            Ok(child) => Some(child),
            Err(error) => {
                talk::say(&format!("`{}` cannot be started: {error}", self.command));
                None
            }
        }
    }
}

fn told(ended: std::io::Result<ExitStatus>) -> String {
    ended.map_or_else(|error| error.to_string(), |status| status.to_string())
}

/// Asks it to end; ends it if it does not.
async fn end(child: &mut Child) {
    #[cfg(unix)]
    if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok())
        && let Some(process) = rustix::process::Pid::from_raw(id)
    {
        rustix::process::kill_process(process, rustix::process::Signal::TERM).ok();
    }
    if tokio::time::timeout(END_MAX, child.wait()).await.is_err() {
        child.kill().await.ok();
    }
}
