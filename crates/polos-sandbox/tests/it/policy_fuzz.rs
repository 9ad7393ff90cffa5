//! What passes is compared with what a real bash executes.
//!
//! Random lines are made of the tokens that shells trip over. Each line that the policy lets
//! through is run by bash with stubs that log their arguments, and the log must be exactly what
//! the plan says. `POLOS_FUZZ_ACCEPTED` sets how many accepted lines are wanted.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use polos_sandbox::policy::{ExecPolicy, ExecQuestion, Security, Verdict};
use polos_toolbox::message::{Connector, Pipeline, Program, Word};

const TOKENS: &[&str] = &[
    "p",
    "q",
    "r",
    "p ",
    "q ",
    "r ",
    " ",
    " ",
    " ",
    "  ",
    "\t",
    "\n",
    ";",
    "&&",
    "||",
    "|",
    "&",
    "|&",
    ";;",
    "'",
    "\"",
    "''",
    "\"\"",
    "'a b'",
    "\"c d\"",
    "'; p x'",
    "\" | q \"",
    "\\",
    "\\ ",
    "\\\n",
    "$",
    "$(p)",
    "`q`",
    "${x}",
    "~",
    "x=~",
    "=",
    ":",
    "a",
    "b",
    "1",
    "2",
    "-",
    "--",
    "-n",
    "x=1",
    "*",
    "?",
    "a*",
    "b?",
    "*.t",
    "'*'",
    "[",
    "]",
    "[a]",
    "[[",
    "{",
    "}",
    "{a,b}",
    "!",
    "^",
    "#",
    " #",
    "(",
    ")",
    "<",
    ">",
    ">>",
    "2>&1",
    " 2>&1 ",
    ">/dev/null",
    " >/dev/null ",
    " 2>/dev/null ",
    "&>",
    "<<",
    "<<<",
    "é",
    "HEAD~1",
    "@",
    "%",
    "+",
    ",",
    ".",
    "/",
    "./",
    "a/b",
    "if",
    "then",
    "fi",
    "time",
    "in",
    "do",
    "\u{a0}",
    "\r",
    "\u{200b}",
    "p a",
    "q b",
    "p 'x' y",
];

/// A small generator, so that one seed reproduces a failure.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }

    fn line(&mut self) -> String {
        let mut line = ["p ", "q ", "r ", ""][self.below(4)].to_owned();
        for _ in 0..=self.below(9) {
            line.push_str(TOKENS[self.below(TOKENS.len())]);
            if self.below(3) == 0 {
                line.push(' ');
            }
        }
        line
    }
}

#[test]
fn what_passes_is_what_bash_executes() {
    let wanted: usize =
        std::env::var("POLOS_FUZZ_ACCEPTED").map_or(400, |count| count.parse().unwrap());
    let seed = std::env::var("POLOS_FUZZ_SEED").map_or(0x9e37_79b9, |seed| seed.parse().unwrap());
    let policy = ExecPolicy::new(Security::Allowlist, ["p *", "q *", "r *"]).unwrap();
    let (mut random, mut seen, mut tried) = (Random(seed), HashSet::new(), 0_u64);
    let mut accepted = Vec::new();
    while seen.len() < wanted {
        tried += 1;
        let command = random.line();
        let verdict =
            policy.check(ExecQuestion { command: &command, cwd: None, env: &BTreeMap::new() });
        if let Verdict::Allow(Program::Plan { pipelines }) = verdict
            && !has_wild_path(&pipelines)
            && seen.insert(command.clone())
        {
            accepted.push((command, pipelines));
        }
        if accepted.len() == 200 || seen.len() == wanted {
            compare(&std::mem::take(&mut accepted));
        }
    }
    println!("{wanted} accepted of {tried} lines, no difference from bash");
}

/// Runs a batch in one bash, each line in a subshell by `eval`, and compares the logs.
fn compare(batch: &[(String, Vec<Pipeline>)]) {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a", "ab", "b", "b1", "x.t", ".hidden", "c d"] {
        std::fs::write(dir.path().join(name), "").unwrap();
    }
    let before = names(dir.path());
    let mut script = String::from(
        "log() { local IFS=$'\\x1f'; printf '%s\\x1e' \"$*\" >&9; }\n\
         p() { log p \"$@\"; }; q() { log q \"$@\"; }; r() { log r \"$@\"; }\n",
    );
    for (command, _) in batch {
        let quoted = command.replace('\'', "'\\''");
        writeln!(script, "( eval '{quoted}' ) >/dev/null 2>&1 </dev/null; printf '\\x1d' >&9")
            .unwrap();
    }
    let log = tempfile::NamedTempFile::new().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), script).unwrap();
    let status = Command::new("/bin/bash")
        .args(["--noprofile", "--norc", "-c", ". \"$1\" 9>>\"$2\"", "bash"])
        .args([file.path(), log.path()])
        .current_dir(dir.path())
        .env_clear()
        .env("PATH", "/nonexistent")
        .env("LC_ALL", "C.UTF-8")
        .status();
    assert!(status.expect("bash is there").code().is_some());
    assert_eq!(names(dir.path()), before, "something was written by {batch:?}");
    let text = std::fs::read_to_string(log.path()).unwrap();
    let logs: Vec<&str> = text.split_terminator('\x1d').collect();
    assert_eq!(logs.len(), batch.len());
    for ((command, pipelines), log) in batch.iter().zip(logs) {
        let mut executed: Vec<Vec<&str>> =
            log.split_terminator('\x1e').map(|entry| entry.split('\x1f').collect()).collect();
        executed.sort();
        let mut approved = planned(pipelines, &before);
        approved.sort();
        assert_eq!(executed, approved, "line {command:?}");
    }
}

/// The argument vectors that a plan runs when every stub succeeds.
fn planned(pipelines: &[Pipeline], names: &[String]) -> Vec<Vec<String>> {
    let runs = pipelines.iter().enumerate();
    let runs = runs.filter(|(index, pipeline)| *index == 0 || pipeline.after != Connector::Or);
    let stages = runs.flat_map(|(_, pipeline)| &pipeline.stages);
    stages.map(|stage| stage.argv.iter().flat_map(|word| expand(word, names)).collect()).collect()
}

fn expand(word: &Word, names: &[String]) -> Vec<String> {
    let glob = match word {
        Word::Literal(text) => return vec![text.clone()],
        Word::Glob { glob } => glob,
    };
    let pattern: Vec<(char, bool)> = {
        let mut escaped = false;
        let mut out = Vec::new();
        for c in glob.chars() {
            if c == '\\' && !escaped {
                escaped = true;
            } else {
                out.push((c, !escaped && (c == '*' || c == '?')));
                escaped = false;
            }
        }
        out
    };
    let found: Vec<String> = names.iter().filter(|name| matches(&pattern, name)).cloned().collect();
    let text = pattern.iter().map(|(c, _)| *c).collect();
    if found.is_empty() { vec![text] } else { found }
}

/// Wildcards in paths are the toolbox's own tests; here every name lies in one folder.
fn has_wild_path(pipelines: &[Pipeline]) -> bool {
    let mut words = pipelines.iter().flat_map(|pipeline| &pipeline.stages).flat_map(|s| &s.argv);
    words.any(|word| matches!(word, Word::Glob { glob } if glob.contains('/')))
}

fn matches(pattern: &[(char, bool)], name: &str) -> bool {
    fn go(pattern: &[(char, bool)], name: &[char]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((('*', true), rest)) => (0..=name.len()).any(|at| go(rest, &name[at..])),
            Some((('?', true), rest)) => !name.is_empty() && go(rest, &name[1..]),
            Some(((c, _), rest)) => name.first() == Some(c) && go(rest, &name[1..]),
        }
    }
    let hidden_asked = pattern.first().is_some_and(|first| *first == ('.', false));
    (hidden_asked || !name.starts_with('.')) && go(pattern, &name.chars().collect::<Vec<_>>())
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
