use std::time::Duration;

use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, tcp::OwnedReadHalf},
    task::JoinHandle,
    time::timeout,
};
use windlass_router::Limits;

use crate::support::{
    App, PATIENCE, Router, full, http2, http2_with_window, read, read_until, request, route, wait_until,
};

async fn router_and_app() -> (Router, App) {
    let router = Router::start().await;
    let app = App::serve(|request| async move {
        let body = request
            .into_body()
            .collect()
            .await
            .map(|body| body.to_bytes())
            .unwrap_or_default();
        http::Response::new(full(body))
    })
    .await;
    router.apply(vec![route("shop.test", "/", &[&app])]).await;
    (router, app)
}

#[tokio::test]
async fn ambiguous_requests_are_refused_and_never_reach_the_app() {
    let (router, app) = router_and_app().await;
    let bad = [
        "POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: shop.test\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 3, 4\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: +3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 0x3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: -1\r\n\r\nabc",
        "POST / HTTP/1.1\r\nhost: shop.test\r\ntransfer-encoding: gzip\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: shop.test\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: shop.test\r\ntransfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: shop.test\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nhost: shop.test\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length : 3\r\n\r\nabc",
        "GET / HTTP/1.1\r\nhost: shop.test\r\nx: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: shop.test\r\nx: a\0b\r\n\r\n",
        "GET / HTTP/1.1\nhost: shop.test\n\n",
        "GET / HTTP/1.1\r\nhost: shop.test\r\nx: y\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: shop.test\r\nhost: other.test\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: shop.test\r\nhost: shop.test\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: shop.test, other.test\r\n\r\n",
        "GET http://other.test/ HTTP/1.1\r\nhost: shop.test\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: user@shop.test\r\n\r\n",
        "GET  / HTTP/1.1\r\nhost: shop.test\r\n\r\n",
        "GET / HTTP/1.1 \r\nhost: shop.test\r\n\r\n",
    ];
    for text in bad {
        let answer = router.raw(text).await;
        assert!(
            answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.0 400 "),
            "{text:?} got {answer:?}"
        );
        assert_eq!(answer.matches("HTTP/1.").count(), 1, "{text:?} got {answer:?}");
    }
    for text in [
        "CONNECT shop.test:80 HTTP/1.1\r\nhost: shop.test:80\r\nconnection: close\r\n\r\n",
        "TRACE / HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n\r\n",
    ] {
        assert!(router.raw(text).await.starts_with("HTTP/1.1 405 "), "{text:?}");
    }
    assert_eq!(app.connections(), 0);
    router.stop().await;
}

#[tokio::test]
async fn a_request_hidden_in_a_body_stays_a_body() {
    let (router, _app) = router_and_app().await;
    let hidden = "GET /hidden HTTP/1.1\r\nhost: shop.test\r\n\r\n";
    let sized = format!(
        "POST / HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{hidden}",
        hidden.len()
    );
    let chunked = format!(
        "POST / HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{:x};ext=1\r\n{hidden}\r\n0\r\n\r\n",
        hidden.len()
    );
    for text in [sized, chunked] {
        let answer = router.raw(&text).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.contains(hidden),
            "{answer}"
        );
    }
    router.stop().await;
}

#[tokio::test]
async fn malformed_chunks_end_the_exchange() {
    let (router, _app) = router_and_app().await;
    for chunks in [
        "3\r\nabcd\r\n0\r\n\r\n",
        "g\r\n",
        "-1\r\n",
        "fffffffffffffffff\r\n",
        "3\nabc\n0\n\n",
    ] {
        let text = format!("POST / HTTP/1.1\r\nhost: shop.test\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
        let answer = router.raw(&text).await;
        assert!(!answer.contains(" 200 "), "{chunks:?} got {answer:?}");
    }
    router.stop().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let (router, _app) = router_and_app().await;
    let one = |body: &str| format!("POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 3\r\n\r\n{body}");
    let last = "GET /x HTTP/1.1\r\nhost: nobody.test\r\nconnection: close\r\n\r\n";
    let answer = router.raw([one("abc"), one("def"), last.to_owned()].concat()).await;
    let places = ["abc", "def", " 404 "].map(|part| answer.find(part).expect(part));
    assert!(places.is_sorted(), "{answer}");
    router.stop().await;
}

fn quick() -> Limits {
    let short = Duration::from_millis(300);
    Limits {
        header_read: short,
        keep_alive_idle: short,
        body_idle: short,
        response_header: short,
        ..Limits::default()
    }
}

#[tokio::test]
async fn a_slow_head_is_cut_off_with_408_however_it_trickles() {
    let router = Router::start_with(quick()).await;
    let stream = TcpStream::connect(router.address).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let trickle = tokio::spawn(async move {
        write.write_all(b"GET / HTTP/1.1\r\nhost: shop.test\r\n").await.unwrap();
        while write.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let answer = read_until(&mut read, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    timeout(PATIENCE, trickle).await.unwrap().unwrap();
    router.stop().await;
}

#[tokio::test]
async fn silent_and_idle_connections_are_closed() {
    let router = Router::start_with(quick()).await;
    assert_eq!(router.raw("").await, "", "connected and silent");
    let answer = router.raw("GET / HTTP/1.1\r\nhost: nobody.test\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "served, then idle: {answer}");
    router.stop().await;
}

#[tokio::test]
async fn a_request_body_that_stands_still_is_408_and_a_silent_app_504() {
    let router = Router::start_with(quick()).await;
    let reader = App::serve(|request| async move {
        let _ = request.into_body().collect().await;
        http::Response::new(full("read"))
    })
    .await;
    let silent = App::raw(|stream| async move {
        let _held = stream;
        std::future::pending().await
    })
    .await;
    router
        .apply(vec![
            route("reader.test", "/", &[&reader]),
            route("silent.test", "/", &[&silent]),
        ])
        .await;
    let answer = router
        .raw("POST / HTTP/1.1\r\nhost: reader.test\r\ncontent-length: 10\r\n\r\nabc")
        .await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(router.get("silent.test", "/").await.status, 504);
    assert_eq!(router.in_flight(&silent).await, 0);
    router.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let router = Router::start_with(quick()).await;
    let app = App::serve(|_| async { http::Response::new(full(vec![b'x'; 50_000_000])) }).await;
    router.apply(vec![route("shop.test", "/", &[&app])]).await;
    let mut stream = TcpStream::connect(router.address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n")
        .await
        .unwrap();
    wait_until("the response has begun", || async { app.connections() == 1 }).await;
    wait_until("it is cut off", || async { router.in_flight(&app).await == 0 }).await;
    let mut got = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut got)).await.unwrap();
    assert!(got.len() < 50_000_000);
    router.stop().await;
}

#[tokio::test]
async fn heads_and_bodies_beyond_the_limits_are_refused() {
    let limits = Limits {
        max_header_bytes: 8 * 1024,
        max_request_body_bytes: Some(10),
        ..Limits::default()
    };
    let router = Router::start_with(limits).await;
    let app = App::serve(|request| async move {
        let _ = request.into_body().collect().await;
        http::Response::new(full("read"))
    })
    .await;
    router.apply(vec![route("shop.test", "/", &[&app])]).await;
    let head = format!("GET / HTTP/1.1\r\nhost: shop.test\r\nx: {}\r\n\r\n", "y".repeat(9000));
    assert!(router.raw(head).await.starts_with("HTTP/1.1 431 "));
    let many = format!("GET / HTTP/1.1\r\nhost: shop.test\r\n{}\r\n", "a: b\r\n".repeat(200));
    assert!(router.raw(many).await.starts_with("HTTP/1.1 431 "));
    let sized = "POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 11\r\n\r\nhello world";
    assert!(router.raw(sized).await.starts_with("HTTP/1.1 413 "));
    let chunked =
        "POST / HTTP/1.1\r\nhost: shop.test\r\ntransfer-encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n";
    assert!(router.raw(chunked).await.starts_with("HTTP/1.1 413 "));
    let (parts, _) = request("POST", "shop.test", "/").into_parts();
    assert_eq!(
        router
            .send(http::Request::from_parts(parts, "0123456789".into()))
            .await
            .status,
        200
    );
    router.stop().await;
}

#[tokio::test]
async fn connections_beyond_the_cap_of_an_address_get_503() {
    let router = Router::start_with(Limits {
        max_connections_per_ip: 2,
        ..Limits::default()
    })
    .await;
    let one = TcpStream::connect(router.address).await.unwrap();
    let _two = TcpStream::connect(router.address).await.unwrap();
    wait_until("both are counted", || async {
        router.control.status().await.unwrap().connections == 2
    })
    .await;
    assert!(router.raw("").await.starts_with("HTTP/1.1 503 "));
    drop(one);
    wait_until("one is released", || async {
        router.control.status().await.unwrap().connections == 1
    })
    .await;
    assert_eq!(router.get("nobody.test", "/").await.status, 404);
    router.stop().await;
}

/// Sends a request with a body that is far larger than all buffers; ends when the router has closed the connection.
async fn upload_much(router: &Router, host: &str) -> (OwnedReadHalf, JoinHandle<()>) {
    let (read, mut write) = TcpStream::connect(router.address).await.unwrap().into_split();
    let head = format!("POST / HTTP/1.1\r\nhost: {host}\r\ncontent-length: 1000000000\r\n\r\n");
    let upload = tokio::spawn(async move {
        let piece = vec![b'x'; 100_000];
        let mut outcome = write.write_all(head.as_bytes()).await;
        while outcome.is_ok() {
            outcome = write.write_all(&piece).await;
        }
    });
    (read, upload)
}

#[tokio::test]
async fn an_app_that_does_not_read_a_request_body_is_504() {
    let router = Router::start_with(quick()).await;
    let app = App::raw(|stream| async move {
        let _held = stream;
        std::future::pending().await
    })
    .await;
    router.apply(vec![route("shop.test", "/", &[&app])]).await;
    let (mut read, upload) = upload_much(&router, "shop.test").await;
    let answer = read_until(&mut read, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    timeout(PATIENCE, upload).await.unwrap().unwrap();
    assert_eq!(router.in_flight(&app).await, 0);
    let served = router.control.status().await.unwrap().served[&app.instance];
    assert_eq!((served.answered, served.failed), (1, 1));
    router.stop().await;
}

#[tokio::test]
async fn an_app_that_answers_and_reads_no_more_of_the_body_does_not_hold_the_connection() {
    let router = Router::start_with(quick()).await;
    let app = App::raw(|mut stream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        let answer = b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\nok";
        stream.write_all(answer).await.unwrap();
        std::future::pending().await
    })
    .await;
    router.apply(vec![route("shop.test", "/", &[&app])]).await;
    let (mut read, upload) = upload_much(&router, "shop.test").await;
    let mut answer = Vec::new();
    // A reset after the answer is an end too.
    let _ = timeout(PATIENCE, read.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\nok"), "nothing follows the answer: {answer}");
    timeout(PATIENCE, upload).await.unwrap().unwrap();
    wait_until("nothing is in flight", || async { router.in_flight(&app).await == 0 }).await;
    router.stop().await;
}

#[tokio::test]
async fn an_http2_client_that_grants_no_window_loses_its_stream_only() {
    let router = Router::start_with(Limits {
        body_idle: Duration::from_millis(300),
        ..Limits::default()
    })
    .await;
    let large = App::serve(|_| async { http::Response::new(full(vec![b'x'; 50_000_000])) }).await;
    let small = App::named("small").await;
    let routes = [route("large.test", "/", &[&large]), route("small.test", "/", &[&small])];
    router.apply(routes.to_vec()).await;
    let mut sender = http2(router.address).await;
    let get = |uri: &str| http::Request::get(uri).body(Default::default()).unwrap();
    let unread = sender.send_request(get("http://large.test/")).await.unwrap();
    wait_until("the stream is cut off", || async {
        router.in_flight(&large).await == 0
    })
    .await;
    let reply = read(sender.send_request(get("http://small.test/")).await.unwrap()).await;
    assert_eq!(reply.body, "small");
    let body = timeout(PATIENCE, unread.into_body().collect()).await.unwrap();
    assert!(body.is_err(), "it is not taken for whole");
    drop(sender);
    router.stop().await;
}

#[tokio::test]
async fn an_http2_client_that_reads_slowly_but_steadily_gets_all() {
    const LENGTH: u32 = 130_000;
    // 0.7 s for a piece of the router, and 2.6 s for what the instance sends at once.
    const BYTES_PER_SECOND: u32 = 25_000;
    let router = Router::start_with(Limits {
        body_idle: Duration::from_millis(1500),
        ..Limits::default()
    })
    .await;
    let app = App::serve(|_| async { http::Response::new(full(vec![b'x'; LENGTH as usize])) }).await;
    router.apply(vec![route("shop.test", "/", &[&app])]).await;
    let mut sender = http2_with_window(router.address, 8 * 1024).await;
    let request = http::Request::get("http://shop.test/")
        .body(Default::default())
        .unwrap();
    let mut body = sender.send_request(request).await.unwrap().into_body();
    let mut got = 0;
    let reading = async {
        while let Some(frame) = body.frame().await {
            let data = frame.expect("the stream is not reset").into_data().unwrap_or_default();
            let bytes = u32::try_from(data.len()).unwrap();
            got += bytes;
            tokio::time::sleep(Duration::from_secs(1) * bytes / BYTES_PER_SECOND).await;
        }
    };
    timeout(PATIENCE, reading).await.unwrap();
    assert_eq!(got, LENGTH);
    drop(sender);
    router.stop().await;
}
