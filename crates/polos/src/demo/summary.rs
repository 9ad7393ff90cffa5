//! How it ended: in words for people, in one line of JSON for scripts.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ledger::Count;
use super::place::{Job, Place};
use super::tale::Spent;
use super::voice::Voice;
use crate::show::amount;
use crate::show::paint::Tone;

/// What came of the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// A person took it.
    Approved,
    /// A person sent it back for the last time.
    Rejected,
    /// The tests never passed.
    NotMended,
}

/// What the journals of all runs hold, and how much of it was not done again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Journaled {
    pub(crate) recorded: usize,
    pub(crate) replayed: usize,
}

/// The last line for scripts. The names are documented.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) outcome: Outcome,
    pub(crate) model_calls: usize,
    pub(crate) model_calls_repeated: usize,
    pub(crate) commands: usize,
    pub(crate) commands_repeated: usize,
    pub(crate) steps_recorded: usize,
    pub(crate) steps_replayed: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) branch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) patch: Option<PathBuf>,
}

/// All that there is to say at the end.
#[derive(Debug)]
pub(crate) struct Summary<'a> {
    pub(crate) outcome: Outcome,
    pub(crate) job: &'a Job,
    pub(crate) place: &'a Place,
    pub(crate) patch: Option<PathBuf>,
    pub(crate) calls: Count,
    pub(crate) commands: Count,
    pub(crate) journaled: Journaled,
    pub(crate) spent: Spent,
    pub(crate) is_scripted: bool,
    /// How often a process was killed.
    pub(crate) kills: u32,
}

impl Summary<'_> {
    /// The line for scripts.
    pub(crate) fn line(&self) -> Line {
        Line {
            outcome: self.outcome,
            model_calls: self.calls.all,
            model_calls_repeated: self.calls.repeated,
            commands: self.commands.all,
            commands_repeated: self.commands.repeated,
            steps_recorded: self.journaled.recorded,
            steps_replayed: self.journaled.replayed,
            branch: self.patch.as_ref().map(|_| self.job.branch.clone()),
            patch: self.patch.clone(),
        }
    }

    /// The same for people.
    pub(crate) fn tell(&self, voice: &mut Voice) {
        voice.heading(match self.outcome {
            Outcome::Approved => "Approved",
            Outcome::Rejected => "Rejected for good: nothing has left the sandbox",
            Outcome::NotMended => {
                "Not mended: the tests never passed, nothing has left the sandbox"
            }
        });
        if let Some(patch) = &self.patch {
            let (branch, repo) = (&self.job.branch, self.job.repo.display());
            voice.fact("branch", &format!("{branch}, in {repo}"));
            voice.fact("patch", &patch.display().to_string());
        }
        voice.fact("model", &counted(self.calls, "call"));
        voice.fact("sandbox", &counted(self.commands, "command"));
        voice.fact("journal", &self.journal());
        voice.fact("spent", &self.cost());
        if self.kills > 0 {
            self.tell_kills(voice);
        }
        self.tell_next(voice);
    }

    fn journal(&self) -> String {
        let recorded = amount::counted(self.journaled.recorded as u64, "step");
        let replayed = self.journaled.replayed;
        format!("{recorded} recorded; {replayed} times a recorded step stood in for doing it again")
    }

    fn cost(&self) -> String {
        let tokens = amount::counted(self.spent.tokens, "token");
        match (self.is_scripted, self.spent.has_unknown_price) {
            (true, _) => format!("{tokens} (estimated), no money: the model was a script"),
            (false, true) => format!("{tokens}; the model's price is not known"),
            (false, false) => format!("{tokens}, {}", amount::dollars(self.spent.cost_micros)),
        }
    }

    fn tell_kills(&self, voice: &mut Voice) {
        let times = amount::counted(u64::from(self.kills), "time");
        let (tone, said) = if self.calls.repeated + self.commands.repeated == 0 {
            let said =
                format!("killed {times} with SIGKILL; no model call and no command ran twice");
            (Tone::Good, said)
        } else {
            let said = format!(
                "killed {times} with SIGKILL; {} and {} were made again",
                amount::counted(self.calls.repeated as u64, "model call"),
                amount::counted(self.commands.repeated as u64, "command")
            );
            (Tone::Bad, said)
        };
        let said = voice.tone(tone, &said);
        voice.line(&format!("\n  {said}"));
    }

    fn tell_next(&self, voice: &mut Voice) {
        voice.heading("Where to look next");
        let data = quoted(&self.place.data());
        if self.patch.is_some() {
            let repo = quoted(&self.job.repo);
            let (base, branch) = (&self.job.base[..self.job.base.len().min(12)], &self.job.branch);
            voice.line(&format!("  git -C {repo} diff {base} {branch}"));
        }
        if let Some(run) = &self.job.run {
            voice.line(&format!("  polos runs show {run} --data-dir {data}"));
        }
        voice.line(&format!("  rm -r {}   # when you have seen enough", quoted(self.place.root())));
    }
}

fn counted(count: Count, noun: &str) -> String {
    format!("{}, {} made again", amount::counted(count.all as u64, noun), count.repeated)
}

/// A path for a shell.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
