//! The three agents, and what each is told on each round.

#![expect(clippy::format_push_string, reason = "a few short lines")]

use polos_agent::{Agent, Limits};
use polos_sandbox::config::{Scope, ToolsConfig};
use polos_sandbox::policy::{FileApproval, Security};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Their names, and those of the workflow.
pub(crate) const PLANNER: &str = "planner";
pub(crate) const CODER: &str = "coder";
pub(crate) const TESTER: &str = "tester";

/// The headings by which the prompts are put together (and the scripted model tells rounds apart).
const PLAN: &str = "## Plan";
const REPORT: &str = "## The tester's report";
const REVIEW: &str = "## The reviewer's word";

const PLANNER_SYSTEM: &str = "\
You plan the mending of one issue in the git repository at /workspace. Read what matters, run the \
tests once to see what fails, and find the cause. Change nothing. Answer with the cause in a \
sentence and a numbered plan of at most five short steps, the last of which names the command that \
runs the tests. No headings.";

const CODER_SYSTEM: &str = "\
You mend one issue in the git repository at /workspace, following a plan. Read a file before you \
edit it, keep the change small and in the manner of the code around it, and do not change what \
tests expect. Where a tester's report or a reviewer's word is given, what they say comes first. Do \
not commit: that is done for you. Answer with what you changed and why, in at most three sentences.";

const TESTER_SYSTEM: &str = "\
You test a change in the git repository at /workspace. Run the tests as the plan says, look at what \
they really print, and change nothing. Answer with JSON: `passed`, true only if every test ran and \
passed, and `report`, at most three sentences that name what failed and why.";

/// Commands that pass without a question in the demo's own repository.
const ALLOWED: [&str; 7] =
    ["sh test.sh", "git status *", "git diff --stat *", "git ls-files *", "ls *", "cat *", "wc *"];

/// What the tester answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Verdict {
    pub(crate) passed: bool,
    pub(crate) report: String,
}

/// The three agents, working in the box of that name.
pub(crate) fn agents(sandbox: &str) -> [Agent; 3] {
    let verdict = json!({
        "type": "object",
        "properties": {
            "passed": {"type": "boolean", "description": "true only if every test ran and passed"},
            "report": {"type": "string", "description": "what failed and why, or that all passed"},
        },
        "required": ["passed", "report"],
        "additionalProperties": false,
    });
    let planner = member(PLANNER, "Reads the issue and the code, and plans", sandbox)
        .system(PLANNER_SYSTEM)
        .tools(["exec", "read", "glob", "grep"]);
    let coder = member(CODER, "Changes the code as planned", sandbox)
        .system(CODER_SYSTEM)
        .tools(["sandbox"]);
    let tester = member(TESTER, "Runs the tests and says how they went", sandbox)
        .system(TESTER_SYSTEM)
        .tools(["exec", "read", "glob", "grep"])
        .output(verdict);
    [planner, coder, tester]
}

fn member(id: &str, description: &str, sandbox: &str) -> Agent {
    let mut agent = Agent::new(id).description(description).limits(Limits {
        turns: Some(40),
        seconds: Some(1_800),
        ..Limits::default()
    });
    agent.sandbox = tools(sandbox);
    agent
}

/// The box that all share, and what may be done in it without a question: files change freely,
/// since the whole change is shown before anything leaves the box.
pub(crate) fn tools(sandbox: &str) -> ToolsConfig {
    let mut tools =
        ToolsConfig { scope: Scope::Named(sandbox.to_owned()), ..ToolsConfig::default() };
    tools.exec.security = Some(Security::Allowlist);
    tools.exec.allowlist = ALLOWED.map(str::to_owned).to_vec();
    tools.files.approval = Some(FileApproval::None);
    tools
}

/// What a round knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Round {
    pub(crate) number: u32,
    pub(crate) issue: String,
    pub(crate) plan: String,
    /// What the coder said last.
    pub(crate) summary: String,
    /// Why the tests failed, if they did.
    pub(crate) report: Option<String>,
    /// What the person said, if they sent the change back; every word so far.
    pub(crate) reviews: Vec<String>,
}

impl Round {
    pub(crate) fn for_planner(&self) -> String {
        format!("Plan how to mend this issue.\n\n{}", self.issue.trim())
    }

    pub(crate) fn for_coder(&self) -> String {
        let mut text = format!(
            "Round {}. Mend this issue.\n\n{}\n\n{PLAN}\n\n{}",
            self.number,
            self.issue.trim(),
            self.plan.trim()
        );
        for review in &self.reviews {
            text.push_str(&format!("\n\n{REVIEW}\n\n{}", review.trim()));
        }
        if let Some(report) = &self.report {
            text.push_str(&format!("\n\n{REPORT}\n\n{}", report.trim()));
        }
        text
    }

    pub(crate) fn for_tester(&self) -> String {
        format!(
            "Round {}. Test the change.\n\n{PLAN}\n\n{}\n\n## The change, in its author's words\n\n{}",
            self.number,
            self.plan.trim(),
            self.summary.trim()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crew_is_sound() {
        for agent in agents("box") {
            assert_eq!(agent.check(), Ok(()), "{}", agent.id);
            assert!(agent.uses_sandbox());
        }
    }

    #[test]
    fn a_coder_hears_of_reviews_and_reports_only_when_there_are_any() {
        let mut round = Round { number: 1, ..Round::default() };
        assert!(!round.for_coder().contains(REPORT) && !round.for_coder().contains(REVIEW));
        round.report = Some("r".into());
        round.reviews = vec!["w".into()];
        assert!(round.for_coder().contains(REPORT) && round.for_coder().contains(REVIEW));
    }
}
