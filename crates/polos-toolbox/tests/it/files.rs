//! The file tools: what they do, and every way out that was thought of.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Instant;

use polos_toolbox::files::{FILE_BYTES_MAX, Files, Mount, Roots};
use polos_toolbox::message::{
    Code, EditRequest, Expected, PreviewRequest, Read, ReadContent, ReadRequest, Refusal,
    Replacement, StatKind, StatRequest, WriteRequest,
};
use rustix::fs::{CWD, FileType, Mode};
use tempfile::TempDir;

/// A workspace beside a folder that holds a secret.
struct World {
    folder: TempDir,
    files: Files,
}

fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("root/sub")).unwrap();
    fs::create_dir(folder.path().join("outside")).unwrap();
    fs::create_dir(folder.path().join("readable")).unwrap();
    fs::write(folder.path().join("root/a"), "inside\n").unwrap();
    fs::write(folder.path().join("outside/secret"), "secret\n").unwrap();
    fs::write(folder.path().join("readable/lib.rs"), "readable\n").unwrap();
    let files = files_of(folder.path(), true);
    World { folder, files }
}

fn files_of(folder: &Path, cross_mounts: bool) -> Files {
    let workspace = Mount { name: "/workspace".to_owned(), disk: folder.join("root") };
    let readable = vec![Mount::itself(folder.join("readable").to_str().unwrap())];
    let roots = Roots::open(workspace, readable, cross_mounts).unwrap();
    Files::new(roots, Some(folder.join("state")))
}

impl World {
    fn root(&self, path: &str) -> PathBuf {
        self.folder.path().join("root").join(path)
    }

    fn outside(&self, path: &str) -> PathBuf {
        self.folder.path().join("outside").join(path)
    }

    fn link(&self, target: impl AsRef<Path>, name: &str) {
        symlink(target, self.root(name)).unwrap();
    }

    fn read(&self, path: &str) -> Result<Read, Refusal> {
        self.files.read(&ReadRequest { path: path.to_owned(), ..ReadRequest::default() })
    }

    fn text(&self, path: &str) -> String {
        match self.read(path).unwrap().content {
            ReadContent::Text { text, .. } => text,
            other => panic!("not text: {other:?}"),
        }
    }

    fn write(&self, path: &str, content: &str) -> Result<(), Refusal> {
        self.files.write(&write(path, content)).map(drop)
    }

    fn denied(&self, path: &str, code: Code) {
        let refusal = self.read(path).unwrap_err();
        assert_eq!(refusal.code, code, "reading {path:?}: {refusal}");
    }

    fn write_denied(&self, path: &str, code: Code) {
        let refusal = self.write(path, "changed").unwrap_err();
        assert_eq!(refusal.code, code, "writing {path:?}: {refusal}");
        self.unharmed();
    }

    /// The world outside is as it was.
    fn unharmed(&self) {
        let names: Vec<_> =
            fs::read_dir(self.outside("")).unwrap().map(|name| name.unwrap().file_name()).collect();
        assert_eq!(names, ["secret"]);
        assert_eq!(fs::read_to_string(self.outside("secret")).unwrap(), "secret\n");
    }
}

fn write(path: &str, content: &str) -> WriteRequest {
    WriteRequest { path: path.to_owned(), content: content.to_owned(), ..WriteRequest::default() }
}

fn edit(path: &str, old: &str, new: &str) -> EditRequest {
    let one =
        Replacement { old_string: old.to_owned(), new_string: new.to_owned(), replace_all: false };
    EditRequest { path: path.to_owned(), edits: vec![one], ..EditRequest::default() }
}

// The rows of the table of escapes, by number.

#[test]
fn row_1_dot_dot_leads_nowhere() {
    let world = world();
    for path in ["../outside/secret", "sub/../../outside/secret", "./../outside/secret"] {
        world.denied(path, Code::OutsideWorkspace);
        world.write_denied(path, Code::OutsideWorkspace);
    }
}

#[test]
fn row_3_dot_dot_within_is_fine() {
    assert_eq!(world().text("sub/../a"), "     1\tinside\n");
}

#[test]
fn row_5_absolute_within_is_fine() {
    let world = world();
    for path in ["/workspace/a", "/workspace//a", "/workspace/./sub/../a"] {
        assert_eq!(world.text(path), "     1\tinside\n", "{path}");
    }
}

#[test]
fn row_7_absolute_with_dot_dot_leads_nowhere() {
    let world = world();
    world.denied("/workspace/../outside/secret", Code::OutsideWorkspace);
    world.denied("/workspace2/a", Code::OutsideWorkspace);
    world.denied(world.outside("secret").to_str().unwrap(), Code::OutsideWorkspace);
    world.write_denied("/workspace/../outside/new", Code::OutsideWorkspace);
}

#[test]
fn row_9_a_link_to_the_outside_is_not_followed() {
    let world = world();
    world.link("/etc/passwd", "absolute");
    world.link("../outside/secret", "relative");
    world.link("absolute", "chain");
    for path in ["absolute", "relative", "chain"] {
        world.denied(path, Code::OutsideWorkspace);
        world.write_denied(path, Code::SymbolicLink);
    }
}

#[test]
fn row_11_a_linked_directory_is_not_written_into() {
    let world = world();
    world.link(world.outside(""), "dl");
    world.link("../outside", "dr");
    for path in ["dl/x", "dr/x", "dl/secret", "dl/new/deep/x", "sub/../dr/x"] {
        world.write_denied(path, Code::OutsideWorkspace);
    }
}

#[test]
fn row_13_a_link_within_is_read() {
    let world = world();
    world.link("a", "to-a");
    world.link("sub", "to-sub");
    assert_eq!(world.text("to-a"), "     1\tinside\n");
    world.write("to-sub/new", "new\n").unwrap();
    assert_eq!(world.text("sub/new"), "     1\tnew\n");
    // A link itself is not written through: what is replaced must be what is named.
    world.write_denied("to-a", Code::SymbolicLink);
    assert_eq!(world.text("a"), "     1\tinside\n");
}

#[test]
fn row_15_a_link_through_proc_is_not_followed() {
    let world = world();
    world.link("/proc/self/root/etc/passwd", "root");
    world.link(format!("/proc/{}/cwd", std::process::id()), "cwd");
    world.denied("root", Code::OutsideWorkspace);
    world.denied("cwd/Cargo.toml", Code::OutsideWorkspace);
    // A magic link within a root is one that is not followed either.
    let fd = Mount::itself("/proc/self/fd");
    let roots = Roots::open(fd, Vec::new(), true).unwrap();
    let secret = File::open(world.outside("secret")).unwrap();
    let path = std::os::fd::AsRawFd::as_raw_fd(&secret).to_string();
    let request = ReadRequest { path, ..ReadRequest::default() };
    let refusal = Files::new(roots, None).read(&request).unwrap_err();
    assert_eq!(refusal.code, Code::OutsideWorkspace, "{refusal}");
}

#[test]
fn row_17_proc_and_dev_are_outside() {
    let world = world();
    for path in ["/proc/self/root/etc/passwd", "/proc/1/cwd/x", "/proc/1/environ", "/dev/fd/0"] {
        world.denied(path, Code::OutsideWorkspace);
        world.write_denied(path, Code::OutsideWorkspace);
    }
}

#[test]
fn row_19_a_second_name_is_told() {
    let world = world();
    fs::hard_link(world.outside("secret"), world.root("hard")).unwrap();
    assert_eq!(world.read("hard").unwrap().hard_links, 2);
    assert_eq!(world.read("a").unwrap().hard_links, 1);
    let request = StatRequest { path: "hard".to_owned(), hash: false };
    assert_eq!(world.files.stat(&request).unwrap().hard_links, 2);
    // Writing makes a new file of this name; the other keeps its content.
    let wrote = world.files.write(&write("hard", "changed")).unwrap();
    assert_eq!(wrote.hard_links, 2);
    world.unharmed();
    assert_eq!(fs::metadata(world.outside("secret")).unwrap().nlink(), 1);
    let edit = PreviewRequest::Edit(edit("a", "inside", "x"));
    world.read("a").unwrap();
    assert_eq!(world.files.preview(&edit).unwrap().hard_links, 1);
}

#[test]
fn row_21_a_pipe_does_not_block() {
    let world = world();
    rustix::fs::mknodat(CWD, world.root("pipe"), FileType::Fifo, Mode::from_raw_mode(0o600), 0)
        .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(world.root("socket")).unwrap();
    let began = Instant::now();
    for path in ["pipe", "socket"] {
        world.denied(path, Code::NotAFile);
        world.write_denied(path, Code::NotAFile);
    }
    assert!(began.elapsed().as_millis() < 500, "{:?}", began.elapsed());
}

#[test]
fn row_23_a_device_is_not_read() {
    let world = world();
    let null = rustix::fs::makedev(1, 3);
    let mode = Mode::from_raw_mode(0o666);
    let made = rustix::fs::mknodat(CWD, world.root("null"), FileType::CharacterDevice, mode, null);
    if made == Err(rustix::io::Errno::PERM) {
        // Only root makes devices; then one is reached through a root that has them.
        let roots = Roots::open(Mount::itself("/dev"), Vec::new(), true).unwrap();
        let request = ReadRequest { path: "null".to_owned(), ..ReadRequest::default() };
        assert_eq!(Files::new(roots, None).read(&request).unwrap_err().code, Code::NotAFile);
        return;
    }
    made.unwrap();
    world.denied("null", Code::NotAFile);
    world.write_denied("null", Code::NotAFile);
}

#[test]
fn row_25_another_filesystem_is_entered_only_when_told() {
    let at_root = |cross_mounts| {
        let roots = Roots::open(Mount::itself("/"), Vec::new(), cross_mounts).unwrap();
        let path = "/proc/version".to_owned();
        Files::new(roots, None).read(&ReadRequest { path, ..ReadRequest::default() })
    };
    assert_eq!(at_root(false).unwrap_err().code, Code::OutsideWorkspace);
    assert!(at_root(true).is_ok());
}

#[test]
fn row_27_a_large_file_is_refused() {
    let world = world();
    let large = File::create(world.root("large")).unwrap();
    large.set_len(FILE_BYTES_MAX + 1).unwrap();
    world.denied("large", Code::TooLarge);
    large.set_len(FILE_BYTES_MAX).unwrap();
    assert!(world.read("large").is_ok());
    let content = "x".repeat(usize::try_from(FILE_BYTES_MAX).unwrap() + 1);
    let refusal = world.write("new", &content).unwrap_err();
    assert_eq!(refusal.code, Code::TooLarge);
    assert!(!world.root("new").exists());
}

#[test]
fn row_27_a_file_that_is_endless_whatever_its_size_says_is_capped() {
    // It says zero bytes and gives more than any limit.
    let roots = Roots::open(Mount::itself("/proc"), Vec::new(), true).unwrap();
    let path = "kallsyms".to_owned();
    let read = Files::new(roots, None).read(&ReadRequest { path, ..ReadRequest::default() });
    match read {
        Ok(read) => assert!(read.size_bytes <= FILE_BYTES_MAX),
        Err(refusal) => assert!(matches!(refusal.code, Code::TooLarge | Code::NotFound)),
    }
}

#[test]
fn row_29_a_nul_is_refused() {
    let world = world();
    world.denied("a\0.txt", Code::BadRequest);
    world.write_denied("a\0.txt", Code::BadRequest);
}

#[test]
fn row_31_what_names_no_file_is_refused() {
    let world = world();
    for path in [".", "/workspace", "/workspace/", "sub", "sub/", "sub/.", "a/", "..", "sub/.."] {
        let refusal = world.read(path).unwrap_err();
        assert!(
            matches!(refusal.code, Code::NotAFile | Code::OutsideWorkspace),
            "{path}: {refusal}"
        );
        let refusal = world.write(path, "x").unwrap_err();
        assert!(
            matches!(refusal.code, Code::NotAFile | Code::OutsideWorkspace),
            "{path}: {refusal}"
        );
    }
    world.denied("", Code::BadRequest);
    world.denied("a/b", Code::NotFound);
    world.write_denied("a/b", Code::NotFound);
    world.denied(&"x".repeat(300), Code::BadRequest);
}

#[test]
fn row_33_names_are_told_apart_as_the_disk_does() {
    let world = world();
    let names = ["A", "caf\u{e9}", "cafe\u{301}"];
    for name in names {
        world.write(name, name).unwrap();
    }
    for name in names {
        assert_eq!(fs::read_to_string(world.root(name)).unwrap(), name);
        assert_eq!(world.text(name), format!("     1\t{name}\n"));
    }
    assert_eq!(world.text("a"), "     1\tinside\n");
}

#[test]
fn row_39_a_workspace_that_was_replaced_is_not_taken_for_itself() {
    let world = world();
    fs::remove_dir_all(world.root("")).unwrap();
    symlink(world.outside(""), world.folder.path().join("root")).unwrap();
    for path in ["a", "secret"] {
        let refusal = world.read(path).unwrap_err();
        assert_eq!(refusal.code, Code::System, "{refusal}");
        world.write_denied(path, Code::System);
    }
}

// Further ways out.

#[test]
fn readable_folders_are_not_written() {
    let world = world();
    let path = world.folder.path().join("readable/lib.rs").display().to_string();
    assert_eq!(world.text(&path), "     1\treadable\n");
    world.write_denied(&path, Code::PermissionDenied);
    assert_eq!(
        world.files.edit(&edit(&path, "readable", "x")).unwrap_err().code,
        Code::PermissionDenied
    );
    let up = world.folder.path().join("readable/../outside/secret").display().to_string();
    world.denied(&up, Code::OutsideWorkspace);
}

#[test]
fn missing_folders_are_made_beneath_the_root_only() {
    let world = world();
    world.write("x/y/z/file", "deep\n").unwrap();
    assert_eq!(world.text("x/y/z/file"), "     1\tdeep\n");
    world.write_denied("new/../../outside/x", Code::NotFound);
    assert!(!world.root("new").exists());
    let preview = PreviewRequest::Write(write("p/q/file", "x"));
    world.files.preview(&preview).unwrap();
    assert!(!world.root("p").exists());
}

#[test]
fn permissions_are_kept_and_privileges_are_not() {
    let world = world();
    for (mode, expect) in [(0o755, 0o755), (0o600, 0o600), (0o4755, 0o755)] {
        fs::set_permissions(world.root("a"), fs::Permissions::from_mode(mode)).unwrap();
        world.write("a", &format!("{mode}")).unwrap();
        assert_eq!(fs::metadata(world.root("a")).unwrap().mode() & 0o7777, expect);
    }
}

#[test]
fn nothing_is_left_beside_a_file() {
    let world = world();
    world.write("sub/f", "one").unwrap();
    world.write("sub/f", "two").unwrap();
    fs::create_dir(world.root("sub/d")).unwrap();
    world.write_denied("sub/d", Code::NotAFile);
    let names = fs::read_dir(world.root("sub")).unwrap().count();
    assert_eq!(names, 2);
}

// What the tools do.

#[test]
fn a_write_says_what_it_did() {
    let world = world();
    let first = world.files.write(&write("new", "x")).unwrap();
    assert!(first.created && !first.unchanged);
    assert_eq!((first.path.as_str(), first.size_bytes), ("/workspace/new", 1));
    let again = world.files.write(&write("new", "x")).unwrap();
    assert!(!again.created && again.unchanged);
    let absent = WriteRequest { expected: Some(Expected::Absent), ..write("a", "y") };
    assert_eq!(world.files.write(&absent).unwrap_err().code, Code::Changed);
}

#[test]
fn an_edit_needs_a_read_of_what_is_there() {
    let world = world();
    let change = edit("a", "inside", "changed");
    assert_eq!(world.files.edit(&change).unwrap_err().code, Code::NotRead);
    world.read("a").unwrap();
    let other = EditRequest { reader: "other".to_owned(), ..change.clone() };
    assert_eq!(world.files.edit(&other).unwrap_err().code, Code::NotRead);
    fs::write(world.root("a"), "inside, but by another\n").unwrap();
    assert_eq!(world.files.edit(&change).unwrap_err().code, Code::Changed);
    world.read("a").unwrap();
    let done = world.files.edit(&change).unwrap();
    assert_eq!(done.replacements, 1);
    assert!(
        done.snippet.contains("-inside, but by another\n+changed, but by another\n"),
        "{done:?}"
    );
    // Its own work counts as read.
    world.files.edit(&edit("a", "changed", "again")).unwrap();
    assert_eq!(world.text("a"), "     1\tagain, but by another\n");
    let missing = world.files.edit(&edit("none", "a", "b")).unwrap_err();
    assert_eq!(missing.code, Code::NotFound);
}

#[test]
fn what_was_approved_is_what_is_applied() {
    let world = world();
    world.read("a").unwrap();
    let change = edit("a", "inside", "approved");
    let preview = world.files.preview(&PreviewRequest::Edit(change.clone())).unwrap();
    assert_eq!(
        preview.diff,
        "--- a/workspace/a\n+++ b/workspace/a\n@@ -1 +1 @@\n-inside\n+approved\n"
    );
    assert_eq!((preview.added_lines, preview.removed_lines), (1, 1));
    assert_eq!(fs::read_to_string(world.root("a")).unwrap(), "inside\n");

    let change = EditRequest { expected: Some(preview.expected), ..change };
    fs::write(world.root("a"), "inside, meanwhile changed\n").unwrap();
    assert_eq!(world.files.edit(&change).unwrap_err().code, Code::Changed);
    fs::write(world.root("a"), "inside\n").unwrap();
    assert_eq!(world.files.edit(&change).unwrap().sha256, preview.after_sha256);
}

#[test]
fn a_write_is_previewed_too() {
    let world = world();
    let new = world.files.preview(&PreviewRequest::Write(write("n", "x\n"))).unwrap();
    assert_eq!(
        (new.expected, new.diff.as_str()),
        (Expected::Absent, "--- /dev/null\n+++ b/workspace/n\n@@ -0,0 +1 @@\n+x\n")
    );
    let same = world.files.preview(&PreviewRequest::Write(write("a", "inside\n"))).unwrap();
    assert_eq!((same.diff.as_str(), same.added_lines), ("", 0));
}

#[test]
fn an_edit_that_runs_again_answers_as_it_did() {
    let world = world();
    world.read("a").unwrap();
    let change =
        EditRequest { id: Some("step".to_owned()), ..edit("a", "inside", "inside and out") };
    let first = world.files.edit(&change).unwrap();
    // The worker died before it heard; the next one does the step again, with a toolbox that knows
    // nothing of the read.
    let files = files_of(world.folder.path(), true);
    assert_eq!(files.edit(&change).unwrap(), first);
    assert_eq!(world.text("a"), "     1\tinside and out\n");
    // When its effect is gone it is an edit like any other.
    fs::write(world.root("a"), "inside\n").unwrap();
    assert_eq!(files.edit(&change).unwrap_err().code, Code::Changed);
}

#[test]
fn a_repeated_write_with_an_expectation_is_done_already() {
    let world = world();
    let sha256 = world.read("a").unwrap().sha256;
    let change =
        WriteRequest { expected: Some(Expected::Content { sha256 }), ..write("a", "new\n") };
    assert!(!world.files.write(&change).unwrap().unchanged);
    assert!(world.files.write(&change).unwrap().unchanged);
}

#[test]
fn all_edits_are_applied_or_none() {
    let world = world();
    world.read("a").unwrap();
    let mut change = edit("a", "inside", "outside");
    change.edits.extend(edit("a", "no such text", "x").edits);
    let refusal = world.files.edit(&change).unwrap_err();
    assert_eq!(refusal.code, Code::NoMatch);
    assert_eq!(fs::read_to_string(world.root("a")).unwrap(), "inside\n");
}

#[test]
fn binary_files_are_said_to_be() {
    let world = world();
    fs::write(world.root("bin"), b"a\0b").unwrap();
    let png = b"\x89PNG\r\n\x1a\nrest";
    fs::write(world.root("png"), png).unwrap();
    fs::write(world.root("latin1"), b"caf\xe9").unwrap();
    assert_eq!(world.read("bin").unwrap().content, ReadContent::Binary { media_type: None });
    let ReadContent::Image { media_type, base64 } = world.read("png").unwrap().content else {
        panic!("no image")
    };
    assert_eq!((media_type.as_str(), base64.as_str()), ("image/png", "iVBORw0KGgpyZXN0"));
    for name in ["bin", "latin1"] {
        world.read(name).unwrap();
        assert_eq!(world.files.edit(&edit(name, "a", "b")).unwrap_err().code, Code::Binary);
    }
}

#[test]
fn stat_says_what_lies_there() {
    let world = world();
    world.link("a", "link");
    let stat = |path: &str, hash| world.files.stat(&StatRequest { path: path.to_owned(), hash });
    let file = stat("a", true).unwrap();
    assert_eq!((file.kind, file.size_bytes), (StatKind::File, 7));
    assert_eq!(file.sha256.unwrap(), world.read("a").unwrap().sha256);
    assert_eq!(stat("sub", true).unwrap().kind, StatKind::Directory);
    assert_eq!(stat("/workspace", false).unwrap().kind, StatKind::Directory);
    assert_eq!(stat("link", false).unwrap().kind, StatKind::SymbolicLink);
    assert_eq!(stat("none", false).unwrap_err().code, Code::NotFound);
    assert_eq!(stat("../outside/secret", false).unwrap_err().code, Code::OutsideWorkspace);
}
