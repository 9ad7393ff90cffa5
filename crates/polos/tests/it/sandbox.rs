//! `polos policy` and `polos sandbox`: their verdicts, output and exit statuses are for scripts.

use crate::polos::Polos;

/// Whether a local box can be made here; where one must be, it can.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn has_box(polos: &Polos) -> bool {
    let ran = polos.run(&["sandbox", "run", "--security", "full", "--", "true"]);
    let required = std::env::var_os("POLOS_REQUIRE_SANDBOX").is_some_and(|value| value == "1");
    assert!(ran.code == 0 || !required, "{ran:#?}");
    if ran.code != 0 {
        eprintln!("skipped: no box here: {}", ran.err);
    }
    ran.code == 0
}

#[test]
fn a_policy_says_allow_or_ask() {
    let polos = Polos::new();
    let check = |args: &[&str]| polos.run(&[&["policy", "check"], args].concat());
    let ran = check(&["--allow", "ls *", "--allow", "cat *", "--", "ls src | cat"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "allow\n", ""));
    let ran = check(&["--allow", "ls *", "cat *", "--", "ls src | cat"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "allow\n"));
    let ran = check(&["--allow", "ls *", "--", "ls; rm -rf /"]);
    assert_eq!(ran.code, 3);
    assert!(ran.out.starts_with("ask: no pattern covers `rm -rf /`\n"), "{ran:#?}");
    let ran = check(&["--allow", "ls *", "--cwd", "/etc", "--", "ls"]);
    assert_eq!(ran.code, 3, "{ran:#?}");
    let ran = check(&["--", "ls"]);
    assert_eq!(ran.code, 3, "{ran:#?}");
    let ran = check(&["--allow", "node *", "--", "node a.js"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "allow\n"));
    assert!(ran.err.contains("any code"), "{ran:#?}");
    assert_eq!(check(&["--allow", "ls | cat", "--", "ls"]).code, 2);
    let ran = check(&["--json", "--allow", "ls *", "--", "ls $(rm x)"]);
    let answer: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, answer["verdict"].as_str()), (3, Some("ask")));
    assert_eq!(answer["runs"].as_array().unwrap().len(), 2);
}

#[test]
fn a_command_ends_with_its_own_status() {
    let polos = Polos::new();
    if !has_box(&polos) {
        return;
    }
    let run = |args: &[&str]| polos.run(&[&["sandbox", "run", "--env", "local"], args].concat());
    let ran = run(&["--security", "full", "--", "echo out; echo err >&2; exit 7"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (7, "out\n", "err\n"));
    assert_eq!(run(&["--security", "full", "--", "kill -9 $$"]).code, 137);
    let ran = run(&["--security", "full", "--timeout", "1", "--", "sleep 60"]);
    assert_eq!(ran.code, 124, "{ran:#?}");
    let ran = run(&["--allow", "echo *", "--", "echo one && echo two"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "one\ntwo\n"));
    let ran = run(&["--json", "--security", "full", "--", "id -u"]);
    let result: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, result["stdout"].as_str()), (0, Some("1000\n")));
}

#[test]
fn what_would_ask_does_not_run() {
    let polos = Polos::new();
    std::fs::create_dir(polos.folder().join("work")).unwrap();
    let run =
        |args: &[&str]| polos.run(&[&["sandbox", "run", "--workspace", "work"], args].concat());
    for args in [
        &["--", "touch ran"][..],
        &["--allow", "ls *", "--", "ls; touch ran"],
        &["--security", "deny", "--", "touch ran"],
    ] {
        assert_eq!(run(args).code, 3, "{args:?}");
    }
    assert!(!polos.folder().join("work/ran").exists());
    assert_eq!(run(&["--env", "e2b", "--", "touch ran"]).code, 125);
}

#[test]
fn a_tool_is_called_as_a_model_does() {
    let polos = Polos::new();
    if !has_box(&polos) {
        return;
    }
    std::fs::create_dir(polos.folder().join("work")).unwrap();
    let tool = |name: &str, input: &str| {
        polos.run(&["sandbox", "tool", name, "--workspace", "work", "--input", input])
    };
    assert_eq!(tool("write", r#"{"path": "a.txt", "content": "one\ntwo\n"}"#).code, 0);
    let text = std::fs::read_to_string(polos.folder().join("work/a.txt")).unwrap();
    assert_eq!(text, "one\ntwo\n");
    let ran = tool("read", r#"{"path": "a.txt"}"#);
    assert!(ran.code == 0 && ran.out.contains("two"), "{ran:#?}");
    let ran = tool("edit", r#"{"path": "a.txt", "old": "three", "new": "x"}"#);
    assert_ne!(ran.code, 0, "{ran:#?}");
    let ran = tool("grep", r#"{"pattern": "two"}"#);
    assert!(ran.out.contains("a.txt"), "{ran:#?}");
    let ran = tool("read", r#"{"path": "/etc/passwd"}"#);
    assert!(ran.code == 1 && ran.out.contains("read_paths"), "{ran:#?}");
    assert_eq!(tool("exec", r#"{"command": "ls"}"#).code, 3);
    assert_eq!(tool("dance", "{}").code, 2);
}

#[test]
fn a_container_is_a_box_like_any_other() {
    let image = "polos-test-busybox";
    let polos = Polos::new();
    let run = |args: &[&str]| {
        let fixed = ["sandbox", "run", "--env", "docker", "--pull", "never"];
        polos.run(&[&fixed, args].concat())
    };
    assert_eq!(run(&["--", "true"]).code, 125, "no image was named");
    let probe = run(&["--image", image, "--", "true"]);
    if probe.code == 125 {
        let required = std::env::var_os("POLOS_REQUIRE_DOCKER").is_some_and(|value| value == "1");
        assert!(!required, "{probe:#?}");
        return;
    }
    std::fs::create_dir(polos.folder().join("work")).unwrap();
    let work = &["--image", image, "--workspace", "work"];
    let ran = run(&[&work[..], &["--", "echo out; echo new > made; exit 7"]].concat());
    assert_eq!((ran.code, ran.out.as_str()), (7, "out\n"), "{ran:#?}");
    assert_eq!(std::fs::read_to_string(polos.folder().join("work/made")).unwrap(), "new\n");
    let ran = run(&[&work[..], &["--timeout", "1", "--", "sleep 60"]].concat());
    assert_eq!(ran.code, 124, "{ran:#?}");
    let ran = run(&[&work[..], &["--allow", "ls *", "--", "touch ran"]].concat());
    assert_eq!(ran.code, 3, "{ran:#?}");
    let wipe = run(&[&work[..], &["--", "rm -rf / --no-preserve-root; echo still here"]].concat());
    assert!(polos.folder().join("work").exists(), "{wipe:#?}");
    assert_eq!(run(&["--image", "polos-test-other", "--", "true"]).code, 125);
}
