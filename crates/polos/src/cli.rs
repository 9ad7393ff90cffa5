//! The command line as a whole: its arguments, its errors, its end.

use crate::command::{Command, explain};
use crate::context::{Context, Globals};
use crate::exit::{Exit, Problem};
use crate::show::paint::{Paint, Tone};
use crate::talk;
use clap::{CommandFactory, Parser};
use polos_protocol::rest::{ErrorBody, ErrorResponse};
use polos_sdk::ClientError;
use std::process::ExitCode;

/// Run AI agents and workflows that survive crashes, deploys and long waits
#[derive(Debug, Parser)]
#[command(
    name = "polos",
    version,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    after_help = "Exit status: 0 done, 1 failed, 2 wrong usage, 3 the run failed, was cancelled or is blocked, 130 interrupted\n\nStart with `polos demo`, or with `polos init` and `polos dev`."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The command line as clap sees it, for completions and the reference.
pub(crate) fn definition() -> clap::Command {
    Cli::command()
}

/// Parses, runs, tells how it ended.
pub(crate) fn main() -> ExitCode {
    // There is one TLS provider in this program; a second installation is none.
    rustls::crypto::ring::default_provider().install_default().ok();
    let cli = Cli::parse();
    let is_json = cli.globals.json;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(cause) => return report(&cause.into(), is_json).code(),
    };
    let context = Context::new(cli.globals);
    let ended = runtime.block_on(Box::pin(async {
        let ended = cli.command.run(&context).await;
        context.close().await;
        ended
    }));
    runtime.shutdown_background();
    match ended {
        Ok(exit) => exit.code(),
        Err(error) => report(&error, is_json).code(),
    }
}

/// Tells an error on standard error, as text or as JSON.
fn report(error: &anyhow::Error, is_json: bool) -> Exit {
    if is_broken_pipe(error) {
        return Exit::Done;
    }
    let (body, exit) = body_of(error);
    if is_json {
        let response = ErrorResponse { error: body };
        talk::say(&serde_json::to_string(&response).unwrap_or_default());
        return exit;
    }
    let paint = Paint::for_stderr();
    let code = if body.code.is_empty() { String::new() } else { format!(" ({})", body.code) };
    talk::say(&format!("{}: {}{code}", paint.tone(Tone::Bad, "error"), body.message));
    if !body.hint.is_empty() {
        talk::say(&format!("{}: {}", paint.tone(Tone::Attention, "hint"), body.hint));
    } else if explain::knows(&body.code) {
        talk::say(&format!("{}: polos explain {}", paint.tone(Tone::Attention, "hint"), body.code));
    }
    exit
}

fn body_of(error: &anyhow::Error) -> (ErrorBody, Exit) {
    if let Some(problem) = error.downcast_ref::<Problem>() {
        let body = ErrorBody {
            code: problem.code.clone(),
            message: problem.message.clone(),
            hint: problem.hint.clone(),
            details: serde_json::Value::Null,
        };
        return (body, problem.exit);
    }
    if let Some(error) = error.downcast_ref::<ClientError>() {
        return (body_of_client(error), Exit::Failed);
    }
    let causes: Vec<_> = error.chain().map(ToString::to_string).collect();
    (ErrorBody { message: causes.join(": "), ..ErrorBody::default() }, Exit::Failed)
}

fn body_of_client(error: &ClientError) -> ErrorBody {
    if let ClientError::Api { body, .. } = error {
        return body.clone();
    }
    let code = match error {
        ClientError::Unreachable { .. } => "no_answer",
        ClientError::Address(_) => "no_server",
        _ => "",
    };
    let text = error.to_string();
    let (message, hint) = text.split_once("\nhint: ").unwrap_or((&text, ""));
    ErrorBody {
        code: code.to_owned(),
        message: message.to_owned(),
        hint: hint.to_owned(),
        details: serde_json::Value::Null,
    }
}

/// Whoever read our output has gone, which is their right: `polos runs list | head`.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_holds_together() {
        definition().debug_assert();
    }
}
