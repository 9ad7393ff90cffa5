//! Judges a command before it runs: by policy, by what a person allowed before, and, where neither
//! decides, as a question. The judgement is recorded, since policies and grants change.

use std::collections::BTreeMap;

use polos_sandbox::policy::{Ask, Binding, ExecPolicy, ExecQuestion, Pattern, Verdict};
use polos_sandbox::toolbox::message::Program;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A command as the model, or a person who edited it, wants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wanted {
    pub(crate) command: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cwd: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stdin: Option<String>,
}

/// What becomes of a command. Persisted in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub(crate) enum Judgement {
    /// It runs, and exactly this is what runs.
    Run {
        program: Program,
        /// The hash of all that makes it this command.
        hash: String,
        /// Why it passes: `policy`, or the scope of a person's earlier answer.
        by: String,
    },
    /// A person decides.
    Ask(Box<Question>),
    /// It does not run, whoever asks.
    Deny { reason: String },
}

/// The question for a person. Persisted in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Question {
    pub(crate) ask: Ask,
    /// To which the answer is bound.
    pub(crate) hash: String,
    /// Which answers make sense beside a plain yes.
    pub(crate) scopes: Vec<String>,
}

/// What a judgement looks at besides the command.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    pub(crate) policy: &'a ExecPolicy,
    /// Patterns that a person allowed for the session or for always, with the scope.
    pub(crate) granted: &'a [(Pattern, &'static str)],
    /// The box it runs in.
    pub(crate) environment: &'a str,
    pub(crate) has_session: bool,
}

impl Bench<'_> {
    /// Judges a command.
    pub(crate) fn judge(&self, wanted: &Wanted) -> Judgement {
        match check(self.policy, wanted) {
            Verdict::Allow(program) => self.run(wanted, program, "policy"),
            Verdict::Deny { reason } => Judgement::Deny { reason },
            Verdict::Ask(ask) => {
                for (pattern, scope) in self.granted {
                    let wider = self.policy.clone().with_patterns([pattern.clone()]);
                    if let Verdict::Allow(program) = check(&wider, wanted) {
                        return self.run(wanted, program, scope);
                    }
                }
                self.ask(wanted, ask)
            }
        }
    }

    fn run(&self, wanted: &Wanted, program: Program, by: &str) -> Judgement {
        let hash = self.hash(wanted, &program);
        Judgement::Run { program, hash, by: by.to_owned() }
    }

    fn ask(&self, wanted: &Wanted, ask: Ask) -> Judgement {
        let hash = self.hash(wanted, &ask.program);
        let mut scopes = vec!["run".to_owned()];
        if self.exact_pattern(wanted).is_some() {
            scopes.extend(self.has_session.then(|| "session".to_owned()));
            scopes.push("always".to_owned());
        }
        Judgement::Ask(Box::new(Question { ask, hash, scopes }))
    }

    /// The pattern that allows exactly this command and nothing else, where there is one: it must
    /// make the policy pass it, so a wrapper or a line for a shell has none.
    pub(crate) fn exact_pattern(&self, wanted: &Wanted) -> Option<Pattern> {
        let command = wanted.command.trim();
        if command.contains(['*', '?', '[', '\n']) {
            return None;
        }
        let pattern = Pattern::parse(command).ok()?;
        let wider = self.policy.clone().with_patterns([pattern.clone()]);
        matches!(check(&wider, wanted), Verdict::Allow(_)).then_some(pattern)
    }

    fn hash(&self, wanted: &Wanted, program: &Program) -> String {
        let binding = Binding {
            tool: "exec",
            program,
            cwd: wanted.cwd.as_deref(),
            env: &BTreeMap::new(),
            stdin: wanted.stdin.as_deref(),
            environment: self.environment,
            policy_version: &self.policy.version(),
        };
        binding.hash()
    }
}

fn check(policy: &ExecPolicy, wanted: &Wanted) -> Verdict {
    policy.check(ExecQuestion {
        command: &wanted.command,
        cwd: wanted.cwd.as_deref(),
        env: &BTreeMap::new(),
    })
}

impl Question {
    /// The exact thing to be done, for whoever shows it.
    pub(crate) fn subject(&self, wanted: &Wanted) -> Value {
        json!({
            "command": self.ask.shown,
            "cwd": wanted.cwd,
            "stdin": wanted.stdin,
            "runs": self.ask.what,
            "reason": self.ask.reason,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polos_sandbox::policy::Security;

    fn judge(command: &str, granted: &[(Pattern, &'static str)]) -> Judgement {
        let policy = ExecPolicy::new(Security::Allowlist, ["git status *"]).unwrap();
        let bench = Bench { policy: &policy, granted, environment: "local:x", has_session: false };
        let wanted = Wanted { command: command.to_owned(), cwd: None, stdin: None };
        bench.judge(&wanted)
    }

    fn question(command: &str) -> Question {
        match judge(command, &[]) {
            Judgement::Ask(question) => *question,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_policy_decides_first() {
        assert!(matches!(judge("git status", &[]), Judgement::Run { by, .. } if by == "policy"));
        assert_eq!(question("ls src").scopes, ["run", "always"]);
    }

    #[test]
    fn what_was_granted_covers_exactly_that() {
        let granted = [(Pattern::parse("ls src").unwrap(), "always")];
        assert!(matches!(judge("ls src", &granted), Judgement::Run { by, .. } if by == "always"));
        assert!(matches!(judge("ls src lib", &granted), Judgement::Ask(_)));
        assert!(matches!(judge("ls src; rm x", &granted), Judgement::Ask(_)));
    }

    #[test]
    fn what_no_pattern_can_name_is_asked_each_time() {
        assert_eq!(question("ls $(rm x)").scopes, ["run"]);
        assert_eq!(question("ls *.rs").scopes, ["run"]);
    }

    #[test]
    fn where_it_runs_is_judged_too() {
        let policy = ExecPolicy::new(Security::Allowlist, ["git status *"]).unwrap();
        let bench =
            Bench { policy: &policy, granted: &[], environment: "local:x", has_session: false };
        let judge = |cwd: &str| {
            let wanted =
                Wanted { command: "git status".to_owned(), cwd: Some(cwd.to_owned()), stdin: None };
            bench.judge(&wanted)
        };
        assert!(matches!(judge("src"), Judgement::Run { .. }));
        let Judgement::Ask(question) = judge("/etc") else { panic!("it was not asked") };
        assert!(question.ask.reason.contains("/etc"), "{}", question.ask.reason);
        // No pattern for the command could make it pass there.
        assert_eq!(question.scopes, ["run"]);
    }

    #[test]
    fn the_hash_is_bound_to_the_command() {
        assert_ne!(question("ls a").hash, question("ls b").hash);
        assert_eq!(question("ls a").hash, question("ls a").hash);
    }
}
