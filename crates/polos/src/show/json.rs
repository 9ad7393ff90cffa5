//! JSON for people: short on one line, or laid out in full.

use crate::show::text;
use polos_protocol::Json;
use serde::Serialize;
use serde_json::Value;

/// The JSON text of something that has one.
pub(crate) fn pretty<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<String> {
    serde_json::to_string_pretty(value)
}

/// A JSON text on one line of so many columns; a plain string is shown without its quotes.
pub(crate) fn brief(json: &str, columns: usize) -> String {
    let line = match serde_json::from_str::<Value>(json) {
        Ok(Value::String(string)) => string,
        _ => json.to_owned(),
    };
    text::cut(&text::plain(&line), columns)
}

/// A run's output for a reader: an agent's answer is its text; everything else is JSON as it is.
pub(crate) fn readable(output: &Json) -> String {
    let value: Value = output.parse().unwrap_or_default();
    answer(&value).map_or_else(|| output.text().to_owned(), str::to_owned)
}

/// The text of an output that is a text or an agent's answer without a structure of its own.
pub(crate) fn answer(output: &Value) -> Option<&str> {
    match output {
        Value::String(text) => Some(text),
        other => other
            .get("text")
            .filter(|_| other.get("turns").is_some() && other.get("output").is_none())
            .and_then(Value::as_str),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agents_answer_is_its_text() {
        let check = |json: &str, expect: &str| {
            assert_eq!(readable(&Json::from_text(json).unwrap()), expect);
        };
        check(r#""plain""#, "plain");
        check(r#"{"text":"hi","stop":"end","turns":1,"usage":{}}"#, "hi");
        check(
            r#"{"text":"hi","turns":1,"output":{"a":1}}"#,
            r#"{"text":"hi","turns":1,"output":{"a":1}}"#,
        );
        check(r#"{"text":"hi"}"#, r#"{"text":"hi"}"#);
        check("[1, 2]", "[1, 2]");
    }

    #[test]
    fn briefs_fit_on_a_line() {
        assert_eq!(brief(r#"{"a": [1,2]}"#, 40), r#"{"a": [1,2]}"#);
        assert_eq!(brief(r#""two\nlines""#, 40), "two lines");
        assert_eq!(brief(r#"{"long": "aaaaaaaaaaaaaaaaa"}"#, 12), r#"{"long": "a…"#);
    }
}
