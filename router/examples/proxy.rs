//! The router alone, for measurements: `proxy --listen 127.0.0.1:8080 --routes FILE [--workers N]`, where each line of the
//! file is `host ip:port`.
#![allow(clippy::unwrap_used, reason = "a measuring tool that cannot go on should stop")]

use std::{collections::HashMap, net::TcpListener};

use windlass_domain::{InstanceId, Route, RouteTable, Upstream};
use windlass_router::{ControlSocket, Limits, RouterConfig, control::ControlClient};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let options: HashMap<&str, &str> = arguments
        .chunks(2)
        .map(|pair| (pair[0].as_str(), pair[1].as_str()))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("control.sock");
    let limits = Limits {
        max_connections_per_ip: 0,
        ..Limits::default()
    };
    let config = RouterConfig {
        http: vec![TcpListener::bind(options["--listen"]).unwrap()],
        control: ControlSocket::Path(socket.clone()),
        table_file: folder.path().join("routes.json"),
        workers: options.get("--workers").map(|n| n.parse().unwrap()),
        limits,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let routes = std::fs::read_to_string(options["--routes"])
        .unwrap()
        .lines()
        .map(route)
        .collect();
    let control = ControlClient::new(socket);
    let router = tokio::spawn(windlass_router::run(config, async {
        tokio::signal::ctrl_c().await.unwrap();
    }));
    while control.status().await.is_err() {
        tokio::task::yield_now().await;
    }
    control.apply(RouteTable { generation: 1, routes }).await.unwrap();
    router.await.unwrap().unwrap();
}

fn route(line: &str) -> Route {
    let (host, address) = line.split_once(' ').unwrap();
    Route {
        app: "bench".parse().unwrap(),
        process: "web".parse().unwrap(),
        host: host.parse().unwrap(),
        path: "/".to_owned(),
        middlewares: vec![],
        upstreams: vec![Upstream {
            instance: InstanceId::generate(),
            address: address.parse().unwrap(),
        }],
    }
}
