//! An app behind the router, and who visits it.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;
use windlass_domain::{InstanceId, Route, Upstream};

pub fn route_to(address: SocketAddr) -> Route {
    Route {
        app: "shop".parse().unwrap(),
        process: "web".parse().unwrap(),
        host: "shop.test".parse().unwrap(),
        path: "/".to_owned(),
        middlewares: vec![],
        upstreams: vec![Upstream {
            instance: InstanceId::generate(),
            address,
        }],
    }
}

/// Answers every request, one per connection.
pub async fn app() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.unwrap_or(0) > 0 {}
                let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 3\r\n\r\napp";
                let _ = stream.write_all(answer).await;
            });
        }
    });
    address
}

/// Asks again and again on new connections until told to stop; gives how often it was answered, or what else happened.
pub async fn visit(address: SocketAddr, enough: CancellationToken) -> Result<u32, String> {
    let mut served = 0;
    while !enough.is_cancelled() {
        let mut answer = String::new();
        let asked = async {
            let mut stream = TcpStream::connect(address).await?;
            let request = b"GET / HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n\r\n";
            stream.write_all(request).await?;
            stream.read_to_string(&mut answer).await
        };
        asked.await.map_err(|error| error.to_string())?;
        if !(answer.starts_with("HTTP/1.1 200") && answer.ends_with("app")) {
            return Err(answer);
        }
        served += 1;
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
    Ok(served)
}

/// Asks once, on a connection that waits for as long as it takes; gives the head of the answer.
pub async fn ask_and_wait(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.expect("nobody is refused");
    let request = b"GET / HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("nobody is cut off");
    answer
}
