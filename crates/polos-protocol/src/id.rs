//! Ids in the manner of `TypeID`: a printed prefix and 128 bits in Crockford base32, time ordered.
//! Time and randomness are passed in, so that a simulation can repeat them.

use sha2::{Digest, Sha256};
use std::fmt;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const TEXT_LEN: usize = 26;

/// Says why a text is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id of the form `{prefix}_` and {TEXT_LEN} characters of 0-9 a-z")]
pub struct ParseIdError {
    text: String,
    prefix: &'static str,
}

fn encode(bytes: [u8; 16]) -> String {
    let bits = u128::from_be_bytes(bytes);
    (0..TEXT_LEN).rev().map(|i| char::from(ALPHABET[((bits >> (5 * i)) & 31) as usize])).collect()
}

fn decode(text: &str) -> Option<[u8; 16]> {
    if text.len() != TEXT_LEN || text.as_bytes()[0] > b'7' {
        return None;
    }
    let mut bits: u128 = 0;
    for byte in text.bytes() {
        let digit = ALPHABET.iter().position(|&a| a == byte)?;
        bits = (bits << 5) | digit as u128;
    }
    Some(bits.to_be_bytes())
}

fn stamped(ms: u64, tail: [u8; 10]) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&ms.to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&tail);
    bytes
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 16]);

        impl $name {
            /// The printed prefix, without the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// Makes an id from a time in milliseconds and ten random bytes.
            pub fn from_parts(ms: u64, random: [u8; 10]) -> Self {
                Self(stamped(ms, random))
            }

            /// Derives an id from another id and a text: the same two give the same id always.
            /// It keeps the other id's time, so that the two stand near each other.
            pub fn derived(from: [u8; 16], text: &str) -> Self {
                let digest = Sha256::new().chain_update($prefix).chain_update(from).chain_update(text).finalize();
                let mut bytes = from;
                bytes[6..].copy_from_slice(&digest[..10]);
                Self(bytes)
            }

            /// The 16 bytes, as stored.
            pub fn bytes(self) -> [u8; 16] {
                self.0
            }

            /// Reads the 16 bytes, as stored.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_{}", $prefix, encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                text.strip_prefix(concat!($prefix, "_"))
                    .and_then(decode)
                    .map(Self)
                    .ok_or_else(|| ParseIdError { text: text.chars().take(64).collect(), prefix: $prefix })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "pattern": concat!("^", $prefix, "_[0-7][0-9a-hjkmnp-tv-z]{25}$"),
                })
            }
        }
    };
}

id_type!(
    /// One durable execution of a workflow, agent or tool.
    RunId, "run");
id_type!(
    /// A question to a person.
    ApprovalId, "apr");
id_type!(
    /// A conversation over many runs.
    SessionId, "ses");
id_type!(
    /// A box with a workspace.
    SandboxId, "sbx");
id_type!(
    /// A worker process.
    WorkerId, "wrk");
id_type!(
    /// A published event or a signal.
    EventId, "evt");
id_type!(
    /// An API key; not the secret.
    ApiKeyId, "key");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_round_trips(bytes: [u8; 16]) {
            let id = RunId::from_bytes(bytes);
            prop_assert_eq!(id.to_string().parse::<RunId>().unwrap(), id);
        }

        #[test]
        fn text_order_is_time_order(a in 0u64..1 << 48, b in 0u64..1 << 48, tail: [u8; 10]) {
            let (x, y) = (RunId::from_parts(a, tail), RunId::from_parts(b, tail));
            prop_assert_eq!(a.cmp(&b), x.to_string().cmp(&y.to_string()));
        }
    }

    #[test]
    fn another_kind_is_refused() {
        let id = RunId::from_parts(1, [7; 10]).to_string();
        assert!(id.parse::<ApprovalId>().is_err());
        assert!("run_8zzzzzzzzzzzzzzzzzzzzzzzzz".parse::<RunId>().is_err());
        assert!("run_".parse::<RunId>().is_err());
    }

    #[test]
    fn a_derived_id_depends_on_both() {
        let parent = RunId::from_parts(5, [1; 10]);
        let child = RunId::derived(parent.bytes(), "a");
        assert_eq!(child, RunId::derived(parent.bytes(), "a"));
        assert_ne!(child, RunId::derived(parent.bytes(), "b"));
        assert_ne!(child, RunId::derived(child.bytes(), "a"));
    }
}
