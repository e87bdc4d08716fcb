use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use http::{Response, StatusCode};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use windlass_router::control::RouterStatus;

use crate::support::{App, Client, Router, full, read_until, request, route, wait_until};

/// What the instance was sent, and failed.
async fn counts(router: &Router, app: &App) -> (u64, u64) {
    let status = router.control.status().await.unwrap();
    status
        .served
        .get(&app.instance)
        .map_or((0, 0), |served| (served.answered, served.failed))
}

async fn must_count(router: &Router, app: &App, expected: (u64, u64)) {
    wait_until(&format!("{expected:?} are counted"), || async {
        counts(router, app).await == expected
    })
    .await;
}

#[tokio::test]
async fn requests_are_counted_for_each_instance_and_those_that_it_failed() {
    let router = Router::start().await;
    let broken = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&broken);
    let app = App::serve(move |_| {
        let status = if asked.load(SeqCst) { 503 } else { 404 };
        async move { Response::builder().status(status).body(full("")).unwrap() }
    })
    .await;
    let other = App::named("other").await;
    let routes = [route("shop.test", "/", &[&app]), route("other.test", "/", &[&other])];
    router.apply(routes.to_vec()).await;
    must_count(&router, &app, (0, 0)).await;
    let mut client = Client::connect(router.address).await;
    for _ in 0..3 {
        client.send(request("GET", "shop.test", "/")).await;
    }
    must_count(&router, &app, (3, 0)).await;
    broken.store(true, SeqCst);
    for _ in 0..2 {
        client.send(request("GET", "shop.test", "/")).await;
    }
    must_count(&router, &app, (5, 2)).await;
    must_count(&router, &other, (0, 0)).await;
    router.stop().await;
}

#[tokio::test]
async fn an_instance_that_refuses_resets_or_breaks_off_has_failed_the_request() {
    let router = Router::start().await;
    let dead = App::dead();
    let resetting = App::raw(|mut stream| async move { drop(read_until(&mut stream, "\r\n\r\n").await) }).await;
    let cutting = App::raw(|mut stream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
            .await;
    })
    .await;
    let hosts = ["dead.test", "resetting.test", "cutting.test"];
    let routes = [&dead, &resetting, &cutting]
        .into_iter()
        .zip(hosts)
        .map(|(app, host)| route(host, "/", &[app]));
    router.apply(routes.collect()).await;
    for host in hosts {
        let head = format!("POST / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        router.raw(head).await;
    }
    for app in [&dead, &resetting, &cutting] {
        must_count(&router, app, (1, 1)).await;
    }
    router.stop().await;
}

#[tokio::test]
async fn a_refused_request_is_counted_where_it_failed_and_where_it_was_answered() {
    let router = Router::start().await;
    let (dead, live) = (App::dead(), App::named("live").await);
    router.apply(vec![route("shop.test", "/", &[&dead, &live])]).await;
    for _ in 0..4 {
        assert_eq!(router.get("shop.test", "/").await.status, StatusCode::OK);
    }
    must_count(&router, &live, (4, 0)).await;
    must_count(&router, &dead, (1, 1)).await;
    router.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_away_is_not_the_instances_failure() {
    let router = Router::start().await;
    let app = App::raw(|stream| async move {
        let _held = stream;
        std::future::pending().await
    })
    .await;
    router.apply(vec![route("shop.test", "/", &[&app])]).await;
    let mut stream = TcpStream::connect(router.address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n")
        .await
        .unwrap();
    wait_until("it is in flight", || async { router.in_flight(&app).await == 1 }).await;
    assert_eq!(counts(&router, &app).await, (0, 0));
    drop(stream);
    must_count(&router, &app, (1, 0)).await;
    router.stop().await;
}

#[tokio::test]
async fn an_instance_is_counted_as_long_as_it_is_in_the_table_or_serves() {
    let router = Router::start().await;
    let (finish, finished) = tokio::sync::oneshot::channel::<()>();
    let finished = Arc::new(tokio::sync::Mutex::new(Some(finished)));
    let app = App::serve(move |_| {
        let finished = Arc::clone(&finished);
        async move {
            if let Some(finished) = finished.lock().await.take() {
                let _ = finished.await;
            }
            Response::new(full("done"))
        }
    })
    .await;
    let mut slow = Client::connect(router.address).await;
    router.apply(vec![route("shop.test", "/", &[&app])]).await;
    let waiting = tokio::spawn(async move { slow.send(request("GET", "shop.test", "/")).await });
    wait_until("it is in flight", || async { router.in_flight(&app).await == 1 }).await;
    router.apply(vec![]).await;
    let known = |status: RouterStatus| status.served.contains_key(&app.instance);
    assert!(known(router.control.status().await.unwrap()));
    finish.send(()).unwrap();
    assert_eq!(waiting.await.unwrap().body, "done");
    wait_until("it is forgotten", || async {
        !known(router.control.status().await.unwrap())
    })
    .await;
    router.stop().await;
}

#[test]
fn the_status_of_an_older_router_is_understood() {
    let old =
        r#"{"generation":7,"in_flight":{},"requests_total":1,"connections":1,"ejected":[],"version":"0.0.1","pid":1}"#;
    let status: RouterStatus = serde_json::from_str(old).unwrap();
    assert!(status.served.is_empty() && !status.closing);
}
