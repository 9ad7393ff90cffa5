//! Commands: what is to run, and what came of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A command to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// The command's id: the key of the step that runs it. Nothing starts twice under one id.
    pub command: String,
    pub program: Program,
    /// Where it runs: beneath the workspace or a folder that may be read. The workspace if absent.
    #[serde(default)]
    pub cwd: Option<String>,
    /// The whole environment: nothing is inherited or added.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    #[serde(default)]
    pub stdin: Stdin,
    /// Time until it is ended by force; 120 s if absent (none in the background), at most an hour
    /// (a day in the background).
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// Whether the reply comes at its start, rather than at its end.
    #[serde(default)]
    pub background: bool,
    #[serde(default)]
    pub limits: OutputLimits,
}

/// What runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Program {
    /// Lists of pipelines of plain commands, started without any shell.
    ///
    /// `cd DIRECTORY` alone in its pipeline changes where the following pipelines run; every other
    /// name is looked up in the `PATH` of the environment given.
    Plan { pipelines: Vec<Pipeline> },
    /// A line for `bash --noprofile --norc -c`, or `sh -c` where there is no bash.
    Shell { line: String },
}

/// Commands joined by pipes, and when they run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pipeline {
    /// How this follows the pipeline before it; without meaning for the first.
    #[serde(default)]
    pub after: Connector,
    pub stages: Vec<Stage>,
}

/// When a pipeline runs, given the status of the last one that ran.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Connector {
    /// `;`
    #[default]
    Always,
    /// `&&`
    And,
    /// `||`
    Or,
}

/// One plain command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// The name and the arguments; the name must be literal.
    pub argv: Vec<Word>,
    /// Applied in order, as a shell would.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redirects: Vec<Redirect>,
}

/// One argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Word {
    Literal(String),
    /// A pattern of `*`, `?` and `[…]`, with a backslash before what is literal. It is expanded to
    /// the sorted names that match, and stays as it is when none does. A name that could be taken
    /// for an option is prefixed with `./`.
    Glob {
        glob: String,
    },
}

/// The only redirections that a plan knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Redirect {
    /// `2>&1`
    StderrToStdout,
    /// `>/dev/null`
    StdoutToNull,
    /// `2>/dev/null`
    StderrToNull,
}

/// What a command reads from its standard input.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Stdin {
    /// `/dev/null`
    #[default]
    None,
    /// This text, then its end.
    Text { text: String },
    /// What later `Stdin` requests bring.
    Open,
}

/// How much output is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OutputLimits {
    /// Kept from the beginning, for each of the two streams.
    pub head_bytes: u64,
    /// Kept from the end, for each of the two streams.
    pub tail_bytes: u64,
    /// Written in all before the command is stopped.
    pub file_bytes: u64,
}

impl Default for OutputLimits {
    fn default() -> Self {
        Self { head_bytes: 32 * 1024, tail_bytes: 96 * 1024, file_bytes: 64 * 1024 * 1024 }
    }
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecResult {
    pub command: String,
    /// The status of the last pipeline that ran; `null` when a signal or the toolbox ended it.
    pub exit_code: Option<i32>,
    /// The signal that ended it, such as `SIGKILL`.
    pub signal: Option<String>,
    pub timed_out: bool,
    /// Text without terminal escapes; head and tail when `truncated` says so.
    pub stdout: String,
    pub stderr: String,
    pub duration_ms: u64,
    /// What was left out of `stdout` and `stderr`; absent when they are whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncated: Option<Truncated>,
    /// The file in the box with both streams, in the order in which they came.
    pub output_file: String,
    pub ended: Ended,
    /// Why it ended, in a sentence.
    pub why: String,
    /// Processes that it left running, which `Kill` still ends.
    #[serde(default)]
    pub left_running: u32,
}

/// What ended a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// It ended by itself.
    Exited,
    /// It could not be started: no such program, not executable, no such directory.
    NotSpawned,
    /// A signal that did not come from the toolbox.
    Signaled,
    TimedOut,
    /// A `Kill` request, or the end of the toolbox.
    Killed,
    /// It wrote more than `file_bytes`.
    OutputLimit,
    /// The kernel's out-of-memory killer.
    OutOfMemory,
    /// A cause of a newer toolbox.
    #[serde(other)]
    Unknown,
}

/// What was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truncated {
    /// All that was written to standard output.
    pub stdout_bytes: u64,
    pub stdout_omitted_bytes: u64,
    pub stderr_bytes: u64,
    pub stderr_omitted_bytes: u64,
}

/// A command runs in the background.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    pub command: String,
    pub output_file: String,
}

/// What is known of a command id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Status {
    NotStarted,
    Running,
    Done {
        result: Box<ExecResult>,
    },
    /// It was begun, nothing of it runs under this toolbox, and no outcome was written.
    Unknown {
        output_file: String,
    },
}

/// Asks for what a command has printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputRequest {
    pub command: String,
    /// Where in the output file to begin, in bytes.
    #[serde(default)]
    pub offset: u64,
    /// 64 KiB if absent, at most 1 MiB.
    #[serde(default)]
    pub bytes_max: Option<u64>,
}

/// A part of what a command has printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Text without terminal escapes, of both streams.
    pub text: String,
    /// The offset for the next request.
    pub next_offset: u64,
    /// The size of the output file by now.
    pub total_bytes: u64,
    pub running: bool,
    /// How it ended, when it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Box<ExecResult>>,
}

/// Input for a command started with [`Stdin::Open`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StdinRequest {
    pub command: String,
    #[serde(default)]
    pub text: String,
    /// Whether the input ends after this text.
    #[serde(default)]
    pub close: bool,
}

/// One of the two streams of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamKind {
    Stdout,
    Stderr,
}
