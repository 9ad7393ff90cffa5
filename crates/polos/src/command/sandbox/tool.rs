//! `polos sandbox tool`: one call of one of the six tools.

use super::open::Options;
use super::run::judge;
use crate::context::Context;
use crate::exit::{Exit, Problem};
use crate::{input, talk};
use anyhow::Result;
use polos_sandbox::config::ToolsConfig;
use polos_sandbox::policy::{FileOperation, FileVerdict};
use polos_sandbox::toolbox::client;
use polos_sandbox::toolbox::message::{Exec, OutputLimits, Reply, Request, Stdin};
use polos_sandbox::toolbox::tools::{ExecInput, Input, parse, text_of};
use std::collections::BTreeMap;

/// Call one of the tools exec, read, write, edit, glob and grep as a model does
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The tool
    name: String,
    /// Its arguments: JSON, or `@FILE`
    #[arg(long, value_name = "JSON|@FILE")]
    input: String,
    #[command(flatten)]
    options: Options,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<Exit> {
    let arguments = serde_json::from_str(input::json(&args.input)?.text())?;
    let parsed = parse(&args.name, &arguments).map_err(|refusal| {
        Problem::usage(refusal.message.clone(), refusal.hint.clone().unwrap_or_default())
    })?;
    let config = args.options.config();
    let request = match understand(parsed, &config, context)? {
        Ok(request) => request,
        Err(exit) => return Ok(exit),
    };
    let opened = match args.options.open(config).await? {
        Ok(opened) => opened,
        Err(exit) => return Ok(exit),
    };
    let reply = opened.sandbox.request(opened.sandbox.complete(request)).await;
    opened.close().await;
    match reply {
        Ok(reply) => {
            if context.is_json() {
                talk::json(&reply)?;
            } else {
                let text = text_of(&reply);
                talk::data(&text)?;
                if !text.ends_with('\n') {
                    talk::data("\n")?;
                }
            }
            Ok(if matches!(&reply, Reply::Exec(result) if result.exit_code != Some(0)) {
                Exit::Failed
            } else {
                Exit::Done
            })
        }
        Err(polos_sandbox::Error::Client(client::Error::Refused(refusal))) => {
            if context.is_json() {
                talk::json(&serde_json::json!({ "refused": refusal }))?;
            } else {
                talk::line(&refusal.to_string())?;
            }
            Ok(Exit::Failed)
        }
        Err(error) => Err(error.into()),
    }
}

/// The request, if it needs no question; otherwise says why not.
fn understand(
    input: Input,
    config: &ToolsConfig,
    context: &Context,
) -> Result<Result<Request, Exit>> {
    let (operation, request) = match input {
        Input::Exec(ExecInput::Run { command, cwd, timeout_ms, stdin, background }) => {
            if background {
                return Err(Problem::usage(
                    "a command in the background would end with the box",
                    "run it in the foreground",
                ));
            }
            let program = match judge(config, &command, cwd.as_deref(), context)? {
                Ok(program) => program,
                Err(exit) => return Ok(Err(exit)),
            };
            let timeout_ms = timeout_ms.or(Some(config.exec.timeout.saturating_mul(1_000)));
            return Ok(Ok(Request::Exec(Exec {
                command: "tool".to_owned(),
                program,
                cwd,
                env: BTreeMap::new(),
                stdin: stdin.map_or(Stdin::None, |text| Stdin::Text { text }),
                timeout_ms,
                background: false,
                limits: OutputLimits::default(),
            })));
        }
        Input::Exec(ExecInput::Process { .. }) => {
            return Err(Problem::usage("nothing runs in the background of a new box", ""));
        }
        Input::Read(request) => (FileOperation::Read, Request::Read(request)),
        Input::Glob(request) => (FileOperation::Read, Request::Glob(request)),
        Input::Grep(request) => (FileOperation::Read, Request::Grep(request)),
        Input::Write(request) => (FileOperation::Write, Request::Write(request)),
        Input::Edit(request) => (FileOperation::Write, Request::Edit(request)),
    };
    let path = match &request {
        Request::Read(request) => request.path.as_str(),
        Request::Write(request) => request.path.as_str(),
        Request::Edit(request) => request.path.as_str(),
        Request::Glob(request) => request.path.as_deref().unwrap_or("."),
        Request::Grep(request) => request.path.as_deref().unwrap_or("."),
        _ => ".",
    };
    match config.file_policy().check(operation, path) {
        FileVerdict::Allow => Ok(Ok(request)),
        FileVerdict::Ask { reason } => {
            talk::say(&format!("ask: {reason}"));
            Ok(Err(Exit::WouldAsk))
        }
        FileVerdict::Deny { reason } => {
            talk::line(&reason)?;
            Ok(Err(Exit::Failed))
        }
    }
}
