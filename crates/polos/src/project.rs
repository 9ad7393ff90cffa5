//! A project: the folder that `polos init` makes and `polos dev` runs.

use crate::exit::Problem;
use anyhow::Result;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The project's file.
const FILE: &str = "polos.toml";

/// A project on disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Project {
    /// Its folder.
    pub(crate) folder: PathBuf,
    /// What `polos dev` does there.
    pub(crate) dev: Dev,
}

/// What `polos dev` does in a project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dev {
    /// A worker of the user's own, as a shell command.
    pub(crate) worker: Option<String>,
    /// Files and folders whose change starts that worker again.
    #[serde(default)]
    pub(crate) watch: Vec<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    dev: Dev,
}

impl Project {
    /// The project of a folder or of the nearest parent that is one; the folder itself if none is.
    pub(crate) fn find(folder: &Path) -> Result<Self> {
        let found = folder.ancestors().find(|folder| folder.join(FILE).is_file());
        let Some(root) = found else {
            return Ok(Self { folder: folder.to_owned(), dev: Dev::default() });
        };
        let path = root.join(FILE);
        let text = std::fs::read_to_string(&path).map_err(|cause| wrong(&path, &cause))?;
        let file: File = toml::from_str(&text).map_err(|cause| wrong(&path, &cause))?;
        Ok(Self { folder: root.to_owned(), dev: file.dev })
    }

    /// Where the project's agents are.
    pub(crate) fn agents(&self) -> PathBuf {
        self.folder.join("agents")
    }

    /// What the user's worker is made of: the paths that are watched.
    pub(crate) fn watched(&self) -> Vec<PathBuf> {
        self.dev.watch.iter().map(|path| self.folder.join(path)).collect()
    }
}

fn wrong(path: &Path, cause: &dyn std::fmt::Display) -> anyhow::Error {
    let message = format!("`{}` cannot be read: {cause}", path.display());
    Problem::new("project_file", message.trim_end(), "known are `worker` and `watch` under `[dev]`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_found_from_within() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("src/deep");
        std::fs::create_dir_all(&deep).unwrap();
        let text = "[dev]\nworker = \"cargo run\"\nwatch = [\"src\"]\n";
        std::fs::write(folder.path().join(FILE), text).unwrap();
        let project = Project::find(&deep).unwrap();
        assert_eq!(project.folder, folder.path());
        assert_eq!(project.dev.worker.as_deref(), Some("cargo run"));
        assert_eq!(project.watched(), [folder.path().join("src")]);
    }

    #[test]
    fn a_typo_is_refused_and_nothing_is_no_project() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Project::find(folder.path()).unwrap().dev, Dev::default());
        std::fs::write(folder.path().join(FILE), "[dev]\nwroker = \"x\"\n").unwrap();
        let error = Project::find(folder.path()).unwrap_err().to_string();
        assert!(error.contains("wroker"), "{error}");
    }
}
