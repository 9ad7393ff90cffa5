//! The exec policy: a command line comes in, a verdict goes out.

use std::collections::{BTreeMap, BTreeSet};

use polos_toolbox::message::{Pipeline, Program, Stage, Word};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::pattern::{Error, Lint, Pattern};
use super::{describe, guard, options, strict};
use crate::hex;

/// The workspace as the tools call it.
const WORKSPACE: &str = "/workspace";

/// How commands are decided upon.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Security {
    /// What the allowlist covers runs; everything else asks.
    Allowlist,
    /// Every command asks.
    #[default]
    Ask,
    /// Every command runs, by a shell; the box is the only boundary.
    Full,
    /// No command runs.
    Deny,
}

/// A command as the model asked for it.
#[derive(Debug, Clone, Copy)]
pub struct ExecQuestion<'a> {
    pub command: &'a str,
    /// Where it is to run, as the model says it; the workspace if absent.
    pub cwd: Option<&'a str>,
    /// What the model adds to the environment.
    pub env: &'a BTreeMap<String, String>,
}

/// What becomes of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It runs, and exactly this is what runs.
    Allow(Program),
    /// A person decides.
    Ask(Ask),
    /// It does not run, whoever asks; the text is for the model.
    Deny { reason: String },
}

/// The question for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Why it does not pass by itself.
    pub reason: String,
    /// The line as the model wrote it, with everything that hides made visible.
    pub shown: String,
    /// The commands it would run, as far as can be told.
    pub what: Vec<Command>,
    /// Exactly what an approval runs.
    pub program: Program,
}

/// One command in a line that is a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    pub text: String,
    /// Why it does not pass by itself; absent when it would.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Decides which commands run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecPolicy {
    security: Security,
    patterns: Vec<Pattern>,
    env_allowed: BTreeSet<String>,
}

impl ExecPolicy {
    /// A policy with these patterns; they matter under [`Security::Allowlist`] only.
    pub fn new(
        security: Security,
        allowlist: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Self, Error> {
        let patterns = allowlist.into_iter().map(|pattern| Pattern::parse(pattern.as_ref()));
        Ok(Self {
            security,
            patterns: patterns.collect::<Result<_, _>>()?,
            env_allowed: BTreeSet::new(),
        })
    }

    /// Lets the model set these variables without a question.
    #[must_use]
    pub fn allow_env(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.env_allowed.extend(names.into_iter().map(Into::into));
        self
    }

    /// The same policy with more patterns, such as those a person allowed for the run.
    #[must_use]
    pub fn with_patterns(mut self, patterns: impl IntoIterator<Item = Pattern>) -> Self {
        self.patterns.extend(patterns);
        self
    }

    pub fn security(&self) -> Security {
        self.security
    }

    /// Remarks on patterns that mean more than they seem to.
    pub fn lints(&self) -> Vec<Lint> {
        self.patterns.iter().filter_map(Pattern::lint).collect()
    }

    /// A hash of all that decides, for the binding of approvals.
    pub fn version(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(format!("polos exec policy 1\n{:?}\n", self.security));
        for line in self.patterns.iter().map(Pattern::as_str).chain(["\0"]) {
            hash.update(format!("{line}\n"));
        }
        for name in &self.env_allowed {
            hash.update(format!("{name}\n"));
        }
        hex(&hash.finalize())
    }

    /// Decides about a command.
    pub fn check(&self, question: ExecQuestion<'_>) -> Verdict {
        let line = question.command;
        match self.security {
            Security::Deny => Verdict::Deny {
                reason: "commands are switched off here (`exec.security` is `deny`)".to_owned(),
            },
            Security::Full if line.contains('\0') => {
                Verdict::Deny { reason: "a command cannot contain a NUL character".to_owned() }
            }
            Security::Full => Verdict::Allow(Program::Shell { line: line.to_owned() }),
            Security::Ask | Security::Allowlist => self.check_line(question),
        }
    }

    fn check_line(&self, question: ExecQuestion<'_>) -> Verdict {
        let line = question.command;
        if line.contains('\0') {
            return Verdict::Deny { reason: "a command cannot contain a NUL character".to_owned() };
        }
        let parsed = guard::fit(line)
            .map_err(|unfit| unfit.to_string())
            .and_then(|()| strict::parse(line).map_err(|beyond| beyond.to_string()))
            .and_then(|parsed| {
                let message = "two parsers read it differently";
                describe::agrees(line, &parsed.spans).then_some(parsed).ok_or(message.to_owned())
            });
        let parsed = match parsed {
            Ok(parsed) => parsed,
            Err(reason) => return Verdict::Ask(Self::ask_for_shell(line, reason)),
        };
        match self.why_not(&parsed.pipelines, question) {
            None => Verdict::Allow(Program::Plan { pipelines: parsed.pipelines }),
            Some(reason) => Verdict::Ask(self.ask_for_plan(line, reason, parsed.pipelines)),
        }
    }

    /// Why these plain commands do not pass by themselves.
    fn why_not(&self, pipelines: &[Pipeline], question: ExecQuestion<'_>) -> Option<String> {
        if self.security != Security::Allowlist {
            return Some("every command is asked about (`exec.security` is `ask`)".to_owned());
        }
        let mut names = question.env.keys();
        if let Some(name) = names.find(|name| !self.env_allowed.contains(*name)) {
            return Some(format!("it sets the variable `{name}`, which can change what runs"));
        }
        if let Some(reason) = self.cwd_why_not(pipelines, question.cwd) {
            return Some(reason);
        }
        pipelines
            .iter()
            .flat_map(|pipeline| pipeline.stages.iter().map(move |stage| (pipeline, stage)))
            .find_map(|(pipeline, stage)| self.stage_why_not(pipeline, stage))
    }

    /// Why these commands do not pass where they are to run: a folder is a `cd` by another name.
    ///
    /// Beneath the workspace, programs on the path mean the same everywhere. One that is named by
    /// its path, or that runs what lies around it, does not: its pattern speaks of the workspace.
    fn cwd_why_not(&self, pipelines: &[Pipeline], cwd: Option<&str>) -> Option<String> {
        let folder = cwd.map(|cwd| cwd.strip_prefix(WORKSPACE).unwrap_or(cwd))?;
        let folder = folder.trim_matches('/');
        if matches!(folder, "" | ".") && cwd.is_some_and(is_beneath) {
            return None;
        }
        let cd = [Word::Literal("cd".to_owned()), Word::Literal(cwd?.to_owned())];
        if self.patterns.iter().any(|pattern| pattern.fits(&cd)) {
            return None;
        }
        if !cwd.is_some_and(is_beneath) {
            return Some(format!("it runs in `{}`, outside of the workspace", cwd?));
        }
        let names = pipelines.iter().flat_map(|pipeline| &pipeline.stages);
        let mut names = names.filter_map(|stage| stage.argv.first().map(options::text));
        let bound = names.find(|name| name.contains('/') || options::runs_code(name))?;
        Some(format!(
            "`{bound}` means something else in `{folder}`; no pattern covers `cd {folder}`"
        ))
    }

    fn stage_why_not(&self, pipeline: &Pipeline, stage: &Stage) -> Option<String> {
        let name = stage.argv.first().map(options::text).unwrap_or_default();
        if name == "cd" && !is_plain_cd(pipeline, stage) {
            return Some("`cd` takes one plain folder and stands alone in its pipeline".to_owned());
        }
        let mut nearest = None;
        for pattern in self.patterns.iter().filter(|pattern| pattern.fits(&stage.argv)) {
            match pattern_why_not(pattern, stage) {
                None => return None,
                Some(reason) => nearest = Some(reason),
            }
        }
        Some(nearest.unwrap_or_else(|| format!("no pattern covers `{}`", stage_text(stage))))
    }

    /// A question about plain commands: an approval runs them as they were parsed.
    fn ask_for_plan(&self, line: &str, reason: String, pipelines: Vec<Pipeline>) -> Ask {
        let stages = pipelines
            .iter()
            .flat_map(|pipeline| pipeline.stages.iter().map(move |stage| (pipeline, stage)));
        let what = stages
            .map(|(pipeline, stage)| Command {
                text: stage_text(stage),
                reason: self.stage_why_not(pipeline, stage),
            })
            .collect();
        let program = if needs_shell(&pipelines) {
            Program::Shell { line: line.to_owned() }
        } else {
            Program::Plan { pipelines }
        };
        Ask { reason, shown: guard::reveal(line), what, program }
    }

    /// A question about a line that only a shell can run.
    fn ask_for_shell(line: &str, reason: String) -> Ask {
        let description = if line.len() > guard::LINE_BYTES_MAX {
            describe::Description { commands: Vec::new(), is_whole: false }
        } else {
            describe::describe(line)
        };
        let mut what: Vec<Command> = description
            .commands
            .into_iter()
            .map(|found| Command {
                reason: options::is_wrapper(&found.name)
                    .then(|| format!("`{}` runs other programs", found.name)),
                text: guard::reveal(&found.text),
            })
            .collect();
        if !description.is_whole {
            what.push(Command {
                text: guard::reveal(line),
                reason: Some("it could not be parsed as a whole; it may run more".to_owned()),
            });
        }
        let program = Program::Shell { line: line.to_owned() };
        Ask { reason, shown: guard::reveal(line), what, program }
    }
}

/// Why a pattern whose words fit does not approve the command all the same.
fn pattern_why_not(pattern: &Pattern, stage: &Stage) -> Option<String> {
    let argv = &stage.argv;
    let name = argv.first().map(options::text).unwrap_or_default();
    if options::is_wrapper(name) && !pattern.is_exact() {
        return Some(format!(
            "`{}` runs other programs or is interactive, so a wildcard does not approve it",
            options::base_name(name)
        ));
    }
    let hazard =
        options::hazards(argv).into_iter().find(|hazard| !pattern.names(hazard.index, argv))?;
    Some(hazard.why)
}

/// Whether a folder lies in the workspace, by its spelling.
fn is_beneath(cwd: &str) -> bool {
    let inner = match cwd.strip_prefix(WORKSPACE) {
        Some(inner) => inner.is_empty() || inner.starts_with('/'),
        None => !cwd.starts_with('/'),
    };
    inner && !cwd.split('/').any(|part| part == "..") && !cwd.starts_with('~')
}

/// `cd FOLDER` is the toolbox's own, but only by itself and with a folder that is spelled out.
fn is_plain_cd(pipeline: &Pipeline, stage: &Stage) -> bool {
    let [_, Word::Literal(folder)] = stage.argv.as_slice() else { return false };
    pipeline.stages.len() == 1
        && stage.redirects.is_empty()
        && !folder.is_empty()
        && !folder.starts_with('-')
}

fn needs_shell(pipelines: &[Pipeline]) -> bool {
    pipelines.iter().any(|pipeline| {
        pipeline.stages.iter().any(|stage| {
            let is_cd = stage.argv.first().is_some_and(|name| options::text(name) == "cd");
            is_cd && !is_plain_cd(pipeline, stage)
        })
    })
}

/// A command as a shell would read it, with quotes where they are needed.
fn stage_text(stage: &Stage) -> String {
    let quoted: Vec<String> = stage.argv.iter().map(word_text).collect();
    quoted.join(" ")
}

fn word_text(word: &Word) -> String {
    match word {
        Word::Glob { glob } => glob.clone(),
        Word::Literal(text) => {
            let plain = |c: char| c.is_alphanumeric() || "_-./,:=+@%~".contains(c);
            if !text.is_empty() && text.chars().all(plain) && !text.starts_with('~') {
                text.clone()
            } else {
                format!("'{}'", text.replace('\'', "'\\''"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(policy: &ExecPolicy, command: &str) -> Verdict {
        policy.check(ExecQuestion { command, cwd: None, env: &BTreeMap::new() })
    }

    #[test]
    fn modes_decide_before_patterns() {
        let allowlist = ["ls *"];
        let policy = |security| ExecPolicy::new(security, allowlist).unwrap();
        assert!(matches!(check(&policy(Security::Deny), "ls"), Verdict::Deny { .. }));
        assert!(matches!(check(&policy(Security::Ask), "ls"), Verdict::Ask(_)));
        assert!(matches!(check(&policy(Security::Allowlist), "ls"), Verdict::Allow(_)));
        let line = "rm -rf x && $(y)".to_owned();
        assert_eq!(check(&policy(Security::Full), &line), Verdict::Allow(Program::Shell { line }));
    }

    #[test]
    fn a_question_says_what_and_why() {
        let policy = ExecPolicy::new(Security::Allowlist, ["ls *"]).unwrap();
        let Verdict::Ask(ask) = check(&policy, "ls src && rm 'a b'") else { panic!() };
        assert_eq!(ask.reason, "no pattern covers `rm 'a b'`");
        assert_eq!(ask.what[0], Command { text: "ls src".to_owned(), reason: None });
        assert_eq!(ask.what[1].text, "rm 'a b'");
        assert!(matches!(ask.program, Program::Plan { .. }));
        let Verdict::Ask(ask) = check(&policy, "ls $(env rm x)") else { panic!() };
        assert_eq!(ask.what.len(), 2);
        assert!(ask.what[1].reason.is_some());
        assert!(matches!(ask.program, Program::Shell { .. }));
    }

    #[test]
    fn the_environment_is_part_of_the_question() {
        let policy = ExecPolicy::new(Security::Allowlist, ["ls *"]).unwrap().allow_env(["CI"]);
        let mut env = BTreeMap::from([("CI".to_owned(), "1".to_owned())]);
        let allowed = policy.check(ExecQuestion { command: "ls", cwd: None, env: &env });
        assert!(matches!(allowed, Verdict::Allow(_)));
        env.insert("LD_PRELOAD".to_owned(), "x.so".to_owned());
        let asked = policy.check(ExecQuestion { command: "ls", cwd: None, env: &env });
        assert!(matches!(asked, Verdict::Ask(_)));
    }

    #[test]
    fn a_folder_is_a_cd_by_another_name() {
        let check = |patterns: &[&str], command, cwd| {
            let policy = ExecPolicy::new(Security::Allowlist, patterns).unwrap();
            let verdict = policy.check(ExecQuestion { command, cwd, env: &BTreeMap::new() });
            matches!(verdict, Verdict::Allow(_))
        };
        for cwd in [None, Some("."), Some("/workspace"), Some("/workspace/"), Some("src")] {
            assert!(check(&["ls *"], "ls", cwd), "{cwd:?}");
        }
        assert!(check(&["ls *"], "ls", Some("/workspace/src/deep")));
        let outside = ["/", "/etc", "..", "src/../..", "/workspace/..", "/workspacex", "~", "~/x"];
        for cwd in outside {
            assert!(!check(&["ls *"], "ls", Some(cwd)), "{cwd}");
            assert!(check(&["ls *", "cd *"], "ls", Some(cwd)), "{cwd}");
        }
        // What they run lies where they run.
        for pattern in ["npm test", "make test", "./gradlew *", "tools/x *"] {
            let command = pattern.trim_end_matches(" *");
            assert!(check(&[pattern], command, None), "{command}");
            assert!(!check(&[pattern], command, Some("evil")), "{command}");
            assert!(check(&[pattern, "cd evil"], command, Some("evil")), "{command}");
            assert!(!check(&[pattern, "cd good"], command, Some("evil")), "{command}");
        }
    }

    #[test]
    fn the_version_follows_every_part() {
        let base = ExecPolicy::new(Security::Allowlist, ["ls *"]).unwrap();
        let others = [
            ExecPolicy::new(Security::Ask, ["ls *"]).unwrap(),
            ExecPolicy::new(Security::Allowlist, ["ls"]).unwrap(),
            base.clone().allow_env(["X"]),
            base.clone().with_patterns([Pattern::parse("cat *").unwrap()]),
        ];
        assert!(others.iter().all(|other| other.version() != base.version()));
        assert_eq!(base.version(), base.clone().version());
    }
}
