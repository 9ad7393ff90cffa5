//! Repositories in a workspace: usable in the box, harmless on the host.
//!
//! Git on the host executes what a repository's hooks and settings name. So in the box the
//! repository can be written, but not its hooks, its configuration, or the files that could lead
//! git to another configuration; and `.git` itself cannot be renamed away.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use super::order::{Bind, Guard, GuardKind};

/// How deep repositories and sockets are looked for.
const DEPTH_MAX: usize = 3;
/// How many entries are looked at.
const ENTRIES_MAX: usize = 20_000;
/// Folders that hold packages rather than repositories of the user's.
const SKIPPED: [&str; 3] = ["node_modules", "target", ".venv"];

/// What was found in a workspace.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) guards: Vec<Guard>,
    /// Sockets: whoever listens there is not the box's business.
    pub(crate) sockets: Vec<PathBuf>,
    /// The repository that a linked worktree belongs to.
    pub(crate) repository: Option<Bind>,
    pub(crate) notes: Vec<String>,
}

/// Looks through a workspace, following no link.
pub(crate) fn look(workspace: &Path) -> Found {
    let mut found = Found::default();
    let mut left = ENTRIES_MAX;
    look_in(workspace, Path::new(""), DEPTH_MAX, &mut left, &mut found);
    match fs::symlink_metadata(workspace.join(".git")) {
        Ok(kind) if kind.is_file() => match linked_worktree(workspace) {
            Some(bind) => found.repository = Some(bind),
            None => found.notes.push(
                "`.git` is a file that does not lead to a repository of this worktree; git does \
                 not work in the box"
                    .to_owned(),
            ),
        },
        Ok(_) => {}
        Err(_) => found.notes.push(
            "the workspace is no git repository yet: hooks of one that the agent makes are not \
             protected until the box is opened again"
                .to_owned(),
        ),
    }
    found
}

fn look_in(root: &Path, at: &Path, depth: usize, left: &mut usize, found: &mut Found) {
    let Ok(entries) = fs::read_dir(root.join(at)) else { return };
    for entry in entries.flatten() {
        if *left == 0 {
            return;
        }
        *left -= 1;
        let (Ok(kind), name) = (entry.file_type(), entry.file_name()) else { continue };
        let path = at.join(&name);
        if name == ".git" {
            // A link deeper down cannot be guarded, nor may it keep the box from opening.
            if !kind.is_symlink() || at.as_os_str().is_empty() {
                found.guards.extend(guards(root, &path, kind.is_dir()));
            }
        } else if kind.is_socket() {
            found.sockets.push(path);
        } else if kind.is_dir() && depth > 0 && !SKIPPED.iter().any(|skipped| name == *skipped) {
            look_in(root, &path, depth - 1, left, found);
        }
    }
}

fn guard(path: PathBuf, kind: GuardKind) -> Guard {
    Guard { path, kind }
}

fn guards(root: &Path, git: &Path, is_folder: bool) -> Vec<Guard> {
    if is_folder {
        return repository_guards(root, git);
    }
    // A link to the repository: a file, or a symbolic link, which is refused when mounted over.
    vec![guard(git.to_owned(), GuardKind::ReadOnly)]
}

fn repository_guards(root: &Path, git: &Path) -> Vec<Guard> {
    let file = |content: &str| GuardKind::ReadOnlyFile { content: content.to_owned() };
    let mut guards = vec![
        guard(git.to_owned(), GuardKind::Pinned),
        guard(git.join("hooks"), GuardKind::ReadOnlyFolder),
        guard(git.join("config"), file("")),
        guard(git.join("config.worktree"), GuardKind::ReadOnly),
        // Where this names another folder, git takes its settings from there.
        guard(git.join("commondir"), file(".\n")),
    ];
    guards.extend(worktree_guards(root, git));
    module_guards(root, &git.join("modules"), DEPTH_MAX, &mut guards);
    guards
}

/// The files of linked worktrees that lead git to a configuration.
fn worktree_guards(root: &Path, git: &Path) -> Vec<Guard> {
    let worktrees = git.join("worktrees");
    let Ok(entries) = fs::read_dir(root.join(&worktrees)) else { return Vec::new() };
    let mut guards = vec![guard(worktrees.clone(), GuardKind::Pinned)];
    for entry in entries.flatten() {
        let worktree = worktrees.join(entry.file_name());
        guards.push(guard(worktree.clone(), GuardKind::Pinned));
        for name in ["commondir", "gitdir", "config.worktree"] {
            guards.push(guard(worktree.join(name), GuardKind::ReadOnly));
        }
    }
    guards
}

/// The repositories of submodules, which lie in that of the parent.
fn module_guards(root: &Path, modules: &Path, depth: usize, guards: &mut Vec<Guard>) {
    let Ok(entries) = fs::read_dir(root.join(modules)) else { return };
    for entry in entries.flatten().take(ENTRIES_MAX / 100) {
        let module = modules.join(entry.file_name());
        if root.join(&module).join("HEAD").is_file() {
            guards.push(guard(module.clone(), GuardKind::Pinned));
            guards.push(guard(module.join("hooks"), GuardKind::ReadOnlyFolder));
            guards.push(guard(module.join("config"), GuardKind::ReadOnly));
        } else if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            module_guards(root, &module, depth - 1, guards);
        }
    }
}

/// The repository of a linked worktree, if it says itself that this is its worktree.
///
/// The `.git` file alone proves nothing: an agent could have written it.
fn linked_worktree(workspace: &Path) -> Option<Bind> {
    let link = fs::read_to_string(workspace.join(".git")).ok()?;
    let named = workspace.join(link.strip_prefix("gitdir:")?.trim());
    let private = fs::canonicalize(named).ok()?;
    let common = fs::read_to_string(private.join("commondir")).ok()?;
    let common = fs::canonicalize(private.join(common.trim())).ok()?;
    let back = fs::read_to_string(private.join("gitdir")).ok()?;
    let back = fs::canonicalize(private.join(back.trim())).ok()?;
    let is_ours = back == workspace.join(".git") && private.parent()? == common.join("worktrees");
    if !is_ours || common.starts_with(workspace) {
        return None;
    }
    let mut guards = repository_guards(&common, Path::new(""));
    guards.retain(|guard| !guard.path.as_os_str().is_empty());
    Some(Bind { source: common.clone(), target: common, writable: true, guards, masks: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn repositories_are_found_at_every_level() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join(".git/config"), "");
        write(&dir.path().join(".git/modules/sub/HEAD"), "");
        write(&dir.path().join("a/b/.git/config"), "");
        write(&dir.path().join("node_modules/x/.git/config"), "");
        let found = look(dir.path());
        let has = |path: &str| found.guards.iter().any(|guard| guard.path == Path::new(path));
        assert!(has(".git/hooks") && has(".git/config") && has(".git/commondir"));
        assert!(has(".git/modules/sub/hooks") && has("a/b/.git/config"));
        assert!(!has("node_modules/x/.git/config"));
        assert!(found.notes.is_empty());
    }

    #[test]
    fn a_worktree_must_be_claimed_by_its_repository() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        let (main, tree) = (root.join("main/.git"), root.join("tree"));
        let private = main.join("worktrees/tree");
        write(&private.join("commondir"), "../..\n");
        write(&private.join("gitdir"), &format!("{}/.git\n", tree.display()));
        write(&tree.join(".git"), &format!("gitdir: {}\n", private.display()));
        assert_eq!(look(&tree).repository.unwrap().source, main);
        write(&private.join("gitdir"), &format!("{}/.git\n", root.join("main").display()));
        assert!(look(&tree).repository.is_none());
    }
}
