//! `polos doctor`: what this machine offers, and what follows.

use crate::context::Context;
use crate::exit::{Exit, Problem};
use crate::show::paint::{Paint, Tone};
use crate::show::text;
use crate::talk;
use anyhow::Result;
use serde::Serialize;

/// The environment variables that bring a model's key.
const MODEL_KEYS: [&str; 2] = ["ANTHROPIC_API_KEY", "OPENAI_API_KEY"];

/// Look at this machine: what of the sandbox is there, which server runs, which models have a key
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    good: bool,
    detail: String,
    /// What follows, and how to mend it.
    mend: Option<String>,
}

pub(crate) async fn run(_: &Args, context: &Context) -> Result<Exit> {
    // The probe starts processes, which is nothing for the runtime's own threads.
    let probe = tokio::task::spawn_blocking(polos_sandbox::probe).await?;
    let mut findings = vec![data_directory(context)?, server(context).await, models()];
    findings.extend(probe.findings.iter().map(|finding| Finding {
        what: finding.what.to_owned(),
        good: finding.is_there,
        detail: finding.detail.clone(),
        mend: finding.mend.clone(),
    }));
    if context.is_json() {
        talk::json(&serde_json::json!({ "sandbox_level": probe.level, "findings": findings }))?;
    } else {
        talk::data(&told(&findings, context))?;
        let level = serde_json::to_value(probe.level)?;
        let level = level.as_str().map_or_else(|| level.to_string(), str::to_owned);
        talk::line(&format!("\na local sandbox reaches level {level} here"))?;
    }
    Ok(Exit::Done)
}

fn told(findings: &[Finding], context: &Context) -> String {
    let paint = context.paint();
    let width = findings.iter().map(|f| text::width(&f.what)).max().unwrap_or(0);
    let mut lines = Vec::new();
    for finding in findings {
        let what = text::pad(&finding.what, width);
        lines.push(format!("{}  {what}  {}", verdict(finding.good, paint), finding.detail));
        let mend = finding.mend.as_deref().unwrap_or_default();
        let room = context.columns().saturating_sub(width + 11);
        let pad = " ".repeat(width + 11);
        lines.extend(text::wrap(mend, room).iter().map(|line| format!("{pad}{line}")));
    }
    lines.join("\n") + "\n"
}

fn verdict(good: bool, paint: Paint) -> String {
    if good { paint.tone(Tone::Good, "good   ") } else { paint.tone(Tone::Attention, "missing") }
}

fn data_directory(context: &Context) -> Result<Finding> {
    let directory = context.data_dir()?;
    let there = directory.is_dir();
    let state = if there { "is there" } else { "will be made by the first server" };
    Ok(Finding {
        what: "data directory".to_owned(),
        good: true,
        detail: format!("{} {state}", directory.display()),
        mend: None,
    })
}

async fn server(context: &Context) -> Finding {
    let what = "server".to_owned();
    let found = async {
        let url = context.server().await?.url;
        anyhow::Ok((url, context.running_client().await?.version().await?))
    };
    match found.await {
        Ok((url, version)) => Finding {
            what,
            good: true,
            detail: format!("version {} answers at {url}", version.version),
            mend: None,
        },
        Err(error) => {
            // None is needed to begin: a command is one while it lasts.
            let is_none =
                error.downcast_ref::<Problem>().is_some_and(|problem| problem.code == "no_server");
            Finding { what, good: is_none, detail: error.to_string(), mend: None }
        }
    }
}

/// Which models have a key. Values are not looked at, and never shown.
fn models() -> Finding {
    let there: Vec<_> =
        MODEL_KEYS.into_iter().filter(|name| std::env::var_os(name).is_some()).collect();
    Finding {
        what: "model keys".to_owned(),
        good: !there.is_empty(),
        detail: if there.is_empty() { "none is set".to_owned() } else { there.join(", ") },
        mend: there
            .is_empty()
            .then(|| format!("only scripted models work; set {}", MODEL_KEYS.join(" or "))),
    }
}
