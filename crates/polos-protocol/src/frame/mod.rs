//! The worker socket's frames, one JSON text each: `{"type": "record", "body": {…}}`.
//!
//! The header is parsed first and the body stays raw until its type is known. Unknown fields are
//! ignored; an unknown type is an error.

mod replayed;
mod server;
mod worker;

pub use replayed::*;
pub use server::*;
pub use worker::*;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The lowest and the highest version of the protocol that this build speaks.
pub const VERSIONS: [u16; 2] = [1, 1];

/// The path of the worker socket.
pub const PATH: &str = "/v1/worker";

/// Says why a text is not a frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// It is not JSON of the form that every frame has.
    #[error("not a frame: {0}; a frame is `{{\"type\": …, \"body\": {{…}}}}`")]
    Form(#[source] serde_json::Error),
    /// Its type is not known.
    #[error("unknown frame `{0}`; the two sides speak different versions of the protocol")]
    Unknown(String),
    /// Its body does not fit its type.
    #[error("bad body of frame `{frame}`: {cause}")]
    Body {
        /// The frame's type.
        frame: &'static str,
        /// What the parser said.
        #[source]
        cause: serde_json::Error,
    },
}

#[derive(Deserialize)]
struct Header<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(borrow, default)]
    body: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Envelope<'a, T> {
    #[serde(rename = "type")]
    kind: &'static str,
    body: &'a T,
}

fn write<T: Serialize>(kind: &'static str, body: &T) -> String {
    serde_json::to_string(&Envelope { kind, body }).unwrap_or_default()
}

fn body<'a, T: Deserialize<'a>>(
    frame: &'static str,
    raw: Option<&'a RawValue>,
) -> Result<T, FrameError> {
    serde_json::from_str(raw.map_or("{}", RawValue::get))
        .map_err(|cause| FrameError::Body { frame, cause })
}

macro_rules! frames {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident($type:ty) = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub enum $name {
            $($(#[$vdoc])* $variant($type),)*
        }

        impl $name {
            /// The frame's type, as sent.
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => $text,)* }
            }

            /// The frame as text.
            pub fn to_text(&self) -> String {
                match self { $(Self::$variant(body) => $crate::frame::write($text, body),)* }
            }

            /// Reads a frame: the header first, then the body of that type.
            pub fn from_text(text: &str) -> Result<Self, $crate::frame::FrameError> {
                let header: $crate::frame::Header<'_> =
                    serde_json::from_str(text).map_err($crate::frame::FrameError::Form)?;
                match &*header.kind {
                    $($text => $crate::frame::body($text, header.body).map(Self::$variant),)*
                    other => Err($crate::frame::FrameError::Unknown(other.chars().take(64).collect())),
                }
            }

            /// Every type of frame with the schema of its body.
            pub(crate) fn schemas_of(generator: &mut schemars::SchemaGenerator) -> Vec<(&'static str, schemars::Schema)> {
                vec![$(($text, generator.subschema_for::<$type>()),)*]
            }
        }
    };
}
use frames;

/// The JSON Schema of every frame in both directions, for the SDKs' generated types.
pub fn schema() -> serde_json::Value {
    let mut generator = schemars::SchemaGenerator::default();
    let side = |frames: Vec<(&'static str, schemars::Schema)>| {
        let variants: Vec<_> = frames
            .into_iter()
            .map(|(kind, body)| {
                serde_json::json!({
                    "type": "object",
                    "required": ["type", "body"],
                    "properties": { "type": { "const": kind }, "body": body },
                })
            })
            .collect();
        serde_json::json!({ "oneOf": variants })
    };
    let from_worker = side(FromWorker::schemas_of(&mut generator));
    let from_server = side(FromServer::schemas_of(&mut generator));
    crate::record::describe_details(&mut generator);
    serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Polos worker protocol",
        "versions": VERSIONS,
        "$defs": generator.take_definitions(true),
        "properties": { "from_worker": from_worker, "from_server": from_server },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_describes_what_a_record_says_by_its_kind() {
        let schema = schema();
        for kind in schema["$defs"]["Kind"]["oneOf"].as_array().unwrap() {
            let said = kind["description"].as_str().unwrap();
            let Some((_, name)) = said.split_once("[`") else { continue };
            let name = name.split('`').next().unwrap();
            assert!(schema["$defs"][name].is_object(), "{name}");
        }
    }

    #[test]
    fn unknown_frames_are_errors_and_unknown_fields_are_not() {
        let frame = FromWorker::from_text(r#"{"type":"pong","body":{"news":1},"more":2}"#).unwrap();
        assert_eq!(frame.kind(), "pong");
        assert!(matches!(FromWorker::from_text(r#"{"type":"nope"}"#), Err(FrameError::Unknown(_))));
        assert!(matches!(FromWorker::from_text("[]"), Err(FrameError::Form(_))));
        assert!(matches!(
            FromWorker::from_text(r#"{"type":"hello","body":{}}"#),
            Err(FrameError::Body { .. })
        ));
    }
}
