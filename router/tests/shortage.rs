//! A router without a file descriptor left. In a program of its own, as that limit is the whole process's.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on should stop")]

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use support::{App, Client, Router, request, route};

#[path = "router/support.rs"]
#[allow(dead_code, reason = "what the other tests need")]
mod support;

#[tokio::test]
async fn a_router_that_cannot_connect_for_want_of_descriptors_blames_no_instance() {
    let router = Router::start().await;
    let (one, two) = (App::named("app").await, App::named("app").await);
    router.apply(vec![route("shop.test", "/", &[&one, &two])]).await;
    let mut client = Client::connect(router.address).await;
    // Once before, so that all that this needs is open.
    assert_eq!(client.send(request("GET", "nobody.test", "/")).await.status, 404);
    let usual = getrlimit(Resource::Nofile);
    let none = Rlimit {
        current: Some(0),
        ..usual
    };
    setrlimit(Resource::Nofile, none).unwrap();
    let short = client.send(request("GET", "shop.test", "/")).await;
    setrlimit(Resource::Nofile, usual).unwrap();
    assert_eq!(
        (short.status.as_u16(), &short.headers["retry-after"]),
        (503, &"1".parse().unwrap())
    );
    let status = router.control.status().await.unwrap();
    assert!(status.ejected.is_empty());
    for app in [&one, &two] {
        let served = status.served[&app.instance];
        assert_eq!((served.answered, served.failed), (0, 0));
    }
    assert_eq!(client.send(request("GET", "shop.test", "/")).await.body, "app");
    router.stop().await;
}
