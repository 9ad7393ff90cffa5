//! Without a server: the command is one while it lasts, and whoever comes meanwhile attaches to it.

use crate::polos::Polos;
use serde_json::Value;

/// A project with one scripted agent `a`, and no server.
fn project(fields: &str, replies: &str) -> Polos {
    let polos = Polos::new();
    std::fs::create_dir_all(polos.folder().join("agents")).unwrap();
    std::fs::write(polos.folder().join("polos.toml"), "").unwrap();
    write_agent(&polos, "agents/a.toml", fields);
    std::fs::write(polos.folder().join("replies.toml"), format!("script = \"test\"\n{replies}"))
        .unwrap();
    polos
}

fn write_agent(polos: &Polos, path: &str, fields: &str) {
    let script = polos.folder().join("replies.toml");
    let agent = format!("provider = \"scripted\"\nscript = \"{}\"\n{fields}", script.display());
    std::fs::write(polos.folder().join(path), agent).unwrap();
}

fn only_run(polos: &Polos) -> Value {
    let is_one = |runs: &Value| runs["items"].as_array().is_some_and(|items| items.len() == 1);
    polos.until(&["runs", "list"], is_one)["items"][0].clone()
}

const HELLO: &str = "[[reply]]\ntext = \"hello\"\n";

#[test]
fn a_run_needs_no_server_and_neither_does_looking_at_it() {
    let polos = project("", HELLO);
    let ran = polos.run(&["run", "a", "hi"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "hello\n"), "{ran:#?}");
    assert!(ran.err.contains("so this process is one, at http://127.0.0.1:"), "{}", ran.err);
    let run = only_run(&polos);
    assert_eq!(run["state"], "completed");
    let story = polos.ok(&["runs", "show", run["id"].as_str().unwrap()]);
    assert!(story.contains("\noutput\n  hello\n"), "{story}");
    assert!(!polos.data_dir().join("server.json").exists(), "nobody attaches to what is gone");
}

#[test]
fn an_agents_file_is_enough() {
    let polos = project("", HELLO);
    std::fs::create_dir(polos.folder().join("elsewhere")).unwrap();
    write_agent(&polos, "elsewhere/b.toml", "");
    for file in ["elsewhere/b.toml", "agents/a.toml"] {
        let ran = polos.run(&["run", file, "hi"]);
        assert_eq!((ran.code, ran.out.as_str()), (0, "hello\n"), "{ran:#?}");
    }
    let agents = polos.json(&["agents", "list"]);
    assert_eq!(agents.as_array().unwrap().len(), 1, "a file elsewhere is of one run: {agents:#}");
    let ran = polos.run(&["run", "nobody", "hi"]);
    assert!(ran.err.contains("there is a (unknown_workflow)"), "{}", ran.err);
}

#[test]
fn who_comes_meanwhile_attaches_and_may_answer() {
    let replies = "[[reply]]\ntools = [{ name = \"ask_user\", input = { question = \"Sure?\" } }]\n\
                   [[reply]]\nexpect = \"yes\"\ntext = \"done\"\n";
    let polos = project("tools = [\"ask_user\"]\n", replies);
    let running = polos.start(&["run", "a", "go", "--json"]);
    let asked = |open: &Value| open.as_array().is_some_and(|open| open.len() == 1);
    let question = polos.until(&["approvals", "list"], asked)[0]["id"].clone();
    let question = question.as_str().unwrap();
    polos.ok(&["approvals", "approve", question, "--value", "\"yes\""]);
    assert_eq!(running.wait(), 0);
    assert_eq!(only_run(&polos)["state"], "completed");
}

#[test]
fn a_run_whose_process_was_killed_goes_on_with_tail() {
    let replies = "[[reply]]\ntools = [{ name = \"ask_user\", input = { question = \"Sure?\" } }]\n\
                   [[reply]]\nexpect = \"yes\"\ntext = \"done\"\n";
    let polos = project("tools = [\"ask_user\"]\n", replies);
    let running = polos.start(&["run", "a", "go", "--json"]);
    let asked = |open: &Value| open.as_array().is_some_and(|open| open.len() == 1);
    let question = polos.until(&["approvals", "list"], asked)[0]["id"].clone();
    running.kill();
    // Nobody is there now: the question is answered all the same, and waits with the run.
    let open = polos.json(&["approvals", "list"]);
    assert_eq!(open[0]["id"], question);
    polos.ok(&["approvals", "approve", question.as_str().unwrap(), "--value", "\"yes\""]);
    let run = only_run(&polos);
    let tailed = polos.run(&["runs", "tail", run["id"].as_str().unwrap()]);
    assert_eq!(tailed.code, 0, "{tailed:#?}");
    let story = polos.json(&["runs", "show", run["id"].as_str().unwrap()]);
    assert_eq!(story["run"]["output"]["text"], "done");
    let models = story["journal"].as_array().unwrap().iter();
    let models = models.filter(|entry| entry["record"]["record"]["detail"]["label"] == "model");
    assert_eq!(models.count(), 2, "no call of the model was repeated: {story:#}");
}

#[test]
fn a_run_that_is_not_waited_for_waits_itself() {
    let polos = project("", HELLO);
    let run = polos.ok(&["run", "a", "hi", "--detach"]).trim().to_owned();
    assert_eq!(only_run(&polos)["state"], "queued");
    let tailed = polos.run(&["runs", "tail", &run]);
    assert_eq!(tailed.code, 0, "{tailed:#?}");
    assert_eq!(only_run(&polos)["state"], "completed");
}

#[test]
fn commands_that_come_at_once_wait_for_each_other() {
    let polos = project("", HELLO);
    polos.ok(&["run", "a", "hi"]);
    let children: Vec<_> = (0..6)
        .map(|_| {
            let mut command = polos.command(&["runs", "list", "--json"]);
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
