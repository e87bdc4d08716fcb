use http::Response;

use crate::support::{App, Router, full, request, route};

#[tokio::test]
async fn what_a_client_says_about_itself_is_replaced() {
    let router = Router::start().await;
    let app = App::echo_head().await;
    router.apply(vec![route("shop.test", "/", &[&app])]).await;
    let mut forged = request("GET", "shop.test:8080", "/");
    for name in [
        "x-forwarded-for",
        "x-real-ip",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x_forwarded_for",
        "x_real_ip",
    ] {
        forged.headers_mut().append(name, "6.6.6.6".parse().unwrap());
    }
    forged.headers_mut().append("forwarded", "for=6.6.6.6".parse().unwrap());
    forged
        .headers_mut()
        .append("connection", "x-forwarded-for, x-real-ip".parse().unwrap());
    let seen = router.send(forged).await.body;
    assert!(!seen.contains("6.6.6.6"), "{seen}");
    for line in [
        "x-forwarded-for: 127.0.0.1\n",
        "x-real-ip: 127.0.0.1\n",
        "x-forwarded-proto: http\n",
        "x-forwarded-host: shop.test:8080\n",
        "x-forwarded-port: 8080\n",
        "forwarded: for=127.0.0.1;host=\"shop.test:8080\";proto=http\n",
        "host: shop.test:8080\n",
    ] {
        assert_eq!(seen.matches(&format!("\n{line}")).count(), 1, "{line}{seen}");
    }
    router.stop().await;
}

#[tokio::test]
async fn hop_by_hop_headers_end_at_the_router_both_ways() {
    let router = Router::start().await;
    let app = App::serve(|request| async move {
        let names: Vec<String> = request.headers().keys().map(ToString::to_string).collect();
        Response::builder()
            .header("connection", "x-private")
            .header("x-private", "1")
            .header("keep-alive", "timeout=5")
            .header("proxy-authenticate", "Basic")
            .header("x-public", "1")
            .body(full(names.join(" ")))
            .unwrap()
    })
    .await;
    router.apply(vec![route("shop.test", "/", &[&app])]).await;
    let mut request = request("GET", "shop.test", "/");
    let headers = [
        ("connection", "keep-alive, X-Mine"),
        ("x-mine", "1"),
        ("te", "gzip"),
        ("proxy-authorization", "x"),
        ("expect", "x"),
    ];
    for (name, value) in headers {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    let reply = router.send(request).await;
    for name in ["x-mine", "te ", "proxy-authorization", "expect", "connection"] {
        assert!(!reply.body.contains(name), "{name}: {}", reply.body);
    }
    for name in ["x-private", "keep-alive", "proxy-authenticate", "connection"] {
        assert!(!reply.headers.contains_key(name), "{name}");
    }
    assert_eq!(reply.headers["x-public"], "1");
    router.stop().await;
}

#[tokio::test]
async fn a_request_id_is_made_passed_on_and_returned() {
    let router = Router::start().await;
    let app = App::echo_head().await;
    router.apply(vec![route("shop.test", "/", &[&app])]).await;
    let made = router.get("shop.test", "/").await;
    let id = made.headers["x-request-id"].to_str().unwrap();
    assert!(id.len() == 36 && made.body.contains(&format!("x-request-id: {id}\n")));
    for (given, kept) in [("trace-1", true), ("no spaces please", false)] {
        let mut request = request("GET", "shop.test", "/");
        request.headers_mut().insert("x-request-id", given.parse().unwrap());
        assert_eq!(router.send(request).await.headers["x-request-id"] == given, kept);
    }
    router.stop().await;
}
