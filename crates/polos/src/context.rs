//! What every command may need: where the data is, which server to ask, and how to show things.

use crate::crew::Wanted;
use crate::embedded::Embedded;
use crate::exit::Problem;
use crate::show::paint::Paint;
use crate::show::table::Table;
use crate::show::text;
use crate::talk;
use anyhow::{Context as _, Result};
use polos_protocol::rest::ServerAddress;
use polos_sdk::client::Client;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;

/// The name of the data directory within a project.
pub(crate) const DATA_DIR: &str = ".polos";
/// Where a server writes its address, within the data directory.
const ADDRESS_FILE: &str = "server.json";
/// The database, within the data directory.
const DATABASE_FILE: &str = "polos.db";
/// How long whoever has the directory may take to be gone, or to tell its address.
const HOLDER_MAX: Duration = Duration::from_secs(10);
/// What takes longer than this is told.
const SILENT: Duration = Duration::from_secs(1);
/// Between two looks at the directory.
const LOOK_EVERY: Duration = Duration::from_millis(20);
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
    /// The server of this process, where none was there.
    embedded: OnceCell<Embedded>,
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
        Self { globals, embedded: OnceCell::new() }
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

    /// A client of the server that is named or that runs on the data directory; if none does, of
    /// one in this process for as long as the command takes.
    pub(crate) async fn client(&self) -> Result<Client> {
        self.client_or(|directory| async {
            if !directory.join(DATABASE_FILE).exists() {
                return Err(nothing_stored(&directory));
            }
            Embedded::start(directory).await
        })
        .await
    }

    /// The same for a command that may be the first one in a data directory.
    pub(crate) async fn client_of_any_store(&self) -> Result<Client> {
        self.client_or(Embedded::start).await
    }

    /// The same for a command that lets a run go on: a server in this process has workers too.
    pub(crate) async fn client_with_crew(&self, wanted: Wanted<'_>) -> Result<Client> {
        self.client_or(|directory| Embedded::with_crew(directory, wanted)).await
    }

    async fn client_or<Start>(&self, embed: impl FnOnce(PathBuf) -> Start) -> Result<Client>
    where
        Start: Future<Output = Result<Embedded>>,
    {
        if let Some(embedded) = self.embedded.get() {
            return client_of(&embedded.server);
        }
        if let Some(server) = self.attached().await? {
            return client_of(&server);
        }
        let embedded = embed(self.data_dir()?).await?;
        client_of(&self.embedded.get_or_init(|| async { embedded }).await.server)
    }

    /// The server of this process, if it is one.
    pub(crate) fn embedded(&self) -> Option<&Embedded> {
        self.embedded.get()
    }

    /// Ends the server of this process, if it is one.
    pub(crate) async fn close(self) {
        if let Some(embedded) = self.embedded.into_inner() {
            embedded.end().await;
        }
    }

    /// A client of the server that is named or that runs on the data directory; an error if there
    /// is none.
    pub(crate) async fn running_client(&self) -> Result<Client> {
        client_of(&self.server().await?)
    }

    /// The server that is named or that runs on the data directory; an error if there is none.
    pub(crate) async fn server(&self) -> Result<Server> {
        match self.attached().await? {
            Some(server) => Ok(server),
            None => Err(no_server(&self.data_dir()?)),
        }
    }

    /// The server that is named or that runs on the data directory, if there is one.
    async fn attached(&self) -> Result<Option<Server>> {
        if let Some(url) = &self.globals.url {
            let token = self.token_for(url)?;
            return Ok(Some(Server { url: url.clone(), token }));
        }
        let directory = self.data_dir()?;
        let Some(url) = running(&directory).await? else { return Ok(None) };
        let token = self.globals.token.clone().map_or_else(|| token_in(&directory), Ok)?;
        Ok(Some(Server { url, token }))
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

fn client_of(server: &Server) -> Result<Client> {
    Ok(Client::new(&server.url, &server.token)?)
}

/// The address of the server that runs on a data directory, if one does. Whoever has the directory
/// and tells no address is waited for: it is a command that is gone in a moment, or a server that
/// has just started.
async fn running(directory: &Path) -> Result<Option<String>> {
    let began = Instant::now();
    let mut told = false;
    loop {
        let holder = polos_store::sqlite::holder(directory)
            .with_context(|| format!("`{}` cannot be read", directory.display()))?;
        let Some(holder) = holder else { return Ok(None) };
        let address = std::fs::read_to_string(directory.join(ADDRESS_FILE))
            .ok()
            .and_then(|text| serde_json::from_str::<ServerAddress>(&text).ok())
            .filter(|address| holder.pid.is_none_or(|pid| pid == address.pid))
            .map(|address| address.url);
        if let Some(address) = address.or(holder.address.clone()) {
            return Ok(Some(address));
        }
        if began.elapsed() > HOLDER_MAX {
            let message =
                format!("`{}` is in use by {holder}, which does not answer", directory.display());
            return Err(Problem::new("no_server", message, "try again in a moment"));
        }
        if !told && began.elapsed() > SILENT {
            told = true;
            talk::say(&format!("waiting for {holder}, which has `{}`", directory.display()));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn nothing_stored(directory: &Path) -> anyhow::Error {
    Problem::new(
        "nothing_stored",
        format!("nothing is stored in `{}` yet", directory.display()),
        "start with `polos run NAME` or `polos dev`; or say where the data is: `--data-dir`, POLOS_URL",
    )
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

    #[tokio::test]
    async fn without_a_server_the_error_says_how_to_start_one() {
        let folder = tempfile::tempdir().unwrap();
        let error = Context::new(globals(Some(folder.path()))).server().await.unwrap_err();
        let problem = error.downcast_ref::<Problem>().unwrap();
        assert_eq!(problem.code, "no_server");
        assert!(problem.hint.contains("polos dev"));
    }

    #[tokio::test]
    async fn what_is_not_there_is_not_made_by_looking() {
        let folder = tempfile::tempdir().unwrap();
        let error = Context::new(globals(Some(folder.path()))).client().await.unwrap_err();
        assert_eq!(error.downcast_ref::<Problem>().unwrap().code, "nothing_stored");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_named_server_needs_a_key() {
        let folder = tempfile::tempdir().unwrap();
        let mut named = globals(Some(folder.path()));
        named.url = Some("http://127.0.0.1:1".to_owned());
        let error = Context::new(named.clone()).server().await.unwrap_err();
        assert!(error.to_string().contains("no key"));
        named.token = Some("polos_x".to_owned());
        assert_eq!(Context::new(named).server().await.unwrap().token, "polos_x");
    }
}
