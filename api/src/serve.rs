//! The serving loop. `axum::serve` has no timer, so that a client which sends half a header would stay for ever; and its graceful
//! end waits for streams that never end. Here both are bounded.

use std::{
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::Router;
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;

/// A request's header must have arrived within this; so must the first byte of a connection.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// A client of HTTP/2 that answers no ping within this is gone.
const PING: Duration = Duration::from_secs(20);

/// Connections at once. More wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 2048;

/// How long requests may take to end when the server stops. Streams end by themselves at once.
const DRAIN: Duration = Duration::from_secs(15);

/// Serves HTTP/1.1 and HTTP/2 (with prior knowledge) until `shutdown`. Then no connection is accepted any more, requests that
/// are under way get 15 seconds to end, and what is left is cut off.
///
/// # Errors
/// None at present: what goes wrong with one connection is its own.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) -> io::Result<()> {
    let (connections, slots) = (TaskTracker::new(), Arc::new(Semaphore::new(MAX_CONNECTIONS)));
    let cut = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        match accepted {
            Ok((stream, slot)) => {
                let connection = connection(stream, router.clone(), shutdown.clone());
                let cut = cut.clone();
                connections.spawn(async move {
                    cut.run_until_cancelled(connection).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if timeout(DRAIN, connections.wait()).await.is_err() {
        tracing::warn!(left = connections.len(), "connections are cut off");
    }
    cut.cancel();
    connections.wait().await;
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, slot))
}

async fn connection(stream: TcpStream, router: Router, shutdown: CancellationToken) {
    let began = Arc::new(AtomicBool::new(false));
    let service = {
        let began = Arc::clone(&began);
        service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            began.store(true, Ordering::Relaxed);
            router.clone().call(request)
        })
    };
    let builder = builder();
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    // Hyper's own timer starts only when it knows which version of HTTP it is.
    let mut first_request = pin!(sleep(HEADER_TIMEOUT));
    let (mut waits, mut stopping) = (true, false);
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(error, "a connection broke off");
                }
                return;
            }
            () = &mut first_request, if waits => {
                if !began.load(Ordering::Relaxed) {
                    return;
                }
                waits = false;
            }
            () = shutdown.cancelled(), if !stopping => {
                connection.as_mut().graceful_shutdown();
                stopping = true;
            }
        }
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(64 * 1024);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .max_concurrent_streams(128)
        .max_header_list_size(64 * 1024);
    builder
}
