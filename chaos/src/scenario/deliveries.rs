//! Deliveries of a forge that come again and again, as forges send them when no answer came: each deploys once.

use std::{pin::pin, time::Duration};

use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use windlass_testkit::{EngineOptions, GitServer};

use super::{
    Run,
    kill::{Moment, finish, recover},
};
use crate::{
    history::{Ask, Outcome},
    report::Tally,
    site::Manner,
    stage::Stage,
};

const SECRET: &str = "It's a Secret to Everybody";
/// A real push of a real repository.
const PUSH: &str = include_str!("../../../e2e/tests/fixtures/github-push.json");

/// A delivery, the engine killed at a random instant, and the same delivery twice more.
pub async fn play(run: &Run) -> Tally {
    let mut tally = Tally::new("deliveries sent again");
    let mut setup = run.setup("deliveries");
    let (name, networks) = EngineOptions::LOCAL_REPOSITORIES;
    setup.environment = vec![(name.to_owned(), networks.to_owned())];
    let mut stage = Stage::build(setup).await;
    let server = GitServer::start(stage.engine.spare_port()).await;
    stage
        .add_with("worked", json!({ "drain_seconds": 1, "repo_url": server.url() }))
        .await;
    let secret = json!({ "secret": SECRET });
    let path = stage.sites[0].app.path("/webhook");
    stage.engine.api().put(&path, secret).await.must_be(200);
    let clock = run.clock();
    for round in run.rounds_of(run.rounds.div_ceil(2)) {
        if !clock.goes_on() {
            break;
        }
        let mut chance = run.chance("deliveries", round);
        let commit = stage.sites[0].commit(Manner::default()).await;
        server.receive(&stage.sites[0].app.repo, "main").await;
        let payload = payload(&server.url(), &commit);
        let id = format!("{round}-{}", chance.draw());
        let after = Duration::from_millis(chance.below(1500));
        for_a_while(deliver(&stage, &id, &payload), after).await;
        let fault = Moment::now();
        stage.engine.signal(rustix::process::Signal::KILL);
        stage.restart().await;
        for _ in 0..2 {
            deliver(&stage, &id, &payload).await;
        }
        recover(
            &mut stage,
            &mut tally,
            &format!("{round}: killed after {after:?}"),
            fault,
        )
        .await;
    }
    finish(stage, &mut tally).await;
    tally
}

/// Waits exactly that long, whether something is over by then or not.
async fn for_a_while(something: impl Future<Output = ()>, time: Duration) {
    let (mut something, mut over) = (pin!(something), pin!(tokio::time::sleep(time)));
    tokio::select! {
        () = &mut over => {}
        () = &mut something => over.await,
    }
}

fn payload(url: &str, commit: &str) -> Vec<u8> {
    let mut payload: Value = serde_json::from_str(PUSH).expect("the fixture is JSON");
    for key in ["clone_url", "git_url", "html_url", "url", "ssh_url"] {
        payload["repository"][key] = json!(url);
    }
    payload["after"] = json!(commit);
    payload["head_commit"]["id"] = json!(commit);
    serde_json::to_vec(&payload).expect("a value can be written")
}

/// Sends a signed delivery and notes it.
async fn deliver(stage: &Stage, id: &str, payload: &[u8]) {
    let name = stage.sites[0].app.name();
    let noted = stage.history.sent(
        name,
        Ask::Deliver {
            delivery: id.to_owned(),
        },
    );
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("a key may have any length");
    mac.update(payload);
    let signature: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let request = stage
        .engine
        .api()
        .with_token(None)
        .request(Method::POST, "/webhooks/github");
    let answer = request
        .header("content-type", "application/json")
        .header("x-github-event", "push")
        .header("x-github-delivery", id)
        .header("x-hub-signature-256", format!("sha256={signature}"))
        .timeout(Duration::from_secs(10))
        .body(payload.to_vec())
        .send()
        .await;
    let outcome = match answer {
        Ok(answer) if answer.status().is_success() => Outcome::Acknowledged {
            deployment: None,
            config_version: None,
        },
        Ok(answer) if answer.status().is_client_error() => Outcome::Refused {
            status: answer.status().as_u16(),
        },
        _ => Outcome::Unknown,
    };
    stage.history.over(noted, outcome);
}
