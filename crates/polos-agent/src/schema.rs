//! JSON Schema, the part of it that models are asked to follow: checks a schema when an agent is
//! declared, and a value when the model has answered. A keyword that is not known here is refused
//! when the agent is declared, so nothing goes unchecked in silence.

use serde_json::{Map, Value};

/// Keywords that only explain.
const NOTES: &[&str] = &["title", "description", "default", "examples", "$schema", "format"];
const DEPTH_MAX: usize = 32;

/// What is wrong, and where: a path such as `.items.type`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) path: String,
    pub(crate) message: String,
}

fn wrong(path: &str, message: impl Into<String>) -> Wrong {
    Wrong { path: path.to_owned(), message: message.into() }
}

/// Checks that a schema says nothing which [`fits`] would not look at.
pub(crate) fn check(schema: &Value) -> Result<(), Wrong> {
    check_at(schema, "", 0)
}

fn check_at(schema: &Value, path: &str, depth: usize) -> Result<(), Wrong> {
    let fields = match schema {
        Value::Bool(_) => return Ok(()),
        Value::Object(fields) if depth < DEPTH_MAX => fields,
        Value::Object(_) => return Err(wrong(path, "is nested too deep")),
        _ => return Err(wrong(path, "is not a schema")),
    };
    fields.iter().try_for_each(|(keyword, value)| {
        check_keyword(keyword, value, &format!("{path}.{keyword}"), depth)
    })
}

fn check_keyword(keyword: &str, value: &Value, path: &str, depth: usize) -> Result<(), Wrong> {
    let must = |good: bool, form: &str| {
        if good { Ok(()) } else { Err(wrong(path, format!("is not {form}"))) }
    };
    match keyword {
        "type" => must(types(value).iter().all(|name| is_type(name)), "a JSON type"),
        "properties" => {
            let Value::Object(fields) = value else { return must(false, "an object") };
            fields
                .iter()
                .try_for_each(|(name, each)| check_at(each, &format!("{path}.{name}"), depth + 1))
        }
        "items" | "additionalProperties" => check_at(value, path, depth + 1),
        "anyOf" | "oneOf" | "allOf" => {
            let Value::Array(each) = value else { return must(false, "an array") };
            each.iter().try_for_each(|each| check_at(each, path, depth + 1))
        }
        "required" => must(strings(value).is_some(), "an array of strings"),
        "enum" => must(value.is_array(), "an array"),
        "const" => Ok(()),
        "minimum" | "maximum" => must(value.is_number(), "a number"),
        "minLength" | "maxLength" | "minItems" | "maxItems" => must(value.is_u64(), "a count"),
        note if NOTES.contains(&note) => Ok(()),
        _ => Err(wrong(path, "is a keyword that is not checked here")),
    }
}

/// Checks a value; the error says where in the value and why, for the model.
pub(crate) fn fits(schema: &Value, value: &Value) -> Result<(), String> {
    fits_at(schema, value, "").map_err(|wrong| match wrong.path.as_str() {
        "" => format!("the answer {}", wrong.message),
        path => format!("`{}` {}", path.trim_start_matches('.'), wrong.message),
    })
}

fn fits_at(schema: &Value, value: &Value, path: &str) -> Result<(), Wrong> {
    let fields = match schema {
        Value::Bool(false) => return Err(wrong(path, "must not be there")),
        Value::Object(fields) => fields,
        _ => return Ok(()),
    };
    fields.iter().try_for_each(|(keyword, rule)| fits_keyword(keyword, rule, value, path))?;
    match value {
        Value::Object(members) => fits_object(fields, members, path),
        Value::Array(items) => match fields.get("items") {
            Some(rule) => items
                .iter()
                .enumerate()
                .try_for_each(|(at, item)| fits_at(rule, item, &format!("{path}[{at}]"))),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

fn fits_keyword(keyword: &str, rule: &Value, value: &Value, path: &str) -> Result<(), Wrong> {
    let all = rule.as_array().map(Vec::as_slice).unwrap_or_default();
    let fit = |each: &&Value| fits_at(each, value, path).is_ok();
    let size = |of: Option<usize>, fits: fn(u64, u64) -> bool| {
        of.zip(rule.as_u64()).is_none_or(|(size, limit)| fits(size as u64, limit))
    };
    let number = |fits: fn(f64, f64) -> bool| {
        value.as_f64().zip(rule.as_f64()).is_none_or(|(number, limit)| fits(number, limit))
    };
    let length = value.as_str().map(|text| text.chars().count());
    let count = value.as_array().map(Vec::len);
    let good = match keyword {
        "type" => types(rule).iter().any(|name| has_type(value, name)),
        "enum" => all.contains(value),
        "const" => rule == value,
        "anyOf" => all.iter().any(|each| fit(&each)),
        "oneOf" => all.iter().filter(fit).count() == 1,
        "allOf" => all.iter().all(|each| fit(&each)),
        "minimum" => number(|number, limit| number >= limit),
        "maximum" => number(|number, limit| number <= limit),
        "minLength" => size(length, |size, limit| size >= limit),
        "maxLength" => size(length, |size, limit| size <= limit),
        "minItems" => size(count, |size, limit| size >= limit),
        "maxItems" => size(count, |size, limit| size <= limit),
        _ => true,
    };
    if good { Ok(()) } else { Err(wrong(path, format!("does not fit `{keyword}`: {rule}"))) }
}

fn fits_object(
    fields: &Map<String, Value>,
    members: &Map<String, Value>,
    path: &str,
) -> Result<(), Wrong> {
    let required = fields.get("required").and_then(strings).unwrap_or_default();
    if let Some(name) = required.iter().find(|name| !members.contains_key(**name)) {
        return Err(wrong(&format!("{path}.{name}"), "is missing"));
    }
    let properties = fields.get("properties").and_then(Value::as_object);
    members.iter().try_for_each(|(name, member)| {
        let rule = properties
            .and_then(|rules| rules.get(name))
            .or_else(|| fields.get("additionalProperties"));
        rule.map_or(Ok(()), |rule| fits_at(rule, member, &format!("{path}.{name}")))
    })
}

fn strings(value: &Value) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(Value::as_str).collect()
}

fn types(rule: &Value) -> Vec<&str> {
    rule.as_str().map(|name| vec![name]).or_else(|| strings(rule)).unwrap_or_else(|| vec!["?"])
}

fn is_type(name: &str) -> bool {
    ["null", "boolean", "object", "array", "number", "integer", "string"].contains(&name)
}

fn has_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "number" => value.is_number(),
        "integer" => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0)
        }
        "string" => value.is_string(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn verdict() -> Value {
        json!({
            "type": "object",
            "properties": {
                "passed": {"type": "boolean"},
                "failures": {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": 2},
                "level": {"enum": ["low", "high"]},
                "count": {"type": ["integer", "null"], "minimum": 0},
            },
            "required": ["passed"],
            "additionalProperties": false,
        })
    }

    #[expect(clippy::needless_pass_by_value, reason = "it reads better where it is called")]
    fn fit(value: Value, expect: Result<(), &str>) {
        assert_eq!(fits(&verdict(), &value), expect.map_err(str::to_owned), "{value}");
    }

    #[test]
    fn values_fit_or_say_where_they_do_not() {
        assert_eq!(check(&verdict()), Ok(()));
        fit(json!({"passed": true, "failures": ["x"], "level": "low", "count": null}), Ok(()));
        fit(json!({}), Err("`passed` is missing"));
        fit(json!({"passed": "yes"}), Err("`passed` does not fit `type`: \"boolean\""));
        fit(
            json!({"passed": true, "failures": [""]}),
            Err("`failures[0]` does not fit `minLength`: 1"),
        );
        fit(
            json!({"passed": true, "failures": ["a", "b", "c"]}),
            Err("`failures` does not fit `maxItems`: 2"),
        );
        fit(
            json!({"passed": true, "level": "mid"}),
            Err("`level` does not fit `enum`: [\"low\",\"high\"]"),
        );
        fit(json!({"passed": true, "count": -1}), Err("`count` does not fit `minimum`: 0"));
        fit(json!({"passed": true, "more": 1}), Err("`more` must not be there"));
        fit(json!([]), Err("the answer does not fit `type`: \"object\""));
    }

    #[test]
    fn a_schema_with_what_is_not_checked_is_refused() {
        let said = |schema: Value| check(&schema).unwrap_err();
        assert_eq!(said(json!({"pattern": "x"})).path, ".pattern");
        assert_eq!(said(json!({"items": {"type": "text"}})).path, ".items.type");
        assert_eq!(said(json!({"properties": {"a": {"$ref": "#"}}})).path, ".properties.a.$ref");
        assert_eq!(said(json!(3)).message, "is not a schema");
    }
}
