//! A hostile process moves things about while the tools work: nothing outside may change or show.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use polos_toolbox::files::{Files, Mount, Roots};
use polos_toolbox::message::{GrepMode, GrepRequest, ReadContent, ReadRequest, WriteRequest};
use polos_toolbox::search;
use rustix::fs::{CWD, RenameFlags};
use tempfile::TempDir;

/// Attempts of each tool, at least.
const ATTEMPTS: usize = 1_500;
/// Attempts after which a race that never was one is given up.
const ATTEMPTS_MAX: usize = 50_000;

struct World {
    folder: TempDir,
    files: Files,
}

fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    for path in ["root/dir", "outside"] {
        fs::create_dir_all(folder.path().join(path)).unwrap();
    }
    fs::write(folder.path().join("root/dir/f"), "inside").unwrap();
    fs::write(folder.path().join("outside/f"), "secret").unwrap();
    symlink("../outside", folder.path().join("root/link")).unwrap();
    let disk = folder.path().join("root");
    let workspace = Mount { name: "/workspace".to_owned(), disk };
    let files = Files::new(Roots::open(workspace, Vec::new(), true).unwrap(), None);
    World { folder, files }
}

impl World {
    /// Runs `work` while `swap` runs over and over, until it has both been done and been refused.
    fn race(&self, swap: impl Fn(&Path) + Sync, work: impl Fn(usize) -> bool) {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    swap(&self.folder.path().join("root"));
                }
            });
            // Told in any case, or a failure would hang.
            let guard = Over(&over);
            let (mut done, mut refused) = (0, 0);
            while done + refused < ATTEMPTS || done == 0 || refused == 0 {
                let worked = work(done + refused);
                done += usize::from(worked);
                refused += usize::from(!worked);
                assert!(done + refused < ATTEMPTS_MAX, "{done} done, {refused} refused");
            }
            drop(guard);
        });
        let names: Vec<_> =
            fs::read_dir(self.folder.path().join("outside")).unwrap().flatten().collect();
        assert_eq!(names.len(), 1, "{names:?}");
        assert_eq!(fs::read_to_string(self.folder.path().join("outside/f")).unwrap(), "secret");
    }
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Now a directory, now a link to the outside; at no time anything else.
fn swap_directory(root: &Path) {
    let (one, other) = (root.join("dir"), root.join("link"));
    rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
    std::thread::yield_now();
}

/// Now a file, now a link to the outside.
fn swap_file(root: &Path) {
    let _ = fs::remove_file(root.join("dir/f"));
    let _ = symlink("../../outside/f", root.join("dir/f"));
    std::thread::yield_now();
    let _ = fs::remove_file(root.join("dir/f"));
    let _ = fs::write(root.join("dir/f"), "inside");
}

fn write(path: &str, attempt: usize) -> WriteRequest {
    WriteRequest {
        path: path.to_owned(),
        content: format!("attempt {attempt}"),
        ..WriteRequest::default()
    }
}

#[test]
fn writing_under_a_swapped_directory_stays_inside() {
    let world = world();
    world.race(swap_directory, |attempt| world.files.write(&write("dir/f", attempt)).is_ok());
}

#[test]
fn making_directories_under_a_swapped_one_stays_inside() {
    let world = world();
    world.race(swap_directory, |attempt| {
        world.files.write(&write(&format!("dir/new{attempt}/f"), attempt)).is_ok()
    });
}

#[test]
fn writing_over_a_swapped_file_stays_inside() {
    let world = world();
    world.race(swap_file, |attempt| world.files.write(&write("dir/f", attempt)).is_ok());
}

#[test]
fn reading_shows_nothing_of_the_outside() {
    let world = world();
    let request = ReadRequest { path: "dir/f".to_owned(), ..ReadRequest::default() };
    world.race(swap_directory, |_| {
        let Ok(read) = world.files.read(&request) else { return false };
        let ReadContent::Text { text, .. } = read.content else { panic!("not text") };
        assert!(text.contains("inside"), "{text}");
        true
    });
}

#[test]
fn searching_shows_nothing_of_the_outside() {
    let world = world();
    let request = GrepRequest {
        pattern: "secret|inside".to_owned(),
        path: None,
        mode: GrepMode::Content,
        glob: None,
        file_type: None,
        ignore_case: false,
        multiline: false,
        before: 0,
        after: 0,
        head_limit: None,
        gitignore: true,
    };
    world.race(swap_directory, |_| {
        let found = search::grep(world.files.roots(), &request).unwrap();
        assert!(!found.lines.concat().contains("secret"), "{:?}", found.lines);
        !found.lines.is_empty()
    });
}
