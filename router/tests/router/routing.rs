use http::StatusCode;
use windlass_domain::Middleware;

use crate::support::{App, Client, Router, read, request, route, with};

#[tokio::test]
async fn host_and_longest_path_decide() {
    let router = Router::start().await;
    let (shop, api, blog) = (
        App::named("shop").await,
        App::named("api").await,
        App::named("blog").await,
    );
    router
        .apply(vec![
            route("shop.test", "/", &[&shop]),
            route("shop.test", "/api", &[&api]),
            route("blog.test", "/", &[&blog]),
        ])
        .await;
    for (host, path, body) in [
        ("shop.test", "/", "shop"),
        ("shop.test", "/api", "api"),
        ("shop.test", "/api/v1?x=/", "api"),
        ("shop.test", "/apix", "shop"),
        ("SHOP.Test:8080", "/", "shop"),
        ("blog.test.", "/", "blog"),
    ] {
        assert_eq!(router.get(host, path).await.body, body, "{host}{path}");
    }
    router.stop().await;
}

#[tokio::test]
async fn an_unknown_host_or_path_gets_a_404_in_the_form_it_accepts() {
    let router = Router::start().await;
    let app = App::named("app").await;
    router.apply(vec![route("shop.test", "/api", &[&app])]).await;
    let plain = router.get("shop.test", "/").await;
    assert_eq!(plain.status, StatusCode::NOT_FOUND);
    assert!(plain.body.starts_with("404 Not Found\n"), "{}", plain.body);
    for (accept, content_type) in [
        ("text/html", "text/html; charset=utf-8"),
        ("application/json", "application/problem+json"),
    ] {
        let mut request = request("GET", "nobody.test", "/");
        request.headers_mut().insert("accept", accept.parse().unwrap());
        let page = router.send(request).await;
        assert_eq!(
            (page.status, page.headers["content-type"].to_str().unwrap()),
            (StatusCode::NOT_FOUND, content_type)
        );
        assert!(page.body.contains(page.headers["x-request-id"].to_str().unwrap()));
    }
    router.stop().await;
}

#[tokio::test]
async fn a_route_without_instances_is_503_and_a_refusing_instance_502() {
    let router = Router::start().await;
    let dead = App::dead();
    router
        .apply(vec![route("none.test", "/", &[]), route("dead.test", "/", &[&dead])])
        .await;
    let none = router.get("none.test", "/").await;
    assert_eq!(
        (none.status, none.headers["retry-after"].to_str().unwrap()),
        (StatusCode::SERVICE_UNAVAILABLE, "1")
    );
    for _ in 0..3 {
        assert_eq!(router.get("dead.test", "/").await.status, StatusCode::BAD_GATEWAY);
    }
    assert!(
        router.control.status().await.unwrap().ejected.is_empty(),
        "the last instance is never ejected"
    );
    router.stop().await;
}

#[tokio::test]
async fn middlewares_strip_redirect_and_add_headers() {
    let router = Router::start().await;
    let app = App::echo_head().await;
    let header = Middleware::ResponseHeader {
        name: "x-frame-options".into(),
        value: "DENY".into(),
    };
    router
        .apply(vec![
            with(route("a.test", "/api", &[&app]), vec![Middleware::StripPath, header]),
            with(route("b.test", "/", &[]), vec![Middleware::RedirectToHttps]),
        ])
        .await;
    let stripped = router.get("a.test", "/api/users?x=1").await;
    assert!(stripped.body.starts_with("GET /users?x=1\n") && stripped.body.contains("x-forwarded-prefix: /api\n"));
    assert_eq!(stripped.headers["x-frame-options"], "DENY");
    let redirected = router.get("b.test:8080", "/x?y=1").await;
    assert_eq!(redirected.status, StatusCode::MOVED_PERMANENTLY);
    assert_eq!(redirected.headers["location"], "https://b.test/x?y=1");
    assert_eq!(
        router.send(request("POST", "b.test", "/")).await.status,
        StatusCode::PERMANENT_REDIRECT
    );
    router.stop().await;
}

#[tokio::test]
async fn http2_with_prior_knowledge_reaches_the_same_routes() {
    let router = Router::start().await;
    let app = App::echo_head().await;
    router.apply(vec![route("shop.test", "/", &[&app])]).await;
    let mut client = crate::support::http2(router.address).await;
    let get = |path: &str| {
        let request = http::Request::get(format!("http://shop.test{path}"));
        request
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .body(Default::default())
            .unwrap()
    };
    let (one, two) = (
        client.send_request(get("/one")),
        client.clone().send_request(get("/two")),
    );
    let (one, two) = (read(one.await.unwrap()).await, read(two.await.unwrap()).await);
    assert!(one.body.starts_with("GET /one\n") && two.body.starts_with("GET /two\n"));
    assert!(
        one.body.contains("host: shop.test\n") && one.body.contains("cookie: a=1; b=2\n"),
        "{}",
        one.body
    );
    let unknown = http::Request::get("http://nobody.test/")
        .body(Default::default())
        .unwrap();
    assert_eq!(
        client.send_request(unknown).await.unwrap().status(),
        StatusCode::NOT_FOUND
    );
    router.stop().await;
}

#[tokio::test]
async fn connections_are_kept_on_both_sides() {
    let router = Router::start().await;
    let app = App::named("app").await;
    router.apply(vec![route("shop.test", "/", &[&app])]).await;
    let mut client = Client::connect(router.address).await;
    for _ in 0..20 {
        assert_eq!(client.send(request("GET", "shop.test", "/")).await.body, "app");
    }
    assert_eq!(app.connections(), 1);
    assert_eq!(router.control.status().await.unwrap().requests_total, 20);
    router.stop().await;
}

#[tokio::test]
async fn head_and_empty_responses_keep_the_connection() {
    let router = Router::start().await;
    let app = App::serve(|request| async move {
        let builder = http::Response::builder();
        match request.uri().path() {
            "/304" => builder
                .status(304)
                .header("etag", "x")
                .body(crate::support::full(""))
                .unwrap(),
            _ => builder
                .header("content-length", "5")
                .body(crate::support::full("hello"))
                .unwrap(),
        }
    })
    .await;
    router.apply(vec![route("shop.test", "/", &[&app])]).await;
    let mut client = Client::connect(router.address).await;
    for _ in 0..2 {
        let head = client.send(request("HEAD", "shop.test", "/")).await;
        assert_eq!(
            (head.headers["content-length"].to_str().unwrap(), head.body.as_str()),
            ("5", "")
        );
        assert_eq!(
            client.send(request("GET", "shop.test", "/304")).await.status,
            StatusCode::NOT_MODIFIED
        );
        assert_eq!(client.send(request("GET", "shop.test", "/")).await.body, "hello");
    }
    assert_eq!(app.connections(), 1);
    router.stop().await;
}
