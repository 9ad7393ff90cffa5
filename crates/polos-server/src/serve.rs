//! The whole server: the driver, the listener, the address in the data directory, and their end.

use crate::address::{self, Announced};
use crate::auth::{self, Hosts, Keys, TokenError};
use crate::clock::Clock;
use crate::driver::{self, Handle, Service};
use crate::rest::{self, App, Parts};
use crate::worker::Sockets;
use crate::{listener, retention};
use polos_engine::Config;
use polos_store::{ReadError, Store};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Where a server listens unless told.
pub const LISTEN: &str = "127.0.0.1:4300";
/// How long ended runs are kept unless told.
pub const KEEP: Duration = Duration::from_hours(30 * 24);
/// How long the driver may take to end.
const DRIVER_END_MAX: Duration = Duration::from_secs(10);

/// What a server needs to know.
#[derive(Debug, Clone)]
pub struct Options {
    /// `IP:PORT`; `localhost` counts as 127.0.0.1, and port 0 takes any free one.
    pub listen: String,
    /// Where `token` and `server.json` are written.
    pub data_directory: PathBuf,
    /// True to write the address into the data directory, for others to attach to. A server that
    /// is gone in a moment keeps it to itself.
    pub announces: bool,
    /// Names under which the server is reached, besides loopback names.
    pub hosts: Vec<String>,
    /// How long ended runs are kept.
    pub keep: Duration,
    /// The server's clock.
    pub clock: Clock,
    /// The engine's figures.
    pub engine: Config,
    /// The version of the store's schema, for `/v1/version`.
    pub schema: u32,
}

impl Options {
    /// The defaults for a data directory.
    pub fn new(data_directory: impl Into<PathBuf>) -> Self {
        Self {
            listen: LISTEN.to_owned(),
            data_directory: data_directory.into(),
            announces: true,
            hosts: Vec::new(),
            keep: KEEP,
            clock: Clock::real(),
            engine: Config::default(),
            schema: 1,
        }
    }
}

/// Why a server does not start, or has ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not one.
    #[error("`{0}` is not an address to listen on; hint: use `IP:PORT`, for example `{LISTEN}`")]
    Address(String),
    /// The address cannot be used.
    #[error("cannot listen on `{address}`: {cause}; hint: is another server running there?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// The address cannot be written into the data directory.
    #[error("cannot write `{}` into `{directory}`: {cause}", address::FILE)]
    Announce {
        /// The data directory.
        directory: PathBuf,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// There is no token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The keys cannot be read.
    #[error("the API keys cannot be read: {0}")]
    Keys(#[source] ReadError),
    /// The system gives no thread.
    #[error("a thread for the workers' sockets cannot start: {0}")]
    Thread(#[source] std::io::Error),
    /// The driver has ended. The process must end with it.
    #[error(transparent)]
    Driver(#[from] driver::Error),
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    handle: Handle,
    address: SocketAddr,
    url: String,
    token: String,
    stopping: CancellationToken,
    driver: JoinHandle<Result<(), driver::Error>>,
    listener: JoinHandle<()>,
    retention: JoinHandle<()>,
    announced: Option<Announced>,
}

/// Starts a server on a store. It answers when this returns.
pub async fn serve(options: Options, store: Arc<dyn Store>) -> Result<Server, Error> {
    let Options { listen, data_directory, announces, hosts, keep, clock, engine, schema } = options;
    let address = address::parse(&listen).ok_or(Error::Address(listen))?;
    let token = auth::local_token(&data_directory)?;
    let keys = Keys::default();
    keys.add_local(&token);
    keys.add_all(store.api_keys().map_err(Error::Keys)?);
    let bound = TcpListener::bind(address).await;
    let socket = bound.map_err(|cause| Error::Listen { address, cause })?;
    let address = socket.local_addr().map_err(|cause| Error::Listen { address, cause })?;
    let version = engine.version.clone();
    let (service, handle) = Service::new(driver::Options { engine, clock }, store);
    let stopping = CancellationToken::new();
    let app = App::new(Parts {
        handle: handle.clone(),
        keys,
        hosts: Hosts::new(address, &hosts),
        version: version.clone(),
        schema,
        sockets: Sockets::start().map_err(Error::Thread)?,
        stopping: stopping.clone(),
    });
    let url = address::url(address);
    let announce = || {
        address::announce(&data_directory, &url, &version)
            .map_err(|cause| Error::Announce { directory: data_directory.clone(), cause })
    };
    let announced = announces.then(announce).transpose()?;
    Ok(Server {
        driver: tokio::spawn(service.run()),
        listener: tokio::spawn(listener::serve(socket, rest::router(app), stopping.clone())),
        retention: tokio::spawn(retention::run(handle.clone(), keep)),
        handle,
        address,
        url,
        token,
        stopping,
        announced,
    })
}

impl Server {
    /// Reaches the engine and the store, and connects workers of this process.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How a client on this machine reaches it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The token of the data directory: an admin of `default`.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Serves until `until` comes true, then stops in good order; ends sooner, with an error, if the
    /// store cannot be trusted any more. The process should end then.
    pub async fn run(mut self, until: impl Future<Output = ()>) -> Result<(), Error> {
        let ended = tokio::select! {
            () = until => None,
            ended = &mut self.driver => Some(ended.unwrap_or(Err(driver::Error::Panicked))),
        };
        self.retention.abort();
        self.stopping.cancel();
        if let Some(ended) = ended {
            drop(self.announced);
            return ended.map_err(Error::from);
        }
        let _ = (&mut self.listener).await;
        self.handle.stop().await;
        let ended = tokio::time::timeout(DRIVER_END_MAX, &mut self.driver).await;
        drop(self.announced);
        match ended {
            Ok(Ok(result)) => Ok(result?),
            Ok(Err(_)) => Err(driver::Error::Panicked.into()),
            Err(_) => {
                tracing::warn!("the driver did not end in time");
                Ok(())
            }
        }
    }

    /// Stops in good order: nothing that was acknowledged is lost, workers keep their runs and come
    /// back to the next server.
    pub async fn stop(self) -> Result<(), Error> {
        self.run(std::future::ready(())).await
    }
}
