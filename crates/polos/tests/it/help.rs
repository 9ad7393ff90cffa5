//! Help and errors as people read them.

use crate::polos::Polos;

#[test]
fn help_lists_the_commands() {
    let polos = Polos::new();
    insta::assert_snapshot!(polos.ok(&["--help"]), @"");
}

#[test]
fn help_lines_are_imperative_and_without_a_full_stop() {
    let polos = Polos::new();
    let reference = polos.ok(&["__reference"]);
    let commands = reference.split("\n### ").count();
    assert!(commands > 20, "the reference is too short");
    for section in reference.split("```text\n").skip(1) {
        let first = section.lines().next().unwrap_or_default();
        assert!(!first.ends_with('.'), "`{first}` ends with a full stop");
        assert!(first.starts_with(char::is_uppercase), "`{first}` begins small");
    }
}

#[test]
fn without_a_server_the_way_out_is_told() {
    let polos = Polos::new();
    let ran = polos.run(&["runs", "list"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    let said = ran.err.replace(&*polos.folder().to_string_lossy(), "FOLDER");
    insta::assert_snapshot!(said, @"");
}

#[test]
fn errors_are_json_on_request() {
    let polos = Polos::new();
    let ran = polos.run(&["runs", "list", "--json"]);
    assert_eq!(ran.code, 1);
    let error: serde_json::Value = serde_json::from_str(ran.err.trim()).unwrap();
    assert_eq!(error["error"]["code"], "no_server");
}

#[test]
fn wrong_usage_is_told_from_failure() {
    let polos = Polos::new();
    assert_eq!(polos.run(&["runs", "cancel"]).code, 2);
    assert_eq!(polos.run(&["runs", "show", "apr_1"]).code, 2);
    assert_eq!(polos.run(&["runs", "list", "--state", "asleep"]).code, 2);
    assert_eq!(polos.run(&["--version"]).code, 0);
}

#[test]
fn init_makes_a_project_and_overwrites_nothing() {
    let polos = Polos::new();
    polos.ok(&["init", "hello"]);
    let agent = polos.folder().join("hello/agents/greeter.toml");
    assert!(agent.is_file());
    std::fs::write(&agent, "mine").unwrap();
    let again = polos.run(&["init", "hello"]);
    assert_eq!(again.code, 1);
    assert!(again.err.contains("already_there"), "{}", again.err);
    assert_eq!(std::fs::read_to_string(agent).unwrap(), "mine");
}
