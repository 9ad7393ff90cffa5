//! Files: reading, writing, editing, and saying beforehand what a change would be.
//!
//! Paths are absolute beneath the workspace's name (or, to read, a folder that may be read), or
//! relative to the workspace.

use serde::{Deserialize, Serialize};

/// Asks for a file's text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadRequest {
    pub path: String,
    /// The first line, counted from 1.
    #[serde(default)]
    pub offset: Option<u64>,
    /// The number of lines; 2,000 if absent.
    #[serde(default)]
    pub limit: Option<u64>,
    /// On whose behalf: an edit needs a read by the same reader.
    #[serde(default)]
    pub reader: String,
}

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// The path in its full form, such as `/workspace/src/lib.rs`.
    pub path: String,
    pub content: ReadContent,
    pub size_bytes: u64,
    /// SHA-256 of the whole file, in hex.
    pub sha256: String,
    /// Names that this file has; more than one means that it may also lie elsewhere.
    pub hard_links: u64,
}

/// What is in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ReadContent {
    Text {
        /// Numbered lines, as `cat -n` prints them.
        text: String,
        first_line: u64,
        lines: u64,
        total_lines: u64,
        /// What was left out, and how to get it; absent when the file is whole.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    Image {
        media_type: String,
        base64: String,
    },
    /// Neither text nor an image that models take.
    Binary {
        /// What it seems to be, such as `application/pdf`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        media_type: Option<String>,
    },
}

/// What a file must be before it is changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Expected {
    Absent,
    /// The SHA-256 of its content, in hex.
    Content {
        sha256: String,
    },
}

/// Asks for a file to be written as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteRequest {
    pub path: String,
    pub content: String,
    /// Refuses with `changed` unless the file is as expected (or already as it shall be).
    #[serde(default)]
    pub expected: Option<Expected>,
    #[serde(default)]
    pub reader: String,
}

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    pub path: String,
    /// Whether the file is new.
    pub created: bool,
    /// Whether the file had this content already.
    pub unchanged: bool,
    pub size_bytes: u64,
    pub sha256: String,
    /// Names that the file had before; the others keep the old content.
    pub hard_links: u64,
}

/// Asks for a file to be changed.
///
/// The reader must have read, written or edited this very content before through this toolbox, or
/// `expected` must name it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EditRequest {
    pub path: String,
    /// Applied one after the other; all of them or none.
    pub edits: Vec<Replacement>,
    #[serde(default)]
    pub expected: Option<Expected>,
    #[serde(default)]
    pub reader: String,
    /// The key of the step that edits: a second edit under the same id, whose effect is still
    /// there, answers as the first did.
    #[serde(default)]
    pub id: Option<String>,
}

/// One replacement of exact text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replacement {
    /// Must occur exactly once, unless `replace_all`.
    pub old_string: String,
    pub new_string: String,
    #[serde(default)]
    pub replace_all: bool,
}

/// A file that was edited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    pub path: String,
    pub replacements: u64,
    pub size_bytes: u64,
    pub sha256: String,
    pub hard_links: u64,
    /// What changed, as a unified diff.
    pub snippet: String,
}

/// A change to look at before it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum PreviewRequest {
    Write(WriteRequest),
    Edit(EditRequest),
}

/// What a change would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    pub path: String,
    /// A unified diff; empty when nothing would change.
    pub diff: String,
    /// Whether the diff was cut.
    pub diff_truncated: bool,
    pub added_lines: u64,
    pub removed_lines: u64,
    /// To be sent as `expected` with the change, so that what was seen is what is applied.
    pub expected: Expected,
    /// The content's SHA-256 after the change.
    pub after_sha256: String,
    pub hard_links: u64,
}

/// Asks what lies at a path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatRequest {
    pub path: String,
    /// Whether the content of a file is hashed.
    #[serde(default)]
    pub hash: bool,
}

/// What lies at a path; symbolic links are not followed at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    pub path: String,
    pub kind: StatKind,
    pub size_bytes: u64,
    /// Permission bits.
    pub mode: u32,
    pub modified_unix_ms: i64,
    pub hard_links: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// Kinds of things at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatKind {
    File,
    Directory,
    SymbolicLink,
    Other,
}
