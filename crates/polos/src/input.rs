//! Input from the command line: JSON, `@FILE`, or `-` for standard input.

use crate::exit::Problem;
use anyhow::Result;
use polos_protocol::Json;
use std::io::Read;

/// The largest input that is read, in bytes: what the server takes at the most.
const INPUT_BYTES_MAX: u64 = polos_protocol::limits::BLOB_BYTES_MAX as u64;

/// Reads JSON as it was given on the command line.
pub(crate) fn json(given: &str) -> Result<Json> {
    let (text, from) = match given {
        "-" => (read(std::io::stdin())?, "standard input".to_owned()),
        given => match given.strip_prefix('@') {
            Some(path) => (file(path)?, format!("`{path}`")),
            None => (given.to_owned(), "the argument".to_owned()),
        },
    };
    Json::from_text(text.trim()).map_err(|cause| {
        Problem::usage(
            format!("{from} is not JSON: {cause}"),
            "give JSON such as '{\"name\": \"Ada\"}' or '\"a text\"', or `@FILE`, or `-`",
        )
    })
}

/// Reads JSON if it was given.
pub(crate) fn json_if(given: Option<&str>) -> Result<Option<Json>> {
    given.map(json).transpose()
}

fn file(path: &str) -> Result<String> {
    let file = std::fs::File::open(path).map_err(|cause| {
        Problem::usage(format!("`{path}` cannot be read: {cause}"), "check the path after `@`")
    })?;
    read(file)
}

fn read(from: impl Read) -> Result<String> {
    let mut text = String::new();
    from.take(INPUT_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > INPUT_BYTES_MAX {
        return Err(Problem::usage(
            format!("the input is larger than {INPUT_BYTES_MAX} bytes"),
            "hand over a path or a link instead",
        ));
    }
    Ok(text)
}

/// Reads `name=value`.
pub(crate) fn label(given: &str) -> Result<(String, String), String> {
    let pair = given.split_once('=').filter(|(name, _)| !name.is_empty());
    let pair = pair.map(|(name, value)| (name.to_owned(), value.to_owned()));
    pair.ok_or_else(|| format!("`{given}` is not a label: write name=value"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_kept_to_the_letter() {
        assert_eq!(json(r#" {"b":1, "a":1.0} "#).unwrap().text(), r#"{"b":1, "a":1.0}"#);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in.json");
        std::fs::write(&path, "[1]\n").unwrap();
        assert_eq!(json(&format!("@{}", path.display())).unwrap().text(), "[1]");
    }

    #[test]
    fn what_is_not_json_is_refused() {
        let message = json("hello").unwrap_err().to_string();
        assert!(message.starts_with("the argument is not JSON"), "{message}");
        assert!(json("@/does/not/exist").is_err());
    }

    #[test]
    fn labels_are_pairs() {
        assert_eq!(label("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(label("a").is_err());
        assert!(label("=a").is_err());
    }
}
