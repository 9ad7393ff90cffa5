//! Values: opaque JSON in an envelope that is there from day one, inline or by reference.

use crate::RunId;
use crate::limits::VALUE_BY_REFERENCE_BYTES;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fmt;
use std::sync::Arc;

/// A value as persisted and sent: `{"v": …}` inline, or `{"ref": {…}}` by reference. `codec`
/// is absent for plain JSON; any other codec is a user's own, which the server never opens.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct Value {
    /// The JSON itself, passed through unparsed.
    #[serde(
        rename = "v",
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    #[schemars(with = "Option<serde_json::Value>")]
    inline: Option<Arc<RawValue>>,
    /// Where the bytes are, if not inline.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    reference: Option<BlobRef>,
    /// How the bytes are to be read; absent for JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    codec: Option<Arc<str>>,
}

/// Bytes that are elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BlobRef {
    /// Their name. The SHA-256 of the bytes in hex, if they are kept apart; a [`Place`], if they stand
    /// in a run and were only left out of a frame.
    pub hash: Arc<str>,
    /// The size in bytes.
    pub size: u64,
}

/// Where a value stands that was left out of a frame: `run_…/17` is the value of record 17 of the
/// run's journal, `run_…/input` its input. Sent, never recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The run's input.
    Input(RunId),
    /// The value of the record with this number.
    Record(RunId, u64),
}

impl Place {
    /// Reads the name of a reference; nothing if it names bytes by their hash.
    pub fn from_name(name: &str) -> Option<Self> {
        let (run, place) = name.split_once('/')?;
        let run = run.parse().ok()?;
        match place {
            "input" => Some(Self::Input(run)),
            _ => place.parse().ok().map(|seq| Self::Record(run, seq)),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(run) => write!(f, "{run}/input"),
            Self::Record(run, seq) => write!(f, "{run}/{seq}"),
        }
    }
}

/// `null` is a value of its own: only an absent `v` means that the value is elsewhere.
fn present<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Arc<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(|raw| Some(raw.into()))
}

impl Value {
    /// The JSON `null`.
    pub fn null() -> Self {
        Self::from_raw(RawValue::NULL.to_owned())
    }

    /// Wraps JSON text that has been parsed already.
    pub fn from_raw(raw: Box<RawValue>) -> Self {
        Self { inline: Some(raw.into()), reference: None, codec: None }
    }

    /// Checks JSON text and wraps it.
    pub fn from_text(text: &str) -> serde_json::Result<Self> {
        RawValue::from_string(text.to_owned()).map(Self::from_raw)
    }

    /// Serializes a value and wraps it.
    pub fn from_serialize<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<Self> {
        serde_json::value::to_raw_value(value).map(Self::from_raw)
    }

    /// Points at bytes kept apart.
    pub fn from_reference(reference: BlobRef) -> Self {
        Self { inline: None, reference: Some(reference), codec: None }
    }

    /// The JSON text, if it is inline.
    pub fn text(&self) -> Option<&str> {
        self.inline.as_deref().map(RawValue::get)
    }

    /// Where the bytes are, if they are not inline.
    pub fn reference(&self) -> Option<&BlobRef> {
        self.reference.as_ref()
    }

    /// The codec's name, if it is not plain JSON.
    pub fn codec(&self) -> Option<&str> {
        self.codec.as_deref()
    }

    /// Names the user's codec that reads this value.
    #[must_use]
    pub fn with_codec(mut self, codec: &str) -> Self {
        self.codec = Some(codec.into());
        self
    }

    /// The inline JSON without its envelope, if it is inline.
    pub fn to_json(&self) -> Option<Json> {
        self.inline.clone().map(Json)
    }

    /// Parses the inline JSON into a type. A value that is elsewhere must be fetched first.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> serde_json::Result<T> {
        let text = self.text().ok_or_else(|| {
            serde::de::Error::custom("the value is kept by reference; fetch it first")
        })?;
        serde_json::from_str(text)
    }

    /// The value as it goes into a frame: a reference to its place if its text is larger than a page
    /// carries.
    #[must_use]
    pub fn in_frame(&self, place: Place) -> Self {
        match self.text() {
            Some(text) if text.len() > VALUE_BY_REFERENCE_BYTES => {
                self.left_out(place, text.len() as u64)
            }
            _ => self.clone(),
        }
    }

    /// A reference to the place where the value stands.
    #[must_use]
    pub fn left_out(&self, place: Place, size: u64) -> Self {
        let reference = BlobRef { hash: place.to_string().into(), size };
        Self { inline: None, reference: Some(reference), codec: self.codec.clone() }
    }

    /// How many bytes the inline text or the referenced blob has.
    pub fn size(&self) -> u64 {
        self.reference
            .as_ref()
            .map_or_else(|| self.text().map_or(0, |text| text.len() as u64), |r| r.size)
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
            && self.reference == other.reference
            && self.codec == other.codec
    }
}

impl Default for Value {
    fn default() -> Self {
        Self::null()
    }
}

/// Plain JSON that REST takes and gives, kept to the letter: key order, number forms and all.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(Arc<RawValue>);

impl Json {
    /// The JSON text.
    pub fn text(&self) -> &str {
        self.0.get()
    }

    /// Serializes a value.
    pub fn from_serialize<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<Self> {
        serde_json::value::to_raw_value(value).map(|raw| Self(raw.into()))
    }

    /// Checks JSON text and wraps it.
    pub fn from_text(text: &str) -> serde_json::Result<Self> {
        RawValue::from_string(text.to_owned()).map(|raw| Self(raw.into()))
    }

    /// Parses it into a type.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> serde_json::Result<T> {
        serde_json::from_str(self.text())
    }

    /// Puts it into an envelope.
    pub fn into_value(self) -> Value {
        Value { inline: Some(self.0), reference: None, codec: None }
    }
}

impl Default for Json {
    fn default() -> Self {
        Self(RawValue::NULL.to_owned().into())
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl JsonSchema for Json {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Json".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        true.into()
    }
    fn inline_schema() -> bool {
        true
    }
}

impl From<Json> for Value {
    fn from(json: Json) -> Self {
        json.into_value()
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.text(), &self.reference) {
            (Some(text), _) if text.len() <= 120 => f.write_str(text),
            (Some(text), _) => write!(f, "({} bytes of JSON)", text.len()),
            (None, Some(reference)) => {
                write!(f, "(blob {} of {} bytes)", reference.hash, reference.size)
            }
            (None, None) => f.write_str("(nothing)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) {
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&value).unwrap(), text);
    }

    #[test]
    fn envelopes_round_trip_to_the_letter() {
        check(r#"{"v":null}"#);
        check(r#"{"v":{"b":1,"a":[2,9007199254740993,1.0]}}"#);
        check(r#"{"v":""}"#);
        check(r#"{"ref":{"hash":"ab","size":3}}"#);
        check(r#"{"v":"x","codec":"aes"}"#);
    }

    #[test]
    fn places_read_back() {
        let run = RunId::from_bytes([7; 16]);
        for place in [Place::Input(run), Place::Record(run, 17)] {
            assert_eq!(Place::from_name(&place.to_string()), Some(place));
        }
        let record = Place::Record(run, 1).to_string();
        for name in ["", "/", "ab12", &format!("{run}/"), &format!("{run}/-1"), &record[4..]] {
            assert_eq!(Place::from_name(name), None, "{name}");
        }
    }

    #[test]
    fn large_values_are_left_out_of_frames() {
        let place = Place::Record(RunId::from_bytes([7; 16]), 3);
        let most = Value::from_serialize(&"x".repeat(VALUE_BY_REFERENCE_BYTES - 2)).unwrap();
        assert_eq!(most.in_frame(place), most);
        let more = Value::from_serialize(&"x".repeat(VALUE_BY_REFERENCE_BYTES - 1)).unwrap();
        let sealed = more.with_codec("aes").in_frame(place);
        assert_eq!(sealed.reference().unwrap().size, VALUE_BY_REFERENCE_BYTES as u64 + 1);
        assert_eq!((sealed.text(), sealed.codec()), (None, Some("aes")));
    }

    #[test]
    fn an_empty_envelope_has_no_text() {
        let value: Value = serde_json::from_str("{}").unwrap();
        assert!(value.text().is_none());
        assert!(value.parse::<serde_json::Value>().is_err());
    }
}
