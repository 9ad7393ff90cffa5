//! What every command may need: where the data is, which server to ask, and how to show things.

use crate::exit::Problem;
use crate::show::paint::Paint;
use crate::show::table::Table;
use crate::show::text;
use anyhow::{Context as _, Result};
use polos_protocol::rest::ServerAddress;
use polos_sdk::client::Client;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// The name of the data directory within a project.
pub(crate) const DATA_DIR: &str = ".polos";
/// Where a server writes its address, within the data directory.
const ADDRESS_FILE: &str = "server.json";
/// Where the token of the data directory is.
const TOKEN_FILE: &str = "token";

/// Options that every command has.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// Use this data directory; by default `.polos` here or in a parent
    #[arg(long, global = true, value_name = "DIR", env = "POLOS_DATA_DIR", hide_env_values = true)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Ask the server at this address
    #[arg(long, global = true, env = "POLOS_URL", hide_env_values = true)]
    pub(crate) url: Option<String>,
    /// Show this key to the server; by default the token in the data directory
    #[arg(long, global = true, env = "POLOS_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What every command may need.
#[derive(Debug)]
pub(crate) struct Context {
    globals: Globals,
}

/// Where a server is, and what opens it.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// Its address.
    pub(crate) url: String,
    /// The key or token.
    pub(crate) token: String,
}

impl Context {
    /// Keeps the options.
    pub(crate) fn new(globals: Globals) -> Self {
        Self { globals }
    }

    /// True if data is to be printed as JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.globals.json
    }

    /// How to colour what goes to standard output.
    #[expect(clippy::unused_self, reason = "commands ask their context how to show things")]
    pub(crate) fn paint(&self) -> Paint {
        Paint::for_stdout()
    }

    /// How many columns there are.
    #[expect(clippy::unused_self, reason = "commands ask their context how to show things")]
    pub(crate) fn columns(&self) -> usize {
        text::width_of_terminal()
    }

    /// A table for standard output: cut to the terminal, and whole for a pipe.
    pub(crate) fn table(&self, table: &Table) -> String {
        let columns = std::io::stdout().is_terminal().then(|| self.columns());
        table.render(columns, self.paint())
    }

    /// The data directory: the one that is named, the nearest one from here upwards, or the one
    /// that would be made here.
    pub(crate) fn data_dir(&self) -> Result<PathBuf> {
        if let Some(named) = &self.globals.data_dir {
            return Ok(std::path::absolute(named)?);
        }
        let here = std::env::current_dir().context("the current folder cannot be read")?;
        Ok(nearest(&here).unwrap_or_else(|| here.join(DATA_DIR)))
    }

    /// A client of the server that is named or that runs on the data directory.
    pub(crate) fn client(&self) -> Result<Client> {
        let server = self.server()?;
        Ok(Client::new(&server.url, &server.token)?)
    }

    /// The server that is named or that runs on the data directory.
    pub(crate) fn server(&self) -> Result<Server> {
        if let Some(url) = &self.globals.url {
            let token = self.token_for(url)?;
            return Ok(Server { url: url.clone(), token });
        }
        let directory = self.data_dir()?;
        let url = running(&directory)?.ok_or_else(|| no_server(&directory))?;
        let token = self.globals.token.clone().map_or_else(|| token_in(&directory), Ok)?;
        Ok(Server { url, token })
    }

    fn token_for(&self, url: &str) -> Result<String> {
        if let Some(token) = &self.globals.token {
            return Ok(token.clone());
        }
        token_in(&self.data_dir()?).map_err(|_| {
            Problem::usage(
                format!("there is no key for the server at `{url}`"),
                "set POLOS_TOKEN, or make a key there with `polos keys create`",
            )
        })
    }
}

/// The nearest data directory, from a folder upwards.
fn nearest(folder: &Path) -> Option<PathBuf> {
    folder.ancestors().map(|folder| folder.join(DATA_DIR)).find(|path| path.is_dir())
}

/// The address of the server that runs on a data directory, if one does.
fn running(directory: &Path) -> Result<Option<String>> {
    let holder = polos_store::sqlite::holder(directory)
        .with_context(|| format!("`{}` cannot be read", directory.display()))?;
    let Some(holder) = holder else { return Ok(None) };
    let address = std::fs::read_to_string(directory.join(ADDRESS_FILE))
        .ok()
        .and_then(|text| serde_json::from_str::<ServerAddress>(&text).ok())
        .filter(|address| holder.pid.is_none_or(|pid| pid == address.pid))
        .map(|address| address.url);
    address.or(holder.address.clone()).map(Some).ok_or_else(|| {
        Problem::new(
            "no_server",
            format!("`{}` is in use by {holder}, which does not answer yet", directory.display()),
            "try again in a moment",
        )
    })
}

fn no_server(directory: &Path) -> anyhow::Error {
    Problem::new(
        "no_server",
        format!("no server runs on `{}`", directory.display()),
        "start one with `polos dev` (or `polos serve`), or set POLOS_URL and POLOS_TOKEN",
    )
}

fn token_in(directory: &Path) -> Result<String> {
    let path = directory.join(TOKEN_FILE);
    let text = std::fs::read_to_string(&path).map_err(|cause| {
        Problem::new(
            "no_token",
            format!("the token `{}` cannot be read: {cause}", path.display()),
            "run as the user who started the server, or set POLOS_TOKEN",
        )
    })?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globals(data_dir: Option<&Path>) -> Globals {
        Globals { data_dir: data_dir.map(Path::to_owned), url: None, token: None, json: false }
    }

    #[test]
    fn the_nearest_data_directory_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::create_dir(folder.path().join(DATA_DIR)).unwrap();
        assert_eq!(nearest(&deep), Some(folder.path().join(DATA_DIR)));
        std::fs::create_dir(deep.join(DATA_DIR)).unwrap();
        assert_eq!(nearest(&deep), Some(deep.join(DATA_DIR)));
    }

    #[test]
    fn without_a_server_the_error_says_how_to_start_one() {
        let folder = tempfile::tempdir().unwrap();
        let error = Context::new(globals(Some(folder.path()))).server().unwrap_err();
        let problem = error.downcast_ref::<Problem>().unwrap();
        assert_eq!(problem.code, "no_server");
        assert!(problem.hint.contains("polos dev"));
    }

    #[test]
    fn a_named_server_needs_a_key() {
        let folder = tempfile::tempdir().unwrap();
        let mut named = globals(Some(folder.path()));
        named.url = Some("http://127.0.0.1:1".to_owned());
        let error = Context::new(named.clone()).server().unwrap_err();
        assert!(error.to_string().contains("no key"));
        named.token = Some("polos_x".to_owned());
        assert_eq!(Context::new(named).server().unwrap().token, "polos_x");
    }
}
