//! What the model is told does not change by accident.

use polos_toolbox::tools::{VERSION, tools};
use serde_json::json;

/// A change here is a change of every model request: raise the version with it. Written anew with
/// `POLOS_SNAPSHOT=write`.
#[test]
fn the_tools_are_what_they_were() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/tools.json");
    let tools: Vec<_> = tools()
        .into_iter()
        .map(|tool| {
            json!({
                "name": tool.name,
                "description": tool.description,
                "input_schema": tool.input_schema,
            })
        })
        .collect();
    let now = json!({ "version": VERSION, "tools": tools });
    let now = serde_json::to_string_pretty(&now).unwrap() + "\n";
    if std::env::var_os("POLOS_SNAPSHOT").is_some_and(|wish| wish == "write") {
        std::fs::write(path, &now).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), now);
}

#[test]
fn there_are_six_in_their_order() {
    let names: Vec<_> = tools().iter().map(|tool| tool.name).collect();
    assert_eq!(names, ["exec", "read", "write", "edit", "glob", "grep"]);
    for tool in tools() {
        let schema = &tool.input_schema;
        assert_eq!(schema["additionalProperties"], false, "{}", tool.name);
        for required in schema["required"].as_array().unwrap() {
            assert!(schema["properties"].get(required.as_str().unwrap()).is_some());
        }
    }
}
