//! A key that never shows itself.

use std::fmt;
use std::sync::Arc;

const MASK: &str = "[redacted]";
/// Shorter texts are not worth hiding: blanking `a` out of every message would hide nothing else.
const REDACT_LENGTH_MIN: usize = 4;

/// Holds a key; `Debug` shows `[redacted]`, and it is not serialisable.
#[derive(Clone)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Keeps a key, without the white space around it that files and shells leave.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(text.as_ref().trim().into())
    }

    /// Shows the key, to be put on the wire and nowhere else.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Blanks the key, and anything that looks like one, out of a text that others wrote.
    pub(crate) fn redact(&self, text: &str) -> String {
        let text = if self.0.len() >= REDACT_LENGTH_MIN {
            text.replace(&*self.0, MASK)
        } else {
            text.to_owned()
        };
        text.split_inclusive(|c: char| !is_key_char(c)).map(redact_word).collect()
    }
}

fn is_key_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '*')
}

/// OpenAI's and Anthropic's keys begin with `sk-`; error bodies quote them in part.
fn redact_word(word: &str) -> String {
    let key = word.trim_end_matches(|c: char| !is_key_char(c));
    if key.starts_with("sk-") && key.len() > 6 {
        format!("{MASK}{}", &word[key.len()..])
    } else {
        word.to_owned()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_itself_to_nobody() {
        let secret = Secret::new(" my-key-123\n");
        assert_eq!(format!("{secret:?}"), "[redacted]");
        assert_eq!(secret.redact("bad key my-key-123."), "bad key [redacted].");
        assert_eq!(
            secret.redact("Incorrect API key provided: sk-proj-****abcd, see"),
            "Incorrect API key provided: [redacted], see"
        );
        assert_eq!(secret.redact("the task-list is ok"), "the task-list is ok");
    }
}
