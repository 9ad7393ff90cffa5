//! A server alone: keys, backups, and a data directory that belongs to one server.

use crate::polos::{Polos, Running};

fn server() -> (Polos, Running, String) {
    let polos = Polos::new();
    let serve = polos.start(&["serve", "--listen", "127.0.0.1:0", "--json"]);
    let first: serde_json::Value = serde_json::from_str(&serve.first).unwrap();
    let url = first["url"].as_str().unwrap().to_owned();
    (polos, serve, url)
}

#[test]
fn a_data_directory_belongs_to_one_server() {
    let (polos, serve, url) = server();
    let second = polos.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.code, 1, "{second:#?}");
    assert!(second.err.contains("data_dir_in_use"), "{}", second.err);
    assert!(second.err.contains(&url), "it says who has it: {}", second.err);
    assert_eq!(serve.stop(), 0);
    assert_eq!(polos.run(&["version"]).code, 0);
}

#[test]
fn keys_open_what_they_may_and_nothing_once_revoked() {
    let (polos, _serve, url) = server();
    let made = polos.json(&["keys", "create", "--name", "ci", "--scope", "read"]);
    let (secret, id) = (made["secret"].as_str().unwrap(), made["id"].as_str().unwrap());
    let with_key = |args: &[&str]| {
        let mut command = polos.command(args);
        command.env("POLOS_URL", &url).env("POLOS_TOKEN", secret);
        crate::polos::Ran::from(command.output().unwrap())
    };
    assert_eq!(with_key(&["runs", "list"]).code, 0);
    let refused = with_key(&["queues", "set", "q", "--concurrency", "1"]);
    assert!(refused.err.contains("scope_missing"), "{}", refused.err);
    polos.ok(&["keys", "revoke", id]);
    assert!(with_key(&["runs", "list"]).err.contains("unauthorized"));
    assert!(!polos.ok(&["keys", "list", "--json"]).contains(secret));
}

#[test]
fn a_backup_of_a_running_server_serves_again() {
    let (polos, serve, _) = server();
    polos.ok(&["queues", "set", "kept", "--concurrency", "3"]);
    let copy = polos.folder().join("copy.db");
    let copy = copy.to_str().unwrap();
    let told = polos.json(&["backup", copy]);
    assert!(told["bytes"].as_u64().unwrap() > 0);
    let again = polos.run(&["backup", copy]);
    assert_eq!(again.code, 1, "nothing is written over");
    serve.kill();
    std::fs::remove_dir_all(polos.data_dir()).unwrap();
    std::fs::create_dir(polos.data_dir()).unwrap();
    std::fs::rename(copy, polos.data_dir().join("polos.db")).unwrap();
    let _restored = polos.start(&["serve", "--listen", "127.0.0.1:0", "--json"]);
    let queues = polos.json(&["queues", "list"]);
    assert_eq!(queues[0]["name"], "kept", "{queues:#}");
}

#[test]
fn what_does_not_answer_is_named() {
    let polos = Polos::new();
    let ran = polos.run(&["runs", "list", "--url", "http://127.0.0.1:9", "--token", "x"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("127.0.0.1:9") && ran.err.contains("no_answer"), "{}", ran.err);
}

#[test]
fn doctor_looks_at_the_machine() {
    let (polos, _serve, url) = server();
    let findings = polos.json(&["doctor"]);
    let all = findings["findings"].as_array().unwrap();
    let server = all.iter().find(|finding| finding["what"] == "server").unwrap();
    assert!(server["detail"].as_str().unwrap().contains(&url), "{server}");
    assert!(findings["sandbox_level"].is_string(), "{findings:#}");
}
