//! `polos sandbox run`: one command in a box, under a policy.

use super::open::{Opened, Options};
use crate::command::policy::{bad_pattern, say_lints, told};
use crate::context::Context;
use crate::exit::Exit;
use crate::talk;
use anyhow::{Result, bail};
use polos_sandbox::Executed;
use polos_sandbox::config::ToolsConfig;
use polos_sandbox::policy::{ExecQuestion, Verdict};
use polos_sandbox::toolbox::message::{
    Ended, Exec, ExecResult, OutputLimits, Program, Stdin, Stream, StreamKind,
};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

/// What `timeout` answers, and so do we.
const TIMED_OUT: u8 = 124;
/// Above these are the numbers of signals.
const SIGNALLED: u8 = 128;

/// Run one command in a box, and end with its status
///
/// Ends with 124 when the time limit was reached, 125 when there is no box, and 3, with nothing
/// run, when a person would be asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    options: Options,
    /// End the command after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    timeout: u64,
    /// Run it in this folder of the box
    #[arg(long, value_name = "DIR")]
    cwd: Option<String>,
    /// The command, as one argument
    #[arg(last = true, required = true)]
    command: String,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<Exit> {
    let config = args.options.config();
    let program = match judge(&config, &args.command, args.cwd.as_deref(), context)? {
        Ok(program) => program,
        Err(exit) => return Ok(exit),
    };
    let opened = match args.options.open(config).await? {
        Ok(opened) => opened,
        Err(exit) => return Ok(exit),
    };
    let result = execute(&opened, &args, program, context.is_json()).await;
    let report = opened.sandbox.report().clone();
    opened.close().await;
    let result = result?;
    if context.is_json() {
        let mut value = serde_json::to_value(&result)?;
        if let Some(fields) = value.as_object_mut() {
            // It went with the box.
            fields.remove("output_file");
            fields.insert("sandbox".to_owned(), serde_json::to_value(report)?);
        }
        talk::json(&value)?;
    } else if result.ended != Ended::Exited {
        talk::say(&format!("polos: {}", result.why));
    }
    Ok(Exit::Status(status(&result)))
}

/// What runs, if it runs without a question; otherwise says why not.
pub(super) fn judge(
    config: &ToolsConfig,
    command: &str,
    cwd: Option<&str>,
    context: &Context,
) -> Result<Result<Program, Exit>> {
    let policy = config.exec_policy().map_err(|error| bad_pattern(&error))?;
    say_lints(&policy);
    let verdict = policy.check(ExecQuestion { command, cwd, env: &BTreeMap::new() });
    let (word, reason) = match verdict {
        Verdict::Allow(program) => return Ok(Ok(program)),
        Verdict::Ask(ask) => {
            talk::say(told(&ask).trim_end());
            ("ask", ask.reason)
        }
        Verdict::Deny { reason } => {
            talk::say(&format!("deny: {reason}"));
            ("deny", reason)
        }
    };
    if context.is_json() {
        talk::json(&serde_json::json!({ "verdict": word, "reason": reason }))?;
    }
    Ok(Err(Exit::WouldAsk))
}

async fn execute(
    opened: &Opened,
    args: &Args,
    program: Program,
    is_quiet: bool,
) -> Result<ExecResult> {
    let exec = Exec {
        command: "run".to_owned(),
        program,
        cwd: args.cwd.clone(),
        env: BTreeMap::new(),
        stdin: Stdin::None,
        timeout_ms: Some(args.timeout.saturating_mul(1_000)),
        background: false,
        limits: OutputLimits::default(),
    };
    let seen = Arc::new(Mutex::new(Seen::default()));
    let shown = seen.clone();
    let on_stream = move |stream| {
        if !is_quiet && let Ok(mut seen) = shown.lock() {
            seen.show(&stream);
        }
    };
    let result = match opened.sandbox.exec(exec, on_stream).await? {
        Executed::Ended(result) => result,
        Executed::Started(_) => bail!("the command went to the background"),
    };
    if !is_quiet && let Ok(seen) = seen.lock() {
        seen.show_rest(&result);
    }
    Ok(*result)
}

/// What was shown live. Live news may be dropped; the result holds what they should have been.
#[derive(Debug, Default)]
struct Seen {
    stdout: String,
    stderr: String,
}

impl Seen {
    fn show(&mut self, stream: &Stream) {
        let Stream::Output { stream, text, .. } = stream else { return };
        write(*stream, text);
        match stream {
            StreamKind::Stdout => self.stdout.push_str(text),
            StreamKind::Stderr => self.stderr.push_str(text),
        }
    }

    fn show_rest(&self, result: &ExecResult) {
        let streams = [
            (StreamKind::Stdout, &self.stdout, &result.stdout),
            (StreamKind::Stderr, &self.stderr, &result.stderr),
        ];
        for (stream, seen, whole) in streams {
            match whole.strip_prefix(seen.as_str()) {
                Some(rest) => write(stream, rest),
                None if result.truncated.is_some() => {}
                None => {
                    talk::say("polos: some of the output was lost on its way; here it is whole");
                    write(stream, whole);
                }
            }
        }
    }
}

/// What nobody reads any more is no error.
fn write(stream: StreamKind, text: &str) {
    let _ = match stream {
        StreamKind::Stdout => talk::data(text),
        StreamKind::Stderr => std::io::stderr().write_all(text.as_bytes()).map_err(Into::into),
    };
}

fn status(result: &ExecResult) -> u8 {
    if result.timed_out {
        return TIMED_OUT;
    }
    match (result.exit_code, result.signal.as_deref()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(u8::MAX),
        (None, Some(signal)) => SIGNALLED.saturating_add(signal_number(signal)),
        (None, None) => u8::MAX,
    }
}

fn signal_number(name: &str) -> u8 {
    match name {
        "SIGHUP" => 1,
        "SIGINT" => 2,
        "SIGQUIT" => 3,
        "SIGILL" => 4,
        "SIGTRAP" => 5,
        "SIGABRT" => 6,
        "SIGBUS" => 7,
        "SIGFPE" => 8,
        "SIGKILL" => 9,
        "SIGSEGV" => 11,
        "SIGPIPE" => 13,
        "SIGALRM" => 14,
        "SIGTERM" => 15,
        "SIGSYS" => 31,
        _ => 0,
    }
}
