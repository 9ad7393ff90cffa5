//! Words of a plan: patterns become the names that match, as a shell would have it.

use std::fs;
use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};

use crate::message::Word;

/// Names that one pattern may become.
const NAMES_MAX: usize = 10_000;

/// Expands the words of one command beneath the folder in which it runs.
pub(super) fn words(words: &[Word], cwd: &Path) -> Result<Vec<String>, String> {
    let mut argv = Vec::with_capacity(words.len());
    for word in words {
        match word {
            Word::Literal(text) => argv.push(text.clone()),
            Word::Glob { glob } => argv.extend(names(glob, cwd)?),
        }
    }
    if argv.iter().any(|word| word.contains('\0')) {
        return Err("an argument contains a NUL".to_owned());
    }
    Ok(argv)
}

/// The names that match, sorted; the pattern itself, without its backslashes, when none does.
fn names(pattern: &str, cwd: &Path) -> Result<Vec<String>, String> {
    let absolute = pattern.starts_with('/');
    let mut found = vec![if absolute { "/".to_owned() } else { String::new() }];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        found = step(&found, part, cwd)?;
        if found.len() > NAMES_MAX {
            return Err(format!("the pattern `{pattern}` matches more than {NAMES_MAX} names"));
        }
    }
    if found.is_empty() {
        return Ok(vec![without_backslashes(pattern)]);
    }
    found.sort();
    Ok(found.into_iter().map(not_an_option).collect())
}

/// Goes one part deeper from every name found so far.
fn step(found: &[String], part: &str, cwd: &Path) -> Result<Vec<String>, String> {
    let join = |name: &str, part: &str| match name {
        "" | "/" => format!("{name}{part}"),
        name => format!("{name}/{part}"),
    };
    if !has_pattern(part) {
        let part = without_backslashes(part);
        let names = found.iter().map(|name| join(name, &part));
        return Ok(names.filter(|name| cwd.join(name).symlink_metadata().is_ok()).collect());
    }
    let matcher = matcher(part)?;
    let hidden = part.starts_with('.');
    let mut names = Vec::new();
    for name in found {
        let Ok(entries) = fs::read_dir(cwd.join(name)) else { continue };
        for entry in entries.flatten().take(NAMES_MAX + 1) {
            // A name that is not UTF-8 cannot be spelled in a plan.
            let Ok(entry) = entry.file_name().into_string() else { continue };
            if (hidden || !entry.starts_with('.')) && matcher.is_match(&entry) {
                names.push(join(name, &entry));
            }
        }
    }
    Ok(names)
}

/// Braces are plain characters here: a plan has no alternatives.
fn matcher(part: &str) -> Result<GlobMatcher, String> {
    let mut escaped = String::with_capacity(part.len());
    let mut chars = part.chars();
    while let Some(char) = chars.next() {
        match char {
            '{' | '}' => escaped.extend(['\\', char]),
            '\\' => escaped.extend(['\\', chars.next().unwrap_or('\\')]),
            char => escaped.push(char),
        }
    }
    // Two stars mean no more than one.
    while escaped.contains("**") {
        escaped = escaped.replace("**", "*");
    }
    let glob = GlobBuilder::new(&escaped).literal_separator(true).backslash_escape(true).build();
    let glob = glob.map_err(|error| format!("`{part}` is not a pattern: {}", error.kind()))?;
    Ok(glob.compile_matcher())
}

fn has_pattern(part: &str) -> bool {
    let mut chars = part.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => drop(chars.next()),
            '*' | '?' | '[' => return true,
            _ => {}
        }
    }
    false
}

fn without_backslashes(part: &str) -> String {
    let mut plain = String::with_capacity(part.len());
    let mut chars = part.chars();
    while let Some(char) = chars.next() {
        plain.push(if char == '\\' { chars.next().unwrap_or('\\') } else { char });
    }
    plain
}

fn not_an_option(name: String) -> String {
    if name.starts_with('-') { format!("./{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, expect: &[&str]) {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.rs", "a.rs", "-rf", ".hidden.rs", "s p.txt", "{x}", "src/m.rs", "src/n.txt"]
        {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let word = Word::Glob { glob: pattern.to_owned() };
        assert_eq!(words(&[word], folder.path()).unwrap(), expect, "{pattern}");
    }

    #[test]
    fn patterns_become_sorted_names() {
        check("*.rs", &["a.rs", "b.rs"]);
        check("[!a].rs", &["b.rs"]);
        check("?.rs", &["a.rs", "b.rs"]);
        check("*/*.rs", &["src/m.rs"]);
        check("src/*", &["src/m.rs", "src/n.txt"]);
        check(".*.rs", &[".hidden.rs"]);
        check("s\\ *", &["s p.txt"]);
    }

    #[test]
    fn a_name_never_becomes_an_option() {
        check("*rf", &["./-rf"]);
        check("*", &["./-rf", "a.rs", "b.rs", "s p.txt", "src", "{x}"]);
    }

    #[test]
    fn what_matches_nothing_stays() {
        check("*.py", &["*.py"]);
        check("no\\*such*", &["no*such*"]);
        check("{x}*", &["{x}"]);
    }
}
