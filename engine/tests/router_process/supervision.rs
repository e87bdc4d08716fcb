//! The engine looks after its router, whatever else it waits for: one that ends or hangs is replaced.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpListener;
use windlass_domain::RouteTable;

use crate::{
    engine::{Engine, answer, data_dir, end_router, free_address},
    old_router::Serving,
    process::{must_have_all_descriptors, stop_process, until_it_is_gone},
    visitor::{app, ask_and_wait, route_to},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_does_not_answer_the_router_serves_its_last_table_and_is_looked_after() {
    let temp = data_dir();
    let table = RouteTable {
        generation: 7,
        routes: vec![route_to(app().await)],
    };
    fs::create_dir(temp.path().join("router")).unwrap();
    fs::write(
        temp.path().join("router/table.json"),
        serde_json::to_vec(&table).unwrap(),
    )
    .unwrap();
    let database = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("postgres://windlass@{}/windlass", database.local_addr().unwrap());
    let http = free_address();
    let environment = [("DATABASE_URL", nobody.as_str())];
    let mut engine = Engine::start_with("api,worker,router", temp.path(), &http, &environment);
    let first = answer(temp.path(), &mut engine, |status| status.generation == 7).await;
    must_have_all_descriptors(first.pid);
    let address = http.parse().unwrap();
    assert!(ask_and_wait(address).await.ends_with("app"));

    // By the time that the engine asks for the database, it looks after the router.
    let _asked = database.accept().await.unwrap();
    kill_process(Pid::from_raw(first.pid.try_into().unwrap()).unwrap(), Signal::KILL).unwrap();
    until_it_is_gone(first.pid).await;
    assert!(ask_and_wait(address).await.ends_with("app"), "another router serves");
    assert!(engine.terminate() < Duration::from_secs(10));
    end_router(temp.path()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_that_hangs_is_replaced_and_refuses_nobody_meanwhile() {
    // Three questions of 5 s each; what is beyond is for a machine with much else to do.
    const NOTICED_WITHIN: Duration = Duration::from_secs(45);
    let temp = data_dir();
    let old = Serving::start(temp.path(), "0.0.1").await;
    let mut engine = Engine::start("api,worker,router", temp.path(), &old.address.to_string());
    let first = answer(temp.path(), &mut engine, |status| status.version != "0.0.1").await;
    tokio::time::timeout(NOTICED_WITHIN, old.ended)
        .await
        .unwrap()
        .unwrap()
        .unwrap();

    stop_process(first.pid).await;
    let asked = Instant::now();
    let answered = tokio::time::timeout(NOTICED_WITHIN, ask_and_wait(old.address)).await;

    let answered = answered.expect("another router serves");
    assert!(
        answered.starts_with("HTTP/1.1 200") && answered.ends_with("app"),
        "{answered}"
    );
    println!("served {:?} after the router was stopped", asked.elapsed());
    let second = answer(temp.path(), &mut engine, |_| true).await;
    assert_ne!(second.pid, first.pid);
    until_it_is_gone(first.pid).await;

    // Nobody looks after it now: the next engine finds a router that cannot hand its socket over.
    engine.0.kill().unwrap();
    engine.0.wait().unwrap();
    stop_process(second.pid).await;
    let mut engine = Engine::start("api,worker,router", temp.path(), &old.address.to_string());
    let third = answer(temp.path(), &mut engine, |_| true).await;
    assert_ne!(third.pid, second.pid);
    until_it_is_gone(second.pid).await;
    assert!(ask_and_wait(old.address).await.starts_with("HTTP/1.1 200"));
    assert!(engine.terminate() < Duration::from_secs(10));

    stop_process(third.pid).await;
    // The common name goes with a successor that ends.
    fs::remove_file(temp.path().join("router/control.sock")).unwrap();
    let said = stop_all(temp.path());
    assert!(said.contains("The router did not answer any more"), "{said}");
    until_it_is_gone(third.pid).await;
    let said = stop_all(temp.path());
    assert!(said.contains("No router runs"), "{said}");
}

/// What `windlassd stop --all` says.
fn stop_all(data_dir: &Path) -> String {
    let stopped = Command::new(env!("CARGO_BIN_EXE_windlassd"))
        .args(["stop", "--all"])
        .env_clear()
        .env("WINDLASS_DATA_DIR", data_dir)
        .output()
        .unwrap();
    assert!(stopped.status.success(), "{stopped:?}");
    String::from_utf8(stopped.stdout).unwrap()
}
