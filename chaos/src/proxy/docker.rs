//! A proxy for Docker's API that counts what changes something.

use std::{
    convert::Infallible,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Body, Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::{
    net::{UnixListener, UnixStream},
    sync::watch,
    task::JoinHandle,
};

use super::{Line, process_of};
use crate::point::{Action, Hit, Points, Side};

type AnyBody = UnsyncBoxBody<Bytes, io::Error>;

/// A running proxy. Dropping it ends it.
#[derive(Debug)]
pub struct DockerProxy {
    directory: TempDir,
    line: watch::Sender<Line>,
    accepting: JoinHandle<()>,
}

impl DockerProxy {
    /// Stands before the Docker behind this socket.
    ///
    /// # Errors
    /// When its own socket cannot be made.
    pub fn start(docker: &Path, points: Arc<Points>) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("chaos-docker-").tempdir_in("/tmp")?;
        let listener = UnixListener::bind(directory.path().join("docker.sock"))?;
        let line = watch::Sender::new(Line::Up);
        let (lines, docker) = (line.subscribe(), docker.to_owned());
        let accepting = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                let (docker, points, lines) = (docker.clone(), points.clone(), lines.clone());
                connections.spawn(async move { serve(client, docker, points, lines).await });
            }
        });
        Ok(Self {
            directory,
            line,
            accepting,
        })
    }

    /// The address for the engine.
    pub fn url(&self) -> String {
        format!("unix://{}/docker.sock", self.directory.path().display())
    }

    /// Changes the state of the line.
    pub fn set_line(&self, line: Line) {
        self.line.send_replace(line);
    }
}

impl Drop for DockerProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(client: UnixStream, docker: PathBuf, points: Arc<Points>, mut lines: watch::Receiver<Line>) {
    if *lines.borrow() == Line::Down {
        return;
    }
    let by = process_of(&client);
    let service = {
        let lines = lines.clone();
        service_fn(move |request| {
            let (docker, points, lines) = (docker.clone(), points.clone(), lines.clone());
            async move { forward(request, by, &docker, (&points, lines)).await }
        })
    };
    let connection = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(client), service)
        .with_upgrades();
    tokio::select! {
        _ = connection => {}
        _ = lines.wait_for(|line| *line == Line::Down) => {}
    }
}

/// What a request changes, without the ids in it; none when it only reads.
fn change(method: &Method, path: &str) -> Option<String> {
    if !matches!(*method, Method::POST | Method::DELETE | Method::PUT) {
        return None;
    }
    let path = path.trim_start_matches('/');
    let path = path
        .strip_prefix('v')
        .and_then(|rest| rest.split_once('/'))
        .map_or(path, |(_, rest)| rest);
    let words: Vec<&str> = path.split('/').collect();
    // `session` only carries a build, and `wait` only waits.
    if matches!(words[..], ["session" | "auth"] | ["containers", _, "wait" | "attach"]) {
        return None;
    }
    let shown: Vec<&str> = words
        .iter()
        .enumerate()
        .map(|(at, word)| {
            let is_id =
                at > 0 && !matches!(*word, "create" | "prune" | "json" | "load") && (at == 1 || words[0] == "images");
            if is_id { "*" } else { *word }
        })
        .collect();
    Some(format!("docker: {method} {}", shown.join("/")))
}

async fn forward(
    request: Request<Incoming>,
    by: u32,
    docker: &Path,
    (points, mut lines): (&Arc<Points>, watch::Receiver<Line>),
) -> Result<Response<AnyBody>, io::Error> {
    let line = *lines
        .wait_for(|line| *line != Line::Silent)
        .await
        .map_err(io::Error::other)?;
    if let Line::Slow(by) = line {
        tokio::time::sleep(by).await;
    }
    let what = change(request.method(), request.uri().path());
    let hit = what.as_deref().and_then(|what| points.reach(what, by));
    let is_build = request.uri().path().ends_with("/build");
    match hit {
        Some(hit) if hit.side == Side::Before => {
            points.spring(hit).await;
            match hit.action {
                Action::Kill | Action::Cut => Err(io::Error::other("the connection was cut here on purpose")),
                Action::Fail => Ok(refusal()),
                Action::Stop => send(request, docker).await,
            }
        }
        Some(hit) if is_build => {
            let answer = send(request, docker).await?;
            Ok(answer.map(|body| trapped(body, points.clone(), hit)))
        }
        Some(hit) => {
            let (head, body) = send(request, docker).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            points.spring(hit).await;
            match hit.action {
                Action::Kill | Action::Cut => Err(io::Error::other("the connection was cut here on purpose")),
                Action::Fail => Ok(refusal()),
                Action::Stop => Ok(Response::from_parts(head, whole(body))),
            }
        }
        None => send(request, docker).await,
    }
}

fn whole(bytes: Bytes) -> AnyBody {
    Full::new(bytes)
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

fn refusal() -> Response<AnyBody> {
    let mut answer = Response::new(whole(Bytes::from_static(
        b"{\"message\":\"chaos: this call fails on purpose\"}",
    )));
    *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    answer
}

/// Sends a request over a connection of its own, so that what becomes of one cannot touch another.
async fn send(mut request: Request<Incoming>, docker: &Path) -> Result<Response<AnyBody>, io::Error> {
    let stream = UnixStream::connect(docker).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(connection.with_upgrades());
    let client_side = hyper::upgrade::on(&mut request);
    let request = request.map(|body| body.map_err(io::Error::other).boxed_unsync());
    let mut answer = sender.send_request(request).await.map_err(io::Error::other)?;
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        let server_side = hyper::upgrade::on(&mut answer);
        tokio::spawn(async move {
            if let (Ok(client), Ok(server)) = (client_side.await, server_side.await) {
                let (mut client, mut server) = (TokioIo::new(client), TokioIo::new(server));
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            }
        });
    }
    // The sender must live as long as the body: without it the connection would be closed under a long answer.
    Ok(answer.map(|body| {
        KeptBody {
            body: body.map_err(io::Error::other).boxed_unsync(),
            _sender: sender,
        }
        .boxed_unsync()
    }))
}

/// A body that keeps its connection.
struct KeptBody<S> {
    body: AnyBody,
    _sender: S,
}

impl<S: Unpin> Body for KeptBody<S> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

/// The log of a build, whose end springs the trap: the image is there, and the engine does not hear of it.
fn trapped(mut body: AnyBody, points: Arc<Points>, hit: Hit) -> AnyBody {
    let (out, frames) = tokio::sync::mpsc::channel(8);
    tokio::spawn(async move {
        while let Some(frame) = body.frame().await {
            if out.send(frame).await.is_err() {
                return;
            }
        }
        points.spring(hit).await;
        if hit.action != Action::Stop {
            let _ = out
                .send(Err(io::Error::other("the build's answer was cut here on purpose")))
                .await;
        }
    });
    StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(frames)).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_something_is_named_without_its_ids() {
        let names = [
            (
                Method::POST,
                "/v1.41/containers/create",
                Some("docker: POST containers/create"),
            ),
            (
                Method::POST,
                "/v1.41/containers/abc/start",
                Some("docker: POST containers/*/start"),
            ),
            (Method::DELETE, "/containers/abc", Some("docker: DELETE containers/*")),
            (
                Method::DELETE,
                "/v1.41/images/windlass/shop:dpl_1",
                Some("docker: DELETE images/*/*"),
            ),
            (
                Method::POST,
                "/v1.41/networks/create",
                Some("docker: POST networks/create"),
            ),
            (Method::POST, "/v1.41/build", Some("docker: POST build")),
            (Method::POST, "/v1.41/session", None),
            (Method::POST, "/v1.41/containers/abc/wait", None),
            (Method::GET, "/v1.41/containers/json", None),
        ];
        for (method, path, expected) in names {
            assert_eq!(change(&method, path).as_deref(), expected, "{path}");
        }
    }
}
