//! What stands before every call: the host, the key, its scope, and the names of the query.

use super::error::Refusal;
use super::query::{CURSOR, Parameter, Query, invalid};
use super::route::Route;
use super::{App, Parts};
use crate::auth::Caller;
use axum::Extension;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::MethodRouter;
use polos_protocol::rest::Scope;
use polos_store::{Read, ReadError};
use std::sync::Arc;

#[derive(Clone)]
struct Guard {
    app: App,
    scope: Option<Scope>,
    query: Arc<[Parameter]>,
}

/// Puts the guard before a route's handler.
pub(super) fn behind(handler: MethodRouter<App>, app: &App, route: &Route) -> MethodRouter<App> {
    let query = route.query.clone().into();
    let guard = Guard { app: app.clone(), scope: route.scope, query };
    handler.layer(middleware::from_fn_with_state(guard, check))
}

async fn check(
    State(guard): State<Guard>,
    query: Query,
    mut request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    if let Some(scope) = guard.scope {
        let caller = guard.app.keys.caller(request.headers())?;
        caller.require(scope)?;
        request.extensions_mut().insert(caller);
    }
    query.only(&guard.query)?;
    Ok(next.run(request).await)
}

/// The check of `Host` and `Origin`, before everything else.
pub(super) async fn hosts(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    app.hosts.check(request.headers())?;
    Ok(next.run(request).await)
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut request::Parts, state: &S) -> Result<Self, Refusal> {
        Extension::<Self>::from_request_parts(parts, state)
            .await
            .map(|Extension(caller)| caller)
            .map_err(|error| Refusal::internal(&error))
    }
}

impl Parts {
    /// Reads rows of the caller's namespace without blocking.
    pub(super) async fn read<T, F>(&self, read: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Read) -> Result<T, ReadError> + Send + 'static,
    {
        self.handle.try_read(read).await?.map_err(|cause| match cause {
            ReadError::Cursor(_) => invalid(CURSOR.name, cause),
            cause => polos_engine::Error::from(cause).into(),
        })
    }
}
