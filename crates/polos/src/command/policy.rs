//! `polos policy`: what the exec policy makes of a command, without running it.

use crate::context::Context;
use crate::exit::{Exit, Problem};
use crate::talk;
use anyhow::Result;
use clap::Subcommand;
use polos_sandbox::policy::{Ask, ExecPolicy, ExecQuestion, Security, Verdict};
use std::collections::BTreeMap;

/// Look at what a policy decides
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Check(Check),
}

/// Say whether a command would run by itself under an allowlist: `allow`, or `ask` and why
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// Let commands pass that fit this pattern, such as `git diff *`
    #[arg(long, value_name = "PATTERN", num_args = 1..)]
    allow: Vec<String>,
    /// Ask about running it in this folder
    #[arg(long, value_name = "DIR")]
    cwd: Option<String>,
    /// The command, as one argument
    #[arg(last = true, required = true)]
    command: String,
}

impl Command {
    pub(crate) fn run(&self, context: &Context) -> Result<Exit> {
        match self {
            Self::Check(check) => check.run(context),
        }
    }
}

impl Check {
    fn run(&self, context: &Context) -> Result<Exit> {
        let policy = allowlist(&self.allow)?;
        say_lints(&policy);
        let question = ExecQuestion {
            command: &self.command,
            cwd: self.cwd.as_deref(),
            env: &BTreeMap::new(),
        };
        let verdict = policy.check(question);
        let (word, reason, exit) = match &verdict {
            Verdict::Allow(_) => ("allow", None, Exit::Done),
            Verdict::Ask(ask) => ("ask", Some(&ask.reason), Exit::WouldAsk),
            Verdict::Deny { reason } => ("deny", Some(reason), Exit::WouldAsk),
        };
        if context.is_json() {
            let runs = if let Verdict::Ask(ask) = &verdict { Some(&ask.what) } else { None };
            let answer = serde_json::json!({ "verdict": word, "reason": reason, "runs": runs });
            talk::json(&answer)?;
            return Ok(exit);
        }
        match &verdict {
            Verdict::Allow(_) => talk::line(word)?,
            Verdict::Ask(ask) => talk::data(&told(ask))?,
            Verdict::Deny { reason } => talk::line(&format!("{word}: {reason}"))?,
        }
        Ok(exit)
    }
}

/// A policy of these patterns; one that cannot be read is the caller's mistake.
pub(crate) fn allowlist(patterns: &[String]) -> Result<ExecPolicy> {
    ExecPolicy::new(Security::Allowlist, patterns).map_err(|error| bad_pattern(&error))
}

pub(crate) fn bad_pattern(error: &polos_sandbox::policy::Error) -> anyhow::Error {
    let text = error.to_string();
    let (message, hint) = text.split_once("\nhint: ").unwrap_or((&text, ""));
    Problem::usage(message, hint)
}

/// Says what patterns mean more than they seem to.
pub(crate) fn say_lints(policy: &ExecPolicy) {
    for lint in policy.lints() {
        talk::say(&format!("note: `{}`: {}", lint.pattern, lint.remark));
    }
}

/// A question, and what would run.
pub(crate) fn told(ask: &Ask) -> String {
    let mut lines = vec![format!("ask: {}", ask.reason)];
    lines.extend(ask.what.iter().map(|command| {
        let why = command.reason.as_ref().map(|why| format!("  ({why})")).unwrap_or_default();
        format!("  runs: {}{why}", command.text)
    }));
    lines.join("\n") + "\n"
}
