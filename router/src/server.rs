//! The router's life: threads up, serve, drain, down.

use std::{
    future::Future,
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{runtime, sync::mpsc, time};
use tokio_util::task::TaskTracker;

use crate::{
    RouterConfig, accept, control,
    proxy::Worker,
    state::{Shared, SharedParts},
};

const SWEEP_EVERY: Duration = Duration::from_secs(2);

/// Why the router could not run.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    /// There is nothing to listen on.
    #[error("the router was given no socket to listen on")]
    NoListener,
    /// A socket could not be used.
    #[error("a listening socket cannot be used")]
    Listener(#[source] io::Error),
    /// The control socket could not be bound.
    #[error("the control socket cannot be opened")]
    Control(#[source] io::Error),
    /// Another router answers on the control socket.
    #[error("another router is running on this control socket; stop it first")]
    AlreadyRunning,
    /// A worker thread could not be started.
    #[error("a worker thread cannot be started")]
    Thread(#[source] io::Error),
    /// A worker thread ended although nobody asked it to.
    #[error("a worker thread ended by itself")]
    WorkerDied,
}

/// Serves until `shutdown` resolves or the control socket asks for the end, then lets requests in flight finish for
/// [`crate::Limits::drain`] at most. The last table is live before the first connection is accepted. Needs a Tokio runtime,
/// which it uses for the control socket only: requests run on threads of their own. Dropped before it has ended, it cuts off
/// what is in flight.
pub async fn run(config: RouterConfig, shutdown: impl Future<Output = ()>) -> Result<(), RouterError> {
    if config.http.is_empty() {
        return Err(RouterError::NoListener);
    }
    let threads = config
        .workers
        .or_else(|| thread::available_parallelism().ok())
        .map_or(1, usize::from);
    let mut control = control::bind(config.control).await?;
    let parts = SharedParts {
        limits: config.limits,
        table_file: config.table_file,
        listeners: config.http,
        version: config.version,
    };
    let shared = Arc::new(Shared::start(parts, threads));
    let _closing = CloseOnDrop(Arc::clone(&shared));
    let _abort = shared.abort.clone().drop_guard();
    let (alive, mut all_ended) = mpsc::channel::<()>(1);
    let mut workers = Vec::with_capacity(threads);
    for index in 0..threads {
        let worker = Worker {
            shared: Arc::clone(&shared),
            index,
            tasks: TaskTracker::new(),
        };
        workers.push(start_worker(worker, alive.clone())?);
    }
    drop(alive);
    control.announce()?;
    let control = tokio::spawn(control::serve(control, Arc::clone(&shared)));
    let served = serve_until(&shared, shutdown, &mut all_ended).await;
    shared.close();
    tracing::info!(connections = shared.caps.open(), "router is draining");
    if time::timeout(shared.limits.drain, all_ended.recv()).await.is_err() {
        tracing::warn!(
            connections = shared.caps.open(),
            "the drain took too long; what is left is cut off"
        );
    }
    shared.abort.cancel();
    // Its socket file is gone when this returns: the next router may bind at once.
    let _ = control.await;
    let joined =
        tokio::task::spawn_blocking(|| workers.into_iter().map(JoinHandle::join).filter(Result::is_err).count());
    match joined.await {
        Ok(0) => served,
        _ => Err(RouterError::WorkerDied),
    }
}

async fn serve_until(
    shared: &Arc<Shared>,
    shutdown: impl Future<Output = ()>,
    all_ended: &mut mpsc::Receiver<()>,
) -> Result<(), RouterError> {
    tokio::select! {
        () = shutdown => Ok(()),
        () = shared.closing.cancelled() => Ok(()),
        // Workers without a connection end as soon as the router closes.
        _ = all_ended.recv() => if shared.is_closing() { Ok(()) } else { Err(RouterError::WorkerDied) },
    }
}

/// A router that is dropped takes no more connections.
struct CloseOnDrop(Arc<Shared>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// `alive` is dropped when the worker has ended, also by a panic.
fn start_worker(worker: Worker, alive: mpsc::Sender<()>) -> Result<JoinHandle<()>, RouterError> {
    let sockets = worker
        .shared
        .listeners()
        .iter()
        .map(|socket| socket.set_nonblocking(true).and_then(|()| socket.try_clone()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(RouterError::Listener)?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RouterError::Thread)?;
    let listeners = {
        let _inside = runtime.enter();
        let registered: io::Result<Vec<_>> = sockets.into_iter().map(tokio::net::TcpListener::from_std).collect();
        registered.map_err(RouterError::Listener)?
    };
    thread::Builder::new()
        .name(format!("router-{}", worker.index))
        .spawn(move || {
            let _alive = alive;
            runtime.block_on(work(Arc::new(worker), listeners));
        })
        .map_err(RouterError::Thread)
}

/// One thread's data plane: accept until closing, then wait for what is open.
async fn work(worker: Arc<Worker>, listeners: Vec<tokio::net::TcpListener>) {
    for listener in listeners {
        tokio::spawn(accept::accept(listener, Arc::clone(&worker)));
    }
    tokio::spawn(sweep(Arc::clone(&worker)));
    worker.shared.closing.cancelled().await;
    worker.tasks.close();
    tokio::select! {
        () = worker.tasks.wait() => {}
        () = worker.shared.abort.cancelled() => {}
    }
}

/// Closes this thread's idle connections to instances that closed theirs or that nobody used for long.
async fn sweep(worker: Arc<Worker>) {
    loop {
        time::sleep(SWEEP_EVERY).await;
        for endpoint in worker.shared.live_endpoints() {
            endpoint.sweep(worker.index, worker.shared.limits.upstream_idle);
        }
    }
}
