//! What the demo brings along: a small repository with a bug and a failing test, an issue, and the
//! replies of the scripted model.
//!
//! The repository is a shell program on purpose: it needs no more than `sh` and `git`, which are in
//! every box's read-only system. A compiler may be missing, or stand where a box does not look.

/// What is wrong, as somebody reported it.
pub(crate) const ISSUE: &str = include_str!("content/issue.md");
/// The replies of the scripted model.
pub(crate) const SCRIPT: &str = include_str!("content/script.toml");

/// A file of the repository.
pub(crate) struct RepoFile {
    pub(crate) path: &'static str,
    pub(crate) text: &'static str,
}

/// The repository's history: a message and the files that it adds.
pub(crate) const COMMITS: [(&str, &[RepoFile]); 2] = [
    (
        "latest: prints the newest of the tags it reads",
        &[
            RepoFile { path: "README.md", text: include_str!("content/repo/README.md") },
            RepoFile { path: "CHANGELOG.md", text: include_str!("content/repo/CHANGELOG.md") },
            RepoFile { path: "latest.sh", text: include_str!("content/repo/latest.sh") },
            RepoFile { path: "lib/version.sh", text: include_str!("content/repo/lib/version.sh") },
        ],
    ),
    (
        "test: says what the newest tag is",
        &[RepoFile { path: "test.sh", text: include_str!("content/repo/test.sh") }],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_sound() {
        polos_llm::Script::from_toml(SCRIPT).unwrap();
    }
}
