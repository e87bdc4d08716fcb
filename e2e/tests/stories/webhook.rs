//! GitHub says that somebody has pushed, and the commit is deployed.

use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use windlass_testkit::{Engine, EngineOptions, GitRepo, GitServer, eventually, files};

const SECRET: &str = "It's a Secret to Everybody";

/// A delivery of GitHub, signed with this secret. Gives the status and the body.
async fn deliver(engine: &Engine, event: &str, delivery: &str, body: &[u8], secret: &str) -> (u16, String) {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    let signature: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let request = engine.api().with_token(None).request(Method::POST, "/webhooks/github");
    let answer = request
        .header("content-type", "application/json")
        .header("x-github-event", event)
        .header("x-github-delivery", delivery)
        .header("x-hub-signature-256", format!("sha256={signature}"))
        .body(body.to_vec())
        .send()
        .await
        .unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// What a delivery may have.
const LIMIT: usize = 25 << 20;

/// Sends the head of a delivery with this length and these bytes of its body, no more, and gives the first line of the answer.
async fn send_part(engine: &Engine, length: &str, body: &[u8]) -> String {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    let address = engine.url().replace("http://", "");
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /webhooks/github HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nX-GitHub-Event: push\r\n\
         X-GitHub-Delivery: 5\r\nX-Hub-Signature-256: sha256={}\r\n{length}\r\n\r\n",
        "0".repeat(64),
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await.unwrap();
    line.trim().to_owned()
}

/// Announces more than a delivery may have; the answer does not wait for it.
async fn announce_too_much(engine: &Engine) -> String {
    send_part(engine, &format!("Content-Length: {}", LIMIT + 1), b"").await
}

/// Announces nothing, and sends one byte more than a delivery may have. No byte is left unread, so that the answer is not lost with
/// the connection.
async fn send_too_much(engine: &Engine) -> String {
    let mut body = format!("{:x}\r\n", LIMIT + 1).into_bytes();
    body.resize(body.len() + LIMIT + 1, b' ');
    send_part(engine, "Transfer-Encoding: chunked", &body).await
}

/// A real push of a real repository, as if it had been to this one.
fn push_of(url: &str, commit: &str) -> Vec<u8> {
    let mut payload: Value = serde_json::from_str(include_str!("../fixtures/github-push.json")).unwrap();
    for key in ["clone_url", "git_url", "html_url", "url", "ssh_url"] {
        payload["repository"][key] = json!(url);
    }
    payload["after"] = json!(commit);
    payload["head_commit"]["id"] = json!(commit);
    serde_json::to_vec(&payload).unwrap()
}

#[tokio::test]
async fn a_signed_push_is_deployed_once() {
    let engine = Engine::start_with(EngineOptions::default().allowing_local_repositories()).await;
    let server = GitServer::start(engine.spare_port()).await;
    let repo = GitRepo::new();
    let commit = repo.commit(&files::saying("hooked")).await;
    server.receive(&repo, "main").await;
    let shop = engine
        .app_with(json!({ "name": "shop", "repo_url": server.url() }))
        .await;
    engine
        .api()
        .put(&shop.path("/webhook"), json!({ "secret": SECRET }))
        .await
        .must_be(200);
    let payload = push_of(&server.url(), &commit);

    let (status, body) = deliver(
        &engine,
        "push",
        "797827e4-f83f-53ee-9962-5d8cca7603fc",
        &payload,
        SECRET,
    )
    .await;
    assert!((200..300).contains(&status), "{status} {body}");
    let deployment = eventually("there is a deployment", std::time::Duration::from_secs(10), || async {
        shop.list("deployments").await.into_iter().next()
    })
    .await;
    let ended = shop.succeeded(&deployment).await;
    assert_eq!(
        (ended["trigger"].as_str(), ended["commit"].as_str()),
        (Some("webhook"), Some(commit.as_str()))
    );
    shop.must_say("hooked").await;

    let (status, body) = deliver(
        &engine,
        "push",
        "797827e4-f83f-53ee-9962-5d8cca7603fc",
        &payload,
        SECRET,
    )
    .await;
    assert!((200..300).contains(&status), "a redelivery is welcome: {status} {body}");
    assert_eq!(shop.list("deployments").await.len(), 1);
}

#[tokio::test]
async fn a_push_with_a_wrong_signature_is_refused() {
    let engine = Engine::start_with(EngineOptions::default().allowing_local_repositories()).await;
    let url = "https://github.com/woodpecker-ci/woodpecker.git";
    let shop = engine.app_with(json!({ "name": "shop", "repo_url": url })).await;
    engine
        .api()
        .put(&shop.path("/webhook"), json!({ "secret": SECRET }))
        .await
        .must_be(200);
    let payload = include_bytes!("../fixtures/github-push.json");

    let (status, body) = deliver(&engine, "push", "1", payload, "another secret").await;

    assert_eq!(status, 401, "{body}");
    assert!(shop.list("deployments").await.is_empty());
    let unsigned = engine.api().with_token(None).request(Method::POST, "/webhooks/github");
    let unsigned = unsigned
        .header("x-github-event", "push")
        .header("x-github-delivery", "4")
        .body(payload.to_vec());
    assert_eq!(unsigned.send().await.unwrap().status(), 401);
    assert_eq!(announce_too_much(&engine).await, "HTTP/1.1 413 Payload Too Large");
    assert_eq!(send_too_much(&engine).await, "HTTP/1.1 413 Payload Too Large");
    let (status, _) = deliver(&engine, "push", "3", b"{\"ref\":", SECRET).await;
    assert!((400..500).contains(&status));
}

#[tokio::test]
async fn events_of_no_interest_are_welcome() {
    let engine = Engine::start().await;
    let url = "https://github.com/woodpecker-ci/woodpecker.git";
    let shop = engine
        .app_with(json!({ "name": "shop", "repo_url": url, "branch": "release" }))
        .await;
    engine
        .api()
        .put(&shop.path("/webhook"), json!({ "secret": SECRET }))
        .await
        .must_be(200);

    let push_to_main = deliver(
        &engine,
        "push",
        "1",
        include_bytes!("../fixtures/github-push.json"),
        SECRET,
    )
    .await;

    assert!((200..300).contains(&push_to_main.0), "{push_to_main:?}");
    assert!(
        shop.list("deployments").await.is_empty(),
        "main is not the app's branch"
    );
}
