//! The description of this interface: `OpenAPI` 3.1, made from the table of routes and the schemas
//! of the protocol's types.

use super::query::Parameter;
use super::route::{Answer, Route};
use crate::auth::scope_name;
use polos_protocol::limits::NAME_BYTES_MAX;
use polos_protocol::rest::ErrorResponse;
use polos_protocol::{ApiKeyId, ApprovalId, RunId, SessionId, WorkerId};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use std::sync::OnceLock;

const ABOUT: &str = "Durable runs of workflows and agents. Every call but health and this document \
needs `Authorization: Bearer` with an API key, or with the token in the data directory. \
`Polos-Namespace` names another namespace than the key's, for admins of `default`. Values are kept \
to the letter. Whatever is not a success has the one shape of an error.";

/// The document.
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    let error = generator.subschema_for::<ErrorResponse>();
    let mut paths: Map<String, Value> = Map::new();
    for route in super::routes() {
        let call = operation(&route, &mut generator);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method] = call;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Polos",
            "version": "1",
            "description": ABOUT,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "securitySchemes": { "key": { "type": "http", "scheme": "bearer" } },
            "responses": {
                "error": { "description": "an error", "content": content(&error.to_value()) },
            },
            "schemas": generator.take_definitions(true),
        },
    })
}

/// The document as it is served and committed.
pub(super) fn text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| format!("{:#}\n", document()))
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let mut call = json!({
        "operationId": id(route),
        "tags": [tag(route)],
        "summary": route.about,
        "parameters": parameters(route, generator),
        "responses": responses(&route.answer, generator),
    });
    if let Some(scope) = route.scope {
        call["security"] = json!([{ "key": [] }]);
        call["description"] = json!(format!("Needs the scope `{}`.", scope_name(scope)));
    }
    if let Some(schema) = route.body {
        call["requestBody"] = json!({ "content": content(&schema(generator).to_value()) });
    }
    call
}

fn responses(answer: &Answer, generator: &mut SchemaGenerator) -> Value {
    let mut responses = json!({ "default": { "$ref": "#/components/responses/error" } });
    match answer {
        Answer::Json { status, existing, schema } => {
            let content = content(&schema(generator).to_value());
            if *existing {
                let about = "it had been done under this key before";
                responses["200"] = json!({ "description": about, "content": content });
            }
            responses[status.to_string()] = json!({ "description": "done", "content": content });
        }
        Answer::Events(schema) => {
            let schema = schema(generator);
            let about = "server-sent events; the data of each is a value of this form";
            responses["200"] = json!({
                "description": about,
                "content": { "text/event-stream": { "schema": schema } },
            });
        }
        Answer::Other { status, about } => {
            responses[status.to_string()] = json!({ "description": about });
        }
    }
    responses
}

fn content(schema: &Value) -> Value {
    json!({ "application/json": { "schema": schema } })
}

fn parameters(route: &Route, generator: &mut SchemaGenerator) -> Vec<Value> {
    let in_path = route.path.split('/').filter_map(|part| {
        let name = part.strip_prefix('{')?.strip_suffix('}')?;
        let schema = in_path_schema(route.path, name, generator);
        Some(json!({ "name": name, "in": "path", "required": true, "schema": schema }))
    });
    in_path.chain(route.query.iter().map(in_query)).collect()
}

/// What a part of a path looks like: the id of its noun, or a name.
fn in_path_schema(path: &str, name: &str, generator: &mut SchemaGenerator) -> Value {
    let schema = match path.split('/').nth(2) {
        Some("runs") if name == "id" => generator.subschema_for::<RunId>(),
        Some("approvals") if name == "id" => generator.subschema_for::<ApprovalId>(),
        Some("sessions") if name == "id" => generator.subschema_for::<SessionId>(),
        Some("workers") if name == "id" => generator.subschema_for::<WorkerId>(),
        Some("keys") if name == "id" => generator.subschema_for::<ApiKeyId>(),
        _ => return json!({ "type": "string", "minLength": 1, "maxLength": NAME_BYTES_MAX }),
    };
    schema.to_value()
}

fn in_query(parameter: &Parameter) -> Value {
    let schema = match parameter.kind {
        "array" => json!({ "type": "array", "items": { "type": "string" } }),
        kind => json!({ "type": kind }),
    };
    json!({
        "name": parameter.name,
        "in": "query",
        "description": parameter.about,
        "schema": schema,
    })
}

/// The noun: the first part of the path after the version.
fn tag(route: &Route) -> &'static str {
    let parts = route.path.strip_prefix("/v1/").unwrap_or("server");
    match parts.split('/').next() {
        Some("health" | "version" | "worker") | None => "server",
        Some(noun) => noun,
    }
}

/// `get_runs_id_journal` and the like: stable as long as the path is.
fn id(route: &Route) -> String {
    let path = route.path.trim_start_matches("/v1").trim_end_matches(".json");
    let words: Vec<_> = path.split('/').map(|word| word.trim_matches(['{', '}'])).collect();
    format!("{}{}", route.method, words.join("_"))
}
