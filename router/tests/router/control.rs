use std::{
    os::unix::fs::PermissionsExt,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpStream, UnixStream},
    sync::Semaphore,
};
use windlass_domain::{Middleware, RouteTable};
use windlass_router::{Limits, control::ControlError};

use crate::support::{App, Client, Router, full, request, route, wait_until, with};

#[tokio::test]
async fn a_table_is_live_when_it_is_acknowledged_and_old_ones_are_refused() {
    let router = Router::start().await;
    let app = App::named("app").await;
    let table = |generation| RouteTable {
        generation,
        routes: vec![route("shop.test", "/", &[&app])],
    };
    let ack = router.control.apply(table(7)).await.unwrap();
    assert_eq!((ack.generation, ack.persisted), (7, true));
    assert_eq!(router.get("shop.test", "/").await.body, "app");
    let again = router.control.apply(table(7)).await.unwrap();
    assert_eq!((again.generation, again.persisted), (7, true));
    assert_eq!(router.get("shop.test", "/").await.body, "app");
    let error = router.control.apply(table(6)).await.unwrap_err();
    assert!(matches!(error, ControlError::Stale { given: 6, live: 7 }), "{error}");
    let status = router.control.status().await.unwrap();
    assert_eq!((status.generation, status.pid), (7, std::process::id()));
    router.stop().await;
}

/// As when the database was restored: its numbers begin again below those that the router has.
#[tokio::test]
async fn another_table_of_the_same_number_is_applied() {
    let router = Router::start().await;
    let (old, new) = (App::named("old").await, App::named("new").await);
    let table = |app| RouteTable {
        generation: 7,
        routes: vec![route("shop.test", "/", &[app])],
    };
    router.control.apply(table(&old)).await.unwrap();
    let ack = router.control.apply(table(&new)).await.unwrap();
    assert_eq!((ack.generation, ack.persisted), (7, true));
    assert_eq!(router.get("shop.test", "/").await.body, "new");
    router.stop().await;
}

#[tokio::test]
async fn a_table_that_cannot_be_served_is_refused_as_a_whole() {
    let router = Router::start().await;
    let app = App::named("app").await;
    router.apply(vec![route("shop.test", "/", &[&app])]).await;
    let bad_header = Middleware::ResponseHeader {
        name: "x".into(),
        value: "a\r\nb: c".into(),
    };
    for routes in [
        vec![route("a.test", "/", &[]), route("a.test", "/", &[])],
        vec![route("a.test", "x", &[])],
        vec![with(route("a.test", "/", &[]), vec![bad_header])],
    ] {
        let error = router
            .control
            .apply(RouteTable { generation: 9, routes })
            .await
            .unwrap_err();
        assert!(matches!(error, ControlError::Invalid { .. }), "{error}");
    }
    assert_eq!(router.control.status().await.unwrap().generation, 1);
    assert_eq!(router.get("shop.test", "/").await.body, "app");
    router.stop().await;
}

#[tokio::test]
async fn a_restarted_router_serves_the_last_table() {
    let router = Router::start().await;
    let app = App::named("app").await;
    router.apply(vec![route("shop.test", "/", &[&app])]).await;
    let folder = router.stop().await;
    let router = Router::start_in(folder, Limits::default()).await;
    assert_eq!(router.get("shop.test", "/").await.body, "app");
    assert_eq!(router.control.status().await.unwrap().generation, 1);
    router.stop().await;
}

#[tokio::test]
async fn a_damaged_table_file_is_an_empty_table() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("routes.json"), b"{\"generation\":5,").unwrap();
    let router = Router::start_in(folder, Limits::default()).await;
    assert_eq!(router.control.status().await.unwrap().generation, 0);
    assert_eq!(router.get("shop.test", "/").await.status, 404);
    router.apply(vec![]).await;
    router.stop().await;
}

#[tokio::test]
async fn a_table_of_ten_thousand_routes_is_live_at_once() {
    let router = Router::start().await;
    let app = App::named("app").await;
    let routes: Vec<_> = (0..10_000)
        .map(|n| route(&format!("app{n}.test"), "/", &[&app]))
        .collect();
    router.apply(routes.clone()).await;
    let began = Instant::now();
    router.apply(routes).await;
    let took = began.elapsed();
    assert_eq!(router.get("app9999.test", "/").await.body, "app");
    // Generous: this is a debug build on a shared machine.
    assert!(took < Duration::from_secs(3), "{took:?}");
    router.stop().await;
}

#[tokio::test]
async fn the_control_socket_serves_several_and_survives_nonsense() {
    let router = Router::start().await;
    let path = router.folder.path().join("control.sock");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut lines = BufReader::new(UnixStream::connect(&path).await.unwrap());
    for (said, answered) in [
        ("nonsense\n", "malformed"),
        ("{\"op\":\"fly\"}\n", "malformed"),
        ("{\"op\":\"status\"}\n", "\"generation\":0"),
        ("{\"op\":\"status\"}\n", "\"generation\":0"),
    ] {
        lines.write_all(said.as_bytes()).await.unwrap();
        let mut line = String::new();
        lines.read_line(&mut line).await.unwrap();
        assert!(line.contains(answered), "{said} {line}");
        router.control.status().await.unwrap();
    }
    router.stop().await;
}

#[tokio::test]
async fn a_second_router_on_the_same_control_socket_is_refused() {
    let router = Router::start().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = windlass_router::RouterConfig {
        http: vec![listener],
        control: windlass_router::ControlSocket::Path(router.folder.path().join("control.sock")),
        table_file: router.folder.path().join("other.json"),
        workers: None,
        limits: Limits::default(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let error = windlass_router::run(config, std::future::pending()).await.unwrap_err();
    assert!(matches!(error, windlass_router::RouterError::AlreadyRunning), "{error}");
    router.stop().await;
}

#[tokio::test]
async fn a_router_that_is_not_there_is_unreachable() {
    let folder = tempfile::tempdir().unwrap();
    let client = windlass_router::control::ControlClient::new(folder.path().join("none.sock"));
    assert!(matches!(
        client.status().await.unwrap_err(),
        ControlError::Unreachable(_)
    ));
}

#[tokio::test]
async fn a_stop_lets_requests_finish_and_closes_idle_connections() {
    let mut router = Router::start().await;
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let app = App::serve(move |_| {
        let gate = Arc::clone(&held);
        async move {
            gate.acquire().await.unwrap().forget();
            http::Response::new(full("done"))
        }
    })
    .await;
    router.apply(vec![route("shop.test", "/", &[&app])]).await;
    let address = router.address;
    let idle = TcpStream::connect(address).await.unwrap();
    let waiting = tokio::spawn(async move {
        Client::connect(address)
            .await
            .send(request("GET", "shop.test", "/"))
            .await
    });
    wait_until("it is in flight", || async { router.in_flight(&app).await == 1 }).await;
    router.begin_stop();
    wait_until("idle connections are closed", || async {
        router.control.status().await.unwrap().connections == 1
    })
    .await;
    assert_eq!(
        router.in_flight(&app).await,
        1,
        "the control socket answers while draining"
    );
    gate.add_permits(1);
    assert_eq!(waiting.await.unwrap().body, "done");
    drop(idle);
    router.ended().await;
}

#[tokio::test]
async fn the_drain_has_a_deadline_and_the_control_socket_can_ask_for_it() {
    let limits = Limits {
        drain: Duration::from_millis(300),
        ..Limits::default()
    };
    let router = Router::start_with(limits).await;
    let app = App::raw(|stream| async move {
        let _held = stream;
        std::future::pending().await
    })
    .await;
    router.apply(vec![route("shop.test", "/", &[&app])]).await;
    let mut stuck = TcpStream::connect(router.address).await.unwrap();
    stuck
        .write_all(b"GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n")
        .await
        .unwrap();
    wait_until("it is in flight", || async { router.in_flight(&app).await == 1 }).await;
    router.control.shutdown().await.unwrap();
    router.ended().await;
}
