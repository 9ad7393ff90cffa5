//! JSON for people: short on one line, or laid out in full.

use crate::show::text;
use serde::Serialize;

/// The JSON text of something that has one.
pub(crate) fn pretty<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<String> {
    serde_json::to_string_pretty(value)
}

/// A JSON text on one line of so many columns; a plain string is shown without its quotes.
pub(crate) fn brief(json: &str, columns: usize) -> String {
    let line = match serde_json::from_str::<serde_json::Value>(json) {
        Ok(serde_json::Value::String(string)) => string,
        _ => json.to_owned(),
    };
    text::cut(&text::plain(&line), columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn briefs_fit_on_a_line() {
        assert_eq!(brief(r#"{"a": [1,2]}"#, 40), r#"{"a": [1,2]}"#);
        assert_eq!(brief(r#""two\nlines""#, 40), "two lines");
        assert_eq!(brief(r#"{"long": "aaaaaaaaaaaaaaaaa"}"#, 12), r#"{"long": "a…"#);
    }
}
