//! Dry replays: a journal that one build recorded, against the next one. Nothing runs, nothing is
//! written, and no server is reached.

use crate::polos::{Polos, Ran};
use polos_sdk::{Approval, Ctx, Result, StepError, Worker, shutdown_signal};
use serde_json::Value;
use std::future::{Ready, ready};
use std::io::Write as _;
use std::path::PathBuf;

/// Which code the worker process has, and where it notes its effects.
const CODE: &str = "POLOS_TEST_CODE";
const EFFECTS: &str = "POLOS_TEST_EFFECTS";

/// The worker of the project: this program, started again.
#[test]
#[ignore = "the worker process of the other tests"]
fn is_the_worker_process() {
    let Ok(code) = std::env::var(CODE) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let worker = Worker::builder()
        .build_id(code.clone())
        .workflow("order", move |ctx: Ctx, size: u64| order(ctx, code.clone(), size));
    runtime.block_on(worker.build().unwrap().run_until(shutdown_signal())).unwrap();
}

async fn order(ctx: Ctx, code: String, size: u64) -> Result<String> {
    let large: String = ctx.step("reserve", move || effect("reserve", large(size))).await?;
    if code == "inserted" {
        ctx.step("audit", || effect("audit", ())).await?;
    }
    if code == "patched" && ctx.patched("audit") {
        ctx.step("audit", || effect("audit", ())).await?;
    }
    let name = if code == "renamed" { "pay" } else { "charge" };
    let charge = ctx.step_with(name, |_| effect("charge", 1));
    charge.once().await?;
    if code == "raises" {
        return Err(polos_sdk::Error::terminal("the new code is broken"));
    }
    let question = Approval { title: "Ship it?".to_owned(), ..Approval::default() };
    ctx.ask("ship", question).await?;
    Ok(large.len().to_string())
}

fn large(size: u64) -> String {
    "x".repeat(usize::try_from(size).unwrap())
}

/// Notes an effect: already the call of the closure counts.
fn effect<T>(name: &str, value: T) -> Ready<std::result::Result<T, StepError>> {
    let mut file = std::fs::File::options()
        .create(true)
        .append(true)
        .open(std::env::var(EFFECTS).unwrap())
        .unwrap();
    writeln!(file, "{name}").unwrap();
    ready(Ok(value))
}

/// A project whose worker has this code.
fn set_code(polos: &Polos, code: &str) {
    let program = std::env::current_exe().unwrap();
    let worker = format!(
        "env {CODE}={code} {EFFECTS}={} {} replay::is_the_worker_process --exact --ignored -q",
        effects_file(polos).display(),
        program.display()
    );
    std::fs::write(polos.folder().join("polos.toml"), format!("[dev]\nworker = \"{worker}\"\n"))
        .unwrap();
}

fn effects_file(polos: &Polos) -> PathBuf {
    polos.folder().join("effects")
}

fn effects(polos: &Polos) -> String {
    std::fs::read_to_string(effects_file(polos)).unwrap()
}

/// A run that waits for a person, recorded by the old code. No server runs after it.
fn waiting(size: u64) -> (Polos, String) {
    let polos = Polos::new();
    set_code(&polos, "old");
    let running = polos.start(&["run", "order", "--input", &size.to_string(), "--json"]);
    let waits = |runs: &Value| runs["items"][0]["state"] == "waiting";
    let run = polos.until(&["runs", "list"], waits)["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(running.stop(), 130, "the person leaves; the run rests");
    assert_eq!(effects(&polos), "reserve\ncharge\n");
    (polos, run)
}

/// Replays against some code, and checks that nothing happened.
fn replay(polos: &Polos, code: &str, args: &[&str]) -> Ran {
    set_code(polos, code);
    let before = (effects(polos), polos.json(&["runs", "list"]));
    let ran = polos.run(&[&["replay"], args].concat());
    let after = (effects(polos), polos.json(&["runs", "list"]));
    assert_eq!(before, after, "a dry replay does nothing: {ran:#?}");
    ran
}

fn finding(ran: &Ran) -> Value {
    let line = ran.out.lines().next().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|_| panic!("{ran:#?}"))
}

#[test]
fn the_code_that_recorded_it_agrees() {
    let (polos, run) = waiting(3);
    let ran = replay(&polos, "old", &[&run]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let said = ran.out.replace(&run, "RUN");
    insta::assert_snapshot!(said, @"
    ✓ RUN order (waiting)
      agrees; next, it waits for `ship`
    1 run: 1 agree
    ");
    // Large values are kept apart, and come all the same.
    let (polos, _) = waiting(500_000);
    let ran = replay(&polos, "old", &["--json"]);
    assert_eq!((ran.code, finding(&ran)["finding"]["result"].clone()), (0, "agrees".into()));
    assert_eq!(
        ran.out.lines().last().unwrap(),
        r#"{"agree":1,"insert":0,"differ":0,"unchecked":0}"#
    );
}

#[test]
fn a_renamed_once_step_differs_and_both_sides_are_shown() {
    let (polos, run) = waiting(3);
    let ran = replay(&polos, "renamed", &["--state", "waiting"]);
    assert_eq!(ran.code, 3, "{ran:#?}");
    let said = ran.out.replace(&run, "RUN");
    insta::assert_snapshot!(said, @r#"
    ✗ RUN order (waiting)
      differs: once step `pay` is asked for before steps that were recorded by another build
        the journal holds                               the code asked for
      ≠     2  once step `charge` (build old)           once step `pay`
      ≠     4  approval `ship` (build old)              (nothing)
      hint: declare what changed with `.was("old name")`, `ctx.removed("name")` or `ctx.patched("id")`,
      or bring back the build that recorded the run, then `polos runs resume RUN`; `polos runs resume
      RUN --accept` goes on as it is
      more: polos explain nondeterminism
    1 run: 0 agree, 1 differ
    "#);
    // Before and after, the old code goes on with it.
    assert_eq!(replay(&polos, "old", &[]).code, 0);
}

#[test]
fn a_new_repeatable_step_would_be_inserted() {
    let (polos, _) = waiting(3);
    let ran = replay(&polos, "inserted", &["--json"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let found = finding(&ran);
    assert_eq!(found["finding"]["steps"], serde_json::json!(["audit"]), "{found:#}");
    assert_eq!(found["finding"]["unchecked"], serde_json::json!(["charge", "ship"]));
    assert_eq!(found["build"], "inserted");
}

#[test]
fn a_patch_keeps_the_old_path_for_an_old_run() {
    let (polos, _) = waiting(3);
    let ran = replay(&polos, "patched", &["--json"]);
    assert_eq!((ran.code, finding(&ran)["finding"]["result"].clone()), (0, "agrees".into()));
}

#[test]
fn code_that_raises_early_is_told() {
    let (polos, _) = waiting(3);
    let ran = replay(&polos, "raises", &["--json"]);
    let found = finding(&ran);
    let told = format!("{found}");
    assert!(told.contains("the new code is broken"), "{told}");
}

#[test]
fn what_nobody_here_can_run_is_not_passed_over() {
    let (polos, run) = waiting(3);
    std::fs::write(polos.folder().join("polos.toml"), "").unwrap();
    let ran = polos.run(&["replay"]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(ran.err.contains("no code is here for `order`"), "{}", ran.err);
    // A worker that knows nothing of dry replays reaches no server, and is told of.
    std::fs::write(polos.folder().join("polos.toml"), "[dev]\nworker = \"true\"\n").unwrap();
    let ran = polos.run(&["replay", &run]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(ran.err.contains("`true` does not answer dry replays"), "{}", ran.err);
}

#[test]
fn agents_replay_too() {
    let polos = Polos::new();
    polos.ok(&["init"]);
    polos.ok(&["run", "greeter", "hello"]);
    let ran = polos.run(&["replay", "--state", "completed", "--all"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(ran.out.contains("agrees; next, it ends with its output"), "{}", ran.out);
    let file = polos.folder().join("agents/greeter.toml");
    let changed = std::fs::read_to_string(&file).unwrap().replace("one short", "one long");
    std::fs::write(&file, changed).unwrap();
    let ran = polos.run(&["replay", "--state", "completed"]);
    assert_eq!(ran.code, 3, "{ran:#?}");
    assert!(ran.out.contains("fingerprint_mismatch"), "{}", ran.out);
}
