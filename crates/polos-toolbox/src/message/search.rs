//! Searching: for names and for text.

use serde::{Deserialize, Serialize};

/// Asks for files by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GlobRequest {
    /// Such as `**/*.rs`; matched against the path beneath `path`.
    pub pattern: String,
    /// The folder to search; the workspace if absent.
    #[serde(default)]
    pub path: Option<String>,
    /// Whether what `.gitignore` names is left out.
    #[serde(default = "yes")]
    pub gitignore: bool,
    /// The number of files listed; 100 if absent, at most 1,000.
    #[serde(default)]
    pub limit: Option<u64>,
}

/// Files found, the latest changed first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Glob {
    pub paths: Vec<String>,
    /// All that were found.
    pub found: u64,
    /// What was left out, and why; absent when the list is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Asks for text in files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrepRequest {
    /// A regular expression, as ripgrep reads it.
    pub pattern: String,
    /// The file or folder to search; the workspace if absent.
    #[serde(default)]
    pub path: Option<String>,
    #[serde(default)]
    pub mode: GrepMode,
    /// Only files whose path matches, such as `*.rs`.
    #[serde(default)]
    pub glob: Option<String>,
    /// Only files of this type, such as `rust`, as ripgrep names them.
    #[serde(default)]
    pub file_type: Option<String>,
    #[serde(default)]
    pub ignore_case: bool,
    /// Whether `.` matches line ends, and a match may span lines.
    #[serde(default)]
    pub multiline: bool,
    /// Lines shown before each match.
    #[serde(default)]
    pub before: u64,
    /// Lines shown after each match.
    #[serde(default)]
    pub after: u64,
    /// Lines or files listed; 100 if absent, at most 10,000.
    #[serde(default)]
    pub head_limit: Option<u64>,
    /// Whether what `.gitignore` names is left out.
    #[serde(default = "yes")]
    pub gitignore: bool,
}

/// What a search for text lists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrepMode {
    /// Matching lines, as `path:line:text`, with context as `path-line-text`.
    Content,
    /// Paths, the latest changed first.
    #[default]
    FilesWithMatches,
    /// `path:count`.
    Count,
}

/// What a search for text found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grep {
    /// In the form that the mode says.
    pub lines: Vec<String>,
    /// Matching lines in all that was searched.
    pub matches: u64,
    /// Files with matches in all that was searched.
    pub files: u64,
    pub searched_files: u64,
    /// What was left out, and why; absent when the answer is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

pub(crate) fn yes() -> bool {
    true
}
