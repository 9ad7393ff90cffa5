//! Starts the pipelines of a plan, one after the other, without a shell.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::pipe::PipeFlags;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::BeforeCommand;
use super::control::Spec;
use super::expand;
use super::verdict::Exit;
use crate::message::{Connector, Pipeline, Program, Redirect, Stage, Word};
use crate::room;

/// Where bash is looked for; without it a line goes to `sh`.
const BASH: [&str; 3] = ["/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash"];
/// What shells answer for a program that is not there.
const NOT_FOUND: i32 = 127;
/// What shells answer for a program that cannot be executed.
const NOT_EXECUTABLE: i32 = 126;

/// One command of a pipeline that was started.
#[derive(Debug)]
pub(super) enum Process {
    Running { pid: Pid, pidfd: Option<OwnedFd> },
    Ended(Exit),
}

/// The ends of the pipes that the commands get.
#[derive(Debug)]
pub(super) struct Ends {
    /// `/dev/null` where absent.
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

/// What is still to be started, and how.
#[derive(Debug)]
pub(super) struct Launcher {
    pipelines: VecDeque<Pipeline>,
    env: Vec<(String, String)>,
    cwd: PathBuf,
    /// Given up after the last start, so that the ends of output can be seen.
    ends: Option<Ends>,
    before: Option<BeforeCommand>,
    /// The status of the last pipeline that ran.
    pub(super) last: Exit,
    /// The first process that was started.
    pub(super) first: Option<Pid>,
    pub(super) spawn_error: Option<String>,
    /// What a shell would print to standard error.
    pub(super) complaints: Vec<String>,
}

impl Launcher {
    pub(super) fn new(spec: &Spec, ends: Ends, before: Option<BeforeCommand>) -> Self {
        let pipelines = match &spec.program {
            Program::Plan { pipelines } => pipelines.clone().into(),
            Program::Shell { line } => [shell(line)].into(),
        };
        Self {
            pipelines,
            env: spec.env.clone().into_iter().collect(),
            cwd: spec.cwd.clone(),
            ends: Some(ends),
            before,
            last: Exit::Code(0),
            first: None,
            spawn_error: None,
            complaints: Vec::new(),
        }
    }

    /// Starts the next pipeline that is to run; `None` when there is no more.
    pub(super) fn next(&mut self) -> Option<Vec<Process>> {
        while let Some(pipeline) = self.pipelines.pop_front() {
            let runs = match pipeline.after {
                Connector::Always => true,
                Connector::And => self.last.is_success(),
                Connector::Or => !self.last.is_success(),
            };
            if runs {
                return Some(self.start(&pipeline));
            }
        }
        self.ends = None;
        None
    }

    /// Starts nothing more.
    pub(super) fn abandon(&mut self) {
        self.pipelines.clear();
        self.ends = None;
    }

    fn start(&mut self, pipeline: &Pipeline) -> Vec<Process> {
        if let [Stage { argv, .. }] = pipeline.stages.as_slice()
            && let Some(Word::Literal(name)) = argv.first()
            && name == "cd"
        {
            return vec![Process::Ended(self.change_directory(&argv[1..]))];
        }
        let Some(ends) = self.ends.take() else { return Vec::new() };
        let mut processes = Vec::with_capacity(pipeline.stages.len());
        let mut from_before = None;
        let mut group = None;
        for (index, stage) in pipeline.stages.iter().enumerate() {
            let is_last = index + 1 == pipeline.stages.len();
            let started = pipe_to_next(is_last).and_then(|(to_next, for_next)| {
                let wiring = Wiring {
                    stdin: if index == 0 { ends.stdin.as_ref() } else { from_before.as_ref() },
                    stdout: to_next.as_ref().unwrap_or(&ends.stdout),
                    stderr: &ends.stderr,
                    group,
                };
                let started = self.start_stage(stage, &wiring);
                from_before = for_next;
                started
            });
            let process = self.settle(stage, started);
            if let Process::Running { pid, .. } = &process {
                group.get_or_insert(*pid);
            }
            processes.push(process);
        }
        self.ends = Some(ends);
        processes
    }

    fn start_stage(&self, stage: &Stage, wiring: &Wiring<'_>) -> Result<Pid, Failure> {
        let argv = expand::words(&stage.argv, &self.cwd).map_err(Failure::other)?;
        let Some((program, arguments)) = argv.split_first() else {
            return Err(Failure::other("an empty command"));
        };
        let (stdout, stderr) = wiring.outputs(&stage.redirects)?;
        let mut command = Command::new(program);
        if let Some(before) = self.before {
            #[expect(unsafe_code, reason = "std has no safe way to act between fork and exec")]
            // SAFETY: this process has one thread, and a `BeforeCommand` only makes system calls.
            unsafe {
                command.pre_exec(before);
            }
        }
        command
            .args(arguments)
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.cwd)
            .process_group(wiring.group.map_or(0, |pid| pid.as_raw_nonzero().get()))
            .stdin(wiring.input()?)
            .stdout(stdout)
            .stderr(stderr);
        let child =
            room::wait(|| command.spawn()).map_err(|error| self.failure(program, &error))?;
        // The child is reaped by pid, with whatever it leaves behind.
        i32::try_from(child.id())
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(|| Failure::other("a process without an id"))
    }

    fn failure(&self, program: &str, error: &io::Error) -> Failure {
        let missing = match error.kind() {
            io::ErrorKind::NotFound => true,
            // A folder of `PATH` that may not be searched says the same of every name.
            io::ErrorKind::PermissionDenied => !program.contains('/') && !self.is_on_path(program),
            _ => false,
        };
        if missing {
            Failure { code: NOT_FOUND, message: format!("`{program}`: command not found") }
        } else {
            Failure::other(format!("`{program}`: {error}"))
        }
    }

    fn is_on_path(&self, program: &str) -> bool {
        let path = self.env.iter().find(|(name, _)| name == "PATH");
        let folders = path.map(|(_, value)| value.as_str()).unwrap_or_default();
        folders.split(':').any(|folder| self.cwd.join(folder).join(program).is_file())
    }

    fn settle(&mut self, stage: &Stage, started: Result<Pid, Failure>) -> Process {
        match started {
            Ok(pid) => {
                self.first.get_or_insert(pid);
                let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok();
                Process::Running { pid, pidfd }
            }
            Err(failure) => {
                if !stage.redirects.contains(&Redirect::StderrToNull) {
                    self.complaints.push(format!("polos: {}\n", failure.message));
                }
                self.spawn_error.get_or_insert(failure.message);
                Process::Ended(Exit::Code(failure.code))
            }
        }
    }

    fn change_directory(&mut self, arguments: &[Word]) -> Exit {
        let changed = expand::words(arguments, &self.cwd).and_then(|arguments| {
            let [directory] = arguments.as_slice() else {
                return Err("cd takes one directory".to_owned());
            };
            let path = self.cwd.join(directory);
            if path.is_dir() {
                Ok(path)
            } else {
                Err(format!("cd: `{directory}`: no such directory"))
            }
        });
        match changed {
            Ok(path) => {
                self.cwd = path;
                Exit::Code(0)
            }
            Err(complaint) => {
                self.complaints.push(format!("polos: {complaint}\n"));
                Exit::Code(1)
            }
        }
    }
}

fn shell(line: &str) -> Pipeline {
    let bash = BASH.iter().find(|path| Path::new(path).exists());
    let argv = match bash {
        Some(bash) => vec![bash, "--noprofile", "--norc", "-c", line],
        None => vec!["/bin/sh", "-c", line],
    };
    let argv = argv.into_iter().map(|word| Word::Literal(word.to_owned())).collect();
    Pipeline { after: Connector::Always, stages: vec![Stage { argv, redirects: Vec::new() }] }
}

/// A pipe to the following command: its write end, and its read end.
fn pipe_to_next(is_last: bool) -> Result<(Option<OwnedFd>, Option<OwnedFd>), Failure> {
    if is_last {
        return Ok((None, None));
    }
    let pipe = rustix::pipe::pipe_with(PipeFlags::CLOEXEC);
    let (read, write) = pipe.map_err(|errno| Failure::other(format!("no pipe: {errno}")))?;
    Ok((Some(write), Some(read)))
}

/// What one command is connected to.
struct Wiring<'a> {
    stdin: Option<&'a OwnedFd>,
    stdout: &'a OwnedFd,
    stderr: &'a OwnedFd,
    /// The process group of its pipeline, unless it is the first.
    group: Option<Pid>,
}

impl Wiring<'_> {
    fn input(&self) -> Result<Stdio, Failure> {
        self.stdin.map_or_else(|| Ok(Stdio::null()), copy)
    }

    /// Applies redirections in their order, as a shell does.
    fn outputs(&self, redirects: &[Redirect]) -> Result<(Stdio, Stdio), Failure> {
        let (mut stdout, mut stderr) = (Some(self.stdout), Some(self.stderr));
        for redirect in redirects {
            match redirect {
                Redirect::StderrToStdout => stderr = stdout,
                Redirect::StdoutToNull => stdout = None,
                Redirect::StderrToNull => stderr = None,
            }
        }
        let stdio = |end: Option<&OwnedFd>| end.map_or_else(|| Ok(Stdio::null()), copy);
        Ok((stdio(stdout)?, stdio(stderr)?))
    }
}

fn copy(end: &OwnedFd) -> Result<Stdio, Failure> {
    let copied = end.as_fd().try_clone_to_owned();
    copied.map(Stdio::from).map_err(|error| Failure::other(error.to_string()))
}

/// Why a command was not started, and what a shell would answer for it.
#[derive(Debug)]
struct Failure {
    code: i32,
    message: String,
}

impl Failure {
    fn other(message: impl Into<String>) -> Self {
        Self { code: NOT_EXECUTABLE, message: message.into() }
    }
}
