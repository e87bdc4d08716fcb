//! A router, apps behind it, and clients in front of it.

use std::{
    convert::Infallible,
    future::Future,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};
use windlass_domain::{InstanceId, Middleware, Route, RouteTable, Upstream};
use windlass_router::{
    ControlSocket, Limits, RouterConfig, RouterError,
    control::{Ack, ControlClient},
};

pub const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until the condition holds; fails the test if it does not in time.
pub async fn wait_until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A running router with its own folder.
pub struct Router {
    pub address: SocketAddr,
    pub control: ControlClient,
    pub folder: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    ended: JoinHandle<Result<(), RouterError>>,
}

impl Router {
    pub async fn start() -> Self {
        // Whatever client a test has forgotten should not hold up the end of its router.
        let limits = Limits {
            keep_alive_grace: Duration::from_millis(100),
            ..Limits::default()
        };
        Self::start_with(limits).await
    }

    pub async fn start_with(limits: Limits) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), limits).await
    }

    pub async fn start_in(folder: tempfile::TempDir, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let socket = folder.path().join("control.sock");
        let config = RouterConfig {
            http: vec![listener],
            control: ControlSocket::Path(socket.clone()),
            table_file: folder.path().join("routes.json"),
            workers: Some(2.try_into().unwrap()),
            limits,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(windlass_router::run(config, async {
            let _ = stopped.await;
        }));
        let control = ControlClient::new(&socket);
        let router = Self {
            address,
            control,
            folder,
            stop: Some(stop),
            ended,
        };
        wait_until("the router is up", || async { router.control.status().await.is_ok() }).await;
        router
    }

    /// Applies a table with these routes, newer than the live one.
    pub async fn apply(&self, routes: Vec<Route>) -> Ack {
        let generation = self.control.status().await.unwrap().generation + 1;
        self.control.apply(RouteTable { generation, routes }).await.unwrap()
    }

    /// Tells it to stop, without waiting.
    pub fn begin_stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    /// Waits until it has ended; gives back its folder.
    pub async fn ended(self) -> tempfile::TempDir {
        timeout(PATIENCE, self.ended).await.unwrap().unwrap().unwrap();
        self.folder
    }

    pub async fn stop(mut self) -> tempfile::TempDir {
        self.begin_stop();
        self.ended().await
    }

    pub async fn in_flight(&self, app: &App) -> u64 {
        self.control
            .status()
            .await
            .unwrap()
            .in_flight
            .get(&app.instance)
            .copied()
            .unwrap_or(0)
    }

    pub async fn get(&self, host: &str, path: &str) -> Reply {
        self.send(request("GET", host, path)).await
    }

    /// Sends a request on a connection of its own.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Reply {
        Client::connect(self.address).await.send(request).await
    }

    /// Sends bytes and reads until the router closes the connection.
    pub async fn raw(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes.as_ref()).await.unwrap();
        let mut answer = Vec::new();
        // A reset after the answer is an end too.
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer))
            .await
            .expect("the router keeps the connection open");
        String::from_utf8_lossy(&answer).into_owned()
    }
}

pub fn request(method: &str, host: &str, path: &str) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", host)
        .body(Full::default())
        .unwrap()
}

/// A response with its whole body.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

/// A keep-alive HTTP/1.1 connection to the router.
pub struct Client(hyper::client::conn::http1::SendRequest<Full<Bytes>>);

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
        let (sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Reply {
        timeout(PATIENCE, self.0.ready()).await.unwrap().unwrap();
        read(timeout(PATIENCE, self.0.send_request(request)).await.unwrap().unwrap()).await
    }
}

pub async fn read(response: Response<Incoming>) -> Reply {
    let (parts, body) = response.into_parts();
    let body = timeout(PATIENCE, body.collect()).await.unwrap().unwrap().to_bytes();
    Reply {
        status: parts.status,
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

/// An HTTP/2 connection with prior knowledge.
pub async fn http2(address: SocketAddr) -> hyper::client::conn::http2::SendRequest<Full<Bytes>> {
    http2_with_window(address, None).await
}

/// As [`http2`], with a window of this size for each stream.
pub async fn http2_with_window(
    address: SocketAddr,
    window: impl Into<Option<u32>>,
) -> hyper::client::conn::http2::SendRequest<Full<Bytes>> {
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(window)
        .handshake(io)
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

pub type Body = UnsyncBoxBody<Bytes, Infallible>;

pub fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).boxed_unsync()
}

/// An instance of an app.
pub struct App {
    pub instance: InstanceId,
    pub address: SocketAddr,
    pub connections: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl App {
    /// Answers each request with what the handler makes of it.
    pub async fn serve<H, F>(handler: H) -> Self
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<Body>> + Send,
    {
        Self::raw(move |stream| {
            let handler = handler.clone();
            async move {
                let service = service_fn(move |request| {
                    let answer = handler(request);
                    async { Ok::<_, Infallible>(answer.await) }
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades()
                    .await;
            }
        })
        .await
    }

    /// Answers each request with its own name.
    pub async fn named(name: &'static str) -> Self {
        Self::serve(move |_| async move { Response::new(full(name)) }).await
    }

    /// Answers with the head that it got, one `name: value` per line, the request line first.
    pub async fn echo_head() -> Self {
        Self::serve(|request| async move {
            let mut text = format!("{} {}\n", request.method(), request.uri());
            for (name, value) in request.headers() {
                text.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
            }
            Response::new(full(text))
        })
        .await
    }

    /// Does with each connection what it likes.
    pub async fn raw<H, F>(handler: H) -> Self
    where
        H: Fn(TcpStream) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, SeqCst);
                tokio::spawn(handler(stream));
            }
        });
        Self {
            instance: InstanceId::generate(),
            address,
            connections,
            accepting,
        }
    }

    /// An instance that refuses connections.
    pub fn dead() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self {
            instance: InstanceId::generate(),
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            accepting: tokio::spawn(async {}),
        }
    }

    /// An instance whose queue of connections is full, so that it is silent to new ones, until it is told to serve: then it answers
    /// with its name.
    pub async fn silent(name: &'static str) -> (Self, oneshot::Sender<()>) {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queue = Vec::new();
        while let Ok(connection) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
            queue.push(connection.unwrap());
        }
        let (serve, told) = oneshot::channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let accepting = tokio::spawn(async move {
            // Not told: it is silent to its end.
            if told.await.is_err() {
                return std::future::pending().await;
            }
            drop(queue);
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, SeqCst);
                tokio::spawn(async move {
                    let mut asked = Vec::new();
                    while !asked.ends_with(b"\r\n\r\n") {
                        // Those that filled the queue ask for nothing.
                        if stream.read_buf(&mut asked).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", name.len());
                    let _ = stream.write_all((head + name).as_bytes()).await;
                });
            }
        });
        let app = Self {
            instance: InstanceId::generate(),
            address,
            connections,
            accepting,
        };
        (app, serve)
    }

    pub fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }

    fn upstream(&self) -> Upstream {
        Upstream {
            instance: self.instance,
            address: self.address,
        }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

pub fn route(host: &str, path: &str, apps: &[&App]) -> Route {
    Route {
        app: "shop".parse().unwrap(),
        process: "web".parse().unwrap(),
        host: host.parse().unwrap(),
        path: path.to_owned(),
        middlewares: vec![],
        upstreams: apps.iter().map(|app| app.upstream()).collect(),
    }
}

pub fn with(mut route: Route, middlewares: Vec<Middleware>) -> Route {
    route.middlewares = middlewares;
    route
}

/// Reads from a stream until the text has come.
pub async fn read_until(stream: &mut (impl AsyncReadExt + Unpin), text: &str) -> String {
    let mut got = Vec::new();
    while !String::from_utf8_lossy(&got).contains(text) {
        let n = timeout(PATIENCE, stream.read_buf(&mut got))
            .await
            .unwrap_or_else(|_| panic!("no {text:?}"))
            .unwrap();
        assert!(n > 0, "ended before {text:?}: {}", String::from_utf8_lossy(&got));
    }
    String::from_utf8(got).unwrap()
}
