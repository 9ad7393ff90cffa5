//! The independent count: what the model and the sandbox themselves wrote down, one line a call and
//! one line a started command. The journal is not asked.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

/// How often something was done, and how often again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) all: usize,
    pub(crate) repeated: usize,
}

/// A call of a model. The same request at the same attempt is a repetition; a further attempt after
/// an error of the provider is not.
#[derive(Deserialize, PartialEq, Eq, Hash)]
struct Call {
    agent: Option<String>,
    request_hash: String,
    attempt: u32,
}

/// A command that was really started, under the key of the step that wanted it.
#[derive(Deserialize, PartialEq, Eq, Hash)]
struct Command {
    id: String,
}

/// Counts the calls in a model ledger; none if there is no file.
pub(crate) fn model_calls(path: &Path) -> anyhow::Result<Count> {
    read(path)?.map_or(Ok(Count::default()), |text| count::<Call>(path, &text))
}

/// Counts the commands in a command ledger; none if there is no file.
pub(crate) fn commands(path: &Path) -> anyhow::Result<Count> {
    read(path)?.map_or(Ok(Count::default()), |text| count::<Command>(path, &text))
}

fn read(path: &Path) -> anyhow::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(error).with_context(|| format!("cannot read ledger `{}`", path.display()))
        }
    }
}

fn count<'a, L: Deserialize<'a> + Eq + std::hash::Hash>(
    path: &Path,
    text: &'a str,
) -> anyhow::Result<Count> {
    let mut seen: HashMap<L, usize> = HashMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = serde_json::from_str(line)
            .with_context(|| format!("line {number} of ledger `{}`", path.display()))?;
        *seen.entry(line).or_default() += 1;
    }
    let all: usize = seen.values().sum();
    Ok(Count { all, repeated: all - seen.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(text: &str) -> Count {
        count::<Call>(Path::new("models"), text).unwrap()
    }

    #[test]
    fn a_repetition_is_the_same_request_at_the_same_attempt() {
        let first = r#"{"agent":"a","request_hash":"x","attempt":0,"pid":1}"#;
        let retry = r#"{"agent":"a","request_hash":"x","attempt":1,"pid":1}"#;
        let other = r#"{"agent":"b","request_hash":"x","attempt":0,"pid":1}"#;
        assert_eq!(calls(""), Count { all: 0, repeated: 0 });
        assert_eq!(calls(&[first, retry, other].join("\n")), Count { all: 3, repeated: 0 });
        assert_eq!(calls(&[first, first, first].join("\n")), Count { all: 3, repeated: 2 });
    }

    #[test]
    fn a_repetition_is_the_same_command_id() {
        let text = "{\"id\":\"a\",\"argv_sha256\":\"1\"}\n{\"id\":\"b\",\"argv_sha256\":\"1\"}\n";
        let counted = |text| count::<Command>(Path::new("commands"), text).unwrap();
        assert_eq!(counted(text), Count { all: 2, repeated: 0 });
        assert_eq!(counted(&text.repeat(2)), Count { all: 4, repeated: 2 });
        assert!(count::<Command>(Path::new("commands"), "half a li").is_err());
    }
}
