//! The demo's folder: everything it makes lies there, and `polos demo --dir` goes on from there.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use polos_protocol::RunId;
use serde::{Deserialize, Serialize};

use super::content;
use super::repository::{self, Base};
use crate::exit::Problem;
use crate::show::moment;

/// What is to be mended, and how far the demo has come. Persisted as `demo.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    /// The repository that the branch is for.
    pub(crate) repo: PathBuf,
    /// True if the demo brought it along.
    pub(crate) is_ours: bool,
    /// The commit that work begins at.
    pub(crate) base: String,
    /// The branch that comes out.
    pub(crate) branch: String,
    /// What is wrong.
    pub(crate) issue: String,
    /// Where the server listens, the same after a restart.
    pub(crate) port: u16,
    /// The run, once it is started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) run: Option<RunId>,
}

impl Job {
    /// The issue in a line.
    pub(crate) fn title(&self) -> &str {
        let line = self.issue.lines().map(|line| line.trim_start_matches('#').trim());
        line.clone().find(|line| !line.is_empty()).unwrap_or("the issue")
    }
}

/// The folder, and where in it things are.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    root: PathBuf,
}

impl Place {
    /// The folder that the person named, or a new one.
    pub(crate) fn open(named: Option<&Path>) -> anyhow::Result<Self> {
        let root = match named {
            Some(path) => {
                let root = std::path::absolute(path)?;
                private_dir(&root)?;
                root
            }
            None => fresh(&std::env::temp_dir())?,
        };
        // The box is told real paths; a link in the way would be another place.
        let root = root.canonicalize()?;
        Ok(Self { root })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The server's data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// The worker's own folder: boxes and grants.
    pub(crate) fn worker(&self) -> PathBuf {
        self.root.join("worker")
    }

    /// One line for each call of the model.
    pub(crate) fn model_ledger(&self) -> PathBuf {
        self.root.join("model-calls.jsonl")
    }

    /// What a child process says.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.root.join(format!("{name}.log"))
    }

    pub(crate) fn bundle(&self) -> PathBuf {
        self.root.join("branch.bundle")
    }

    pub(crate) fn patch(&self, branch: &str) -> PathBuf {
        self.root.join(format!("{}.patch", branch.replace('/', "-")))
    }

    fn job_path(&self) -> PathBuf {
        self.root.join("demo.json")
    }

    /// The job that was begun here before, if one was.
    pub(crate) fn job(&self) -> anyhow::Result<Option<Job>> {
        let path = self.job_path();
        match fs::read(&path) {
            Ok(bytes) => {
                let job = serde_json::from_slice(&bytes);
                job.map(Some).with_context(|| format!("`{}` cannot be read", path.display()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read `{}`", path.display())),
        }
    }

    /// Keeps the job, for a later start.
    pub(crate) fn keep(&self, job: &Job) -> anyhow::Result<()> {
        let new = self.root.join("demo.json.new");
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec_pretty(job)?)?;
        file.sync_all()?;
        fs::rename(&new, self.job_path())?;
        Ok(())
    }

    /// Makes the demo's own job, with its repository.
    pub(crate) fn our_job(&self) -> anyhow::Result<(Job, Base)> {
        let repo = self.root.join("repo");
        if !repo.join(".git").exists() {
            repository::create(&repo)?;
        }
        new_job(&repo, content::ISSUE.to_owned(), "polos/newest-tag", true)
    }

    /// Makes a job of the person's repository and issue.
    pub(crate) fn their_job(repo: &Path, issue: &Path) -> anyhow::Result<(Job, Base)> {
        let text = fs::read_to_string(issue).map_err(|error| {
            Problem::usage(
                format!("the issue `{}` cannot be read: {error}", issue.display()),
                "name a text file that says what is wrong",
            )
        })?;
        if text.trim().is_empty() {
            return Err(Problem::usage(
                format!("the issue `{}` is empty", issue.display()),
                "write into it what is wrong, and how it should be",
            ));
        }
        let stem = issue.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
        new_job(repo, text, &format!("polos/{}", slug(&stem)), false)
    }
}

fn new_job(repo: &Path, issue: String, stem: &str, is_ours: bool) -> anyhow::Result<(Job, Base)> {
    let base = repository::inspect(repo)?;
    let branch = repository::free_branch(&base.top, stem)?;
    let (repo, commit) = (base.top.clone(), base.commit.clone());
    let port = free_port()?;
    Ok((Job { repo, is_ours, base: commit, branch, issue, port, run: None }, base))
}

/// A port that nobody listens on now.
fn free_port() -> anyhow::Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).context("no port is free")?;
    Ok(listener.local_addr()?.port())
}

fn private_dir(path: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot make folder `{}`", path.display()))
}

/// A new folder of ours; the name is taken as soon as the folder is made.
fn fresh(parent: &Path) -> anyhow::Result<PathBuf> {
    for number in 0..100 {
        let path = parent.join(format!("polos-demo-{:x}-{number}", moment::now() / 1_000));
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                let message = format!("cannot make a folder in `{}`: {error}", parent.display());
                return Err(Problem::new("no_folder", message, "name one with `--dir DIR`"));
            }
        }
    }
    Err(Problem::new("no_folder", "no name for a folder is free", "name one with `--dir DIR`"))
}

/// A text as a part of a branch name.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    for character in text.chars().take(60) {
        match character {
            'a'..='z' | '0'..='9' => slug.push(character),
            _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "issue".to_owned() } else { slug.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branch_names_are_plain() {
        assert_eq!(slug("fix the ~^ bug!"), "fix-the-bug");
        assert_eq!(slug("..//"), "issue");
    }

    #[test]
    fn a_job_is_kept_and_titled() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::open(Some(&dir.path().join("new"))).unwrap();
        assert!(place.job().unwrap().is_none());
        let (job, base) = place.our_job().unwrap();
        place.keep(&job).unwrap();
        let kept = place.job().unwrap().unwrap();
        assert_eq!((kept.base, kept.branch.as_str()), (base.commit, "polos/newest-tag"));
        assert_eq!(job.title(), "latest.sh prints 1.9.0 although 1.10.0 is out");
        assert!(Place::their_job(dir.path(), Path::new("/nowhere")).is_err());
    }
}
