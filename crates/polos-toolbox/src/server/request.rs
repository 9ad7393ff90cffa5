//! Carries requests out.

use std::fs;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use serde_json::Value;

use super::Server;
use super::connection::Outgoing;
use crate::commands::{self, Begun, News};
use crate::message::{Code, Exec, OutputLimits, Program, Refusal, Reply, Request, Started, Word};
use crate::search;

/// Time for a command that does not say.
const TIMEOUT_DEFAULT_MS: u64 = 120_000;
/// Time for a command at most.
const TIMEOUT_MAX_MS: u64 = 3_600_000;
/// The same in the background.
const TIMEOUT_BACKGROUND_MAX_MS: u64 = 86_400_000;
/// Bytes of a command id.
const COMMAND_ID_BYTES_MAX: usize = 512;
/// Bytes kept of each stream, from either end.
const KEPT_BYTES_MAX: u64 = 512 * 1024;
/// Bytes of output in all.
const FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

pub(super) fn understand(request: Value) -> Result<Request, Refusal> {
    serde_json::from_value(request).map_err(|error| {
        Refusal::new(Code::BadRequest, format!("the request is not understood: {error}"))
    })
}

/// A request after the part that must be done in the order of arrival.
#[derive(Debug)]
pub(super) enum Ordered {
    /// Nothing of it depends on what came before.
    Any(Request),
    Begun {
        begun: Begun,
        command: String,
    },
    Answered(Reply),
}

/// Begins commands and passes input on, so that a kill that comes after a command finds it, and
/// input arrives as it was sent.
pub(super) fn in_order(server: &Server, request: Request) -> Result<Ordered, Refusal> {
    match request {
        Request::Exec(exec) => begin(server, exec),
        Request::Stdin(request) => {
            server.commands.stdin(&request)?;
            Ok(Ordered::Answered(Reply::Stdin { open: !request.close }))
        }
        request => Ok(Ordered::Any(request)),
    }
}

/// Does the rest of it, for as long as that takes.
pub(super) fn carry_out(
    server: &Server,
    ordered: Ordered,
    outgoing: &Outgoing,
) -> Result<Reply, Refusal> {
    match ordered {
        Ordered::Any(request) => answer(server, request, outgoing),
        Ordered::Begun { begun, command } => follow(begun, &command, outgoing),
        Ordered::Answered(reply) => Ok(reply),
    }
}

fn answer(server: &Server, request: Request, outgoing: &Outgoing) -> Result<Reply, Refusal> {
    let files = &server.files;
    let commands = &server.commands;
    Ok(match request {
        Request::Attach { command } => return follow(commands.find(&command)?, &command, outgoing),
        Request::Status { command } => Reply::Status(commands.status(&command)),
        Request::Kill { command } => {
            let was_running = commands.kill(&command)?;
            Reply::Killed { command, was_running }
        }
        Request::Output(request) => Reply::Output(commands.output(&request)?),
        Request::Read(request) => Reply::Read(files.read(&request)?),
        Request::Write(request) => Reply::Write(files.write(&request)?),
        Request::Edit(request) => Reply::Edit(files.edit(&request)?),
        Request::Preview(request) => Reply::Preview(files.preview(&request)?),
        Request::Stat(request) => Reply::Stat(files.stat(&request)?),
        Request::Glob(request) => Reply::Glob(search::glob(files.roots(), &request)?),
        Request::Grep(request) => Reply::Grep(search::grep(files.roots(), &request)?),
        // The connection shuts the toolbox down, after the reply.
        Request::Ping | Request::Shutdown => Reply::Pong,
        Request::Exec(_) | Request::Stdin(_) => {
            return Err(Refusal::new(Code::BadRequest, "a request that is done in order"));
        }
    })
}

fn begin(server: &Server, exec: Exec) -> Result<Ordered, Refusal> {
    let exec = within_limits(exec)?;
    let cwd = working_directory(server, exec.cwd.as_deref())?;
    let begun = server.commands.begin(&exec, &cwd)?;
    if exec.background {
        let output_file = server.commands.output_file(&exec.command);
        let started = Started { command: exec.command, output_file };
        return Ok(Ordered::Answered(Reply::Started(started)));
    }
    Ok(Ordered::Begun { begun, command: exec.command })
}

fn follow(begun: Begun, command: &str, outgoing: &Outgoing) -> Result<Reply, Refusal> {
    let live = match begun {
        Begun::Live(live) => live,
        Begun::Done(result) => return Ok(Reply::Exec(*result)),
        Begun::Foreign(record) => {
            return match commands::await_foreign(&record, || outgoing.is_open()) {
                Some(News::Finished(result)) => Ok(Reply::Exec(*result)),
                _ => Err(commands::unknown(command)),
            };
        }
    };
    for news in live.listen() {
        match news {
            News::Stream(stream) => outgoing.stream(stream),
            News::Finished(result) => return Ok(Reply::Exec(*result)),
            News::Lost => break,
        }
        if !outgoing.is_open() {
            break;
        }
    }
    Err(commands::unknown(command))
}

fn within_limits(mut exec: Exec) -> Result<Exec, Refusal> {
    let bad = |message: &str| Err(Refusal::new(Code::BadRequest, message));
    if exec.command.is_empty() || exec.command.len() > COMMAND_ID_BYTES_MAX {
        return bad("a command id has 1 to 512 bytes");
    }
    if exec
        .env
        .iter()
        .any(|(name, value)| name.is_empty() || name.contains(['=', '\0']) || value.contains('\0'))
    {
        return bad("a name or a value of the environment cannot be passed on");
    }
    if let Some(problem) = problem_of(&exec.program) {
        return bad(problem);
    }
    let longest = if exec.background { TIMEOUT_BACKGROUND_MAX_MS } else { TIMEOUT_MAX_MS };
    let default = (!exec.background).then_some(TIMEOUT_DEFAULT_MS);
    exec.timeout_ms = exec.timeout_ms.or(default).map(|limit| limit.clamp(1, longest));
    exec.limits = OutputLimits {
        head_bytes: exec.limits.head_bytes.min(KEPT_BYTES_MAX),
        tail_bytes: exec.limits.tail_bytes.min(KEPT_BYTES_MAX),
        file_bytes: exec.limits.file_bytes.min(FILE_BYTES_MAX),
    };
    Ok(exec)
}

fn problem_of(program: &Program) -> Option<&'static str> {
    let pipelines = match program {
        Program::Shell { line } if line.contains('\0') => return Some("the line contains a NUL"),
        Program::Shell { .. } => return None,
        Program::Plan { pipelines } => pipelines,
    };
    let stages = || pipelines.iter().flat_map(|pipeline| &pipeline.stages);
    if pipelines.is_empty() || pipelines.iter().any(|pipeline| pipeline.stages.is_empty()) {
        return Some("a plan and each of its pipelines must not be empty");
    }
    let named = |word: Option<&Word>| matches!(word, Some(Word::Literal(name)) if !name.is_empty());
    (!stages().all(|stage| named(stage.argv.first())))
        .then_some("each command of a plan begins with its name, which is no pattern")
}

/// Where the command runs, as the kernel names the folder that was opened beneath its root.
fn working_directory(server: &Server, cwd: Option<&str>) -> Result<PathBuf, Refusal> {
    let roots = server.files.roots();
    let place = roots.place(cwd.unwrap_or(roots.workspace()))?;
    let directory = place.open_directory()?;
    fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd()))
        .map_err(|error| Refusal::new(Code::System, format!("`{}`: {error}", place.shown())))
}
