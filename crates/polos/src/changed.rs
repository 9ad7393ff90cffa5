//! Notices that files have changed, by looking at them now and then: it works on every file
//! system, and an editor that writes in several steps is seen once it is done.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How often to look.
const LOOK_EVERY: Duration = Duration::from_millis(400);
/// How many files are looked at.
const FILES_MAX: usize = 10_000;
/// Folders that are made by builds and never by hand.
const SKIPPED: [&str; 5] = [".git", ".polos", "target", "node_modules", ".venv"];

/// What files looked like: each with its size and time.
type Look = Vec<(PathBuf, u64, Option<SystemTime>)>;

/// Watches files and folders.
#[derive(Debug)]
pub(crate) struct Changed {
    paths: Vec<PathBuf>,
    seen: Look,
}

impl Changed {
    /// Begins with what is there now.
    pub(crate) fn new(paths: Vec<PathBuf>) -> Self {
        let seen = look(&paths);
        Self { paths, seen }
    }

    /// Waits until something has changed and is still again.
    pub(crate) async fn wait(&mut self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if self.has_changed() {
                self.settle().await;
                return;
            }
        }
    }

    async fn settle(&mut self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if !self.has_changed() {
                return;
            }
        }
    }

    /// True if something is not as it was at the last look.
    fn has_changed(&mut self) -> bool {
        let now = look(&self.paths);
        let changed = now != self.seen;
        self.seen = now;
        changed
    }
}

fn look(paths: &[PathBuf]) -> Look {
    let mut files = Vec::new();
    for path in paths {
        add(path, &mut files);
    }
    files.sort();
    files
}

fn add(path: &Path, files: &mut Look) {
    let skipped = path.file_name().is_some_and(|name| SKIPPED.iter().any(|s| name == *s));
    if skipped || files.len() >= FILES_MAX {
        return;
    }
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return };
    if metadata.is_dir() {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        for entry in entries {
            add(&entry.path(), files);
        }
    } else {
        files.push((path.to_owned(), metadata.len(), metadata.modified().ok()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_noticed_once_and_builds_are_not() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("target")).unwrap();
        let mut changed = Changed::new(vec![folder.path().to_owned()]);
        assert!(!changed.has_changed());
        std::fs::write(folder.path().join("a.toml"), "1").unwrap();
        assert!(changed.has_changed());
        assert!(!changed.has_changed());
        std::fs::write(folder.path().join("a.toml"), "12").unwrap();
        assert!(changed.has_changed());
        std::fs::write(folder.path().join("target/x"), "1").unwrap();
        assert!(!changed.has_changed());
        std::fs::remove_file(folder.path().join("a.toml")).unwrap();
        assert!(changed.has_changed());
    }
}
