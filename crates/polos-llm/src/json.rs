//! JSON text kept exactly as it came: key order, number spelling and spaces.
//!
//! It serialises as a JSON *string*, not as the value itself. A journal may pass values through a
//! sorted map; a string survives that, an object would come back in another order, and the next
//! request's bytes (and its hash, and the provider's prompt cache) would differ after a replay.

use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Holds one valid JSON text, byte for byte; cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Json(Arc<str>);

impl Json {
    /// Keeps `text` if it is exactly one JSON value, nested no deeper than `serde_json`'s limit (128).
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<Value>(text)?;
        Ok(Self(text.trim().into()))
    }

    /// Writes a value in canonical form: keys sorted, no spaces.
    pub fn from_value(value: &Value) -> Self {
        Self(canonical(value).into())
    }

    /// Returns `{}`.
    pub fn empty_object() -> Self {
        Self("{}".into())
    }

    /// Returns the text as it came.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Parses the text into a tree; key order is lost.
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or(Value::Null)
    }

    /// Parses the text into a type of the caller's.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0)
    }

    /// Keeps a text that is known to be valid.
    pub(crate) fn from_text(text: String) -> Self {
        Self(text.into())
    }

    /// Reads what a model wrote as a tool's arguments: an object, and the text itself if it was
    /// none. Nothing at all means no arguments.
    pub(crate) fn tool_input(text: &str) -> (Self, Option<String>) {
        if matches!(text.trim(), "" | "null") {
            return (Self::empty_object(), None);
        }
        match Self::parse(text) {
            Ok(json) if json.0.starts_with('{') => (json, None),
            _ => (Self::empty_object(), Some(text.to_owned())),
        }
    }

    /// The text as a part of a larger document, written unchanged.
    pub(crate) fn raw(&self) -> Box<RawValue> {
        RawValue::from_string(self.0.to_string()).unwrap_or_default()
    }
}

/// Writes JSON with the keys of every object sorted and no spaces: one value, one text.
pub(crate) fn canonical(value: &Value) -> String {
    sorted(value).to_string()
}

/// Sorting by hand keeps the result the same when some crate of the build turns `serde_json`'s
/// `preserve_order` on, which would make a plain `to_string` depend on insertion order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        Value::Object(map) => {
            let mut keys: Vec<_> = map.keys().collect();
            keys.sort_unstable();
            Value::Object(
                keys.into_iter()
                    .map(|key| (key.clone(), map.get(key).map_or(Value::Null, sorted)))
                    .collect::<Map<_, _>>(),
            )
        }
        scalar => scalar.clone(),
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives_a_sorted_map() {
        let text = r#"{"b":1.10,"a":[12345678901234567890123, 1e2]}"#;
        let json = Json::parse(text).unwrap();
        let through = serde_json::to_value(&json).unwrap();
        let back: Json = serde_json::from_value(through).unwrap();
        assert_eq!(back.as_str(), text);
    }

    #[test]
    fn canonical_sorts_keys_at_every_depth() {
        let value: Value =
            serde_json::from_str(r#"{"b": {"d":1,"c":2}, "a": [{"y":1,"x":2}]}"#).unwrap();
        assert_eq!(canonical(&value), r#"{"a":[{"x":2,"y":1}],"b":{"c":2,"d":1}}"#);
    }

    #[test]
    fn rejects_what_is_not_one_value() {
        for text in ["", "{", "{} {}", "nope"] {
            assert!(Json::parse(text).is_err(), "{text}");
        }
    }
}
