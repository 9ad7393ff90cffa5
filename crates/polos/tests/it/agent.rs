//! Agents from files, with a scripted model and a real sandbox: tools, questions to people, answers
//! that must fit, limits, sessions, and the death of the process in the middle of a command.

use crate::polos::{Polos, Running};
use serde_json::Value;
use std::path::PathBuf;

/// A project with one scripted agent `a` (and others), and `polos dev` running in it.
fn project(agents: &[(&str, &str, &str)]) -> (Polos, Running) {
    let polos = Polos::new();
    std::fs::create_dir_all(polos.folder().join("agents")).unwrap();
    std::fs::write(polos.folder().join("polos.toml"), "").unwrap();
    for (name, fields, replies) in agents {
        let script = format!("script = \"test\"\n{replies}");
        std::fs::write(polos.folder().join(format!("{name}.replies.toml")), script).unwrap();
        let agent =
            format!("provider = \"scripted\"\nscript = \"../{name}.replies.toml\"\n{fields}");
        std::fs::write(polos.folder().join(format!("agents/{name}.toml")), agent).unwrap();
    }
    let dev = dev(&polos);
    let count = agents.len();
    polos.until(&["agents", "list"], |found| found.as_array().is_some_and(|a| a.len() == count));
    (polos, dev)
}

fn dev(polos: &Polos) -> Running {
    polos.start(&["dev", "--listen", "127.0.0.1:0"])
}

fn begin(polos: &Polos, args: &[&str]) -> String {
    polos.ok(&[&["run", "a", "go", "--detach"], args].concat()).trim().to_owned()
}

/// Waits until the run stands as awaited.
fn stands(polos: &Polos, run: &str, state: &str) -> Value {
    polos.until(&["runs", "show", run], |story| story["run"]["state"] == state)
}

fn text(story: &Value) -> String {
    story["run"]["output"]["text"].as_str().unwrap_or_default().to_owned()
}

/// The one question that is open.
fn question(polos: &Polos) -> Value {
    let one = |open: &Value| open.as_array().is_some_and(|open| open.len() == 1);
    polos.until(&["approvals", "list"], one)[0].clone()
}

fn answer(polos: &Polos, verb: &str, args: &[&str]) -> Value {
    let asked = question(polos);
    polos.ok(&[&["approvals", verb, asked["id"].as_str().unwrap()], args].concat());
    asked
}

fn workspace(polos: &Polos, run: &str) -> PathBuf {
    polos.data_dir().join(format!("worker/boxes/box-{run}/workspace"))
}

/// Boxes outlive a killed worker by their grace; a test need not leave them for ten minutes.
const SANDBOX: &str = "tools = [\"sandbox\", \"ask_user\"]\n[sandbox.local]\ngrace = 20\n";

#[test]
fn a_rejected_command_does_not_run_and_the_model_hears_why() {
    let replies = r#"
[[reply]]
tools = [{ name = "exec", input = { command = "touch made" } }]
[[reply]]
expect = "says: use write instead"
text = "understood"
"#;
    let (polos, _dev) = project(&[("a", SANDBOX, replies)]);
    let run = begin(&polos, &[]);
    let asked = answer(&polos, "reject", &["--feedback", "use write instead"]);
    assert_eq!(asked["subject"]["command"], "touch made", "{asked:#}");
    assert!(asked["subject_hash"].is_string());
    assert_eq!(text(&stands(&polos, &run, "completed")), "understood");
    assert!(!workspace(&polos, &run).join("made").exists());
}

#[test]
fn a_yes_for_the_run_is_asked_once_and_an_edited_command_anew() {
    let replies = r#"
[[reply]]
tools = [{ name = "exec", input = { command = "echo $((1+1))" } }]
[[reply]]
expect = "2"
tools = [{ name = "exec", input = { command = "echo $((1+1))" } }]
[[reply]]
expect = "2"
tools = [{ name = "exec", input = { command = "rm -rf /" } }]
[[reply]]
expect = "harmless"
text = "done"
"#;
    let (polos, _dev) = project(&[("a", SANDBOX, replies)]);
    let run = begin(&polos, &[]);
    answer(&polos, "approve", &["--scope", "run"]);
    let edited = ["--value", r#"{"command": "echo harmless"}"#];
    let asked =
        polos.until(&["approvals", "list"], |open| open[0]["subject"]["command"] == "rm -rf /");
    polos.ok(&[&["approvals", "approve", asked[0]["id"].as_str().unwrap()], &edited[..]].concat());
    polos.until(&["approvals", "list"], |open| open[0]["subject"]["command"] == "echo harmless");
    answer(&polos, "approve", &[]);
    assert_eq!(text(&stands(&polos, &run, "completed")), "done");
}

#[test]
fn a_file_is_shown_as_a_diff_before_it_changes() {
    let replies = r#"
[[reply]]
tools = [{ name = "write", input = { path = "a/new.txt", content = "hello\n" } }]
[[reply]]
expect = "created"
tools = [{ name = "edit", input = { path = "a/new.txt", old_string = "hello", new_string = "bye" } }]
[[reply]]
expect = "edited"
text = "done"
"#;
    let own = format!("{SANDBOX}workspace_dir = \"../mine\"\n");
    let (polos, _dev) = project(&[("a", &own, replies)]);
    std::fs::create_dir(polos.folder().join("mine")).unwrap();
    let run = begin(&polos, &[]);
    let asked = answer(&polos, "approve", &["--scope", "run"]);
    assert!(asked["subject"]["diff"].as_str().unwrap().contains("+hello"), "{asked:#}");
    assert_eq!(text(&stands(&polos, &run, "completed")), "done");
    let made = std::fs::read_to_string(polos.folder().join("mine/a/new.txt")).unwrap();
    assert_eq!(made, "bye\n", "the directory is the user's own");
}

#[test]
fn a_box_of_its_own_is_changed_without_a_question() {
    let replies = r#"
[[reply]]
tools = [{ name = "write", input = { path = "new.txt", content = "hello\n" } }]
[[reply]]
expect = "created"
text = "done"
"#;
    let (polos, _dev) = project(&[("a", SANDBOX, replies)]);
    let run = begin(&polos, &[]);
    assert_eq!(text(&stands(&polos, &run, "completed")), "done");
    assert!(workspace(&polos, &run).join("new.txt").exists());
}

#[test]
fn a_directory_that_is_not_there_blocks_the_run_and_is_named() {
    let replies = r#"
[[reply]]
tools = [{ name = "glob", input = { pattern = "*" } }]
[[reply]]
expect = "no files match"
text = "looked"
"#;
    let own = format!("{SANDBOX}workspace_dir = \"../mistyped\"\n");
    let (polos, _dev) = project(&[("a", &own, replies)]);
    let run = begin(&polos, &[]);
    let story = stands(&polos, &run, "blocked");
    assert!(story["run"]["why"].as_str().unwrap().contains("no such directory"), "{story:#}");
    std::fs::create_dir(polos.folder().join("mistyped")).unwrap();
    polos.ok(&["runs", "resume", &run]);
    assert_eq!(text(&stands(&polos, &run, "completed")), "looked");
}

#[test]
fn a_command_survives_the_death_of_the_process_and_runs_once() {
    let fields = "tools = [\"exec\"]\n[sandbox.exec]\nsecurity = \"full\"\n\
                  [sandbox.local]\ngrace = 20\n";
    let replies = r#"
[[reply]]
tools = [{ name = "exec", input = { command = "echo begun >> log; sleep 3; echo ended >> log; cat log" } }]
[[reply]]
expect = "ended"
text = "done"
"#;
    let (polos, dev_process) = project(&[("a", fields, replies)]);
    let run = begin(&polos, &[]);
    let log = workspace(&polos, &run).join("log");
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !log.exists() {
        assert!(std::time::Instant::now() < end, "the command has not begun");
        std::thread::yield_now();
    }
    dev_process.kill();
    let _again = dev(&polos);
    assert_eq!(text(&stands(&polos, &run, "completed")), "done");
    assert_eq!(std::fs::read_to_string(log).unwrap(), "begun\nended\n");
}

#[test]
fn the_user_is_asked_and_another_agent_helps() {
    let replies = r#"
[[reply]]
tools = [
    { name = "ask_user", input = { question = "Which colour?", options = ["red", "blue"] } },
    { name = "helper", input = { prompt = "say hi" } },
]
[[reply]]
expect = ["blue", "hi from the helper"]
text = "done"
"#;
    let helper = "[[reply]]\nexpect = \"say hi\"\ntext = \"hi from the helper\"\n";
    let fields = "tools = [\"ask_user\", \"agent:helper\"]\n";
    let (polos, _dev) = project(&[("a", fields, replies), ("helper", "", helper)]);
    let run = begin(&polos, &[]);
    let asked = answer(&polos, "approve", &["--value", "\"blue\""]);
    assert_eq!((&asked["kind"], &asked["title"]), (&"answer".into(), &"Which colour?".into()));
    assert_eq!(text(&stands(&polos, &run, "completed")), "done");
}

#[test]
fn an_answer_must_fit_its_schema_and_a_passing_error_is_tried_again() {
    let fields = r#"
[output]
type = "object"
required = ["n"]
[output.properties.n]
type = "integer"
"#;
    let replies = r#"
[[reply]]
error = { kind = "overloaded", retry_after_ms = 1, attempts = 1 }
text = '{"n": "one"}'
[[reply]]
expect = "does not follow the schema: `n` does not fit `type`"
text = '{"n": 1}'
"#;
    let (polos, _dev) = project(&[("a", fields, replies)]);
    let run = begin(&polos, &[]);
    let story = stands(&polos, &run, "completed");
    assert_eq!(story["run"]["output"]["output"]["n"], 1, "{story:#}");
    assert_eq!(story["run"]["output"]["turns"], 2);
    let kinds = story["journal"].as_array().unwrap().iter();
    let attempts = kinds.filter(|entry| entry["record"]["record"]["kind"] == "attempt");
    assert_eq!(attempts.count(), 1, "{story:#}");
}

#[test]
fn a_limit_blocks_the_run_which_goes_on_when_it_is_raised() {
    let fields = "tools = [\"glob\"]\n[limits]\nturns = 1\n";
    let replies = r#"
[[reply]]
tools = [{ name = "glob", input = { pattern = "*" } }]
[[reply]]
text = "done"
"#;
    let (polos, _dev) = project(&[("a", fields, replies)]);
    let run = begin(&polos, &[]);
    let story = stands(&polos, &run, "blocked");
    let said = story["run"]["blocked"]["failure"]["message"].as_str().unwrap().to_owned();
    assert!(said.contains("it has taken 1 turns (`limits.turns`)"), "{said}");
    let file = polos.folder().join("agents/a.toml");
    let raised = std::fs::read_to_string(&file).unwrap().replace("turns = 1", "turns = 2");
    std::fs::write(&file, raised).unwrap();
    // The agents are read again at some moment; until then the old limit blocks the run again.
    for _ in 0..50 {
        polos.run(&["runs", "resume", &run, "--yes"]);
        let rests = |story: &Value| {
            ["completed", "blocked"].iter().any(|state| story["run"]["state"] == *state)
        };
        if polos.until(&["runs", "show", &run], rests)["run"]["state"] == "completed" {
            return;
        }
    }
    panic!("the raised limit is not seen");
}

#[test]
fn a_session_remembers_what_was_said() {
    let replies = r#"
[[reply]]
unseen = "my name is Ada"
text = "who are you?"
[[reply]]
turn = 0
text = "hello Ada"
[[reply]]
turn = 1
seen = ["my name is Ada", "what is my name"]
text = "you are Ada"
"#;
    let (polos, _dev) = project(&[("a", "", replies)]);
    let session = new_session(&polos);
    let say = |words: &str| polos.ok(&["run", "a", words, "--session", &session]).trim().to_owned();
    assert_eq!(say("my name is Ada"), "hello Ada");
    assert_eq!(say("what is my name?"), "you are Ada");
    assert_eq!(polos.ok(&["run", "a", "what is my name?"]).trim(), "who are you?");
}

/// A conversation begins at a terminal; here the client begins it.
fn new_session(polos: &Polos) -> String {
    let token = std::fs::read_to_string(polos.data_dir().join("token")).unwrap();
    let address = std::fs::read(polos.data_dir().join("server.json")).unwrap();
    let address: Value = serde_json::from_slice(&address).unwrap();
    let client = polos_sdk::Client::new(address["url"].as_str().unwrap(), token.trim()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let request = polos_protocol::rest::SessionRequest::default();
    runtime.block_on(client.create_session(&request)).unwrap().id.to_string()
}
