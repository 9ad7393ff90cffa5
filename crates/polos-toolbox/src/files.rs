//! The file tools, beneath roots that are opened once.
//!
//! The kernel resolves every path beneath its root (`openat2` with `RESOLVE_BENEATH`), so that no
//! symbolic link, `..` or race leads out; nothing here checks a path first and opens it later. A
//! change is made on a new file that is renamed into place: it is seen whole or not at all.
//!
//! An edit needs a prior read of the same content by the same reader. That is remembered here, in
//! memory, for as long as the toolbox lives: after it is gone the model reads again, which costs a
//! turn and loses nothing. A caller that knows better names the content with `expected`.

mod change;
mod diff;
mod done;
mod edit;
mod read;
mod root;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, FileType};
use sha2::{Digest, Sha256};

use crate::message::{
    Code, Edit, EditRequest, Preview, PreviewRequest, Read, ReadRequest, Refusal, Stat, StatKind,
    StatRequest, Write, WriteRequest,
};

pub(crate) use root::Place;
pub use root::{Mount, Roots};

/// The largest file that is read, written or edited.
pub const FILE_BYTES_MAX: u64 = 10 * 1024 * 1024;

/// Bytes of diff that the reply to an edit shows.
const SNIPPET_BYTES_MAX: usize = 16 * 1024;
/// Reads remembered for later edits.
const SEEN_MAX: usize = 10_000;

/// The file tools over one set of roots.
#[derive(Debug)]
pub struct Files {
    roots: Roots,
    /// Where edits with an id note that they are done; without it they are not deduplicated.
    done: Option<PathBuf>,
    /// The content that each reader last saw, by reader and path.
    seen: Mutex<HashMap<(String, String), String>>,
    /// Held while a file is changed, so that two changes of one file do not lose one.
    changing: Mutex<()>,
}

impl Files {
    /// The file tools over `roots`; `state` is a folder outside the workspace for notes on edits.
    pub fn new(roots: Roots, state: Option<PathBuf>) -> Self {
        let done = state.map(|state| state.join("edits"));
        Self { roots, done, seen: Mutex::default(), changing: Mutex::default() }
    }

    /// The roots that these tools work beneath.
    pub fn roots(&self) -> &Roots {
        &self.roots
    }

    /// Reads a file: numbered lines, an image, or the word that it is binary.
    pub fn read(&self, request: &ReadRequest) -> Result<Read, Refusal> {
        let place = self.roots.place(&request.path)?;
        let reply = read::read(&place, request)?;
        self.remember(&request.reader, &reply.path, &reply.sha256);
        Ok(reply)
    }

    /// Writes a whole file, atomically.
    pub fn write(&self, request: &WriteRequest) -> Result<Write, Refusal> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let change = change::of_write(&self.roots, request)?;
        let unchanged = change.is_nothing();
        if !unchanged {
            change.apply()?;
        }
        let sha256 = sha256_hex(&change.after);
        self.remember(&request.reader, change.path(), &sha256);
        Ok(Write {
            path: change.path().to_owned(),
            created: change.before.is_none(),
            unchanged,
            size_bytes: change.after.len() as u64,
            sha256,
            hard_links: change.hard_links(),
        })
    }

    /// Replaces exact text in a file: all replacements or none, atomically.
    pub fn edit(&self, request: &EditRequest) -> Result<Edit, Refusal> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let note = done::Note::of(self.done.as_deref(), request)?;
        if let Some(reply) = self.edited_before(&note, request)? {
            self.remember(&request.reader, &reply.path, &reply.sha256);
            return Ok(reply);
        }
        let (change, replacements) = self.plan_edit(request)?;
        let reply = Edit {
            path: change.path().to_owned(),
            replacements,
            size_bytes: change.after.len() as u64,
            sha256: sha256_hex(&change.after),
            hard_links: change.hard_links(),
            snippet: diff::of(&change).shortened(SNIPPET_BYTES_MAX),
        };
        note.write(&reply)?;
        change.apply()?;
        self.remember(&request.reader, &reply.path, &reply.sha256);
        Ok(reply)
    }

    /// Says what a write or an edit would do.
    pub fn preview(&self, request: &PreviewRequest) -> Result<Preview, Refusal> {
        let change = match request {
            PreviewRequest::Write(write) => change::of_write(&self.roots, write)?,
            PreviewRequest::Edit(edit) => self.plan_edit(edit)?.0,
        };
        let diff = diff::of(&change);
        Ok(Preview {
            path: change.path().to_owned(),
            diff: diff.text,
            diff_truncated: diff.truncated,
            added_lines: diff.added,
            removed_lines: diff.removed,
            expected: change.expected(),
            after_sha256: sha256_hex(&change.after),
            hard_links: change.hard_links(),
        })
    }

    /// Says what lies at a path.
    pub fn stat(&self, request: &StatRequest) -> Result<Stat, Refusal> {
        let place = self.roots.place(&request.path)?;
        let stat = if place.is_root() {
            rustix::fs::fstat(place.root().fd())
        } else {
            let (parent, name) = place.open_parent()?;
            rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)
        };
        let stat = stat.map_err(|errno| place.refusal(errno))?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => StatKind::File,
            FileType::Directory => StatKind::Directory,
            FileType::Symlink => StatKind::SymbolicLink,
            _ => StatKind::Other,
        };
        let hashed = request.hash && kind == StatKind::File;
        let sha256 = hashed.then(|| read::whole(&place).map(|whole| whole.sha256)).transpose()?;
        Ok(Stat {
            path: place.shown().to_owned(),
            kind,
            size_bytes: u64::try_from(stat.st_size).unwrap_or(0),
            mode: stat.st_mode & 0o7777,
            modified_unix_ms: modified_unix_ms(&stat),
            hard_links: hard_links(stat.st_nlink),
            sha256,
        })
    }

    fn plan_edit(&self, request: &EditRequest) -> Result<(change::Change<'_>, u64), Refusal> {
        let (change, replacements) = change::of_edit(&self.roots, request)?;
        if request.expected.is_none() {
            self.require_seen(&request.reader, &change)?;
        }
        Ok((change, replacements))
    }

    /// The reply of an earlier edit under the same id, if its effect is still there.
    fn edited_before(
        &self,
        note: &done::Note,
        request: &EditRequest,
    ) -> Result<Option<Edit>, Refusal> {
        let Some(reply) = note.read()? else { return Ok(None) };
        let place = self.roots.place(&request.path)?;
        let still_there = read::whole(&place).is_ok_and(|whole| whole.sha256 == reply.sha256);
        Ok(still_there.then_some(reply))
    }

    fn require_seen(&self, reader: &str, change: &change::Change) -> Result<(), Refusal> {
        let path = change.path();
        let key = (reader.to_owned(), path.to_owned());
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let now = change.before.as_ref().map(|before| &before.sha256);
        match seen {
            None => Err(Refusal::new(Code::NotRead, format!("`{path}` was not read before"))
                .hint("read the file, then edit it")),
            Some(seen) if Some(&seen) == now => Ok(()),
            Some(_) => {
                Err(Refusal::new(Code::Changed, format!("`{path}` has changed since it was read"))
                    .hint("read the file again, then edit what is there now"))
            }
        }
    }

    fn remember(&self, reader: &str, path: &str, sha256: &str) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= SEEN_MAX {
            seen.clear();
        }
        seen.insert((reader.to_owned(), path.to_owned()), sha256.to_owned());
    }
}

/// The kernel's count of links, which is of another width on each architecture.
fn hard_links(links: impl Into<u64>) -> u64 {
    links.into()
}

/// When a file was last changed.
pub(crate) fn modified_unix_ms(stat: &rustix::fs::Stat) -> i64 {
    let nanoseconds = i64::try_from(stat.st_mtime_nsec).unwrap_or(0);
    stat.st_mtime * 1000 + nanoseconds / 1_000_000
}

/// SHA-256 in hex.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
