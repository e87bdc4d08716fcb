//! A connection to the Docker Engine that belongs to one build: dropping it ends what runs on it. The pooled connections behind a
//! `bollard::Docker` cannot promise that, and offer neither raw sessions nor secrets from memory.

use std::io;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, combinators::UnsyncBoxBody};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    upgrade::Upgraded,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_util::task::AbortOnDropHandle;

use crate::EngineAddress;

/// The body of a request.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Bytes of an error message that are read.
const ERROR_LIMIT_BYTES: usize = 64 * 1024;

/// Why the engine did not answer as it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    /// Nobody listens, or the connection broke.
    #[error("the Docker Engine cannot be reached")]
    Connect(#[source] io::Error),
    /// The connection broke, or what came was no HTTP.
    #[error("the connection to the Docker Engine broke")]
    Http(#[from] hyper::Error),
    /// The request could not be made: a fault of ours.
    #[error("the request to the Docker Engine is not valid")]
    Request(#[from] http::Error),
    /// The engine refused.
    #[error("the Docker Engine answered {status}: {message}")]
    Refused {
        /// Its status.
        status: StatusCode,
        /// Its message.
        message: String,
    },
}

/// An open connection. Closed when dropped.
pub(crate) struct Connection {
    sender: SendRequest<Body>,
    _driver: AbortOnDropHandle<()>,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: &EngineAddress) -> Result<Self, EngineError> {
        match address {
            EngineAddress::Unix(path) => {
                Self::over(UnixStream::connect(path).await.map_err(EngineError::Connect)?).await
            }
            EngineAddress::Tcp(host) => Self::over(TcpStream::connect(host).await.map_err(EngineError::Connect)?).await,
        }
    }

    async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<Self, EngineError> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(async move {
            // Whoever waits for the response sees the same error.
            let _ = connection.with_upgrades().await;
        });
        Ok(Self {
            sender,
            _driver: AbortOnDropHandle::new(driver),
        })
    }

    /// Sends a request and waits for the head of its response; anything but success is an error with the engine's message.
    pub(crate) async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, EngineError> {
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        let body = http_body_util::Limited::new(response.into_body(), ERROR_LIMIT_BYTES)
            .collect()
            .await;
        let text = body
            .map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned())
            .unwrap_or_default();
        Err(EngineError::Refused {
            status,
            message: message_of(&text),
        })
    }

    /// Sends a request that turns the connection into a raw stream both ways.
    pub(crate) async fn upgrade(mut self, request: Request<Body>) -> Result<Upgraded, EngineError> {
        let response = self.send(request).await?;
        Ok(hyper::upgrade::on(response).await?)
    }
}

/// A POST to a path of the API, with its query.
pub(crate) fn post(path_and_query: &str) -> http::request::Builder {
    Request::post(path_and_query).header(header::HOST, "docker")
}

/// A body without content.
pub(crate) fn no_body() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

fn message_of(text: &str) -> String {
    let json: Option<serde_json::Value> = serde_json::from_str(text).ok();
    let message = json.as_ref().and_then(|json| json.get("message")?.as_str());
    message.unwrap_or(text).trim().to_owned()
}
