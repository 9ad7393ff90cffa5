//! Every code that a user can meet has a page of remedies.

use crate::polos::Polos;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What a code stands behind in the sources: the first literal after it is the code.
const MAKERS: [&str; 7] = [
    "Error::new(",
    "Refusal::new(",
    "Refusal::invalid(",
    "Problem::new(",
    "refuse(",
    "fatal(",
    "end_connection(",
];
/// How far behind its maker a code stands.
const REACH: usize = 120;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            // Tests may make up codes of their own.
            found.push(text.split("#[cfg(test)]").next().unwrap_or_default().to_owned());
        }
    }
}

/// The codes in a text: words of lower-case letters and `_` that stand behind a maker.
fn codes_in(text: &str) -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    for maker in MAKERS {
        for (at, _) in text.match_indices(maker) {
            let rest: String = text[at + maker.len()..].chars().take(REACH).collect();
            let call = rest.split(");").next().unwrap_or_default();
            let literal = call.split('"').nth(1).unwrap_or_default();
            let is_code = |c: char| c.is_ascii_lowercase() || c == '_';
            if !literal.is_empty() && literal.chars().all(is_code) {
                codes.insert(literal.to_owned());
            }
        }
    }
    codes
}

/// The codes of blocked runs, as the protocol declares them.
fn blocked_codes() -> BTreeSet<String> {
    let path = root().join("crates/polos-protocol/src/failure.rs");
    let text = std::fs::read_to_string(path).unwrap();
    let declared = text.lines().filter_map(|line| line.trim().strip_prefix("pub const "));
    declared.filter_map(|line| line.split('"').nth(1)).map(str::to_owned).collect()
}

#[test]
fn the_search_finds_codes() {
    let text = r#"return Err(Error::new(Class::Conflict, "a_code", format!("x `{y}`"), ""));
        Refusal::invalid("other", error.to_string()); Error::new(class, code, "not a code!", "")"#;
    assert_eq!(codes_in(text).into_iter().collect::<Vec<_>>(), ["a_code", "other"]);
}

#[test]
fn every_code_has_a_page() {
    let mut texts = Vec::new();
    for folder in ["polos-engine/src", "polos-server/src", "polos/src"] {
        sources(&root().join("crates").join(folder), &mut texts);
    }
    let mut codes = blocked_codes();
    assert!(codes.len() >= 12, "the protocol's codes are not where they were: {codes:?}");
    for text in &texts {
        codes.extend(codes_in(text));
    }
    assert!(codes.len() > 40, "too few codes to be true: {codes:?}");
    let missing: Vec<_> = codes
        .into_iter()
        .filter(|code| !root().join(format!("docs/errors/{code}.md")).is_file())
        .collect();
    assert!(missing.is_empty(), "no page under docs/errors for {missing:?}");
}

#[test]
fn the_program_explains_codes() {
    let polos = Polos::new();
    let page = polos.ok(&["explain", "step_in_doubt"]);
    assert!(page.contains("polos runs settle"), "{page}");
    let unknown = polos.run(&["explain", "nothing_such"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.err.contains("hint: `polos explain` lists all codes"), "{}", unknown.err);
}

#[test]
fn the_index_lists_every_page() {
    let folder = root().join("docs/errors");
    let index = std::fs::read_to_string(folder.join("README.md")).unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "README.md" || index.contains(&format!("({name})")), "`{name}` is missing");
    }
}
