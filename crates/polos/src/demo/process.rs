//! The demo's server and worker: processes of this same program, which end with the demo, and which
//! it can kill as hard as the kernel can.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Pid, Signal};

use super::place::Place;
use crate::exit::Problem;

/// How long a child may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(5);
/// The lines of a log that an error quotes.
const LOG_LINES: usize = 6;

/// What a child is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Role {
    Server,
    Worker,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Worker => "worker",
        }
    }
}

/// A child process.
#[derive(Debug)]
pub(crate) struct Process {
    role: Role,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it. It must be called from a thread that lives as long as the demo: the kernel ends
    /// the child with the thread that started it.
    pub(crate) fn start(role: Role, place: &Place) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("this program does not know its own path")?;
        let log = place.log(role.name());
        let out = File::options().create(true).append(true).open(&log)?;
        let mut command = Command::new(program);
        command.arg("demo").arg("--dir").arg(place.root()).args(["--role", role.name()]);
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        // A group of its own: Ctrl-C is the demo's to hear, and it ends its children in order.
        command.process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start the {}", role.name()))?;
        Ok(Self { role, child, log })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it as `kill -9` does, and waits until it is gone.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().with_context(|| format!("cannot kill the {}", self.role.name()))?;
        self.child.wait()?;
        Ok(())
    }

    /// An error, with the end of its log, if it has ended by itself.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let end = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
        Err(Problem::new(
            "demo_process_ended",
            format!("the demo's {} has ended ({status}):\n{end}", self.role.name()),
            format!("the whole of what it said is in `{}`", self.log.display()),
        ))
    }

    /// Asks it to end, waits a while, and then does not ask any more.
    pub(crate) fn stop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            rustix::process::kill_process(pid, Signal::TERM).ok();
        }
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Asks the kernel to end this process with its parent, however that ends.
pub(crate) fn end_with_parent() -> anyhow::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))
        .context("the kernel does not tell of the parent's end")
}
