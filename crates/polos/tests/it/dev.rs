//! The whole way: a project is made, `polos dev` runs it, an agent answers, the run tells its story.

use crate::polos::{Polos, Running};
use serde_json::Value;
use std::process::Stdio;

/// A project with `polos dev` running in it.
fn project() -> (Polos, Running) {
    let polos = Polos::new();
    polos.ok(&["init"]);
    let dev = polos.start(&["dev", "--listen", "127.0.0.1:0"]);
    polos.until(&["agents", "list"], |agents| agents.as_array().is_some_and(|a| a.len() == 1));
    (polos, dev)
}

fn run_ids(polos: &Polos) -> Vec<String> {
    let runs = polos.json(&["runs", "list"]);
    let items = runs["items"].as_array().unwrap();
    items.iter().map(|run| run["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_new_project_runs_at_once() {
    let (polos, dev) = project();
    let ran = polos.run(&["run", "greeter", "hello"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(ran.out.starts_with("Hello! I am a scripted reply."), "{}", ran.out);
    assert_eq!(ran.out.lines().count(), 1, "the answer is data, once: {}", ran.out);
    let run = &run_ids(&polos)[0];
    let story = polos.ok(&["runs", "show", run]);
    assert!(story.contains("greeter (agent) completed"), "{story}");
    assert!(story.contains("✓ model"), "{story}");
    assert!(story.contains("1 model call"), "{story}");
    assert_eq!(dev.stop(), 0);
}

#[test]
fn an_agent_is_read_again_when_its_file_changes() {
    let (polos, _dev) = project();
    let file = polos.folder().join("agents/second.toml");
    let script = "provider = \"scripted\"\nscript = \"replies/greeter.toml\"\nsystem = \"x\"\n";
    std::fs::write(&file, script).unwrap();
    polos.until(&["agents", "list"], |agents| agents.as_array().is_some_and(|a| a.len() == 2));
    // A broken file leaves the agents as they were.
    std::fs::write(&file, "sytem = 1").unwrap();
    let ran = polos.run(&["run", "greeter", "still there?"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
}

#[test]
fn a_key_starts_a_run_once() {
    let (polos, _dev) = project();
    let start = |prompt: &str| polos.run(&["run", "greeter", prompt, "--key", "k", "--detach"]);
    let (first, second) = (start("hello"), start("hello"));
    assert_eq!((first.code, second.code), (0, 0), "{second:#?}");
    assert_eq!(first.out, second.out);
    let other = start("goodbye");
    assert_eq!(other.code, 1);
    assert!(other.err.contains("start_key_conflict"), "{}", other.err);
    assert_eq!(run_ids(&polos).len(), 1);
}

#[test]
fn a_run_without_a_worker_waits_and_says_so_and_bulk_verbs_ask_first() {
    let (polos, _dev) = project();
    let ran = polos.run(&["run", "nobody-has-this", "--detach"]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(ran.err.contains("unknown_workflow"), "{}", ran.err);
    polos.ok(&["queues", "set", "slow", "--concurrency", "1"]);
    polos.ok(&["queues", "pause", "slow"]);
    for label in ["team=a", "team=a", "team=b"] {
        polos.ok(&["run", "greeter", "hi", "--detach", "--queue", "slow", "--label", label]);
    }
    let listed = polos.json(&["runs", "list", "--label", "team=a"]);
    let items = listed["items"].as_array().unwrap();
    assert_eq!(items.len(), 2, "{listed:#}");
    // A list is brief; the run itself knows its place and what would let it go on.
    let shown = polos.json(&["runs", "show", items[0]["id"].as_str().unwrap()]);
    let why = shown["why"].as_str().or_else(|| shown["run"]["why"].as_str()).unwrap();
    assert!(why.contains("slow") && why.contains("paused"), "{why}");

    let asked = polos.run(&["runs", "cancel", "--state", "queued", "--label", "team=a"]);
    assert_eq!(asked.code, 2, "without a terminal a yes must be said: {asked:#?}");
    assert!(asked.err.contains("would cancel 2 runs"), "{}", asked.err);
    polos.ok(&["runs", "cancel", "--state", "queued", "--label", "team=a", "--yes"]);
    let states = polos.json(&["runs", "list", "--state", "cancelled"]);
    assert_eq!(states["items"].as_array().unwrap().len(), 2);
    polos.ok(&["queues", "resume", "slow"]);
    polos.until(&["runs", "list", "--label", "team=b"], |runs| {
        runs["items"][0]["state"] == "completed"
    });
}

#[test]
fn runs_survive_the_death_of_the_process() {
    let (polos, dev) = project();
    polos.ok(&["run", "greeter", "hello", "--wait"]);
    let before = polos.json(&["runs", "list"]);
    dev.kill();
    assert_eq!(polos.json(&["runs", "list"])["items"][0]["id"], before["items"][0]["id"]);
    let _again = polos.start(&["dev", "--listen", "127.0.0.1:0"]);
    assert_eq!(polos.json(&["runs", "list"])["items"][0]["id"], before["items"][0]["id"]);
}

#[test]
fn output_that_nobody_reads_is_no_error() {
    let (polos, _dev) = project();
    polos.ok(&["run", "greeter", "hello", "--wait"]);
    let run = run_ids(&polos).remove(0);
    let mut command = polos.command(&["runs", "show", &run]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn stories_and_journals_come_as_json_too() {
    let (polos, _dev) = project();
    polos.ok(&["run", "greeter", "hello", "--wait"]);
    let run = run_ids(&polos).remove(0);
    let story = polos.json(&["runs", "show", &run]);
    assert_eq!(story["run"]["state"], "completed");
    assert_eq!(story["journal"][0]["record"]["record"]["key"], "model");
    let journal = polos.ok(&["runs", "journal", &run]);
    let first: Value = serde_json::from_str(journal.lines().next().unwrap()).unwrap();
    assert_eq!(first["record"]["seq"], 1);
    let tail = polos.ok(&["runs", "tail", &run, "--json"]);
    assert!(tail.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{tail}");
}
