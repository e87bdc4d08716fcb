//! A server of repositories for real git clients, and a working copy to push from.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use futures::TryStreamExt;
use tempfile::TempDir;
use tokio::{net::TcpListener, process::Command};
use tokio_util::io::StreamReader;
use windlass_domain::{AppId, CommitSha};
use windlass_source::{FetchPolicy, GitRequest, GitService, Repositories, SourceConfig};

/// What a git client printed, and whether it was content.
#[derive(Debug)]
pub struct Said {
    pub ok: bool,
    pub out: String,
    pub err: String,
}

/// Repositories in a temporary folder, served at an address of this machine.
pub struct Served {
    pub repositories: Repositories,
    pub app: AppId,
    pub address: String,
    pub folder: TempDir,
    /// Whether a client has sent a compressed body.
    pub gzip_seen: Arc<AtomicBool>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.abort();
    }
}

pub fn config(root: &Path) -> SourceConfig {
    SourceConfig {
        root: root.to_owned(),
        git: "/usr/bin/git".into(),
        hook: hook_program(),
        max_pack_bytes: 8 << 20,
        fetch: policy(&["127.0.0.0/8", "::1/128"]),
    }
}

pub fn policy(allowed: &[&str]) -> FetchPolicy {
    FetchPolicy {
        allow_private: allowed.iter().map(|network| network.parse().unwrap()).collect(),
        timeout: Duration::from_secs(30),
        max_bytes: 8 << 20,
    }
}

/// `examples/proc_receive.rs`, which cargo builds beside the tests.
fn hook_program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().parent().unwrap().join("examples/proc_receive");
    assert!(
        program.exists(),
        "build the examples first: cargo build -p windlass-source --examples"
    );
    program
}

pub async fn serve() -> Served {
    serve_with(|_| {}).await
}

pub async fn serve_with(adjust: impl FnOnce(&mut SourceConfig)) -> Served {
    let folder = TempDir::new().unwrap();
    let mut config = config(&folder.path().join("repositories"));
    adjust(&mut config);
    let repositories = Repositories::new(config);
    let app = AppId::generate();
    repositories.ensure(app).await.unwrap();
    let gzip_seen = Arc::new(AtomicBool::new(false));
    let (address, server) = listen(router(repositories.clone(), Arc::clone(&gzip_seen))).await;
    Served {
        repositories,
        app,
        address,
        folder,
        gzip_seen,
        server,
    }
}

/// Serves a router on a free port of this machine.
pub async fn listen(router: Router) -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, server)
}

fn router(repositories: Repositories, gzip_seen: Arc<AtomicBool>) -> Router {
    Router::new().fallback(answer).with_state((repositories, gzip_seen))
}

async fn answer(
    State((repositories, gzip_seen)): State<(Repositories, Arc<AtomicBool>)>,
    request: Request,
) -> Response {
    // As forges do it for an address without `.git`.
    if !request.uri().path().contains(".git/") {
        return Redirect::permanent("http://127.0.0.1:1/").into_response();
    }
    let Some(request) = git_request(request) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    gzip_seen.fetch_or(request.gzip, Ordering::SeqCst);
    match repositories.serve(request).await {
        Ok(response) => {
            let kind = [(header::CONTENT_TYPE, response.content_type)];
            (kind, Body::from_stream(response.body)).into_response()
        }
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

fn git_request(request: Request) -> Option<GitRequest> {
    let text = |headers: &HeaderMap, name| Some(headers.get(name)?.to_str().ok()?.to_owned());
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let (app, rest) = path.split_once(".git/")?;
    let advertise = rest == "info/refs";
    let service = match advertise {
        true => request.uri().query()?.strip_prefix("service=")?.to_owned(),
        false => rest.to_owned(),
    };
    Some(GitRequest {
        app: app.parse().ok()?,
        service: GitService::from_name(&service)?,
        advertise,
        gzip: text(request.headers(), "content-encoding").is_some_and(|coding| coding == "gzip"),
        protocol: text(request.headers(), "git-protocol"),
        env: vec![("WINDLASS_PUSH_TICKET".to_owned(), "t-42".to_owned())],
        body: Box::pin(StreamReader::new(
            request.into_body().into_data_stream().map_err(std::io::Error::other),
        )),
    })
}

impl Served {
    pub fn url(&self) -> String {
        format!("http://{}/{}.git", self.address, self.app)
    }

    /// The bare repository on disk.
    pub fn bare(&self) -> PathBuf {
        self.folder.path().join(format!("repositories/{}.git", self.app))
    }

    /// A working copy with one commit that has a file `hello`.
    pub async fn work(&self) -> Work {
        self.work_named("work").await
    }

    pub async fn work_named(&self, name: &str) -> Work {
        let work = Work {
            dir: self.folder.path().join(name),
        };
        std::fs::create_dir(&work.dir).unwrap();
        work.git(&["init", "-q", "-b", "main"]).await;
        work.git(&["remote", "add", "origin", &self.url()]).await;
        work.write("hello", "hello\n");
        work.commit("First").await;
        work
    }
}

/// A working copy.
pub struct Work {
    pub dir: PathBuf,
}

impl Work {
    pub fn write(&self, path: &str, content: &str) {
        let path = self.dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub async fn commit(&self, message: &str) -> CommitSha {
        self.git(&["add", "-A"]).await;
        self.git(&["commit", "-q", "--allow-empty", "-m", message]).await;
        self.head().await
    }

    pub async fn head(&self) -> CommitSha {
        self.git(&["rev-parse", "HEAD"]).await.out.trim().parse().unwrap()
    }

    /// Puts everything into a bare repository, past all hooks.
    pub async fn put_into(&self, bare: &Path) {
        self.git(&["push", "-q", "--force", bare.to_str().unwrap(), "HEAD:refs/heads/main"])
            .await;
        self.git(&["push", "-q", "--force", "--tags", bare.to_str().unwrap()])
            .await;
    }

    /// Runs git, which must be content.
    pub async fn git(&self, args: &[&str]) -> Said {
        let said = self.try_git(args).await;
        assert!(said.ok, "git {args:?}: {said:?}");
        said
    }

    pub async fn try_git(&self, args: &[&str]) -> Said {
        let output = self.command(args).output().await.unwrap();
        Said {
            ok: output.status.success(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("/usr/bin/git");
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", &self.dir)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("LC_ALL", "C")
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com"])
            .args(["-c", "protocol.file.allow=always"])
            .args(args)
            .current_dir(&self.dir)
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true);
        command
    }
}

/// Waits until a condition holds, ten seconds at most.
pub async fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether a process runs whose command line contains this text.
pub fn runs(text: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(text)
    })
}
