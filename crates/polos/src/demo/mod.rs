//! `polos demo`: three agents mend a real bug in a real repository, in a sandbox, and wait for the
//! person; with `--crash`, through the death of their worker and of the server.
//!
//! It is a client like any other: server and worker are processes of their own, and what it shows
//! is read from the journal.

mod answer;
mod content;
mod crew;
mod director;
mod ledger;
mod place;
mod process;
mod repository;
mod stage;
mod summary;
mod tale;
mod voice;
mod watch;
mod worker;
mod workflow;

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::context::Context;
use crate::exit::{Exit, Problem};
use answer::Answer;
use place::Place;
use process::Role;

/// Watch three agents mend a bug in a sandbox, and wait for your word
///
/// A planner, a coder and a tester share one sandbox with a real git repository, whose tests fail.
/// You see the change and take it or send it back; a branch and a patch come out. The model is a
/// script, unless `ANTHROPIC_API_KEY` or `OPENAI_API_KEY` is set; commands and test results are real.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Kill the worker and the server on the way, and show that nothing was repeated
    #[arg(long)]
    crash: bool,
    /// Answer the question at the end: `approve`, or `reject:FEEDBACK`; given again for the next
    /// question, and `approve` after the last one
    #[arg(long, value_name = "ANSWER")]
    answer: Vec<Answer>,
    /// Mend a repository of your own; commits only, and nothing in it changes but for a new branch
    #[arg(long, value_name = "PATH", requires = "issue")]
    repo: Option<PathBuf>,
    /// The file that says what to mend
    #[arg(long, value_name = "FILE", requires = "repo")]
    issue: Option<PathBuf>,
    /// Keep everything in this folder, and go on from there if a demo was begun in it
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// What this process is of a demo that runs
    #[arg(long, value_enum, hide = true, requires = "dir")]
    role: Option<Role>,
}

/// Runs the demo, or a part of it.
pub(crate) async fn run(args: Args, context: &Context) -> Result<Exit> {
    let place = Place::open(args.dir.as_deref())?;
    match args.role {
        Some(Role::Server) => Err(become_server(&place)),
        Some(Role::Worker) => {
            process::end_with_parent()?;
            crate::log::start(crate::log::Format::Text, "info");
            worker::run(&place).await?;
            Ok(Exit::Done)
        }
        None => {
            let ended = Box::pin(director::direct(args, &place, context)).await;
            if ended.is_err() {
                // Nothing was begun if the folder is still empty; otherwise this does nothing.
                std::fs::remove_dir(place.root()).ok();
            }
            ended
        }
    }
}

/// Becomes `polos serve`; what is left to say is why not.
fn become_server(place: &Place) -> anyhow::Error {
    let listen = || {
        process::end_with_parent()?;
        let job = place.job()?.context("the demo has not been set up here")?;
        anyhow::Ok((std::env::current_exe()?, format!("127.0.0.1:{}", job.port)))
    };
    let (program, listen) = match listen() {
        Ok(found) => found,
        Err(error) => return error,
    };
    let mut command = std::process::Command::new(program);
    command.arg("--data-dir").arg(place.data()).args(["serve", "--listen", &listen]);
    Problem::new("demo", format!("the server cannot be started: {}", command.exec()), "")
}
