//! The file policy: which paths may be read and written, and when a person is asked.
//!
//! It looks at paths as text and gives the good error message; the box enforces the same by the
//! kernel, where links and races are decided.

use serde::{Deserialize, Serialize};

/// The workspace as it is called in every box.
const WORKSPACE: &str = "/workspace";

/// When file changes are asked about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileApproval {
    None,
    #[default]
    Writes,
    Always,
}

/// What is to be done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileOperation {
    Read,
    Write,
}

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileVerdict {
    Allow,
    Ask { reason: String },
    Deny { reason: String },
}

/// Decides about files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilePolicy {
    pub approval: FileApproval,
    /// Absolute paths outside the workspace that may be read.
    pub read_paths: Vec<String>,
    /// Absolute paths outside the workspace that may be read and written.
    pub write_paths: Vec<String>,
    /// Paths beneath the workspace that are never written, such as `.git/hooks`.
    pub protected: Vec<String>,
}

impl FilePolicy {
    /// Decides about a path, absolute or relative to the workspace.
    pub fn check(&self, operation: FileOperation, path: &str) -> FileVerdict {
        if path.contains('\0') || path.is_empty() {
            return deny("a path cannot be empty or contain a NUL character");
        }
        let Some(full) = normalize(path) else {
            return deny(&format!("`{path}` leads out of the file system"));
        };
        match operation {
            FileOperation::Read => self.check_read(&full),
            FileOperation::Write => self.check_write(&full),
        }
    }

    fn check_read(&self, full: &str) -> FileVerdict {
        let extra = self.read_paths.iter().chain(&self.write_paths);
        if !is_beneath(full, WORKSPACE) && !extra.into_iter().any(|path| is_beneath(full, path)) {
            return deny(&format!(
                "`{full}` is outside the workspace\nhint: the option `files.read_paths` opens it"
            ));
        }
        match self.approval {
            FileApproval::Always => ask("every file access is asked about"),
            FileApproval::None | FileApproval::Writes => FileVerdict::Allow,
        }
    }

    fn check_write(&self, full: &str) -> FileVerdict {
        let is_workspace = is_beneath(full, WORKSPACE);
        if !is_workspace && !self.write_paths.iter().any(|path| is_beneath(full, path)) {
            return deny(&format!(
                "`{full}` is outside the workspace\nhint: the option `files.write_paths` opens it"
            ));
        }
        let protected = |path: &String| is_beneath(full, &format!("{WORKSPACE}/{path}"));
        if let Some(path) = self.protected.iter().find(|path| protected(path)) {
            return deny(&format!("`{path}` is protected: programs on the host would run it"));
        }
        match self.approval {
            FileApproval::None => FileVerdict::Allow,
            FileApproval::Writes | FileApproval::Always => ask("file changes are asked about"),
        }
    }
}

fn deny(reason: &str) -> FileVerdict {
    FileVerdict::Deny { reason: reason.to_owned() }
}

fn ask(reason: &str) -> FileVerdict {
    FileVerdict::Ask { reason: reason.to_owned() }
}

/// The absolute path without `.`, `..` and doubled slashes; `None` when `..` climbs over the root.
fn normalize(path: &str) -> Option<String> {
    let full = if path.starts_with('/') { path.to_owned() } else { format!("{WORKSPACE}/{path}") };
    let mut parts = Vec::new();
    for part in full.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(format!("/{}", parts.join("/")))
}

fn is_beneath(path: &str, root: &str) -> bool {
    let root = root.trim_end_matches('/');
    path == root || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use FileOperation::{Read, Write};

    fn check(operation: FileOperation, path: &str, expected: &str) {
        let policy = FilePolicy {
            approval: FileApproval::Writes,
            read_paths: vec!["/opt/tool".to_owned()],
            write_paths: vec!["/srv/out".to_owned()],
            protected: vec![".git/hooks".to_owned(), ".git/config".to_owned()],
        };
        let verdict = match policy.check(operation, path) {
            FileVerdict::Allow => "allow",
            FileVerdict::Ask { .. } => "ask",
            FileVerdict::Deny { .. } => "deny",
        };
        assert_eq!(verdict, expected, "{operation:?} {path}");
    }

    #[test]
    fn paths_are_decided_in_their_plain_form() {
        check(Read, "src/a.rs", "allow");
        check(Read, "/workspace/src/../a", "allow");
        check(Read, "/workspace/../etc/shadow", "deny");
        check(Read, "../etc/shadow", "deny");
        check(Read, "../../..", "deny");
        check(Read, "/workspacex/a", "deny");
        check(Read, "/opt/tool/bin", "allow");
        check(Read, "/opt/toolx", "deny");
        check(Read, "/srv/out/a", "allow");
        check(Read, "", "deny");
        check(Read, "a\0b", "deny");
        check(Write, "src/a.rs", "ask");
        check(Write, "/srv/out/a", "ask");
        check(Write, "/opt/tool/a", "deny");
        check(Write, ".git/hooks/pre-commit", "deny");
        check(Write, ".git//x/../config", "deny");
        check(Write, ".git/config.lock", "ask");
    }

    #[test]
    fn the_mode_decides_about_what_is_within() {
        let mut policy = FilePolicy { approval: FileApproval::None, ..FilePolicy::default() };
        assert_eq!(policy.check(Write, "a"), FileVerdict::Allow);
        policy.approval = FileApproval::Always;
        assert!(matches!(policy.check(Read, "a"), FileVerdict::Ask { .. }));
    }
}
