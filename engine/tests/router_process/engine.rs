//! An engine, and what its router says of itself.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use windlass_router::control::{ControlClient, RouterStatus};

pub fn data_dir() -> TempDir {
    tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir_in("/tmp")
        .unwrap()
}

pub fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string()
}

/// The soft limit of open files that systemd starts a service with.
const AS_SYSTEMD: &str = "ulimit -S -n 1024; exec \"$@\"";

/// An engine that ends with the test, whatever happens.
pub struct Engine(pub Child);

impl Engine {
    pub fn start(roles: &str, data_dir: &Path, router_http: &str) -> Self {
        Self::start_with(roles, data_dir, router_http, &[])
    }

    pub fn start_with(roles: &str, data_dir: &Path, router_http: &str, environment: &[(&str, &str)]) -> Self {
        let child = Command::new("/bin/sh")
            .args([
                "-c",
                AS_SYSTEMD,
                "sh",
                env!("CARGO_BIN_EXE_windlassd"),
                "run",
                "--roles",
                roles,
            ])
            .env_clear()
            .envs(environment.iter().copied())
            .env("PATH", "/usr/bin:/bin")
            .env("WINDLASS_DATA_DIR", data_dir)
            .env("WINDLASS_ROUTER_HTTP", router_http)
            .env("WINDLASS_API_LISTEN", free_address())
            .stdout(Stdio::null())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    pub fn terminate(&mut self) -> Duration {
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

pub async fn answer(data_dir: &Path, engine: &mut Engine, wanted: fn(&RouterStatus) -> bool) -> RouterStatus {
    let client = ControlClient::new(data_dir.join("router/control.sock"));
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match client.status().await {
            Ok(status) if wanted(&status) => return status,
            answer => assert!(Instant::now() < deadline, "{answer:?}"),
        }
        assert!(engine.0.try_wait().unwrap().is_none(), "the router has ended");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub async fn end_router(data_dir: &Path) {
    let client = ControlClient::new(data_dir.join("router/control.sock"));
    client.shutdown().await.unwrap();
    while client.status().await.is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
