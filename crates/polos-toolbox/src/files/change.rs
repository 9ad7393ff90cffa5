//! A change of one file: worked out first, shown or applied then.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::read::{self, Whole};
use super::{FILE_BYTES_MAX, Place, Roots, edit};
use crate::message::{Code, EditRequest, Expected, Refusal, WriteRequest};

/// How many names are tried for the temporary file.
const TEMPORARY_ATTEMPTS: usize = 16;

/// What a file is and shall be.
#[derive(Debug)]
pub(super) struct Change<'a> {
    place: Place<'a>,
    pub(super) before: Option<Whole>,
    pub(super) after: Vec<u8>,
}

pub(super) fn of_write<'a>(
    roots: &'a Roots,
    request: &WriteRequest,
) -> Result<Change<'a>, Refusal> {
    let place = roots.place(&request.path)?;
    place.require_writable()?;
    let after = request.content.clone().into_bytes();
    require_size(&place, after.len())?;
    let before = current(&place)?;
    let change = Change { place, before, after };
    // A write that was done already is done: the step may run a second time.
    if !change.is_nothing() {
        change.require(request.expected.as_ref())?;
    }
    Ok(change)
}

pub(super) fn of_edit<'a>(
    roots: &'a Roots,
    request: &EditRequest,
) -> Result<(Change<'a>, u64), Refusal> {
    let place = roots.place(&request.path)?;
    place.require_writable()?;
    let Some(before) = current(&place)? else {
        let refusal = place.refusal(Errno::NOENT);
        return Err(refusal.hint("use `write` to make a new file"));
    };
    let mut change = Change { place, before: Some(before), after: Vec::new() };
    change.require(request.expected.as_ref())?;
    let text = change.text_before()?;
    let edited = edit::apply(text, &request.edits, change.path())?;
    require_size(&change.place, edited.text.len())?;
    change.after = edited.text.into_bytes();
    Ok((change, edited.replacements))
}

impl Change<'_> {
    pub(super) fn path(&self) -> &str {
        self.place.shown()
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.before.as_ref().is_some_and(|before| before.bytes == self.after)
    }

    pub(super) fn hard_links(&self) -> u64 {
        self.before.as_ref().map_or(0, |before| before.hard_links)
    }

    pub(super) fn expected(&self) -> Expected {
        match &self.before {
            None => Expected::Absent,
            Some(before) => Expected::Content { sha256: before.sha256.clone() },
        }
    }

    fn require(&self, expected: Option<&Expected>) -> Result<(), Refusal> {
        if expected.is_none_or(|expected| *expected == self.expected()) {
            return Ok(());
        }
        let path = self.path();
        Err(Refusal::new(
            Code::Changed,
            format!("`{path}` is not what it was when this was decided"),
        )
        .hint("read the file again and propose the change anew"))
    }

    fn text_before(&self) -> Result<&str, Refusal> {
        let bytes = self.before.as_ref().map_or(&[][..], |before| &before.bytes);
        if read::is_binary(bytes) {
            let message = format!("`{}` is binary and cannot be edited as text", self.path());
            return Err(Refusal::new(Code::Binary, message));
        }
        std::str::from_utf8(bytes).map_err(|error| {
            let (path, at) = (self.path(), error.valid_up_to());
            Refusal::new(Code::Binary, format!("`{path}` is not UTF-8: byte {at} does not fit"))
                .hint("use `exec` with a program that knows the encoding")
        })
    }

    /// Puts the new content in place: a temporary file beside it, synced, renamed over it.
    pub(super) fn apply(&self) -> Result<(), Refusal> {
        let parent = self.place.create_parent()?;
        let name = self.place.relative().rsplit('/').next().unwrap_or_default();
        let (temporary, file) = self.create_temporary(parent.as_fd())?;
        let placed = self.fill(file).and_then(|()| {
            rustix::fs::renameat(&parent, &temporary, &parent, name)?;
            sync(parent.as_fd())
        });
        placed.map_err(|errno| {
            // Best effort: after the rename there is nothing under this name.
            let _ = rustix::fs::unlinkat(&parent, &temporary, AtFlags::empty());
            self.place.refusal(errno)
        })
    }

    fn create_temporary(&self, parent: BorrowedFd<'_>) -> Result<(String, File), Refusal> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut last = Errno::EXIST;
        for _ in 0..TEMPORARY_ATTEMPTS {
            let count = COUNTER.fetch_add(1, Ordering::Relaxed);
            let name = format!(".polos-{}-{count}.tmp", std::process::id());
            match rustix::fs::openat(parent, &name, flags, Mode::from_raw_mode(0o666)) {
                Ok(fd) => return Ok((name, File::from(fd))),
                Err(Errno::EXIST) => {}
                Err(errno) => {
                    last = errno;
                    break;
                }
            }
        }
        Err(self.place.refusal(last))
    }

    fn fill(&self, mut file: File) -> Result<(), Errno> {
        let written = file.write_all(&self.after);
        written.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        if let Some(before) = &self.before {
            // Permissions are kept; set-user-id and its like are not.
            rustix::fs::fchmod(&file, Mode::from_raw_mode(before.mode & 0o777))?;
        }
        sync(file.as_fd())
    }
}

/// Some file systems have no notion of syncing, and say so.
fn sync(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    match rustix::fs::fsync(fd) {
        Err(Errno::INVAL | Errno::NOTSUP | Errno::NOSYS) => Ok(()),
        synced => synced,
    }
}

/// What lies at the place now; a symbolic link or anything that is no file is refused.
fn current(place: &Place<'_>) -> Result<Option<Whole>, Refusal> {
    let (parent, name) = match place.open_parent() {
        Ok(found) => found,
        Err(refusal) if refusal.code == Code::NotFound && !passes_a_file(place) => return Ok(None),
        Err(refusal) => return Err(refusal),
    };
    let stat = match rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(place.refusal(errno)),
    };
    if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
        return Err(symbolic_link(place));
    }
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&parent, name, flags, Mode::empty()).map_err(|errno| {
        // It became a link since it was looked at.
        if errno == Errno::LOOP { symbolic_link(place) } else { place.refusal(errno) }
    })?;
    read::whole_of(place, File::from(file)).map(Some)
}

/// Whether the path goes through a file, so that its parent can never be made.
fn passes_a_file(place: &Place<'_>) -> bool {
    matches!(place.open(OFlags::PATH), Err(Errno::NOTDIR))
}

fn symbolic_link(place: &Place<'_>) -> Refusal {
    let message = format!("`{}` is a symbolic link, which is not written through", place.shown());
    Refusal::new(Code::SymbolicLink, message).hint("name the file that it leads to")
}

fn require_size(place: &Place<'_>, bytes: usize) -> Result<(), Refusal> {
    if bytes as u64 <= FILE_BYTES_MAX {
        return Ok(());
    }
    let path = place.shown();
    let message = format!("`{path}` would have {bytes} bytes; the limit is {FILE_BYTES_MAX}");
    Err(Refusal::new(Code::TooLarge, message))
}
