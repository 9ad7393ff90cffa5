//! The committed description is the one that is served.

use crate::harness::Api;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn the_committed_description_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/openapi.json");
    let text = format!("{:#}\n", polos_server::rest::document());
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "docs/reference/openapi.json is stale: `cargo xtask generate`");
}

#[tokio::test]
async fn it_is_served_and_every_reference_leads_somewhere() {
    let api = Api::start().await;
    let document: Value = api.get("/openapi.json").await;
    assert_eq!(document, polos_server::rest::document());
    assert_eq!(document["openapi"], "3.1.0");
    let mut references = BTreeSet::new();
    collect(&document, &mut references);
    assert!(references.len() > 20);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    let mut ids = BTreeSet::new();
    for call in document["paths"].as_object().unwrap().values() {
        for operation in call.as_object().unwrap().values() {
            assert!(ids.insert(operation["operationId"].as_str().unwrap()));
            let open =
                ["get_health", "get_openapi"].iter().any(|id| operation["operationId"] == *id);
            assert_eq!(operation.get("security").is_none(), open, "{}", operation["operationId"]);
        }
    }
}

fn collect<'a>(value: &'a Value, references: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                references.insert(reference);
            }
            fields.values().for_each(|value| collect(value, references));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}
