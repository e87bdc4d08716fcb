//! The serving loop, over the network.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{Api, with_api};

async fn ask(api: &Api, bytes: &[u8]) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(api.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = vec![0; 16 * 1024];
    let read = timeout(Duration::from_secs(20), stream.read(&mut answer))
        .await
        .expect("an answer in time")
        .unwrap();
    (stream, String::from_utf8_lossy(&answer[..read]).into_owned())
}

#[tokio::test]
async fn both_versions_of_http_are_served() {
    with_api(|api| async move {
        let (_, answer) = ask(&api, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let (_, settings) = ask(&api, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
        // A SETTINGS frame (RFC 9113, section 6.5): its type is the fourth byte.
        assert_eq!(settings.as_bytes().get(3), Some(&4));
    })
    .await;
}

#[tokio::test]
async fn a_client_that_sends_half_a_header_or_nothing_is_cut_off() {
    with_api(|api| async move {
        let cut_off = |bytes: &'static [u8]| {
            let api = api.clone();
            async move {
                let began = Instant::now();
                let (mut stream, _) = ask(&api, bytes).await;
                let mut rest = Vec::new();
                let ended = timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
                assert!(ended.is_ok() && began.elapsed() < Duration::from_secs(18), "{bytes:?}");
            }
        };
        tokio::join!(cut_off(b"GET /livez HTTP/1.1\r\nHost: "), cut_off(b"P"), cut_off(b""));
    })
    .await;
}

#[tokio::test]
async fn a_body_that_is_announced_as_too_large_is_refused_before_it_comes() {
    with_api(|api| async move {
        let began = Instant::now();
        let webhook = format!(
            "POST /webhooks/github HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            30 << 20
        );
        let (_, answer) = ask(&api, webhook.as_bytes()).await;
        assert!(
            answer.starts_with("HTTP/1.1 413") && answer.contains("too_large"),
            "{answer}"
        );
        let app = format!(
            "POST /api/v1/apps HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Authorization: Bearer {}\r\n\r\n",
            (1 << 20) + 1,
            api.token
        );
        let (_, answer) = ask(&api, app.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        assert!(began.elapsed() < Duration::from_secs(10), "it was waited for");
    })
    .await;
}

#[tokio::test]
async fn a_server_that_stops_ends_its_streams_and_itself() {
    with_api(|api| async move {
        api.app("shop").await;
        let request = format!(
            "GET /api/v1/apps/shop/logs HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nAuthorization: Bearer {}\r\n\r\n",
            api.token
        );
        let (mut stream, answer) = ask(&api, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let (mut idle, _) = ask(&api, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
        api.shutdown.cancel();
        let mut rest = Vec::new();
        timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await.expect("the stream ends").unwrap();
        timeout(Duration::from_secs(5), idle.read_to_end(&mut rest)).await.expect("idle connections end").unwrap();
        let ended = timeout(Duration::from_secs(5), async {
            while !api.servers.iter().all(tokio::task::JoinHandle::is_finished) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        ended.await.expect("the servers end");
        assert!(TcpStream::connect(api.address).await.is_err());
    })
    .await;
}
