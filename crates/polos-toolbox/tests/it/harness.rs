//! A toolbox with a workspace of its own, and words to speak to it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use polos_toolbox::Client;
use polos_toolbox::client::Error;
use polos_toolbox::message::{
    Connector, Exec, ExecResult, OutputLimits, Pipeline, Program, Refusal, Reply, Request, Stage,
    Stdin, Word,
};
use rustix::process::Pid;
use tempfile::TempDir;

/// A toolbox; it is killed when this is dropped.
pub(crate) struct Toolbox {
    pub(crate) client: Client,
    pub(crate) process: Child,
    pub(crate) folder: TempDir,
}

/// How a toolbox is started.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) more: Vec<String>,
}

pub(crate) fn start() -> Toolbox {
    start_with(&Options::default())
}

pub(crate) fn start_with(options: &Options) -> Toolbox {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("workspace")).unwrap();
    let mut process = spawn(folder.path(), options);
    let client = connect(&mut process);
    Toolbox { client, process, folder }
}

/// A toolbox that is process 1 of a box of its own, its state on a disk of `state_kib`.
///
/// `None` where this machine has no user namespaces, unless a sandbox is required.
pub(crate) fn start_boxed(state_kib: u32) -> Option<Toolbox> {
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["-Urpfm", "--mount-proc", "--kill-child", "sh", "-c", script, "sh"]);
        command
    };
    let able = unshare("true").status().is_ok_and(|status| status.success());
    if !able {
        let required = std::env::var_os("POLOS_REQUIRE_SANDBOX").is_some_and(|wish| wish == "1");
        assert!(!required, "this machine has no user namespaces");
        eprintln!("skipped: this machine has no user namespaces");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    for name in ["workspace", "state"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    let guarded = folder.path().join("workspace/guarded");
    fs::create_dir(&guarded).unwrap();
    fs::write(guarded.join("hook"), "kept\n").unwrap();
    let guarded = guarded.display();
    let script = format!(
        "mount -t tmpfs -o size={state_kib}k tmpfs \"$1\" && mount --bind {guarded} {guarded} \
         && mount -o remount,bind,ro {guarded} && shift && exec \"$@\""
    );
    let mut command = unshare(&script);
    command.arg(folder.path().join("state")).arg(env!("CARGO_BIN_EXE_polos-toolbox"));
    let mut process = serve(&mut command, folder.path(), &Options::default());
    let client = connect(&mut process);
    Some(Toolbox { client, process, folder })
}

pub(crate) fn spawn(folder: &Path, options: &Options) -> Child {
    serve(&mut Command::new(env!("CARGO_BIN_EXE_polos-toolbox")), folder, options)
}

fn serve(command: &mut Command, folder: &Path, options: &Options) -> Child {
    command
        .arg("serve")
        .arg("--state")
        .arg(folder.join("state"))
        .arg("--workspace")
        .arg(folder.join("workspace"))
        .args(["--name", "/workspace", "--ledger"])
        .arg(folder.join("ledger"))
        .args(&options.more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

pub(crate) fn connect(process: &mut Child) -> Client {
    let (stdin, stdout) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
    Client::connect(stdout, stdin, "test").unwrap()
}

impl Toolbox {
    pub(crate) fn workspace(&self) -> PathBuf {
        self.folder.path().join("workspace")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// The process that supervises the only command.
    pub(crate) fn supervisor(&self) -> Pid {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.process.id())).unwrap().flatten();
        let children = tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap());
        let children = children.collect::<String>();
        Pid::from_raw(children.trim().parse().unwrap()).unwrap()
    }

    /// Lines of the ledger: commands that were really started.
    pub(crate) fn started(&self) -> usize {
        fs::read_to_string(self.folder.path().join("ledger")).unwrap_or_default().lines().count()
    }

    /// A second connection, over the socket.
    pub(crate) fn connect_again(&self) -> Client {
        Client::connect_unix(&self.state().join("toolbox.sock"), "again").unwrap()
    }

    pub(crate) fn exec(&self, exec: Exec) -> ExecResult {
        match self.client.call(Request::Exec(exec)).unwrap() {
            Reply::Exec(result) => result,
            other => panic!("not a result: {other:?}"),
        }
    }

    pub(crate) fn shell(&self, id: &str, line: &str) -> ExecResult {
        self.exec(shell(id, line))
    }

    pub(crate) fn refused(&self, request: Request) -> Refusal {
        match self.client.call(request) {
            Err(Error::Refused(refusal)) => refusal,
            other => panic!("not refused: {other:?}"),
        }
    }
}

impl Drop for Toolbox {
    fn drop(&mut self) {
        let _ = self.client.call(Request::Shutdown);
        let _ = self.process.kill();
        let _ = self.process.wait();
        // A toolbox or supervisor that was killed by the test has left its commands to nobody.
        let limit = Instant::now() + Duration::from_secs(10);
        loop {
            let left = processes_in(self.folder.path());
            if left.is_empty() || Instant::now() > limit {
                break;
            }
            for pid in left {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Processes that work in a folder, or in one that was there.
pub(crate) fn processes_in(folder: &Path) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let within = entries.filter(|entry| {
        fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder))
    });
    within.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)).collect()
}

pub(crate) fn shell(id: &str, line: &str) -> Exec {
    of(id, Program::Shell { line: line.to_owned() })
}

pub(crate) fn plan(id: &str, pipelines: Vec<Pipeline>) -> Exec {
    of(id, Program::Plan { pipelines })
}

pub(crate) fn of(id: &str, program: Program) -> Exec {
    let path = std::env::var("PATH").unwrap();
    Exec {
        command: id.to_owned(),
        program,
        cwd: None,
        env: BTreeMap::from([("PATH".to_owned(), path)]),
        stdin: Stdin::None,
        timeout_ms: Some(30_000),
        background: false,
        limits: OutputLimits::default(),
    }
}

/// A pipeline of commands whose words are split at blanks.
pub(crate) fn pipeline(after: Connector, commands: &[&str]) -> Pipeline {
    Pipeline { after, stages: commands.iter().map(|command| stage(command)).collect() }
}

pub(crate) fn stage(command: &str) -> Stage {
    let argv = command.split(' ').map(|word| Word::Literal(word.to_owned())).collect();
    Stage { argv, redirects: Vec::new() }
}

/// Waits until something is so; panics when it does not come to be.
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    let limit = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < limit, "it never came to be: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A number of fixed length that no other test has, to know processes by.
pub(crate) fn new_mark() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let process = u64::from(std::process::id());
    1_000_000_000_000 + process * 1_000 + COUNT.fetch_add(1, Ordering::Relaxed)
}

/// Processes whose command line contains a mark, zombies left out.
pub(crate) fn processes_with(mark: &str) -> usize {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter(|entry| {
            let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let own = entry.file_name().to_string_lossy() == std::process::id().to_string();
            !own && String::from_utf8_lossy(&command).contains(mark)
        })
        .count()
}
