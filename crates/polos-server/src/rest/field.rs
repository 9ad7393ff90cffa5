//! Fields that a body must not have: a typo must not be ignored, least of all in a filter. The
//! refusal says where the field belongs, or which ones there are.

use super::error::Refusal;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::Value;

/// The longest part of the field's path that is shown, in characters.
const SHOWN_CHARS_MAX: usize = 64;
/// How deep in a body a field is looked for.
const DEPTH_MAX: usize = 3;

/// The refusal of a field that `T` does not have. Only made when one was found.
pub(super) fn unknown_field<T: JsonSchema>(path: &str) -> Refusal {
    let shown: String = path.chars().take(SHOWN_CHARS_MAX).collect();
    let name = path.rsplit('.').next().unwrap_or(path);
    let mut fields = Vec::new();
    list(&mut fields, &schema_of::<T>());
    let mut refusal = Refusal::invalid("unknown_field", format!("there is no field `{shown}`"));
    let elsewhere = fields.iter().find(|field| field.rsplit('.').next() == Some(name));
    refusal.body.hint = elsewhere.map_or_else(|| known(&fields), |it| format!("it is `{it}`"));
    refusal
}

fn known(fields: &[String]) -> String {
    let first: Vec<_> =
        fields.iter().filter(|f| !f.contains('.')).map(|f| format!("`{f}`")).collect();
    if first.is_empty() {
        "this call takes none".to_owned()
    } else {
        format!("there are {}; see /openapi.json for what is in them", first.join(", "))
    }
}

fn schema_of<T: JsonSchema>() -> Value {
    SchemaGenerator::default().into_root_schema_for::<T>().to_value()
}

/// The paths of all fields, outer ones first.
fn list(fields: &mut Vec<String>, root: &Value) {
    let mut level = vec![(String::new(), root)];
    for _ in 0..DEPTH_MAX {
        let mut next = Vec::new();
        for (prefix, schema) in level {
            let Some(properties) = properties(schema, root) else { continue };
            for (name, schema) in properties {
                let path = format!("{prefix}{name}");
                next.push((format!("{path}."), schema));
                fields.push(path);
            }
        }
        level = next;
    }
}

/// The properties of a schema, through a reference and through `T or null`.
fn properties<'a>(
    schema: &'a Value,
    root: &'a Value,
) -> Option<&'a serde_json::Map<String, Value>> {
    if let Some(reference) = schema["$ref"].as_str() {
        return root.pointer(reference.strip_prefix('#')?)?["properties"].as_object();
    }
    if let Some(either) = schema["anyOf"].as_array() {
        return either.iter().find_map(|schema| properties(schema, root));
    }
    schema["properties"].as_object()
}

#[cfg(test)]
mod tests {
    use super::*;
    use polos_protocol::rest::{BulkRequest, StartRequest};

    fn check<T: JsonSchema>(path: &str, hint: &str) {
        assert_eq!(unknown_field::<T>(path).body.hint, hint);
    }

    #[test]
    fn it_says_where_a_field_belongs() {
        check::<StartRequest>("queue", "it is `options.queue`");
        check::<StartRequest>("options.key", "it is `key`");
        check::<BulkRequest>("state", "it is `filter.state`");
    }

    #[test]
    fn it_says_which_fields_there_are() {
        let hint = "there are `input`, `key`, `must_exist`, `options`, `workflow`; see /openapi.json \
                    for what is in them";
        check::<StartRequest>("worflow", hint);
    }
}
