//! Files by name, the latest changed first.

use std::cmp::Reverse;

use super::walk::{self, Notes, Options};
use crate::files::Roots;
use crate::message::{Code, Glob, GlobRequest, Refusal};

/// Paths listed unless the request says otherwise.
const LIMIT_DEFAULT: u64 = 100;
/// Paths listed at most.
const LIMIT_MAX: u64 = 1_000;
/// Paths found at most; beyond that the order by time is not worth its cost.
const FOUND_MAX: usize = 50_000;

/// Finds files whose path beneath the folder matches the pattern.
pub fn glob(roots: &Roots, request: &GlobRequest) -> Result<Glob, Refusal> {
    let (path, pattern) = split(request)?;
    let matcher = walk::path_pattern(&pattern)?;
    let base = roots.place(path.as_deref().unwrap_or(roots.workspace()))?.shown().to_owned();
    let mut found = Vec::new();
    let mut notes = Notes::default();
    let options =
        Options { path: path.as_deref(), gitignore: request.gitignore, ..Options::default() };
    walk::files(roots, options, &mut notes, |place, _, notes| {
        let beneath = place.shown().strip_prefix(&base).unwrap_or_default();
        if matcher.is_match(beneath.trim_start_matches('/'))
            && let Some(modified) = walk::modified(&place)
        {
            found.push((Reverse(modified), place.shown().to_owned()));
        }
        if found.len() >= FOUND_MAX {
            notes.add(format!("stopped after {FOUND_MAX} files: narrow the pattern"));
        }
        found.len() < FOUND_MAX
    })?;
    found.sort();
    let limit = request.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX);
    let all = found.len() as u64;
    if all > limit {
        notes.add(format!("truncated: {limit} of {all} files; narrow the pattern or the path"));
    }
    let paths = found.into_iter().take(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(Glob { paths: paths.map(|(_, path)| path).collect(), found: all, note: notes.into_note() })
}

/// An absolute pattern names its folder itself.
fn split(request: &GlobRequest) -> Result<(Option<String>, String), Refusal> {
    let pattern = request.pattern.trim_start_matches("./");
    if pattern.is_empty() {
        return Err(Refusal::new(Code::BadRequest, "the pattern is empty"));
    }
    if !pattern.starts_with('/') {
        return Ok((request.path.clone(), pattern.to_owned()));
    }
    let special = pattern.find(['*', '?', '[', '{']).unwrap_or(pattern.len());
    let end = pattern[..special].rfind('/').unwrap_or(0);
    let (folder, rest) = pattern.split_at(end);
    Ok((Some(folder.to_owned()), rest.trim_start_matches('/').to_owned()))
}
