//! The main job: a real repository, a real sandbox, real kills; only the model's words are prepared.

use crate::polos::Polos;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Runs a demo to its end, and reads its last line.
fn demo(polos: &Polos, args: &[&str]) -> (Value, String) {
    let dir = polos.folder().join("demo");
    let ran = polos.run(&[&["--json", "demo", "--dir", dir.to_str().unwrap()], args].concat());
    assert_eq!(ran.code, 0, "{}\n{}", ran.out, ran.err);
    (serde_json::from_str(ran.out.lines().last().unwrap()).unwrap(), ran.err)
}

fn git(dir: &Path, args: &[&str]) -> String {
    let identity = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "safe.directory=*"];
    let output = Command::new("git").args(identity).arg("-C").arg(dir).args(args).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn a_bug_is_mended_and_the_branch_comes_out() {
    let polos = Polos::new();
    let (line, told) = demo(&polos, &["--answer", "approve"]);
    assert_eq!(line["outcome"], "approved");
    assert_eq!((&line["model_calls"], &line["commands"]), (&12.into(), &7.into()), "{line}");
    let repo = polos.folder().join("demo/repo");
    let branch = line["branch"].as_str().unwrap();
    assert_eq!(git(&repo, &["log", "--format=%s", &format!("main..{branch}")]).lines().count(), 1);
    git(&repo, &["checkout", "--quiet", branch]);
    let tests = Command::new("sh").arg("test.sh").current_dir(&repo).output().unwrap();
    assert!(tests.status.success(), "the tests really pass: {tests:?}");
    let patch = std::fs::read_to_string(line["patch"].as_str().unwrap()).unwrap();
    assert!(patch.contains("Subject: [PATCH] latest.sh prints 1.9.0"), "{patch}");
    assert!(told.contains("$ sh test.sh (exit status 1"), "the first test really fails: {told}");
}

#[test]
fn nothing_is_repeated_when_worker_and_server_are_killed() {
    let polos = Polos::new();
    let (line, told) = demo(&polos, &["--crash", "--answer", "reject:please add tests"]);
    assert_eq!(line["outcome"], "approved", "{told}");
    assert_eq!(line["model_calls_repeated"], 0, "{told}");
    assert_eq!(line["commands_repeated"], 0, "{told}");
    assert_eq!((&line["model_calls"], &line["commands"]), (&17.into(), &11.into()), "{line}");
    assert!(line["steps_replayed"].as_u64().unwrap() >= 2, "{line}");
    assert_eq!(told.matches("KILL -9").count(), 2, "{told}");
    assert!(told.contains("no model call and no command ran twice"), "{told}");
    let repo = polos.folder().join("demo/repo");
    let log = git(&repo, &["log", "--format=%s", "main..polos/newest-tag"]);
    assert!(log.starts_with("Follow the review: please add tests"), "{log}");
}

#[test]
fn ones_own_repository_gets_a_branch_and_nothing_else() {
    let polos = Polos::new();
    let repo = polos.folder().join("mine");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/demo/content");
    let copied = Command::new("cp").arg("-r").arg(source.join("repo")).arg(&repo).status().unwrap();
    assert!(copied.success());
    git(&repo, &["init", "--quiet", "--initial-branch=trunk"]);
    git(&repo, &["add", "--all"]);
    git(&repo, &["commit", "--quiet", "-m", "all"]);
    std::fs::write(repo.join("notes.txt"), "mine").unwrap();
    let issue = source.join("issue.md");
    let args = ["--repo", repo.to_str().unwrap(), "--issue", issue.to_str().unwrap()];
    let (line, _) = demo(&polos, &[&args[..], &["--answer", "approve"]].concat());
    assert_eq!(line["branch"], "polos/issue");
    assert_eq!(git(&repo, &["status", "--porcelain"]), "?? notes.txt");
    assert_eq!(git(&repo, &["branch", "--show-current"]), "trunk");
    assert_eq!(git(&repo, &["log", "--format=%s", "trunk..polos/issue"]).lines().count(), 1);
}

#[test]
fn what_cannot_be_mended_is_said_before_anything_starts() {
    let polos = Polos::new();
    let issue = polos.folder().join("issue.md");
    std::fs::write(&issue, "x").unwrap();
    let dir = polos.folder().join("left");
    let mut args = vec!["demo", "--repo", "/", "--issue", issue.to_str().unwrap()];
    args.extend(["--dir", dir.to_str().unwrap()]);
    let ran = polos.run(&args);
    assert_eq!(ran.code, 2, "{ran:#?}");
    assert!(!dir.exists(), "nothing is left behind");
    assert!(ran.err.contains("cannot be used as a git repository"), "{}", ran.err);
    let ran = polos.run(&["demo", "--answer", "perhaps"]);
    assert!(ran.err.contains("say `approve` or `reject:FEEDBACK`"), "{}", ran.err);
}
