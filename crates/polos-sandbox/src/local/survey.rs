//! Looks through what a box will write to: repositories to guard, sockets to cover.
//!
//! An agent may have been here before, and may have left decoys. So the repository at the top is
//! looked for by its name, files that are merely in the way cost nothing, and where there is more
//! than can be looked at, there is no box rather than a box with fewer guards.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use super::git;
use super::order::{Bind, Guard, GuardKind};

/// How deep repositories and sockets are looked for.
const DEPTH_MAX: usize = 3;
/// The most entries that are looked at.
const ENTRIES_MAX: usize = 1_000_000;
/// The most folders that are entered.
const FOLDERS_MAX: usize = 50_000;
/// The most repositories and sockets, each of which costs mounts.
const FINDINGS_MAX: usize = 500;
/// Folders that hold packages rather than repositories of the user's.
const SKIPPED: [&str; 3] = ["node_modules", "target", ".venv"];

/// What was found in a folder.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) guards: Vec<Guard>,
    /// Sockets: whoever listens there is not the box's business.
    pub(crate) sockets: Vec<PathBuf>,
    /// The repository that a linked worktree belongs to.
    pub(crate) repository: Option<Bind>,
    pub(crate) notes: Vec<String>,
}

/// A folder with more in it than can be guarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMuch(pub(crate) &'static str);

/// Looks through a folder that the box may write, following no link.
pub(crate) fn writable(folder: &Path) -> Result<Survey, TooMuch> {
    let mut survey = Survey::default();
    let found = find(folder, Wanted::RepositoriesAndSockets)?;
    for git in found.repositories {
        let is_folder = folder.join(&git).symlink_metadata().is_ok_and(|kind| kind.is_dir());
        survey.guards.extend(pins(&git));
        survey.guards.extend(git::guards(folder, &git, is_folder));
    }
    // A parent comes before what lies in it.
    survey.guards.sort_by_key(|guard| guard.path.components().count());
    survey.guards.dedup();
    survey.sockets = found.sockets;
    match fs::symlink_metadata(folder.join(".git")) {
        Ok(kind) if kind.is_file() => match git::linked_worktree(folder) {
            Some(bind) => survey.repository = Some(bind),
            None => survey.notes.push(
                "`.git` is a file that does not lead to a repository of this worktree; git does \
                 not work in the box"
                    .to_owned(),
            ),
        },
        Ok(_) => {}
        Err(_) => survey.notes.push(
            "the workspace is no git repository yet: hooks of one that the agent makes are not \
             protected until the box is opened again"
                .to_owned(),
        ),
    }
    Ok(survey)
}

/// Looks for sockets in a folder that the box may only read: they can be spoken to all the same.
pub(crate) fn read_only(folder: &Path) -> Result<Vec<PathBuf>, TooMuch> {
    Ok(find(folder, Wanted::Sockets)?.sockets)
}

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Sockets,
    RepositoriesAndSockets,
}

#[derive(Debug, Default)]
struct Found {
    /// Paths of `.git`, whatever it is.
    repositories: Vec<PathBuf>,
    sockets: Vec<PathBuf>,
}

fn find(root: &Path, wanted: Wanted) -> Result<Found, TooMuch> {
    let mut found = Found::default();
    let wants_repositories = wanted == Wanted::RepositoriesAndSockets;
    // By its name, before anything else: no number of decoys hides it.
    if wants_repositories && fs::symlink_metadata(root.join(".git")).is_ok() {
        found.repositories.push(PathBuf::from(".git"));
    }
    let mut folders = vec![(PathBuf::new(), 0)];
    let (mut entered, mut seen) = (0, 0);
    while let Some((at, depth)) = folders.pop() {
        entered += 1;
        if entered > FOLDERS_MAX {
            return Err(TooMuch("folders"));
        }
        let Ok(entries) = fs::read_dir(root.join(&at)) else { continue };
        for entry in entries.flatten() {
            seen += 1;
            if seen > ENTRIES_MAX {
                return Err(TooMuch("entries"));
            }
            let (Ok(kind), name) = (entry.file_type(), entry.file_name()) else { continue };
            if name == ".git" {
                // A link deeper down cannot be guarded, nor may it keep the box from opening.
                if wants_repositories && !kind.is_symlink() && depth > 0 {
                    found.repositories.push(at.join(name));
                }
            } else if kind.is_socket() {
                found.sockets.push(at.join(name));
            } else if kind.is_dir() && depth < DEPTH_MAX && !SKIPPED.iter().any(|s| name == *s) {
                folders.push((at.join(name), depth + 1));
            }
        }
        if found.repositories.len() + found.sockets.len() > FINDINGS_MAX {
            return Err(TooMuch("repositories and sockets"));
        }
    }
    Ok(found)
}

/// Keeps the folders above a repository where they are, so that no other takes its place.
fn pins(git: &Path) -> impl Iterator<Item = Guard> + '_ {
    let above = git.ancestors().skip(1).filter(|path| !path.as_os_str().is_empty());
    above.map(|path| Guard { path: path.to_owned(), kind: GuardKind::Pinned })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn has(survey: &Survey, path: &str) -> bool {
        survey.guards.iter().any(|guard| guard.path == Path::new(path))
    }

    #[test]
    fn repositories_are_found_at_every_level() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join(".git/config"), "");
        write(&dir.path().join(".git/modules/sub/HEAD"), "");
        write(&dir.path().join("a/b/.git/config"), "");
        write(&dir.path().join("node_modules/x/.git/config"), "");
        let found = writable(dir.path()).unwrap();
        for path in [".git/hooks", ".git/config", ".git/commondir", ".git/modules/sub/hooks"] {
            assert!(has(&found, path), "{path}");
        }
        assert!(has(&found, "a/b/.git/config"));
        assert!(has(&found, "a") && has(&found, "a/b"), "the folders above stay in place");
        assert!(!has(&found, "node_modules/x/.git/config"));
        assert!(found.notes.is_empty());
        let depth = |guard: &Guard| guard.path.components().count();
        assert!(found.guards.is_sorted_by_key(depth));
    }

    #[test]
    fn decoys_hide_no_repository() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join(".git/config"), "");
        write(&dir.path().join("sub/.git/config"), "");
        for index in 0..30_000 {
            fs::File::create(dir.path().join(format!("decoy{index}"))).unwrap();
        }
        let found = writable(dir.path()).unwrap();
        assert!(has(&found, ".git/hooks") && has(&found, "sub/.git/hooks"));
    }

    #[test]
    fn more_than_can_be_guarded_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for index in 0..=FINDINGS_MAX {
            fs::create_dir_all(dir.path().join(format!("{index}/.git"))).unwrap();
        }
        assert_eq!(writable(dir.path()).unwrap_err(), TooMuch("repositories and sockets"));
    }
}
