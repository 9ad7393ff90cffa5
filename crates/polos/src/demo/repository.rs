//! Git on the host: making the demo's repository, copying a repository into a workspace, and
//! taking a branch back out of it.
//!
//! Git never runs on the host inside a workspace that agents have written to: what comes out is a
//! bundle that git made in the box, read as data.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::content::COMMITS;
use crate::exit::Problem;

/// Where the box leaves the bundle, beneath the workspace.
pub(crate) const BUNDLE: &str = ".git/polos.bundle";
/// The largest bundle that is taken out, in bytes.
const BUNDLE_BYTES_MAX: u64 = 256 << 20;
/// So that the same demo has the same commits everywhere.
const DATE: &str = "2026-11-02T09:00:00Z";

/// Variables by which a caller's git would act on another repository, or run programs.
const FOREIGN: [&str; 8] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_CONFIG_PARAMETERS",
    "GIT_EXTERNAL_DIFF",
];

/// Runs git and gives its standard output; an error quotes what git said.
fn git<S: AsRef<OsStr>>(dir: &Path, args: impl IntoIterator<Item = S>) -> anyhow::Result<String> {
    let mut command = Command::new("git");
    command.args(["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false"]);
    command.args(["-c", "safe.directory=*"]).arg("-C").arg(dir).args(args);
    for name in FOREIGN {
        command.env_remove(name);
    }
    for name in ["GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"] {
        command.env(name, DATE);
    }
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    command.env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C").stdin(Stdio::null());
    let output = command.output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            anyhow::anyhow!("there is no `git` on the PATH\nhint: install git; the demo needs it")
        }
        _ => anyhow::Error::new(error).context("cannot start `git`"),
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("git failed in `{}`: {}", dir.display(), said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// Makes the demo's repository, with its history.
pub(crate) fn create(dir: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(dir)?;
    git(dir, ["init", "--quiet", "--initial-branch=main", "."])?;
    set_author(dir, "Polos demo", "demo@polos.invalid")?;
    for (message, files) in COMMITS {
        for file in files {
            let path = dir.join(file.path);
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(&path, file.text)?;
        }
        git(dir, ["add", "--all"])?;
        git(dir, ["commit", "--quiet", "--message", message])?;
    }
    Ok(())
}

fn set_author(dir: &Path, name: &str, email: &str) -> anyhow::Result<()> {
    git(dir, ["config", "user.name", name])?;
    git(dir, ["config", "user.email", email])?;
    Ok(())
}

/// What there is to know of a repository before work begins on it.
#[derive(Debug)]
pub(crate) struct Base {
    /// Its top folder.
    pub(crate) top: PathBuf,
    /// The commit that work begins at.
    pub(crate) commit: String,
    /// True if there are changes that no commit holds; they stay out.
    pub(crate) dirty: bool,
}

/// Looks at a repository.
pub(crate) fn inspect(dir: &Path) -> anyhow::Result<Base> {
    let top = git(dir, ["rev-parse", "--show-toplevel"]).map_err(|error| {
        let message = format!("`{}` cannot be used as a git repository: {error}", dir.display());
        Problem::usage(message, "name the folder that holds `.git`")
    })?;
    let top = PathBuf::from(top);
    let commit = git(&top, ["rev-parse", "--verify", "HEAD^{commit}"]).map_err(|_| {
        Problem::usage("the repository has no commit yet", "commit something first")
    })?;
    let dirty = !git(&top, ["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Ok(Base { top, commit, dirty })
}

/// A branch name that the repository does not have yet.
pub(crate) fn free_branch(repo: &Path, stem: &str) -> anyhow::Result<String> {
    for number in 1..1_000 {
        let branch = if number == 1 { stem.to_owned() } else { format!("{stem}-{number}") };
        let reference = format!("refs/heads/{branch}");
        if git(repo, ["show-ref", "--verify", "--quiet", &reference]).is_err() {
            return Ok(branch);
        }
    }
    bail!("there are a thousand branches like `{stem}` in `{}`", repo.display())
}

/// Copies a repository's commits into an empty workspace, on a new branch, and cuts the way back.
pub(crate) fn fill(workspace: &Path, base: &Base, branch: &str) -> anyhow::Result<()> {
    let name = identity(&base.top, "user.name").unwrap_or_else(|| "Polos".to_owned());
    let email =
        identity(&base.top, "user.email").unwrap_or_else(|| "polos@localhost.invalid".to_owned());
    git(workspace, ["init", "--quiet", "--initial-branch=polos-base", "."])?;
    let from = base.top.as_os_str();
    let fetch = ["fetch", "--quiet", "--no-tags", "--upload-pack", UPLOAD_PACK].map(OsStr::new);
    git(workspace, fetch.into_iter().chain([from, OsStr::new(&base.commit)]))?;
    git(workspace, ["checkout", "--quiet", "-b", branch, &base.commit])?;
    set_author(workspace, &name, &email)
}

/// Who commits in this repository: also what stands in the user's own configuration.
fn identity(dir: &Path, name: &str) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(dir).args(["config", "--get", name]).output();
    let text = String::from_utf8(output.ok().filter(|output| output.status.success())?.stdout);
    Some(text.ok()?.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The other side of a local fetch does not see our own options, so they are said again.
const UPLOAD_PACK: &str =
    "git -c safe.directory=* -c uploadpack.allowAnySHA1InWant=true upload-pack";

/// Reads the bundle that the box has made: a plain file beneath the workspace, or nothing.
pub(crate) fn take_bundle(workspace: &Path, to: &Path) -> anyhow::Result<()> {
    let root = fs::File::open(workspace)
        .with_context(|| format!("cannot open workspace `{}`", workspace.display()))?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let opened = rustix::fs::openat2(&root, BUNDLE, flags, Mode::empty(), resolve)
        .with_context(|| format!("the box has left no bundle at `{BUNDLE}`"))?;
    let bundle = fs::File::from(opened);
    let meta = bundle.metadata()?;
    if !meta.is_file() || meta.len() > BUNDLE_BYTES_MAX {
        bail!("`{BUNDLE}` is no file of at most {BUNDLE_BYTES_MAX} bytes");
    }
    let mut target = fs::File::create(to)?;
    std::io::copy(&mut std::io::Read::take(bundle, BUNDLE_BYTES_MAX), &mut target)?;
    Ok(())
}

/// Brings the branch of a bundle into a repository, as a branch; nothing else there changes. A
/// bundle whose branch is another commit than the one that was approved is refused.
pub(crate) fn import(repo: &Path, bundle: &Path, branch: &str, commit: &str) -> anyhow::Result<()> {
    let heads = git(
        repo,
        ["bundle", "list-heads"].map(OsStr::new).into_iter().chain([bundle.as_os_str()]),
    )?;
    let reference = format!("refs/heads/{branch}");
    if !heads.lines().any(|line| line == format!("{commit} {reference}")) {
        bail!("the sandbox holds another commit than the one that was approved, `{commit}`");
    }
    let reference = format!("{reference}:{reference}");
    let fetch = ["-c", "fetch.fsckObjects=true", "fetch", "--quiet", "--no-tags"].map(OsStr::new);
    git(repo, fetch.into_iter().chain([bundle.as_os_str(), OsStr::new(&reference)]))?;
    Ok(())
}

/// Writes the branch as a series of patches.
pub(crate) fn write_patch(repo: &Path, base: &str, branch: &str, to: &Path) -> anyhow::Result<()> {
    let range = format!("{base}..refs/heads/{branch}");
    let patch = git(repo, ["format-patch", "--stdout", "--no-signature", "--no-ext-diff", &range])?;
    fs::write(to, patch + "\n").with_context(|| format!("cannot write `{}`", to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_goes_into_a_workspace_and_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let (repo, workspace) = (dir.path().join("repo"), dir.path().join("workspace"));
        create(&repo).unwrap();
        let base = inspect(&repo).unwrap();
        assert!(!base.dirty);
        let branch = free_branch(&repo, "polos/mend").unwrap();
        fs::create_dir(&workspace).unwrap();
        fill(&workspace, &base, &branch).unwrap();
        fs::write(workspace.join("new"), "x").unwrap();
        git(&workspace, ["add", "--all"]).unwrap();
        git(&workspace, ["commit", "--quiet", "--message", "new"]).unwrap();
        let range = format!("{}..{branch}", base.commit);
        git(&workspace, ["bundle", "create", "--quiet", BUNDLE, &range]).unwrap();
        let bundle = dir.path().join("out.bundle");
        take_bundle(&workspace, &bundle).unwrap();
        assert!(import(&repo, &bundle, &branch, &base.commit).is_err());
        let commit = git(&workspace, ["rev-parse", "HEAD"]).unwrap();
        import(&repo, &bundle, &branch, &commit).unwrap();
        let patch = dir.path().join("out.patch");
        write_patch(&repo, &base.commit, &branch, &patch).unwrap();
        assert!(fs::read_to_string(patch).unwrap().contains("Subject: [PATCH] new"));
        assert_eq!(git(&repo, ["show", &format!("{branch}:new")]).unwrap(), "x");
        assert_eq!(git(&repo, ["branch", "--show-current"]).unwrap(), "main");
        assert_eq!(free_branch(&repo, "polos/mend").unwrap(), "polos/mend-2");
    }

    #[test]
    fn the_demos_repository_is_the_same_everywhere() {
        let dir = tempfile::tempdir().unwrap();
        let commits = ["a", "b"].map(|name| {
            create(&dir.path().join(name)).unwrap();
            inspect(&dir.path().join(name)).unwrap().commit
        });
        assert_eq!(commits[0], commits[1]);
    }

    #[test]
    fn a_bundle_is_not_followed_out_of_the_workspace() {
        let dir = tempfile::tempdir().unwrap();
        let workspace = dir.path().join("workspace");
        fs::create_dir_all(workspace.join(".git")).unwrap();
        fs::write(dir.path().join("secret"), "s").unwrap();
        std::os::unix::fs::symlink("../../secret", workspace.join(BUNDLE)).unwrap();
        assert!(take_bundle(&workspace, &dir.path().join("out")).is_err());
        assert!(!dir.path().join("out").exists());
    }
}
