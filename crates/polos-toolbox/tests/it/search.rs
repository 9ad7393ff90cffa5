//! Finding files by name and text in them.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use polos_toolbox::files::{Mount, Roots};
use polos_toolbox::message::{Code, Glob, GlobRequest, Grep, GrepMode, GrepRequest};
use polos_toolbox::search;
use tempfile::TempDir;

struct World {
    folder: TempDir,
    roots: Roots,
}

/// Files whose times grow in the order of the list.
const FILES: [(&str, &str); 8] = [
    (".gitignore", "target/\n*.log\n"),
    ("src/main.rs", "fn main() {\n    run();\n}\n"),
    ("src/lib.rs", "pub fn run() {\n    // TODO: run\n}\n"),
    ("src/deep/mod.rs", "fn deep() {}\n"),
    ("target/out.rs", "fn run() {}\n"),
    ("debug.log", "run\n"),
    (".hidden/config.toml", "run = true\n"),
    ("README.md", "Run it.\n"),
];

fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for (age, (name, content)) in (0..).zip(FILES) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(then + Duration::from_secs(age))
            .unwrap();
    }
    fs::create_dir_all(root.join(".git")).unwrap();
    fs::write(root.join(".git/config"), "run\n").unwrap();
    fs::write(folder.path().join("secret.rs"), "run secret\n").unwrap();
    symlink("../../secret.rs", root.join("src/link.rs")).unwrap();
    symlink("..", root.join("src/up")).unwrap();
    let workspace = Mount { name: "/workspace".to_owned(), disk: root };
    let roots = Roots::open(workspace, Vec::new(), true).unwrap();
    World { folder, roots }
}

impl World {
    fn glob_with(&self, request: &GlobRequest) -> Glob {
        search::glob(&self.roots, request).unwrap()
    }

    fn grep(&self, request: &GrepRequest) -> Grep {
        search::grep(&self.roots, request).unwrap()
    }

    fn check_glob(&self, pattern: &str, path: Option<&str>, expect: &[&str]) {
        let request = GlobRequest { path: path.map(str::to_owned), ..glob(pattern) };
        assert_eq!(self.glob_with(&request).paths, expect, "{pattern} in {path:?}");
    }
}

fn glob(pattern: &str) -> GlobRequest {
    GlobRequest { pattern: pattern.to_owned(), path: None, gitignore: true, limit: None }
}

fn grep(pattern: &str, mode: GrepMode) -> GrepRequest {
    GrepRequest {
        pattern: pattern.to_owned(),
        path: None,
        mode,
        glob: None,
        file_type: None,
        ignore_case: false,
        multiline: false,
        before: 0,
        after: 0,
        head_limit: None,
        gitignore: true,
    }
}

#[test]
fn files_are_found_latest_first() {
    let world = world();
    let all = ["/workspace/src/deep/mod.rs", "/workspace/src/lib.rs", "/workspace/src/main.rs"];
    world.check_glob("**/*.rs", None, &all);
    world.check_glob("src/**/*.{rs,toml}", None, &all);
    world.check_glob("src/*.rs", None, &all[1..]);
    world.check_glob("*.rs", Some("src"), &all[1..]);
    world.check_glob(
        "*.rs",
        Some("/workspace/src/deep/.."),
        &["/workspace/src/deep/../lib.rs", "/workspace/src/deep/../main.rs"],
    );
    world.check_glob("/workspace/src/*.rs", None, &all[1..]);
    world.check_glob("*.rs", None, &[]);
    world.check_glob("**/*.toml", None, &["/workspace/.hidden/config.toml"]);
    world.check_glob("**/config", None, &[]);
    world.check_glob("config", Some(".git"), &["/workspace/.git/config"]);
}

#[test]
fn ignored_files_are_found_when_told() {
    let world = world();
    world.check_glob("**/out.rs", None, &[]);
    world.check_glob("**/*.log", None, &[]);
    let found = world.glob_with(&GlobRequest { gitignore: false, ..glob("**/*.{log,rs}") });
    assert_eq!(found.paths[..2], ["/workspace/debug.log", "/workspace/target/out.rs"]);
    assert_eq!(found.found, 5);
    // The folder's own rules come from above it.
    world.check_glob("*.rs", Some("target"), &[]);
}

#[test]
fn long_lists_are_cut_and_said_to_be() {
    let world = world();
    for index in 0..130 {
        fs::write(world.folder.path().join(format!("root/f{index}.txt")), "").unwrap();
    }
    let found = world.glob_with(&glob("*.txt"));
    assert_eq!((found.paths.len(), found.found), (100, 130));
    assert_eq!(found.note.unwrap(), "truncated: 100 of 130 files; narrow the pattern or the path");
    let all = world.glob_with(&GlobRequest { limit: Some(500), ..glob("*.txt") });
    assert_eq!((all.paths.len(), all.note), (130, None));
}

#[test]
fn text_is_found_in_each_mode() {
    let world = world();
    let files = world.grep(&grep("run", GrepMode::FilesWithMatches));
    let expect =
        ["/workspace/.hidden/config.toml", "/workspace/src/lib.rs", "/workspace/src/main.rs"];
    assert_eq!(files.lines, expect);
    assert_eq!((files.matches, files.files, files.note), (4, 3, None));

    let count = world.grep(&grep("run", GrepMode::Count));
    let expect =
        ["/workspace/.hidden/config.toml:1", "/workspace/src/lib.rs:2", "/workspace/src/main.rs:1"];
    assert_eq!(count.lines, expect);

    let content = world.grep(&grep("fn [a-z]+\\(", GrepMode::Content));
    let expect = [
        "/workspace/src/deep/mod.rs:1:fn deep() {}",
        "/workspace/src/lib.rs:1:pub fn run() {",
        "/workspace/src/main.rs:1:fn main() {",
    ];
    assert_eq!(content.lines, expect);
}

#[test]
fn context_is_shown_around_matches() {
    let world = world();
    let request = GrepRequest {
        before: 1,
        after: 1,
        path: Some("src/lib.rs".to_owned()),
        ..grep("TODO", GrepMode::Content)
    };
    let expect = [
        "/workspace/src/lib.rs-1-pub fn run() {",
        "/workspace/src/lib.rs:2:    // TODO: run",
        "/workspace/src/lib.rs-3-}",
    ];
    assert_eq!(world.grep(&request).lines, expect);
}

#[test]
fn searches_can_be_narrowed() {
    let world = world();
    let lines = |request: GrepRequest| world.grep(&request).lines;
    let base = || grep("run", GrepMode::FilesWithMatches);
    let glob = |glob: &str| GrepRequest { glob: Some(glob.to_owned()), ..base() };
    assert_eq!(lines(glob("*.toml")), ["/workspace/.hidden/config.toml"]);
    assert_eq!(lines(glob("src/m*.rs")), ["/workspace/src/main.rs"]);
    let typed = GrepRequest { file_type: Some("rust".to_owned()), ..base() };
    assert_eq!(lines(typed), ["/workspace/src/lib.rs", "/workspace/src/main.rs"]);
    let case = GrepRequest { ignore_case: true, ..grep("^RUN IT", GrepMode::FilesWithMatches) };
    assert_eq!(lines(case), ["/workspace/README.md"]);
    let ignored = GrepRequest { gitignore: false, ..base() };
    assert_eq!(lines(ignored).len(), 5);
    let spanning =
        GrepRequest { multiline: true, ..grep("main\\(\\) \\{.*run", GrepMode::Content) };
    assert_eq!(
        lines(spanning),
        ["/workspace/src/main.rs:1:fn main() {", "/workspace/src/main.rs:2:    run();"]
    );
}

#[test]
fn links_are_not_followed() {
    let world = world();
    let found = world.grep(&GrepRequest { gitignore: false, ..grep("secret", GrepMode::Content) });
    assert_eq!(found.lines, [""; 0]);
    let through =
        GrepRequest { path: Some("src/link.rs".to_owned()), ..grep("secret", GrepMode::Content) };
    let refusal = search::grep(&world.roots, &through).unwrap_err();
    assert_eq!(refusal.code, Code::OutsideWorkspace, "{refusal}");
}

#[test]
fn a_link_within_is_searched_when_it_is_named() {
    let world = world();
    symlink("src", world.folder.path().join("root/linked")).unwrap();
    for gitignore in [true, false] {
        let request = GrepRequest {
            path: Some("linked/deep".to_owned()),
            gitignore,
            ..grep("deep", GrepMode::Content)
        };
        assert_eq!(world.grep(&request).lines, ["/workspace/linked/deep/mod.rs:1:fn deep() {}"]);
    }
}

#[test]
fn binary_files_are_not_searched() {
    let world = world();
    fs::write(world.folder.path().join("root/blob"), b"needle\0needle\nneedle\n").unwrap();
    assert_eq!(world.grep(&grep("needle", GrepMode::Content)).lines, [""; 0]);
}

#[test]
fn long_answers_are_cut_and_said_to_be() {
    let world = world();
    let many = "needle\n".repeat(300) + &"x".repeat(2_000) + "needle\n";
    fs::write(world.folder.path().join("root/many"), many).unwrap();
    let found = world.grep(&grep("needle", GrepMode::Content));
    assert_eq!((found.lines.len(), found.matches), (100, 301));
    assert!(found.note.unwrap().starts_with("truncated: the first 100 lines of 301 matches"));
    let long =
        world.grep(&GrepRequest { head_limit: Some(5), ..grep("xxneedle", GrepMode::Content) });
    assert_eq!(long.lines[0].chars().count(), "/workspace/many:301:".len() + 501);
}

#[test]
fn mistakes_are_explained() {
    let world = world();
    let refused = |request: GrepRequest| search::grep(&world.roots, &request).unwrap_err();
    let bad = refused(grep("a(", GrepMode::Content));
    assert_eq!(bad.code, Code::BadRequest);
    assert!(bad.to_string().contains("put a backslash before"), "{bad}");
    let typed =
        GrepRequest { file_type: Some("cobble".to_owned()), ..grep("a", GrepMode::Content) };
    assert!(refused(typed).to_string().contains("`cobble` is not a type of file"));
    let missing = GrepRequest { path: Some("nowhere".to_owned()), ..grep("a", GrepMode::Content) };
    assert_eq!(refused(missing).code, Code::NotFound);
    let glob = search::glob(&world.roots, &glob("[")).unwrap_err();
    assert!(glob.message.contains("is not a pattern"), "{glob}");
    let outside = GlobRequest { path: Some("..".to_owned()), ..self::glob("*") };
    assert_eq!(search::glob(&world.roots, &outside).unwrap_err().code, Code::OutsideWorkspace);
}
