//! What of the worker's machine an agent reaches beyond a box of its own. Whoever may start runs may
//! declare an agent; a worker that does not belong to them alone takes such reach only from files of
//! its own.

use serde_json::Value;

use crate::agent::Agent;

/// Settings of a sandbox that open the machine as soon as they say anything.
const OPENING: [&str; 6] = [
    "/local/workspace_dir",
    "/local/uid",
    "/docker/workspace_dir",
    "/docker/mounts",
    "/files/read_paths",
    "/files/write_paths",
];
/// Settings that open it by one value.
const OPENING_VALUES: [(&str, &str); 2] =
    [("/local/isolation", "none"), ("/local/network", "full")];

/// The first setting of the agent that reaches the machine, as a file would write it.
pub(crate) fn beyond_its_box(agent: &Agent) -> Option<String> {
    if agent.script.is_some() {
        return Some("script".to_owned());
    }
    let sandbox = serde_json::to_value(&agent.sandbox).ok()?;
    let opens = |path: &&str| sandbox.pointer(path).is_some_and(says_something);
    let by_value = OPENING_VALUES
        .iter()
        .filter(|(path, value)| sandbox.pointer(path).and_then(Value::as_str) == Some(*value));
    let found = OPENING.iter().copied().find(opens).or(by_value.map(|(path, _)| *path).next());
    found.map(|path| format!("sandbox{}", path.replace('/', ".")))
}

fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(agent: Value, expect: Option<&str>) {
        let agent: Agent = serde_json::from_value(agent).unwrap();
        assert_eq!(beyond_its_box(&agent).as_deref(), expect);
    }

    #[test]
    fn settings_that_open_the_machine_are_named() {
        check(json!({"id": "a"}), None);
        check(
            json!({"id": "a", "tools": ["sandbox"], "sandbox": {"exec": {"security": "full"}}}),
            None,
        );
        check(json!({"id": "a", "sandbox": {"local": {"network": "loopback"}}}), None);
        check(json!({"id": "a", "script": "/etc/passwd"}), Some("script"));
        for (sandbox, expect) in [
            (json!({"local": {"workspace_dir": "/"}}), "sandbox.local.workspace_dir"),
            (json!({"local": {"isolation": "none"}}), "sandbox.local.isolation"),
            (json!({"local": {"network": "full"}}), "sandbox.local.network"),
            (json!({"local": {"uid": 0}}), "sandbox.local.uid"),
            (json!({"files": {"read_paths": ["/etc"]}}), "sandbox.files.read_paths"),
            (json!({"files": {"write_paths": ["/srv"]}}), "sandbox.files.write_paths"),
        ] {
            check(json!({"id": "a", "sandbox": sandbox}), Some(expect));
        }
    }
}
