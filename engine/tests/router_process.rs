//! The router as a process: alone on a machine (`windlassd --roles router`), and in the place of one of another version.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a test that cannot go on should stop, and its name says what it is for"
)]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::UnixListener,
    },
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
    fn start(roles: &str, data_dir: &Path, router_http: &str) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_windlassd"))
            .args(["run", "--roles", roles])
            .env_clear()
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

async fn answer(data_dir: &Path, engine: &mut Engine, wanted: fn(&RouterStatus) -> bool) -> RouterStatus {
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

#[tokio::test]
async fn a_router_alone_is_unprivileged_owns_its_folder_and_ends_soon_after_its_signal() {
    let temp = data_dir();
    let mut engine = Engine::start("router", temp.path(), &free_address());
    let status = answer(temp.path(), &mut engine, |_| true).await;
    assert_eq!(status.pid, engine.0.id());
    let user = fs::metadata(format!("/proc/{}", status.pid)).unwrap().uid();
    assert_ne!(user, 0);
    let folder = fs::metadata(temp.path().join("router")).unwrap();
    assert_eq!((folder.uid(), folder.mode() & 0o777), (user, 0o700));
    assert!(engine.terminate() < Duration::from_secs(3));
    assert!(!temp.path().join("router/control.sock").exists());
}

/// A router of another version, as far as the engine can tell: asked to end, it goes on answering for as many questions as a
/// drain may take; its port is free at once.
fn old_router(data_dir: &Path) -> (String, std::thread::JoinHandle<()>) {
    const ANSWERS_WHILE_DRAINING: usize = 20;
    let folder = data_dir.join("router");
    fs::create_dir(&folder).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap().to_string();
    let path = folder.join("control.sock");
    let control = UnixListener::bind(&path).unwrap();
    let old = std::thread::spawn(move || {
        let mut port = Some(port);
        let mut left = None;
        while left != Some(0) {
            let (mut stream, _) = control.accept().unwrap();
            let mut question = String::new();
            BufReader::new(&stream).read_line(&mut question).unwrap();
            let stop = question.contains("shutdown");
            let answer = if stop { STOPPING } else { STATUS };
            stream.write_all(answer.as_bytes()).unwrap();
            if stop {
                drop(port.take());
            }
            left = left.map_or_else(|| stop.then_some(ANSWERS_WHILE_DRAINING), |left| Some(left - 1));
        }
        fs::remove_file(path).unwrap();
    });
    (address, old)
}

const STOPPING: &str = "{\"answer\":\"stopping\"}\n";
const STATUS: &str = "{\"answer\":\"status\",\"generation\":7,\"in_flight\":{},\"requests_total\":0,\"connections\":1,\
    \"ejected\":[],\"version\":\"0.0.1\",\"pid\":1}\n";

#[tokio::test]
async fn a_router_of_another_version_is_replaced_only_when_it_has_drained() {
    let temp = data_dir();
    let (address, old) = old_router(temp.path());
    let mut engine = Engine::start("api,worker,router", temp.path(), &address);
    let status = answer(temp.path(), &mut engine, |status| status.version != "0.0.1").await;
    assert!(old.is_finished());
    assert_ne!(status.pid, 1);
    assert!(temp.path().join("log/router.log").exists());
    assert!(engine.terminate() < Duration::from_secs(5));
    let client = ControlClient::new(temp.path().join("router/control.sock"));
    assert_eq!(client.status().await.unwrap().pid, status.pid, "it outlives its engine");
    client.shutdown().await.unwrap();
    while client.status().await.is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
