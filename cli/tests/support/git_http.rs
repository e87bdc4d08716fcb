//! The receiving half of git's smart HTTP, behind Basic authentication, as the real server has it.

use std::{path::Path, process::Stdio};

use axum::{body::Body, extract::Request, response::Response};
use tokio::{io::AsyncWriteExt, process::Command};

/// `windlass:wl_test` in Base64.
const AUTHORIZATION: &str = "Basic d2luZGxhc3M6d2xfdGVzdA==";

pub async fn serve(repositories: Option<&Path>, request: Request) -> Response {
    let authorized = request
        .headers()
        .get("authorization")
        .is_some_and(|value| value == AUTHORIZATION);
    let (Some(repositories), true) = (repositories, authorized) else {
        return plain(401, "text/plain", Vec::new());
    };
    let path = request.uri().path().to_owned();
    let (repository, service) = path.trim_start_matches("/git/").split_once('/').unwrap();
    let repository = repositories.join(repository);
    match service {
        "info/refs" => {
            let refs = receive_pack(&repository, true, &[]).await;
            let head = b"001f# service=git-receive-pack\n0000".to_vec();
            plain(
                200,
                "application/x-git-receive-pack-advertisement",
                [head, refs].concat(),
            )
        }
        "git-receive-pack" => {
            let body = axum::body::to_bytes(request.into_body(), 1 << 24).await.unwrap();
            plain(
                200,
                "application/x-git-receive-pack-result",
                receive_pack(&repository, false, &body).await,
            )
        }
        _ => plain(404, "text/plain", Vec::new()),
    }
}

async fn receive_pack(repository: &Path, advertise: bool, input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("git");
    command.args(["receive-pack", "--stateless-rpc"]);
    if advertise {
        command.arg("--advertise-refs");
    }
    command.arg(repository).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).await.unwrap();
    child.wait_with_output().await.unwrap().stdout
}

fn plain(status: u16, content_type: &str, body: Vec<u8>) -> Response {
    Response::builder()
        .status(status)
        .header("content-type", content_type)
        .header("cache-control", "no-cache")
        .header("www-authenticate", "Basic realm=\"windlass\"")
        .body(Body::from(body))
        .unwrap()
}
