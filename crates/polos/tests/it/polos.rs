//! Starts the program, and servers that end with the test.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long a server may take to say that it is there, or a run to get where it is awaited.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder with a data directory of its own, and the program run in it.
pub(crate) struct Polos {
    folder: tempfile::TempDir,
}

/// A long-running command; it ends with the test.
pub(crate) struct Running {
    child: Child,
    /// What it said first on standard output.
    pub(crate) first: String,
}

/// What a command wrote, and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Polos {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder().join(".polos")
    }

    /// A command in the folder, which knows nothing of the machine's own settings.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_polos"));
        command.args(args).current_dir(self.folder()).env("COLUMNS", "100").env("NO_COLOR", "1");
        for name in ["POLOS_URL", "POLOS_TOKEN", "ANTHROPIC_API_KEY", "OPENAI_API_KEY"] {
            command.env_remove(name);
        }
        command.env("POLOS_DATA_DIR", self.data_dir());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::from(self.command(args).stdin(Stdio::null()).output().unwrap())
    }

    /// Runs a command that must succeed, and gives what it printed.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "polos {args:?}: {ran:#?}");
        ran.out
    }

    /// Runs a command that must succeed, and reads the JSON that it printed.
    pub(crate) fn json(&self, args: &[&str]) -> serde_json::Value {
        let out = self.ok(&[args, &["--json"]].concat());
        serde_json::from_str(out.lines().last().unwrap_or_default()).unwrap()
    }

    /// Starts a command that goes on, and waits for its first line.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let mut command = self.command(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, receiver) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                sender.send(line).ok();
            }
        });
        let Ok(first) = receiver.recv_timeout(PATIENCE) else {
            child.kill().ok();
            let output = child.wait_with_output().unwrap();
            panic!("polos {args:?} said nothing: {}", String::from_utf8_lossy(&output.stderr));
        };
        // Whoever writes into a full pipe hangs.
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).count());
        Running { child, first }
    }

    /// Asks until the answer is what is awaited.
    pub(crate) fn until(
        &self,
        args: &[&str],
        awaited: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let value = self.json(args);
            if awaited(&value) {
                return value;
            }
            assert!(Instant::now() < end, "polos {args:?} stays at {value:#}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Running {
    /// Ends it as a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap_or(-1)
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(mut self) -> i32 {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
