//! Takes connections and serves HTTP on them, within limits, until told to stop.

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How many connections there may be at once.
const CONNECTIONS_MAX: usize = 8192;
/// How long the head of a request may take to come. It counts from the request before, so it is
/// longer than clients keep idle connections: they are to close them, not to run into the end.
const HEAD_TIME_MAX: Duration = Duration::from_secs(100);
/// How large the head of a request may be.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// The pause after the system refused a connection, for example for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long requests may take to end when the server stops.
const GOODBYE_MAX: Duration = Duration::from_secs(3);

/// Serves until `stopping`, then lets what is under way end, for a bounded time.
pub(crate) async fn serve(listener: TcpListener, router: Router, stopping: CancellationToken) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let tasks = TaskTracker::new();
    loop {
        let permit = tokio::select! {
            () = stopping.cancelled() => break,
            permit = Arc::clone(&permits).acquire_owned() => permit,
        };
        let accepted = tokio::select! {
            () = stopping.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (router, stopping) = (router.clone(), stopping.clone());
                tasks.spawn(async move {
                    connection(stream, router, stopping).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(GOODBYE_MAX, tasks.wait()).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
}

async fn connection(stream: TcpStream, router: Router, stopping: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps its delay");
    }
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut router = router.clone();
        async move {
            let request = request.map(Body::new);
            Ok::<_, Infallible>(into_ok(tower_call(&mut router, request).await))
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX).max_buf_size(HEAD_BYTES_MAX);
    let serving = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = stopping.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}

async fn tower_call(
    router: &mut Router,
    request: axum::http::Request<Body>,
) -> Result<axum::response::Response, Infallible> {
    use hyper_util::service::TowerToHyperService;
    hyper::service::Service::call(&TowerToHyperService::new(router.clone()), request).await
}

fn into_ok<T>(result: Result<T, Infallible>) -> T {
    match result {
        Ok(value) => value,
        Err(never) => match never {},
    }
}
