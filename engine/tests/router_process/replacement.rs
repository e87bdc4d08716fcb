//! An engine takes over from a router that it cannot keep: one of another version, or on another address.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use windlass_router::control::ControlClient;

use crate::{
    engine::{Engine, answer, data_dir, end_router, free_address},
    old_router::{self, NEWEST, Serving},
    visitor::visit,
};

#[tokio::test]
async fn a_router_of_another_version_is_replaced_only_when_it_has_drained() {
    let temp = data_dir();
    let (address, old) = old_router::that_drains(temp.path());
    let mut engine = Engine::start("api,worker,router", temp.path(), &address);
    let status = answer(temp.path(), &mut engine, |status| status.version != "0.0.1").await;
    assert!(old.is_finished());
    assert_ne!(status.pid, 1);
    assert!(temp.path().join("log/router.log").exists());
    assert!(engine.terminate() < Duration::from_secs(5));
    let client = ControlClient::new(temp.path().join("router/control.sock"));
    assert_eq!(client.status().await.unwrap().pid, status.pid, "it outlives its engine");
    client.shutdown().await.unwrap();
    while client.status().await.is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_replaces_the_router_under_load_without_losing_a_request() {
    let temp = data_dir();
    let old = Serving::start(temp.path(), "0.0.1").await;
    let enough = CancellationToken::new();
    let visitor = tokio::spawn(visit(old.address, enough.clone()));
    let mut engine = Engine::start("api,worker,router", temp.path(), &old.address.to_string());
    let status = answer(temp.path(), &mut engine, |status| status.version != "0.0.1").await;
    assert_eq!(status.generation, NEWEST, "it has the table of the old one");
    tokio::time::timeout(Duration::from_secs(60), old.ended)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    answer(temp.path(), &mut engine, |status| status.requests_total > 100).await;
    enough.cancel();
    let served = visitor.await.unwrap();
    assert!(served.as_ref().is_ok_and(|served| *served > 100), "{served:?}");
    assert!(engine.terminate() < Duration::from_secs(10));
    end_router(temp.path()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_on_another_address_than_the_configured_one_is_replaced() {
    let temp = data_dir();
    let old = Serving::start(temp.path(), env!("CARGO_PKG_VERSION")).await;
    let wanted = free_address();
    let mut engine = Engine::start("api,worker,router", temp.path(), &wanted);
    let status = answer(temp.path(), &mut engine, |status| status.pid != std::process::id()).await;
    assert_eq!(status.generation, NEWEST);
    let enough = CancellationToken::new();
    let visitor = tokio::spawn(visit(wanted.parse().unwrap(), enough.clone()));
    answer(temp.path(), &mut engine, |status| status.requests_total > 10).await;
    enough.cancel();
    assert!(visitor.await.unwrap().is_ok());
    tokio::time::timeout(Duration::from_secs(60), old.ended)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(
        TcpStream::connect(old.address).await.is_err(),
        "the old address is free"
    );
    assert!(engine.terminate() < Duration::from_secs(10));
    end_router(temp.path()).await;
}
