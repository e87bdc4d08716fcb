//! Smart HTTP (gitprotocol-http): git's own `upload-pack` and `receive-pack` do the work; here their bytes are moved, both ways
//! at once and with back-pressure.
//!
//! A client that goes away ends a clone. It does not end a push whose objects are in: the hook goes on, and what it prints is
//! read and dropped, so that no write of its fails.
//!
//! A git that ends early (the pack is too large) has said why, but most clients send their whole request before they look. What they
//! still send is therefore read and dropped before the answer ends: a connection that is closed on them would take the reason along.

use std::{io, path::Path, pin::Pin, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::{mpsc, oneshot},
    time::timeout,
};
use windlass_domain::AppId;

use crate::{
    git::{self, SourceError, tail},
    inflate::Inflate,
    pkt_line::{FLUSH, packet},
    repositories::Repositories,
};

/// The body of a request, as it arrives.
pub type RequestBody = Pin<Box<dyn AsyncRead + Send>>;

/// The body of a response, as git writes it.
pub type ResponseBody = BoxStream<'static, io::Result<Bytes>>;

/// Bytes that are moved at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Chunks that wait for a slow client.
const CHUNKS_AHEAD: usize = 4;

/// How long a client may send nothing in the middle of a request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);

/// How much of a request, and for how long, is read after git has ended: enough for the client to come to its end and read why.
/// Whoever sends more than that finds the connection closed.
const DRAIN_MAX_BYTES: u64 = 1 << 30;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(60);

/// How long git may take to list the refs of a repository.
const ADVERTISE_TIMEOUT: Duration = Duration::from_secs(60);

/// What a request may hold beside a pack: the negotiation of a clone, the list of refs of a push.
const MAX_COMMANDS_BYTES: u64 = 32 * 1024 * 1024;

/// Which way objects flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GitService {
    /// Clone and fetch.
    UploadPack,
    /// Push.
    ReceivePack,
}

impl GitService {
    /// The service that a client names, as in `?service=git-upload-pack`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "git-upload-pack" => Some(Self::UploadPack),
            "git-receive-pack" => Some(Self::ReceivePack),
            _ => None,
        }
    }

    /// The name in addresses and content types.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
        }
    }

    const fn subcommand(self) -> &'static str {
        match self {
            Self::UploadPack => "upload-pack",
            Self::ReceivePack => "receive-pack",
        }
    }
}

/// A request of a git client, already authorised.
pub struct GitRequest {
    /// Whose repository.
    pub app: AppId,
    /// Which way.
    pub service: GitService,
    /// `GET info/refs` rather than `POST git-upload-pack` or `POST git-receive-pack`.
    pub advertise: bool,
    /// Whether the body has `Content-Encoding: gzip`.
    pub gzip: bool,
    /// The `Git-Protocol` header.
    pub protocol: Option<String>,
    /// Environment for the hook, beside git's own.
    pub env: Vec<(String, String)>,
    /// The body; empty for an advertisement.
    pub body: RequestBody,
}

/// The answer, to be sent with status 200 and `Cache-Control: no-cache`.
pub struct GitResponse {
    /// The `Content-Type` header.
    pub content_type: String,
    /// The body. Dropping it is what a client's disconnect means.
    pub body: ResponseBody,
}

impl Repositories {
    /// Answers a git client.
    ///
    /// # Errors
    /// When the app has no repository, or git cannot be started. What goes wrong later, git says to its client.
    pub async fn serve(&self, request: GitRequest) -> Result<GitResponse, SourceError> {
        if !self.dir(request.app).is_dir() {
            return Err(SourceError::NoRepository(request.app));
        }
        self.prepare_root()?;
        if request.advertise {
            let mut command = self.service_command(&request);
            command.arg("--http-backend-info-refs").arg(self.dir(request.app));
            self.advertise(command, request.service, request.protocol.as_deref())
                .await
        } else {
            self.exchange(request)
        }
    }

    async fn advertise(
        &self,
        command: Command,
        service: GitService,
        protocol: Option<&str>,
    ) -> Result<GitResponse, SourceError> {
        let listing = timeout(ADVERTISE_TIMEOUT, self.git.run(command, "list the refs"))
            .await
            .map_err(|_| SourceError::Git {
                action: "list the refs",
                stderr: "it took too long".to_owned(),
            })??;
        let mut body = BytesMut::new();
        if announces_service(service, protocol) {
            body.extend_from_slice(&packet(&format!("# service={}\n", service.name())));
            body.extend_from_slice(FLUSH);
        }
        body.extend_from_slice(&listing);
        Ok(GitResponse {
            content_type: format!("application/x-{}-advertisement", service.name()),
            body: Box::pin(futures::stream::iter([Ok(body.freeze())])),
        })
    }

    fn exchange(&self, request: GitRequest) -> Result<GitResponse, SourceError> {
        let mut command = self.service_command(&request);
        command.arg(self.dir(request.app)).stdin(std::process::Stdio::piped());
        let mut child = command.spawn().map_err(SourceError::io("start git"))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(SourceError::io("talk to git")(io::ErrorKind::BrokenPipe.into()));
        };
        let limit = match request.service {
            GitService::UploadPack => MAX_COMMANDS_BYTES,
            GitService::ReceivePack => self.config.max_pack_bytes.saturating_add(MAX_COMMANDS_BYTES),
        };
        let (ended, git_ended) = oneshot::channel();
        let pour = Pour {
            inflate: Inflate::new(request.gzip),
            stdin,
            left: limit,
        };
        let mut feed = tokio::spawn(feed(request.body, pour, git_ended));
        let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
        tokio::spawn(async move {
            let client = supervise(child, stdout, sender, request.service).await;
            drop(ended);
            if let Some(client) = client {
                tokio::select! {
                    _ = &mut feed => {}
                    () = client.closed() => {}
                }
            }
            feed.abort();
        });
        Ok(GitResponse {
            content_type: format!("application/x-{}-result", request.service.name()),
            body: Box::pin(futures::stream::unfold(receiver, |mut receiver| async {
                receiver.recv().await.map(|chunk| (chunk, receiver))
            })),
        })
    }

    fn service_command(&self, request: &GitRequest) -> Command {
        let mut command = self.git.command();
        command.arg("-c").arg(safe_directory(&self.dir(request.app)));
        if request.service == GitService::ReceivePack {
            command.arg("-c").arg(hooks_path(&self.hooks()));
            for setting in [
                "receive.procReceiveRefs=refs",
                "receive.advertisePushOptions=true",
                "receive.autogc=false",
            ] {
                command.args(["-c", setting]);
            }
            command.args(["-c", &format!("receive.maxInputSize={}", self.config.max_pack_bytes)]);
        }
        command.envs(request.env.iter().map(|(key, value)| (key, value)));
        if let Some(protocol) = request.protocol.as_deref().filter(|text| is_protocol(text)) {
            command.env("GIT_PROTOCOL", protocol);
        }
        command.args([request.service.subcommand(), "--stateless-rpc"]);
        if request.service == GitService::UploadPack {
            command.arg("--strict");
        }
        command
    }
}

fn safe_directory(dir: &Path) -> std::ffi::OsString {
    let mut setting = std::ffi::OsString::from("safe.directory=");
    setting.push(dir);
    setting
}

fn hooks_path(dir: &Path) -> std::ffi::OsString {
    let mut setting = std::ffi::OsString::from("core.hooksPath=");
    setting.push(dir);
    setting
}

/// As git's own http-backend does: protocol version 2 has no service line. A push is never version 2.
fn announces_service(service: GitService, protocol: Option<&str>) -> bool {
    let version_2 = protocol.is_some_and(|text| text.split(':').any(|part| part == "version=2"));
    service == GitService::ReceivePack || !version_2
}

/// A `Git-Protocol` header is a list such as `version=2:key`; anything else is ignored, as git ignores unknown keys.
fn is_protocol(text: &str) -> bool {
    text.len() <= 255
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'=' | b':' | b'.' | b'-' | b'_'))
}

/// Moves the request's body into git; what git no longer takes is read and dropped.
async fn feed(mut body: RequestBody, pour: Pour, git_ended: oneshot::Receiver<()>) {
    let poured = tokio::select! {
        poured = pour.all_of(&mut body) => poured.is_ok(),
        _ = git_ended => false,
    };
    if !poured {
        let mut rest = body.take(DRAIN_MAX_BYTES);
        // A client that breaks off, or sends for too long, reads no answer anyway.
        let _ = timeout(DRAIN_TIMEOUT, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
    }
}

/// The way into git. When the body breaks off, git sees the end of its input and gives up by itself.
struct Pour {
    inflate: Inflate,
    stdin: ChildStdin,
    left: u64,
}

impl Pour {
    async fn all_of(mut self, body: &mut RequestBody) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let read = timeout(IDLE_TIMEOUT, body.read(&mut buffer)).await??;
            if read == 0 {
                break;
            }
            for piece in buffer[..read].chunks(self.inflate.piece_bytes()) {
                let plain = self.inflate.push(piece)?;
                let left = self.left.checked_sub(plain.len() as u64);
                self.left = left.ok_or_else(|| io::Error::other("the request is too large"))?;
                self.stdin.write_all(&plain).await?;
            }
        }
        self.stdin.write_all(&self.inflate.finish()?).await?;
        self.stdin.shutdown().await
    }
}

/// Moves git's output to the client, and sees git to its end. Answers with the client if it is still there.
async fn supervise(
    mut child: Child,
    mut stdout: ChildStdout,
    client: mpsc::Sender<io::Result<Bytes>>,
    service: GitService,
) -> Option<mpsc::Sender<io::Result<Bytes>>> {
    let complaints = tokio::spawn(complaints(child.stderr.take()));
    let mut client = Some(client);
    let mut buffer = BytesMut::with_capacity(CHUNK_BYTES);
    loop {
        buffer.reserve(CHUNK_BYTES);
        let read = tokio::select! {
            read = stdout.read_buf(&mut buffer) => read,
            () = gone(client.as_ref()) => {
                client = None;
                if service == GitService::UploadPack {
                    git::kill(&child);
                }
                continue;
            }
        };
        if !matches!(read, Ok(1..)) {
            break;
        }
        let chunk = buffer.split().freeze();
        if let Some(sender) = &client {
            // A failed send is noticed by `gone` in the next turn.
            let _ = sender.send(Ok(chunk)).await;
        }
    }
    drop(stdout);
    let status = child.wait().await;
    let said = complaints.await.unwrap_or_default();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) if status.code().is_some() => tracing::debug!(%status, said, service = service.name(), "git ended"),
        other => {
            tracing::warn!(status = ?other, said, service = service.name(), "git was ended");
            if let Some(client) = &client {
                let _ = client.send(Err(io::Error::other("git was ended"))).await;
            }
        }
    }
    client
}

/// Resolves when the client has gone; never, once that is known.
async fn gone(client: Option<&mpsc::Sender<io::Result<Bytes>>>) {
    match client {
        Some(sender) => sender.closed().await,
        None => std::future::pending().await,
    }
}

/// The end of what git says to its server rather than to its client. All is read, so that git never waits.
async fn complaints(stderr: Option<tokio::process::ChildStderr>) -> String {
    let Some(mut stderr) = stderr else {
        return String::new();
    };
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..read]);
        let excess = kept.len().saturating_sub(4096);
        kept.drain(..excess);
    }
    tail(&String::from_utf8_lossy(&kept), 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_version_two_of_a_clone_lacks_the_service_line() {
        assert!(announces_service(GitService::UploadPack, None));
        assert!(announces_service(GitService::UploadPack, Some("version=1")));
        assert!(!announces_service(GitService::UploadPack, Some("version=2")));
        assert!(announces_service(GitService::ReceivePack, Some("version=2")));
    }

    #[test]
    fn a_protocol_header_cannot_carry_anything_else() {
        assert!(is_protocol("version=2"));
        for text in ["version=2\nX: y", "a b", "$(id)", &"a".repeat(256)] {
            assert!(!is_protocol(text), "{text:?}");
        }
    }

    #[test]
    fn services_have_the_names_that_clients_use() {
        for service in [GitService::UploadPack, GitService::ReceivePack] {
            assert_eq!(GitService::from_name(service.name()), Some(service));
        }
        assert_eq!(GitService::from_name("git-upload-archive"), None);
    }
}
