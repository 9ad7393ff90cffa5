//! What worker and toolbox say to each other: the types that are sent, and nothing that acts.
//!
//! All of it is sent as JSON; names and numbers are part of the protocol. Unknown fields are
//! ignored, an unknown operation is refused, anything else unknown ends the connection.

mod exec;
mod file;
mod search;

use serde::{Deserialize, Serialize};

pub use exec::{
    Connector, Ended, Exec, ExecResult, Output, OutputLimits, OutputRequest, Pipeline, Program,
    Redirect, Stage, Started, Status, Stdin, StdinRequest, StreamKind, Truncated, Word,
};
pub use file::{
    Edit, EditRequest, Expected, Preview, PreviewRequest, Read, ReadContent, ReadRequest,
    Replacement, Stat, StatKind, StatRequest, Write, WriteRequest,
};
pub use search::{Glob, GlobRequest, Grep, GrepMode, GrepRequest};

/// The version of the protocol that this crate speaks.
pub const VERSION: u32 = 1;

/// What a worker sends. The first must be `Hello`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToToolbox {
    Hello(Hello),
    /// A request; its id is chosen by the worker, and not used twice on a connection.
    Request {
        id: u64,
        request: Request,
    },
}

/// What the toolbox sends. The first is `Welcome` or `Fault`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromToolbox {
    Welcome(Welcome),
    /// The one answer to a request, after which nothing more comes under its id.
    Reply {
        id: u64,
        reply: Box<Reply>,
    },
    /// The request was not carried out.
    Refused {
        id: u64,
        refusal: Refusal,
    },
    /// Something live that belongs to a request; any of them may be lost.
    Stream {
        id: u64,
        stream: Stream,
    },
    /// The connection ends, and this is why.
    Fault {
        message: String,
    },
}

/// The worker's first word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub version_min: u32,
    pub version_max: u32,
    /// Who connects, for logs.
    #[serde(default)]
    pub peer: String,
}

impl Hello {
    /// A hello that offers what this crate speaks.
    pub fn new(peer: impl Into<String>) -> Self {
        Self { version_min: VERSION, version_max: VERSION, peer: peer.into() }
    }
}

/// The toolbox's answer to a hello.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    pub version: u32,
    /// The version of the toolbox program.
    pub toolbox: String,
    pub pid: u32,
    /// The processor architecture of the box, as Rust names it.
    pub arch: String,
    /// The name under which the workspace is addressed, such as `/workspace`.
    pub workspace: String,
    /// The further folders that may be read.
    #[serde(default)]
    pub read_paths: Vec<String>,
    /// Ids of the commands that run.
    #[serde(default)]
    pub running: Vec<String>,
    /// The socket for the next worker, as named in the box.
    #[serde(default)]
    pub socket: Option<String>,
}

/// What a worker may ask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request {
    /// Runs a command, at most once per command id. Replies `Exec` at its end, or `Started` at
    /// once for one in the background. A second one under the same id attaches to the first.
    Exec(Exec),
    /// Follows a command that was started before: streams what is new, replies `Exec` at its end.
    /// Refused with `not_started` or `outcome_unknown` where there is nothing to follow.
    Attach {
        command: String,
    },
    /// Looks a command up (a step's verify). Replies `Status` at once.
    Status {
        command: String,
    },
    /// Ends a command and all that it started. Replies `Killed` once nothing of it is left.
    Kill {
        command: String,
    },
    /// Reads what a command has printed so far.
    Output(OutputRequest),
    /// Writes to, or closes, the standard input of a command started with `Stdin::Open`.
    Stdin(StdinRequest),
    Read(ReadRequest),
    Write(WriteRequest),
    Edit(EditRequest),
    /// Says what a write or an edit would do, and touches nothing.
    Preview(PreviewRequest),
    Glob(GlobRequest),
    Grep(GrepRequest),
    Stat(StatRequest),
    /// Replies `Pong`.
    Ping,
    /// Ends everything that runs, then the toolbox; replies `Pong` first.
    Shutdown,
}

/// Answers, by the request that they answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Reply {
    Exec(ExecResult),
    Started(Started),
    Status(Status),
    Killed {
        command: String,
        /// Whether something ran; false when it had ended, and nothing of it was left.
        was_running: bool,
    },
    Output(Output),
    Stdin {
        /// Whether the command still takes input.
        open: bool,
    },
    Read(Read),
    Write(Write),
    Edit(Edit),
    Preview(Preview),
    Glob(Glob),
    Grep(Grep),
    Stat(Stat),
    Pong,
}

/// Live news of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Stream {
    /// The command's first process runs.
    Running { pid: u32 },
    /// Output as it comes, as text without terminal escapes.
    Output {
        stream: StreamKind,
        text: String,
        /// Bytes left out before this text, because they came faster than they may be sent.
        #[serde(default, skip_serializing_if = "is_zero")]
        skipped_bytes: u64,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands the field by reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A request that was not carried out, in words that teach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}{}", hint.as_deref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default())]
pub struct Refusal {
    pub code: Code,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Refusal {
    /// A refusal without a hint.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    /// The same refusal with a way out.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Why a request was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request does not parse or contradicts itself.
    BadRequest,
    /// The path leads out of the workspace and the folders that may be read.
    OutsideWorkspace,
    NotFound,
    /// A directory, socket, pipe or device where a file is needed.
    NotAFile,
    /// The path's last part is a symbolic link, which is not written through.
    SymbolicLink,
    /// A file that is not text where text is needed.
    Binary,
    TooLarge,
    PermissionDenied,
    /// The text to replace does not occur.
    NoMatch,
    /// The text to replace occurs more than once.
    ManyMatches,
    /// The file must be read before it is edited.
    NotRead,
    /// The file is not what it was when it was read or approved.
    Changed,
    /// A command id was used again for another command.
    CommandConflict,
    /// No command was started under this id.
    NotStarted,
    /// A command was begun under this id and nobody can say how it ended.
    OutcomeUnknown,
    /// The command has ended, or takes no input.
    NotRunning,
    /// Too many commands or requests at once.
    Busy,
    /// A time or size budget ran out.
    Exhausted,
    /// The box lacks what this needs.
    Unsupported,
    /// Anything else that the system said.
    System,
    /// A code of a newer toolbox.
    #[serde(other)]
    Unknown,
}
