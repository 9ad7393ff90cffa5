//! Where the server is: said outright, by the environment, or by a data directory.

use polos_protocol::rest::ServerAddress;
use std::path::{Path, PathBuf};

/// The data directory's name, looked for here and in the parents.
const DIRECTORY: &str = ".polos";

/// A server's address and a key to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// `http://127.0.0.1:4300` and the like, without a slash at the end.
    pub url: String,
    /// The API key, or the data directory's token.
    pub token: String,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Address").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Why no server is known.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Neither the environment nor a data directory names one.
    #[error(
        "no server is known: neither `POLOS_URL` is set nor is there a `.polos` directory here or above\n\
         hint: start one with `polos dev`, or set POLOS_URL and POLOS_TOKEN"
    )]
    Nowhere,
    /// A data directory has no running server.
    #[error("`{0}` names no running server\nhint: start one with `polos dev` or `polos serve`")]
    NotRunning(PathBuf),
    /// A file of the data directory cannot be read.
    #[error("`{path}` cannot be read: {message}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
}

impl Address {
    /// An address; a missing `http://` is added.
    pub fn new(url: &str, token: &str) -> Self {
        let url = url.trim_end_matches('/');
        let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        Self { url, token: token.to_owned() }
    }

    /// `POLOS_URL` and `POLOS_TOKEN`; without the first, the data directory's server.
    pub fn find() -> Result<Self, AddressError> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let token = variable("POLOS_TOKEN");
        if let Some(url) = variable("POLOS_URL") {
            return Ok(Self::new(&url, &token.unwrap_or_default()));
        }
        let directory = match variable("POLOS_DATA_DIR") {
            Some(directory) => PathBuf::from(directory),
            None => std::env::current_dir()
                .ok()
                .and_then(|here| above(&here))
                .ok_or(AddressError::Nowhere)?,
        };
        let mut found = Self::of_directory(&directory)?;
        if let Some(token) = token {
            found.token = token;
        }
        Ok(found)
    }

    /// The server that runs over a data directory.
    pub fn of_directory(directory: &Path) -> Result<Self, AddressError> {
        let file = directory.join("server.json");
        if !file.exists() {
            return Err(AddressError::NotRunning(directory.to_owned()));
        }
        let server: ServerAddress = serde_json::from_str(&read(&file)?)
            .map_err(|cause| AddressError::Unreadable { path: file, message: cause.to_string() })?;
        let token = read(&directory.join("token"))?;
        Ok(Self::new(&server.url, token.trim()))
    }
}

fn read(path: &Path) -> Result<String, AddressError> {
    std::fs::read_to_string(path).map_err(|cause| AddressError::Unreadable {
        path: path.to_owned(),
        message: cause.to_string(),
    })
}

fn above(here: &Path) -> Option<PathBuf> {
    here.ancestors().map(|parent| parent.join(DIRECTORY)).find(|found| found.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_directory_names_its_server() {
        let directory = tempfile::tempdir().unwrap();
        let polos = directory.path().join(DIRECTORY);
        let deep = directory.path().join("a/b");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::create_dir_all(&polos).unwrap();
        assert_eq!(above(&deep), Some(polos.clone()));
        assert!(matches!(Address::of_directory(&polos), Err(AddressError::NotRunning(_))));
        let server = r#"{"url":"http://127.0.0.1:4300/","pid":1,"version":"0.1.0"}"#;
        std::fs::write(polos.join("server.json"), server).unwrap();
        std::fs::write(polos.join("token"), "polos_secret\n").unwrap();
        let address = Address::of_directory(&polos).unwrap();
        assert_eq!(address, Address::new("http://127.0.0.1:4300", "polos_secret"));
        assert!(!format!("{address:?}").contains("secret"));
    }
}
