//! Walking a root: bounded in time and entries, in a fixed order, never through symbolic links.
//!
//! The walker goes by path, so a race may show it a foreign name; every file is therefore opened
//! again beneath the root before it is listed or searched.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use globset::{GlobBuilder, GlobMatcher};
use ignore::types::Types;
use ignore::{DirEntry, WalkBuilder};
use rustix::fs::{FileType, OFlags};

use crate::files::{Place, Roots, modified_unix_ms};
use crate::message::{Code, Refusal};

/// Time for one search.
const TIME_MAX: Duration = Duration::from_secs(10);
/// Files and folders looked at in one search.
const ENTRIES_MAX: u64 = 200_000;
/// The folder of git, which is only searched when it is asked for.
const GIT: &str = ".git";

/// What to walk, and what to leave out.
#[derive(Debug, Default)]
pub(super) struct Options<'a> {
    pub(super) path: Option<&'a str>,
    pub(super) gitignore: bool,
    pub(super) types: Option<Types>,
}

/// What a walk ran into.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Notes {
    notes: Vec<String>,
}

impl Notes {
    pub(super) fn add(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    pub(super) fn into_note(self) -> Option<String> {
        (!self.notes.is_empty()).then(|| self.notes.join("; "))
    }
}

/// The budget of one search.
#[derive(Debug)]
pub(super) struct Budget {
    started: Instant,
    entries: u64,
}

impl Budget {
    pub(super) fn start() -> Self {
        Self { started: Instant::now(), entries: 0 }
    }

    pub(super) fn is_late(&self) -> bool {
        self.started.elapsed() > TIME_MAX
    }

    /// Counts an entry; says what ran out.
    fn spend(&mut self) -> Option<String> {
        self.entries += 1;
        if self.entries > ENTRIES_MAX {
            return Some(format!("stopped after {ENTRIES_MAX} files and folders: narrow the path"));
        }
        self.is_late().then(late_note)
    }
}

pub(super) fn late_note() -> String {
    format!("stopped after {} s: narrow the path or the pattern", TIME_MAX.as_secs())
}

/// Calls `visit` with each file beneath the path, in the order of names, until it says false.
pub(super) fn files<'a>(
    roots: &'a Roots,
    options: Options<'_>,
    notes: &mut Notes,
    mut visit: impl FnMut(Place<'a>, &Budget, &mut Notes) -> bool,
) -> Result<(), Refusal> {
    let base = roots.place(options.path.unwrap_or(roots.workspace()))?;
    let mut budget = Budget::start();
    if !is_directory(&base)? {
        visit(base, &budget, notes);
        return Ok(());
    }
    // Held open for as long as its path under /proc is used.
    let directory = open_base(&base, options.gitignore)?;
    for entry in walker(&directory, &base, options) {
        if let Some(note) = budget.spend() {
            notes.add(note);
            break;
        }
        let Ok(entry) = entry else {
            notes.add("some folders could not be read");
            continue;
        };
        if !entry.file_type().is_some_and(|kind| kind.is_file()) {
            continue;
        }
        let Some(place) = place_of(&entry, &directory, &base) else {
            notes.add("names that are not UTF-8 are left out");
            continue;
        };
        if !visit(place, &budget, notes) {
            break;
        }
    }
    Ok(())
}

fn is_directory(place: &Place<'_>) -> Result<bool, Refusal> {
    let fd = place.open(OFlags::PATH).map_err(|errno| place.refusal(errno))?;
    let stat = rustix::fs::fstat(&fd).map_err(|errno| place.refusal(errno))?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

/// Where the walk begins: at the root when `.gitignore` files above the path count.
#[derive(Debug)]
struct Base {
    fd: OwnedFd,
    /// The path of the walk's beginning beneath the root.
    relative: String,
}

impl Base {
    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.fd.as_raw_fd()))
    }
}

fn open_base(place: &Place<'_>, gitignore: bool) -> Result<Base, Refusal> {
    let directory = place.open_directory()?;
    if gitignore {
        let root = place.sibling("").open_directory()?;
        // A path that goes through `..` or a link begins where it leads, and rules above that place
        // are not looked for.
        let leads_straight = path_of(&root)
            .zip(path_of(&directory))
            .is_some_and(|(root, directory)| root.join(place.relative()) == directory);
        if leads_straight {
            return Ok(Base { fd: root, relative: String::new() });
        }
    }
    Ok(Base { fd: directory, relative: place.relative().to_owned() })
}

/// The path of an open folder, as the kernel has it.
fn path_of(folder: &OwnedFd) -> Option<PathBuf> {
    fs::read_link(format!("/proc/self/fd/{}", folder.as_raw_fd())).ok()
}

fn walker(
    base: &Base,
    place: &Place<'_>,
    options: Options<'_>,
) -> impl Iterator<Item = Result<DirEntry, ignore::Error>> {
    let start = base.path();
    let mut builder = WalkBuilder::new(&start);
    builder
        .standard_filters(false)
        .git_ignore(options.gitignore)
        .ignore(options.gitignore)
        .require_git(false)
        .parents(false)
        .follow_links(false)
        .sort_by_file_name(Ord::cmp);
    if let Some(types) = options.types {
        builder.types(types);
    }
    let wanted = start.join(place.relative().strip_prefix(&base.relative).unwrap_or_default());
    let in_git = place.relative().split('/').any(|part| part == GIT);
    builder.filter_entry(move |entry| {
        let path = entry.path();
        let on_the_way = path.starts_with(&wanted) || wanted.starts_with(path);
        on_the_way && (in_git || entry.file_name() != GIT)
    });
    builder.build()
}

fn place_of<'a>(entry: &DirEntry, base: &Base, place: &Place<'a>) -> Option<Place<'a>> {
    let beneath = entry.path().strip_prefix(base.path()).ok()?.to_str()?;
    let relative = Path::new(&base.relative).join(beneath);
    Some(place.sibling(relative.to_str()?))
}

/// When the file was changed, if it is one and lies beneath its root.
pub(super) fn modified(place: &Place<'_>) -> Option<i64> {
    let fd = place.open(OFlags::PATH | OFlags::NOFOLLOW).ok()?;
    let stat = rustix::fs::fstat(&fd).ok()?;
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    is_file.then(|| modified_unix_ms(&stat))
}

/// A pattern for paths beneath the searched folder.
pub(super) fn path_pattern(pattern: &str) -> Result<GlobMatcher, Refusal> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).backslash_escape(true).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|error| {
        Refusal::new(Code::BadRequest, format!("`{pattern}` is not a pattern: {}", error.kind()))
    })
}
