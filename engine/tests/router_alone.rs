//! `windlassd --roles router`: the router on a machine that does nothing else, and a router of another version that is replaced.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a test that cannot go on should stop, and its name says what it is for"
)]

use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::MetadataExt, fs::PermissionsExt},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use windlass_router::control::{ControlClient, RouterStatus};

fn data_dir() -> TempDir {
    tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir_in("/tmp")
        .unwrap()
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string()
}

/// An engine that ends with the test, whatever happens.
struct Engine(Child);

impl Engine {
    fn start(data_dir: &Path, router_http: &str) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_windlassd"))
            .args(["run", "--roles", "router"])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("WINDLASS_DATA_DIR", data_dir)
            .env("WINDLASS_ROUTER_HTTP", router_http)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn terminate(&mut self) -> Duration {
        let asked = Instant::now();
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
        assert!(self.0.wait().unwrap().success());
        asked.elapsed()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn answer(data_dir: &Path, engine: &mut Engine) -> RouterStatus {
    let client = ControlClient::new(data_dir.join("router/control.sock"));
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match client.status().await {
            Ok(status) => return status,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        assert!(engine.0.try_wait().unwrap().is_none(), "the router has ended");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_router_alone_is_unprivileged_owns_its_folder_and_ends_soon_after_its_signal() {
    let temp = data_dir();
    let mut engine = Engine::start(temp.path(), &free_address());
    let status = answer(temp.path(), &mut engine).await;
    assert_eq!(status.pid, engine.0.id());
    let user = fs::metadata(format!("/proc/{}", status.pid)).unwrap().uid();
    assert_ne!(user, 0);
    let folder = fs::metadata(temp.path().join("router")).unwrap();
    assert_eq!((folder.uid(), folder.mode() & 0o777), (user, 0o700));
    assert!(engine.terminate() < Duration::from_secs(3));
    assert!(!temp.path().join("router/control.sock").exists());
}
