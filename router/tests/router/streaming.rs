use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    time::timeout,
};
use windlass_router::Limits;

use crate::support::{App, PATIENCE, Router, full, read_until, request, route, wait_until};

/// Answers at once, then sends back each piece of the request's body as it comes.
async fn echo_app() -> App {
    App::serve(|request| async move {
        let pieces = request
            .into_body()
            .into_data_stream()
            .filter_map(|piece| async { piece.ok().map(Frame::data).map(Ok) });
        Response::new(StreamBody::new(pieces).boxed_unsync())
    })
    .await
}

#[tokio::test]
async fn bodies_stream_both_ways_at_once() {
    let router = Router::start().await;
    let app = echo_app().await;
    router.apply(vec![route("shop.test", "/", &[&app])]).await;
    let mut stream = TcpStream::connect(router.address).await.unwrap();
    stream
        .write_all(b"POST / HTTP/1.1\r\nhost: shop.test\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        .await
        .unwrap();
    read_until(&mut stream, "first\r\n").await;
    assert_eq!(router.in_flight(&app).await, 1);
    stream.write_all(b"6\r\nsecond\r\n").await.unwrap();
    read_until(&mut stream, "second\r\n").await;
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    read_until(&mut stream, "0\r\n\r\n").await;
    wait_until("nothing is in flight", || async { router.in_flight(&app).await == 0 }).await;
    router.stop().await;
}

#[tokio::test]
async fn large_bodies_arrive_whole() {
    let router = Router::start().await;
    let app = App::serve(|request| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Response::new(full(body))
    })
    .await;
    router.apply(vec![route("shop.test", "/", &[&app])]).await;
    let sent: String = (0..400_000)
        .map(|n| char::from(b'a' + (n % 26) as u8))
        .collect::<String>()
        .repeat(10);
    let (parts, _) = request("POST", "shop.test", "/").into_parts();
    let reply = router.send(Request::from_parts(parts, sent.clone().into())).await;
    assert!(reply.body == sent, "{} bytes of {}", reply.body.len(), sent.len());
    router.stop().await;
}

#[tokio::test]
async fn events_pass_line_by_line() {
    let (send, receive) = mpsc::channel::<&'static str>(1);
    let receive = std::sync::Arc::new(std::sync::Mutex::new(Some(receive)));
    let app = App::serve(move |_| {
        let receive = receive.lock().unwrap().take().unwrap();
        async move {
            let events = stream_of(receive).map(|event| Ok(Frame::data(Bytes::from_static(event.as_bytes()))));
            let body = StreamBody::new(events).boxed_unsync();
            Response::builder()
                .header("content-type", "text/event-stream")
                .body(body)
                .unwrap()
        }
    })
    .await;
    let router = Router::start().await;
    router.apply(vec![route("shop.test", "/", &[&app])]).await;
    let mut stream = TcpStream::connect(router.address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n")
        .await
        .unwrap();
    for event in ["data: one\n\n", "data: two\n\n", "data: three\n\n"] {
        send.send(event).await.unwrap();
        read_until(&mut stream, event).await;
    }
    drop(send);
    read_until(&mut stream, "0\r\n\r\n").await;
    router.stop().await;
}

fn stream_of(mut receive: mpsc::Receiver<&'static str>) -> impl futures::Stream<Item = &'static str> + Send {
    futures::stream::poll_fn(move |cx| receive.poll_recv(cx))
}

#[tokio::test]
async fn a_client_that_expects_100_is_told_to_go_on_only_if_there_is_an_app() {
    let router = Router::start().await;
    let app = echo_app().await;
    router.apply(vec![route("shop.test", "/", &[&app])]).await;
    let mut stream = TcpStream::connect(router.address).await.unwrap();
    let head =
        "POST / HTTP/1.1\r\nhost: HOST\r\nexpect: 100-continue\r\ncontent-length: 2\r\nconnection: close\r\n\r\n";
    stream
        .write_all(head.replace("HOST", "shop.test").as_bytes())
        .await
        .unwrap();
    let mut answer = read_until(&mut stream, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 100 Continue\r\n\r\n"), "{answer}");
    stream.write_all(b"hi").await.unwrap();
    answer += &read_until(&mut stream, "hi\r\n").await;
    assert!(answer.contains("200 OK"), "{answer}");
    let refused = router.raw(head.replace("HOST", "nobody.test")).await;
    assert!(refused.starts_with("HTTP/1.1 404"), "{refused}");
    router.stop().await;
}

/// Switches protocols, then sends everything back.
async fn upgrading_app() -> App {
    App::serve(|mut request| async move {
        let upgrade = hyper::upgrade::on(&mut request);
        let protocol = request.headers().get("upgrade").cloned();
        let Some(protocol) = protocol else {
            return Response::new(full("no upgrade was asked for"));
        };
        tokio::spawn(async move {
            let mut stream = TokioIo::new(upgrade.await.unwrap());
            let mut buffer = [0; 1024];
            while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                stream.write_all(&buffer[..n]).await.unwrap();
            }
        });
        Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header("connection", "upgrade")
            .header("upgrade", protocol)
            .header("sec-websocket-accept", "x")
            .body(full(""))
            .unwrap()
    })
    .await
}

const UPGRADE: &str =
    "GET /ws HTTP/1.1\r\nhost: shop.test\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: x\r\n\r\n";

#[tokio::test]
async fn a_websocket_is_a_tunnel_that_counts_as_in_flight() {
    let limits = Limits {
        body_idle: Duration::from_millis(300),
        header_read: Duration::from_millis(300),
        ..Limits::default()
    };
    let router = Router::start_with(limits).await;
    let app = upgrading_app().await;
    router.apply(vec![route("shop.test", "/", &[&app])]).await;
    let mut stream = TcpStream::connect(router.address).await.unwrap();
    stream.write_all(UPGRADE.as_bytes()).await.unwrap();
    let head = read_until(&mut stream, "\r\n\r\n").await;
    assert!(
        head.starts_with("HTTP/1.1 101 ") && head.contains("upgrade: websocket\r\n"),
        "{head}"
    );
    assert!(
        head.contains("connection: upgrade\r\n") && head.contains("sec-websocket-accept: x\r\n"),
        "{head}"
    );
    let long = "x".repeat(100_000);
    for message in ["hello", "GET / HTTP/1.1\n\nnot a request", &long] {
        stream.write_all(message.as_bytes()).await.unwrap();
        let mut back = vec![0; message.len()];
        timeout(PATIENCE, stream.read_exact(&mut back)).await.unwrap().unwrap();
        assert!(back == message.as_bytes());
    }
    // Longer than every limit on idle connections: a tunnel may be silent.
    assert!(
        timeout(Duration::from_secs(1), stream.read(&mut [0])).await.is_err(),
        "the tunnel was cut"
    );
    assert_eq!(router.in_flight(&app).await, 1);
    drop(stream);
    wait_until("the tunnel has ended", || async { router.in_flight(&app).await == 0 }).await;
    router.stop().await;
}

#[tokio::test]
async fn an_upgrade_to_h2c_is_not_passed_on() {
    let router = Router::start().await;
    let app = upgrading_app().await;
    router.apply(vec![route("shop.test", "/", &[&app])]).await;
    let request = "GET / HTTP/1.1\r\nhost: shop.test\r\nconnection: close, Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: x\r\n\r\n";
    let answer = router.raw(request).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("no upgrade was asked for"),
        "{answer}"
    );
    router.stop().await;
}

#[tokio::test]
async fn an_upgrade_with_a_body_is_a_request_like_any_other() {
    let router = Router::start().await;
    let app = upgrading_app().await;
    router.apply(vec![route("shop.test", "/", &[&app])]).await;
    let request = "POST / HTTP/1.1\r\nhost: shop.test\r\nconnection: close, Upgrade\r\nupgrade: websocket\r\ncontent-length: 1\r\n\r\nx";
    let answer = router.raw(request).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("no upgrade was asked for"),
        "{answer}"
    );
    router.stop().await;
}

/// Answers as soon as it has the head of a request, then reads the chunked body of a POST and tells how long all was.
async fn hasty_app(told: mpsc::Sender<usize>) -> App {
    App::raw(move |mut stream| {
        let told = told.clone();
        async move {
            let mut got = read_until(&mut stream, "\r\n\r\n").await.into_bytes();
            let answer = b"HTTP/1.1 202 Accepted\r\ncontent-length: 5\r\n\r\nhasty";
            stream.write_all(answer).await.unwrap();
            if got.starts_with(b"POST") {
                while !got.ends_with(b"\r\n0\r\n\r\n") {
                    assert!(stream.read_buf(&mut got).await.unwrap() > 0, "the body was cut off");
                }
                told.send(got.len()).await.unwrap();
            }
        }
    })
    .await
}

const CHUNKED: &[u8] = b"POST / HTTP/1.1\r\nhost: shop.test\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n";

#[tokio::test]
async fn a_request_body_may_go_on_after_the_answer_for_longer_than_a_head() {
    let header_read = Duration::from_millis(300);
    let router = Router::start_with(Limits {
        header_read,
        keep_alive_idle: header_read,
        max_header_bytes: 8 * 1024,
        ..Limits::default()
    })
    .await;
    let (told, mut lengths) = mpsc::channel(1);
    let app = hasty_app(told).await;
    router.apply(vec![route("shop.test", "/", &[&app])]).await;
    let mut stream = TcpStream::connect(router.address).await.unwrap();
    stream.write_all(CHUNKED).await.unwrap();
    read_until(&mut stream, "hasty").await;
    let answered = Instant::now();
    let chunk = format!("5000\r\n{}\r\n", "y".repeat(0x5000));
    let mut chunks = 0;
    while chunks < 2 || answered.elapsed() < header_read * 4 {
        stream.write_all(chunk.as_bytes()).await.unwrap();
        chunks += 1;
        assert_eq!(router.in_flight(&app).await, 1, "the instance still gets the body");
        tokio::time::sleep(header_read / 10).await;
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let length = timeout(PATIENCE, lengths.recv()).await.unwrap().unwrap();
    assert!(length > chunks * 0x5000, "{length} bytes of {chunks} chunks");
    wait_until("nothing is in flight", || async { router.in_flight(&app).await == 0 }).await;
    let served = router.control.status().await.unwrap().served[&app.instance];
    assert_eq!((served.answered, served.failed), (1, 0));
    router.stop().await;
}

#[tokio::test]
async fn a_request_body_that_goes_on_after_the_answer_leaves_no_trace_in_the_next_head() {
    let router = Router::start().await;
    let (told, mut lengths) = mpsc::channel(1);
    let app = hasty_app(told).await;
    router.apply(vec![route("shop.test", "/", &[&app])]).await;
    let mut stream = TcpStream::connect(router.address).await.unwrap();
    let both = "POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    let plain = "GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n";
    for (rest, next, begin, end) in [
        // Lines that would make a head bad.
        ("6\r\na\nb\n\n\n\r\n0\r\n\r\n", plain, "HTTP/1.1 202 ", "hasty"),
        // A late end, which would be an end of a head too.
        ("0\r\n\r\n", both, "HTTP/1.1 400 ", "\r\n\r\n"),
    ] {
        stream.write_all(CHUNKED).await.unwrap();
        read_until(&mut stream, "hasty").await;
        stream.write_all(rest.as_bytes()).await.unwrap();
        timeout(PATIENCE, lengths.recv()).await.unwrap().unwrap();
        wait_until("nothing is in flight", || async { router.in_flight(&app).await == 0 }).await;
        stream.write_all(next.as_bytes()).await.unwrap();
        let answer = read_until(&mut stream, end).await;
        assert!(answer.starts_with(begin), "{answer}");
    }
    router.stop().await;
}
