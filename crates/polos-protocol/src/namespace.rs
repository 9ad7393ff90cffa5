//! The namespace: the unit of isolation, which leads every key and every call.

use std::fmt;
use std::sync::Arc;

/// The longest name of a namespace, in bytes.
pub const NAME_LEN_MAX: usize = 64;

/// A namespace's name: 1 to 64 of `a-z`, `0-9`, `-` and `_`, beginning with a letter or digit.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Namespace(Arc<str>);

/// Says why a text does not name a namespace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a namespace: use 1 to {NAME_LEN_MAX} of a-z, 0-9, `-` and `_`")]
pub struct ParseNamespaceError(String);

impl Namespace {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self("default".into())
    }
}

impl std::str::FromStr for Namespace {
    type Err = ParseNamespaceError;

    fn from_str(text: &str) -> Result<Self, ParseNamespaceError> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let good = text.len() <= NAME_LEN_MAX
            && text.bytes().next().is_some_and(fits)
            && text.bytes().all(|b| fits(b) || b == b'-' || b == b'_');
        if good {
            Ok(Self(text.into()))
        } else {
            Err(ParseNamespaceError(text.chars().take(NAME_LEN_MAX).collect()))
        }
    }
}

impl<'de> serde::Deserialize<'de> for Namespace {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Namespace({})", self.0)
    }
}
