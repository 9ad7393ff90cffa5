//! Files of the state directory that must be on disk before something else happens.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// Makes a file that must not exist yet; it and its name are on disk afterwards.
///
/// The names of the file and of a new folder around it go to disk with the file: ext4, XFS, Btrfs
/// and F2FS write them no later. Syncing the folders as well would cost as much once more, twice.
pub(crate) fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half of it must not be taken for the whole.
        let _ = fs::remove_file(path);
    }
    written
}

/// Puts a file in place whole, over one that may be there.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension(format!("tmp{}", std::process::id()));
    let mut file = File::create(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_parent(path)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
