//! A JSON object whose fields keep their order and their exact text.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::json::{Json, canonical};

/// Is a list of fields; request bodies are built of it, and unknown blocks are read into it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Object {
    fields: Vec<(String, Box<RawValue>)>,
}

impl Object {
    /// Starts with the field `type`.
    pub(crate) fn of_type(kind: &str) -> Self {
        Self::default().with("type", kind)
    }

    /// Appends a field.
    pub(crate) fn with(mut self, name: &str, value: impl Serialize) -> Self {
        self.put(name, value);
        self
    }

    /// Appends a field if there is a value for it.
    pub(crate) fn with_some(self, name: &str, value: Option<impl Serialize>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Appends a field with its keys sorted at every depth.
    pub(crate) fn with_canonical(self, name: &str, value: &Value) -> Self {
        self.with(name, Json::from_text(canonical(value)).raw())
    }

    /// Appends all fields of a JSON object, unchanged.
    pub(crate) fn with_all(mut self, extra: Option<&Json>) -> Self {
        if let Some(more) = extra.and_then(|json| json.to::<Self>().ok()) {
            self.fields.extend(more.fields);
        }
        self
    }

    /// Appends a field, or replaces it in its place.
    pub(crate) fn put(&mut self, name: &str, value: impl Serialize) {
        // Only a map with keys that are no strings can fail, and nothing here has one.
        let value = to_raw_value(&value).unwrap_or_default();
        match self.fields.iter_mut().find(|(field, _)| field == name) {
            Some((_, old)) => *old = value,
            None => self.fields.push((name.to_owned(), value)),
        }
    }

    /// Takes a field out.
    pub(crate) fn take(&mut self, name: &str) -> Option<Box<RawValue>> {
        let index = self.fields.iter().position(|(field, _)| field == name)?;
        Some(self.fields.remove(index).1)
    }

    /// Takes a field out and reads it; one of another type counts as missing.
    pub(crate) fn take_string(&mut self, name: &str) -> Option<String> {
        serde_json::from_str(self.take(name)?.get()).ok()
    }

    /// Reads a field; one of another type counts as missing.
    pub(crate) fn get_string(&self, name: &str) -> Option<String> {
        let (_, value) = self.fields.iter().find(|(field, _)| field == name)?;
        serde_json::from_str(value.get()).ok()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(field, _)| field == name)
    }

    /// Returns what is left once fields without a value are gone, or nothing.
    pub(crate) fn into_extra(mut self) -> Option<Json> {
        self.fields.retain(|(_, value)| !matches!(value.get(), "null" | "[]"));
        (!self.fields.is_empty()).then(|| self.to_json())
    }

    pub(crate) fn to_json(&self) -> Json {
        Json::from_text(serde_json::to_string(self).unwrap_or_default())
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len()))?;
        for (name, value) in &self.fields {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Object { fields })
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_and_spelling() {
        let text = r#"{"z":1.50,"a":{"y": 1,"b":2},"m":"é"}"#;
        let object: Object = serde_json::from_str(text).unwrap();
        assert_eq!(object.to_json().as_str(), text);
    }

    #[test]
    fn fields_are_replaced_in_place_and_taken_out() {
        let mut object = Object::of_type("t").with("a", 1).with_some("b", None::<u8>);
        object.put("type", "u");
        assert_eq!(object.take_string("type").as_deref(), Some("u"));
        assert_eq!(object.take_string("a"), None);
        assert!(object.into_extra().is_none());
    }
}
