//! Files of the state directory that must be on disk before something else happens.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// Makes a file that must not exist yet; it, its name and that of its folder are on disk afterwards.
///
/// The file is synced first: on journaling file systems that takes the names along, and the two
/// syncs of folders find nothing left to write.
pub(crate) fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let written =
        file.write_all(content).and_then(|()| file.sync_all()).and_then(|()| sync_parents(path));
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

/// The folder, which may be new itself, and the one above.
fn sync_parents(path: &Path) -> io::Result<()> {
    sync_parent(path)?;
    path.parent().map_or(Ok(()), sync_parent)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
