//! The user's own worker: a shell command, started again when its files change or it ends.

use crate::changed::Changed;
use crate::project::Project;
use crate::talk;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long to wait before a worker that ended by itself is started again.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
/// How long a worker may take to end in good order.
const END_MAX: Duration = Duration::from_secs(10);

/// What the user's worker is, and where it finds the server.
#[derive(Debug)]
pub(crate) struct Own {
    command: String,
    folder: PathBuf,
    watched: Vec<PathBuf>,
    environment: [(&'static str, String); 2],
    /// How often it has ended by itself.
    ends: Arc<AtomicU32>,
}

/// A worker that is kept running.
#[derive(Debug)]
pub(crate) struct Running {
    /// The shell command.
    pub(crate) command: String,
    ends: Arc<AtomicU32>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Own {
    /// The worker of a project, if it has one.
    pub(crate) fn new(project: &Project, url: &str, token: &str) -> Option<Self> {
        Some(Self {
            command: project.dev.worker.clone()?,
            folder: project.folder.clone(),
            watched: project.watched(),
            environment: [("POLOS_URL", url.to_owned()), ("POLOS_TOKEN", token.to_owned())],
            ends: Arc::default(),
        })
    }

    /// Starts it, and keeps it running.
    pub(crate) fn start(self) -> Running {
        let (stop, stopped) = oneshot::channel();
        let (command, ends) = (self.command.clone(), self.ends.clone());
        let task = tokio::spawn(self.keep(stopped));
        Running { command, ends, stop, task }
    }

    async fn keep(self, mut stopped: oneshot::Receiver<()>) {
        let mut files = Changed::new(self.watched.clone());
        loop {
            let mut child = self.spawn();
            tokio::select! {
                _ = &mut stopped => {
                    if let Some(child) = &mut child {
                        end(child).await;
                    }
                    return;
                }
                () = self.ended(child.as_mut()) => {
                    tokio::select! {
                        _ = &mut stopped => return,
                        () = files.wait() => {}
                        () = tokio::time::sleep(AGAIN_AFTER) => {}
                    }
                }
                () = files.wait() => {
                    talk::say(&format!("files have changed: `{}` starts again", self.command));
                    if let Some(child) = &mut child {
                        end(child).await;
                    }
                }
            }
        }
    }

    /// Waits until it has ended by itself, and says so.
    async fn ended(&self, child: Option<&mut Child>) {
        if let Some(child) = child {
            let ended = child.wait().await;
            talk::say(&format!("`{}` has ended ({})", self.command, told(ended)));
        }
        self.ends.fetch_add(1, Ordering::Relaxed);
    }

    fn spawn(&self) -> Option<Child> {
        let mut command = shell(&self.command);
        command.current_dir(&self.folder);
        command.envs(self.environment.iter().map(|(name, value)| (*name, value)));
        match command.spawn() {
            Ok(child) => Some(child),
            Err(error) => {
                talk::say(&format!("`{}` cannot be started: {error}", self.command));
                None
            }
        }
    }
}

impl Running {
    /// True if it has ended by itself at least once.
    pub(crate) fn has_ended(&self) -> bool {
        self.ends.load(Ordering::Relaxed) > 0
    }

    /// Ends it in good order.
    pub(crate) async fn end(self) {
        self.stop.send(()).ok();
        self.task.await.ok();
    }
}

/// A shell command that ends with this process, and whose output is talk: standard output is ours.
pub(crate) fn shell(text: &str) -> Command {
    let mut command = Command::new("sh");
    // `exec` makes the shell become the command, so that it gets the signals itself.
    command.arg("-c").arg(format!("exec {text}"));
    command.kill_on_drop(true).stdin(Stdio::null()).stdout(std::io::stderr());
    command
}

fn told(ended: std::io::Result<ExitStatus>) -> String {
    ended.map_or_else(|error| error.to_string(), |status| status.to_string())
}

/// Asks it to end; ends it if it does not.
pub(crate) async fn end(child: &mut Child) {
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
