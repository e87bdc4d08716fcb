use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use http::{Response, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
};

use windlass_router::Limits;

use crate::support::{App, Client, Router, full, read_until, request, route, wait_until};

#[tokio::test]
async fn instances_take_turns() {
    let router = Router::start().await;
    let (a, b, c) = (App::named("a").await, App::named("b").await, App::named("c").await);
    router.apply(vec![route("shop.test", "/", &[&a, &b, &c])]).await;
    let mut client = Client::connect(router.address).await;
    let mut served: HashMap<String, usize> = HashMap::new();
    for _ in 0..30 {
        *served
            .entry(client.send(request("GET", "shop.test", "/")).await.body)
            .or_default() += 1;
    }
    assert_eq!(served.len(), 3);
    assert!(served.values().all(|n| *n == 10), "{served:?}");
    router.stop().await;
}

#[tokio::test]
async fn a_refusing_instance_costs_no_request_and_is_left_alone_for_a_while() {
    let router = Router::start().await;
    let (dead, live) = (App::dead(), App::named("live").await);
    router.apply(vec![route("shop.test", "/", &[&dead, &live])]).await;
    for method in ["GET", "POST", "GET", "POST"] {
        let reply = router.send(request(method, "shop.test", "/")).await;
        assert_eq!((reply.status, reply.body.as_str()), (StatusCode::OK, "live"));
    }
    let ejected = router.control.status().await.unwrap().ejected;
    assert_eq!(ejected.iter().map(|e| e.instance).collect::<Vec<_>>(), [dead.instance]);
    router.stop().await;
}

#[tokio::test]
async fn an_instance_whose_queue_is_full_is_waited_for_only_when_there_is_no_other() {
    let limits = |last| Limits {
        connect: Duration::from_millis(100),
        connect_last: Duration::from_millis(last),
        keep_alive_grace: Duration::from_millis(100),
        ..Limits::default()
    };
    let ((busy, serve), live) = (App::silent("busy").await, App::named("live").await);
    // Who waited for it as for the last one would wait in vain.
    let router = Router::start_with(limits(60_000)).await;
    router.apply(vec![route("shop.test", "/", &[&busy, &live])]).await;
    for method in ["GET", "POST", "GET", "POST"] {
        let reply = router.send(request(method, "shop.test", "/")).await;
        assert_eq!((reply.status, reply.body.as_str()), (StatusCode::OK, "live"));
    }
    // One that refuses is no other.
    let dead = App::dead();
    router.apply(vec![route("shop.test", "/", &[&dead, &live])]).await;
    for _ in 0..2 {
        assert_eq!(router.get("shop.test", "/").await.status, StatusCode::OK);
    }
    let ejected = router.control.status().await.unwrap().ejected;
    assert_eq!(ejected.iter().map(|e| e.instance).collect::<Vec<_>>(), [dead.instance]);
    router.apply(vec![route("shop.test", "/", &[&busy, &dead])]).await;
    let asked = router.send(request("POST", "shop.test", "/"));
    let served = async {
        wait_until("the request is on its way", || async {
            router.in_flight(&busy).await == 1
        })
        .await;
        // Only then, and the kernel's next attempt to connect is the one after a second.
        tokio::time::sleep(Duration::from_millis(300)).await;
        serve.send(()).unwrap();
    };
    let (reply, ()) = tokio::join!(asked, served);
    assert_eq!((reply.status, reply.body.as_str()), (StatusCode::OK, "busy"));
    router.stop().await;

    let (busy, _serve) = App::silent("busy").await;
    let router = Router::start_with(limits(200)).await;
    router.apply(vec![route("shop.test", "/", &[&busy])]).await;
    let reply = router.get("shop.test", "/").await;
    assert_eq!(reply.status, StatusCode::GATEWAY_TIMEOUT);
    router.stop().await;
}

/// Serves one request per connection, then closes it without having said so.
async fn closing_app() -> (App, Arc<AtomicUsize>) {
    let served = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&served);
    let app = App::raw(move |mut stream| {
        let count = Arc::clone(&count);
        async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                    return;
                }
            }
            count.fetch_add(1, SeqCst);
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await;
        }
    })
    .await;
    (app, served)
}

#[tokio::test]
async fn a_kept_connection_that_the_instance_closed_costs_no_request() {
    let router = Router::start().await;
    let (app, served) = closing_app().await;
    router.apply(vec![route("shop.test", "/", &[&app])]).await;
    let mut client = Client::connect(router.address).await;
    for method in ["GET", "GET", "POST", "POST", "DELETE", "POST", "GET"] {
        let reply = client.send(request(method, "shop.test", "/")).await;
        assert_eq!((reply.status, reply.body.as_str()), (StatusCode::OK, "ok"), "{method}");
    }
    assert_eq!(served.load(SeqCst), 7, "each request was served once");
    router.stop().await;
}

#[tokio::test]
async fn a_request_that_may_have_had_an_effect_is_not_sent_twice() {
    let router = Router::start().await;
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let app = App::raw(move |mut stream| {
        let count = Arc::clone(&count);
        async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.unwrap_or(0) > 0 {}
            count.fetch_add(1, SeqCst);
        }
    })
    .await;
    router.apply(vec![route("shop.test", "/", &[&app])]).await;
    assert_eq!(
        router.send(request("POST", "shop.test", "/")).await.status,
        StatusCode::BAD_GATEWAY
    );
    assert_eq!(seen.load(SeqCst), 1);
    router.stop().await;
}

/// Holds each request until the semaphore lets it go.
async fn held_app(gate: Arc<Semaphore>) -> App {
    App::serve(move |_| {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.unwrap().forget();
            Response::new(full("done"))
        }
    })
    .await
}

#[tokio::test]
async fn requests_in_flight_are_counted_and_survive_a_new_table() {
    let router = Router::start().await;
    let gate = Arc::new(Semaphore::new(0));
    let (old, new) = (held_app(Arc::clone(&gate)).await, App::named("new").await);
    router.apply(vec![route("shop.test", "/", &[&old])]).await;
    let address = router.address;
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            tokio::spawn(async move {
                Client::connect(address)
                    .await
                    .send(request("GET", "shop.test", "/"))
                    .await
            })
        })
        .collect();
    wait_until("three are in flight", || async { router.in_flight(&old).await == 3 }).await;
    router.apply(vec![route("shop.test", "/", &[&new])]).await;
    assert_eq!(router.get("shop.test", "/").await.body, "new");
    assert_eq!(router.in_flight(&old).await, 3, "drained instances are still counted");
    gate.add_permits(3);
    for reply in waiting {
        assert_eq!(reply.await.unwrap().body, "done");
    }
    wait_until("none is in flight", || async {
        router.control.status().await.unwrap().in_flight.is_empty()
    })
    .await;
    router.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_away_is_no_longer_in_flight() {
    let router = Router::start().await;
    let app = held_app(Arc::new(Semaphore::new(0))).await;
    router.apply(vec![route("shop.test", "/", &[&app])]).await;
    let mut stream = TcpStream::connect(router.address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n")
        .await
        .unwrap();
    wait_until("it is in flight", || async { router.in_flight(&app).await == 1 }).await;
    drop(stream);
    wait_until("it is not", || async { router.in_flight(&app).await == 0 }).await;
    router.stop().await;
}

#[tokio::test]
async fn idle_connections_to_an_instance_that_left_the_table_are_closed() {
    let router = Router::start().await;
    let (ended, mut endings) = tokio::sync::mpsc::channel(1);
    let app = App::raw(move |mut stream| {
        let ended = ended.clone();
        async move {
            read_until(&mut stream, "\r\n\r\n").await;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await
                .unwrap();
            assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
            ended.send(()).await.unwrap();
        }
    })
    .await;
    router.apply(vec![route("shop.test", "/", &[&app])]).await;
    assert_eq!(router.get("shop.test", "/").await.body, "ok");
    router.apply(vec![]).await;
    tokio::time::timeout(crate::support::PATIENCE, endings.recv())
        .await
        .unwrap()
        .unwrap();
    router.stop().await;
}
