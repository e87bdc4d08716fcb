//! The router that serves before the engine starts.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixListener,
    path::Path,
    time::{Duration, Instant},
};

use windlass_domain::RouteTable;
use windlass_router::{ControlSocket, Limits, RouterConfig, control::ControlClient};

use crate::visitor::{app, route_to};

/// A router of another version, as far as the engine can tell: asked to end, it goes on answering for as many questions as a
/// drain may take; its port is free at once.
pub fn that_drains(data_dir: &Path) -> (String, std::thread::JoinHandle<()>) {
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

/// A router of another version that can hand over its socket, in this process, with an app behind it.
pub struct Serving {
    pub address: SocketAddr,
    pub ended: tokio::task::JoinHandle<Result<(), windlass_router::RouterError>>,
}

/// No engine goes on from this number, so that none replaces the table by its own, which has no apps.
pub const NEWEST: u64 = u64::MAX / 2;

impl Serving {
    pub async fn start(data_dir: &Path, version: &str) -> Self {
        let folder = data_dir.join("router");
        fs::create_dir(&folder).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let own = folder.join(format!("{}.sock", std::process::id()));
        let config = RouterConfig {
            http: vec![listener],
            control: ControlSocket::Successor {
                own: own.clone(),
                current: folder.join("control.sock"),
            },
            table_file: folder.join("table.json"),
            workers: Some(1.try_into().unwrap()),
            limits: Limits::default(),
            version: version.to_owned(),
        };
        let ended = tokio::spawn(windlass_router::run(config, std::future::pending()));
        let (client, deadline) = (ControlClient::new(own), Instant::now() + Duration::from_secs(10));
        while client.status().await.is_err() {
            assert!(Instant::now() < deadline);
            tokio::task::yield_now().await;
        }
        let table = RouteTable {
            generation: NEWEST,
            routes: vec![route_to(app().await)],
        };
        client.apply(table).await.unwrap();
        Self { address, ended }
    }
}
