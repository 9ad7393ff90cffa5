//! The token of a data directory: whoever can read the file is the machine's own user.

use super::keys::{SECRET_PREFIX, new_secret};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// The file's name within the data directory.
pub const FILE: &str = "token";
/// A longer file is not a token.
const TOKEN_BYTES_MAX: u64 = 256;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
#[error("the token `{path}` cannot be used: {cause}")]
pub struct Error {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub cause: std::io::Error,
}

/// Reads the token of a data directory; makes one (mode 0600) if there is none. It stays the same
/// over restarts, so that workers come back without being told.
pub(crate) fn local_token(directory: &Path) -> Result<String, Error> {
    let path = directory.join(FILE);
    let result = match read(&path) {
        Ok(Some(token)) => Ok(token),
        Ok(None) => write(&path),
        Err(cause) => Err(cause),
    };
    result.map_err(|cause| Error { path, cause })
}

/// The token, if there is one that nobody else can have read.
fn read(path: &Path) -> std::io::Result<Option<String>> {
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !metadata.is_file() || metadata.len() > TOKEN_BYTES_MAX || is_open(&metadata) {
        return Ok(None);
    }
    let token = std::fs::read_to_string(path)?.trim().to_owned();
    let whole = token.len() == new_secret_len() && token.starts_with(SECRET_PREFIX);
    Ok(whole.then_some(token))
}

fn new_secret_len() -> usize {
    SECRET_PREFIX.len() + 64
}

#[cfg(unix)]
fn is_open(metadata: &std::fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0
}

#[cfg(not(unix))]
fn is_open(_: &std::fs::Metadata) -> bool {
    false
}

fn write(path: &Path) -> std::io::Result<String> {
    let token = new_secret().map_err(|error| std::io::Error::other(error.to_string()))?;
    write_private(path, format!("{token}\n").as_bytes())?;
    Ok(token)
}

/// Puts a file in place whole, readable by its owner only.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let fresh = path.with_extension("new");
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_token_is_private_and_stays() {
        let directory = tempfile::tempdir().unwrap();
        let token = local_token(directory.path()).unwrap();
        let path = directory.path().join(FILE);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(local_token(directory.path()).unwrap(), token);
    }

    #[test]
    fn a_token_that_others_could_read_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let token = local_token(directory.path()).unwrap();
        let path = directory.path().join(FILE);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let fresh = local_token(directory.path()).unwrap();
        assert_ne!(fresh, token);
        std::fs::write(&path, "short").unwrap();
        assert_ne!(local_token(directory.path()).unwrap(), fresh);
    }
}
