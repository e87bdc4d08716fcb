//! The app of the proof: says which version of which app it is, and misbehaves when it is told to.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "it is the app of a test, and apps read the environment"
)]

use std::{
    convert::Infallible,
    io::Write,
    pin::pin,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use bytes::Bytes;
use clap::Parser;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    signal::unix::SignalKind,
    sync::watch,
    task::JoinSet,
};

/// How it behaves. Without any of these it is a good app.
#[derive(Debug, Clone, Parser)]
struct Behaviour {
    /// Ends at once with exit code 1.
    #[arg(long)]
    crash: bool,
    /// Listens only after so many seconds.
    #[arg(long, default_value_t = 0)]
    slow_start: u64,
    /// Ends with exit code 1 after so many seconds.
    #[arg(long)]
    die_after: Option<u64>,
    /// Answers every request with 500.
    #[arg(long)]
    never_healthy: bool,
    /// Answers `/healthz` with 200 and 500 in turn.
    #[arg(long)]
    flap: bool,
    /// Does not hear SIGTERM.
    #[arg(long)]
    ignore_term: bool,
    /// Takes more and more memory.
    #[arg(long)]
    eat_memory: bool,
    /// Writes to its log without end.
    #[arg(long)]
    flood: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::process::ExitCode {
    let behaviour = Behaviour::parse();
    println!("{} starts", name());
    if behaviour.crash {
        return std::process::ExitCode::FAILURE;
    }
    misbehave(&behaviour);
    tokio::time::sleep(Duration::from_secs(behaviour.slow_start)).await;
    serve(behaviour).await;
    println!("{} ends", name());
    std::process::ExitCode::SUCCESS
}

/// App and version, as the commit says.
fn name() -> String {
    std::fs::read_to_string("/app/version")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn misbehave(behaviour: &Behaviour) {
    if let Some(seconds) = behaviour.die_after {
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            std::process::exit(1);
        });
    }
    if behaviour.eat_memory {
        std::thread::spawn(|| {
            let mut eaten: Vec<Vec<u8>> = Vec::new();
            loop {
                eaten.push(vec![1; 4 << 20]);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
    }
    if behaviour.flood {
        std::thread::spawn(|| {
            let line = "a flood of log that nobody asked for ".repeat(20);
            loop {
                let _ = writeln!(std::io::stdout(), "{line}");
            }
        });
    }
}

async fn serve(behaviour: Behaviour) {
    let port: u16 = std::env::var("PORT")
        .ok()
        .and_then(|port| port.parse().ok())
        .unwrap_or(8080);
    let listener = TcpListener::bind(("0.0.0.0", port)).await.expect("the port is free");
    println!("listening on {port}");
    let mut term = tokio::signal::unix::signal(SignalKind::terminate()).expect("signals can be heard");
    let ends = watch::Sender::new(false);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                while connections.try_join_next().is_some() {}
                connections.spawn(connection(stream, behaviour.clone(), ends.subscribe()));
            }
            _ = term.recv(), if !behaviour.ignore_term => break,
        }
    }
    drop(listener);
    ends.send_replace(true);
    let all_over = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(Duration::from_secs(20), all_over).await;
}

/// Serves a connection; when the app ends, the request under way is answered and no other one taken.
async fn connection(stream: TcpStream, behaviour: Behaviour, mut ends: watch::Receiver<bool>) {
    let service = service_fn(move |request| answer(request, behaviour.clone()));
    let connection = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = ends.wait_for(|ends| *ends) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

static CHECKS: AtomicU32 = AtomicU32::new(0);

async fn answer(mut request: Request<Incoming>, behaviour: Behaviour) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.headers().contains_key(header::UPGRADE) {
        return Ok(tunnel(&mut request));
    }
    if let Some(wait) = request.uri().query().and_then(|query| query.strip_prefix("wait_ms=")) {
        tokio::time::sleep(Duration::from_millis(wait.parse().unwrap_or(0))).await;
    }
    let flaps = behaviour.flap && request.uri().path() == "/healthz" && CHECKS.fetch_add(1, Ordering::Relaxed) % 2 == 1;
    let tint = std::env::var("TINT").unwrap_or_else(|_| "-".to_owned());
    let mut answer = Response::new(Full::new(Bytes::from(format!("{} {tint}\n", name()))));
    if behaviour.never_healthy || flaps {
        *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    Ok(answer)
}

/// Echoes what comes, as a WebSocket's server would look to a proxy.
fn tunnel(request: &mut Request<Incoming>) -> Response<Full<Bytes>> {
    let upgraded = hyper::upgrade::on(request);
    tokio::spawn(async move {
        if let Ok(upgraded) = upgraded.await {
            let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
            let _ = tokio::io::copy(&mut read, &mut write).await;
        }
    });
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    for (name, value) in [(header::CONNECTION, "upgrade"), (header::UPGRADE, "websocket")] {
        answer
            .headers_mut()
            .insert(name, value.parse().expect("a constant header value"));
    }
    answer
}
