//! Repositories in a workspace: usable in the box, harmless on the host.
//!
//! Git on the host executes what a repository's hooks and settings name. So in the box the
//! repository can be written, but not its hooks, its configuration, or the files that could lead
//! git to another configuration; and `.git` itself cannot be renamed away.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};

use super::order::{Bind, Guard, GuardKind};

/// How deep the repositories of submodules are looked for.
const DEPTH_MAX: usize = 3;
/// The most linked worktrees, and entries of `modules`, that are guarded one by one; where there
/// are more, all of them are read-only.
const ENTRIES_MAX: usize = 200;
/// The files that say where something is hold a path.
const PATH_FILE_BYTES_MAX: u64 = 8 * 1024;

fn guard(path: PathBuf, kind: GuardKind) -> Guard {
    Guard { path, kind }
}

/// The guards of one repository, or of the file that links to one.
pub(crate) fn guards(root: &Path, git: &Path, is_folder: bool) -> Vec<Guard> {
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
    let modules = git.join("modules");
    let mut left = ENTRIES_MAX;
    let mut found = Vec::new();
    if module_guards(root, &modules, DEPTH_MAX, &mut left, &mut found) {
        guards.extend(found);
    } else {
        guards.push(guard(modules, GuardKind::ReadOnly));
    }
    guards
}

/// The files of linked worktrees that lead git to a configuration.
fn worktree_guards(root: &Path, git: &Path) -> Vec<Guard> {
    let worktrees = git.join("worktrees");
    let Ok(entries) = fs::read_dir(root.join(&worktrees)) else { return Vec::new() };
    let entries: Vec<_> = entries.flatten().take(ENTRIES_MAX + 1).collect();
    if entries.len() > ENTRIES_MAX {
        return vec![guard(worktrees, GuardKind::ReadOnly)];
    }
    let mut guards = vec![guard(worktrees.clone(), GuardKind::Pinned)];
    for entry in entries {
        let worktree = worktrees.join(entry.file_name());
        guards.push(guard(worktree.clone(), GuardKind::Pinned));
        for name in ["commondir", "gitdir", "config.worktree"] {
            guards.push(guard(worktree.join(name), GuardKind::ReadOnly));
        }
    }
    guards
}

/// The repositories of submodules, which lie in that of the parent; false if there are too many.
fn module_guards(
    root: &Path,
    modules: &Path,
    depth: usize,
    left: &mut usize,
    guards: &mut Vec<Guard>,
) -> bool {
    let Ok(entries) = fs::read_dir(root.join(modules)) else { return true };
    guards.push(guard(modules.to_owned(), GuardKind::Pinned));
    for entry in entries.flatten() {
        if *left == 0 {
            return false;
        }
        *left -= 1;
        let module = modules.join(entry.file_name());
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if root.join(&module).join("HEAD").symlink_metadata().is_ok() {
            guards.push(guard(module.clone(), GuardKind::Pinned));
            guards.push(guard(module.join("hooks"), GuardKind::ReadOnlyFolder));
            guards.push(guard(module.join("config"), GuardKind::ReadOnly));
        } else if depth > 0 && !module_guards(root, &module, depth - 1, left, guards) {
            return false;
        }
    }
    true
}

/// The repository of a linked worktree, if it says itself that this is its worktree.
///
/// The `.git` file alone proves nothing: an agent could have written it.
pub(crate) fn linked_worktree(workspace: &Path) -> Option<Bind> {
    let link = read_path_file(&workspace.join(".git"))?;
    let named = workspace.join(link.strip_prefix("gitdir:")?.trim());
    let private = fs::canonicalize(named).ok()?;
    let common = read_path_file(&private.join("commondir"))?;
    let common = fs::canonicalize(private.join(common.trim())).ok()?;
    let back = read_path_file(&private.join("gitdir"))?;
    let back = fs::canonicalize(private.join(back.trim())).ok()?;
    let is_ours = back == workspace.join(".git") && private.parent()? == common.join("worktrees");
    if !is_ours || common.starts_with(workspace) {
        return None;
    }
    let mut guards = repository_guards(&common, Path::new(""));
    guards.retain(|guard| !guard.path.as_os_str().is_empty());
    Some(Bind { source: common.clone(), target: common, writable: true, guards, masks: Vec::new() })
}

/// Reads a small file that an agent may have put there: not a link, not a pipe, not a device.
fn read_path_file(path: &Path) -> Option<String> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&file).ok()?.st_mode);
    let mut text = String::new();
    File::from(file).take(PATH_FILE_BYTES_MAX).read_to_string(&mut text).ok()?;
    kind.is_file().then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
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
        assert_eq!(linked_worktree(&tree).unwrap().source, main);
        write(&private.join("gitdir"), &format!("{}/.git\n", root.join("main").display()));
        assert!(linked_worktree(&tree).is_none());
    }

    #[test]
    fn what_an_agent_put_in_the_way_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::os::unix::fs::symlink("/dev/zero", at("endless")).unwrap();
        let fifo = std::ffi::CString::new(at("pipe").to_str().unwrap()).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            fifo.as_c_str(),
            FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        File::create(at("huge")).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(read_path_file(&at("endless")), None);
        assert_eq!(read_path_file(&at("pipe")), None);
        assert_eq!(read_path_file(&at("huge")).map(|text| text.len()), Some(8 * 1024));
    }

    #[test]
    fn many_worktrees_and_modules_are_guarded_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        for index in 0..=ENTRIES_MAX {
            fs::create_dir_all(dir.path().join(format!(".git/worktrees/{index}"))).unwrap();
            fs::create_dir_all(dir.path().join(format!(".git/modules/{index}"))).unwrap();
        }
        let guards = guards(dir.path(), Path::new(".git"), true);
        for name in [".git/worktrees", ".git/modules"] {
            let whole = guard(PathBuf::from(name), GuardKind::ReadOnly);
            assert!(guards.contains(&whole), "{name}");
        }
        assert!(guards.len() < 20);
    }
}
