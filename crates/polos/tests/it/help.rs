//! Help and errors as people read them.

use crate::polos::Polos;

#[test]
fn help_lists_the_commands() {
    let polos = Polos::new();
    insta::assert_snapshot!(polos.ok(&["--help"]), @r#"
    Run AI agents and workflows that survive crashes, deploys and long waits

    Usage: polos [OPTIONS] <COMMAND>

    Commands:
      demo         Watch three agents mend a bug in a sandbox, and wait for your word
      init         Make a small project that runs at once: an agent, a scripted model, a README
      dev          Run server and worker in one process, and start them again when files change
      run          Start a run and watch it: it streams, asks for approvals here, and ends with its
                   output
      runs         Look at runs, and give them orders
      approvals    Look at questions that wait for a person, and answer them
      events       Publish events
      agents       List agents
      workflows    List workflows and tools
      sessions     Look at sessions: conversations over many runs
      workers      Look at workers, and empty them
      queues       Look at queues, and set what they allow
      keys         Make, list and revoke API keys
      sandbox      Run commands and tools in a box
      policy       Look at what a policy decides
      serve        Run a server; workers connect to it
      worker       Run the native worker: it takes the runs of agents from a server
      replay       Check stored journals against the code of now, without doing anything
      backup       Copy the database of the data directory, while a server runs or not
      doctor       Look at this machine: what of the sandbox is there, which server runs, which models
                   have a key
      explain      Explain an error's code and the way out
      completions  Print a script that completes commands in a shell
      version      Print the version of this program, and of the server if one runs

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Global options:
          --data-dir <DIR>  Use this data directory; by default `.polos` here or in a parent [env:
                            POLOS_DATA_DIR]
          --url <URL>       Ask the server at this address [env: POLOS_URL]
          --token <TOKEN>   Show this key to the server; by default the token in the data directory
                            [env: POLOS_TOKEN]
          --json            Print JSON

    Exit status: 0 done, 1 failed, 2 wrong usage, 3 the run failed, was cancelled or is blocked, 130
    interrupted

    Start with `polos demo`, or with `polos init` and `polos dev`.
    "#);
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
fn where_nothing_is_stored_the_way_to_begin_is_told() {
    let polos = Polos::new();
    let ran = polos.run(&["runs", "list"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    let said = ran.err.replace(&*polos.folder().to_string_lossy(), "FOLDER");
    insta::assert_snapshot!(said, @r#"
    error: nothing is stored in `FOLDER/.polos` yet (nothing_stored)
    hint: start with `polos run NAME` or `polos dev`; or say where the data is: `--data-dir`, POLOS_URL
    "#);
}

#[test]
fn errors_are_json_on_request() {
    let polos = Polos::new();
    let ran = polos.run(&["runs", "list", "--json"]);
    assert_eq!(ran.code, 1);
    let error: serde_json::Value = serde_json::from_str(ran.err.trim()).unwrap();
    assert_eq!(error["error"]["code"], "nothing_stored");
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
