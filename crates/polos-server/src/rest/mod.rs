//! The REST interface: one file a noun. Every answer that is not a success has the one shape of an
//! error; every route is in the table from which its description is made.

mod approvals;
mod audit;
mod body;
mod definitions;
mod error;
mod events;
mod field;
mod follow;
mod guard;
mod keys;
mod openapi;
mod query;
mod queues;
mod route;
mod runs;
mod server;
mod sessions;
mod values;
mod verbs;
mod view;
mod workers;

pub(crate) use error::Refusal;
pub use openapi::document;

use crate::auth::{Hosts, Keys};
use crate::driver::Handle;
use crate::worker::Sockets;
use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware;
use route::Route;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What every call can reach.
#[derive(Debug, Clone)]
pub(crate) struct App(Arc<Parts>);

#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) handle: Handle,
    pub(crate) keys: Keys,
    pub(crate) hosts: Hosts,
    /// The server's version.
    pub(crate) version: String,
    /// The version of the store's schema.
    pub(crate) schema: u32,
    /// Where the workers' connections live.
    pub(crate) sockets: Sockets,
    /// Cancelled when the server stops: whatever is open ends.
    pub(crate) stopping: CancellationToken,
}

impl App {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl std::ops::Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// All routes, in the order of the description.
fn routes() -> Vec<Route> {
    [
        runs::routes(),
        follow::routes(),
        verbs::routes(),
        approvals::routes(),
        events::routes(),
        queues::routes(),
        workers::routes(),
        definitions::routes(),
        sessions::routes(),
        values::routes(),
        keys::routes(),
        audit::routes(),
        server::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The router of the whole server.
pub(crate) fn router(app: App) -> Router {
    routes()
        .into_iter()
        .fold(Router::new(), |router, mut route| {
            let handler = std::mem::take(&mut route.handler);
            router.route(route.path, guard::behind(handler, &app, &route))
        })
        .fallback(unknown)
        .method_not_allowed_fallback(not_allowed)
        .layer(middleware::from_fn_with_state(app.clone(), guard::hosts))
        .with_state(app)
}

async fn unknown(uri: Uri) -> Refusal {
    let path: String = uri.path().chars().take(256).collect();
    Refusal::new(
        StatusCode::NOT_FOUND,
        "unknown_path",
        format!("there is nothing at `{path}`"),
        "see /openapi.json for what there is",
    )
}

async fn not_allowed(method: Method, uri: Uri) -> Refusal {
    let path: String = uri.path().chars().take(256).collect();
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("`{path}` does not answer `{method}`"),
        "see /openapi.json for what it answers",
    )
}
