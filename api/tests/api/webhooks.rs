//! What GitHub really sends, from the fixtures of the forge crate.

use std::{fs, path::Path};

use axum::body::Body;
use hmac::{Hmac, KeyInit, Mac};
use http::Request;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::{
    client::Reply,
    support::{Api, with_api},
};

const SECRET: &str = "It's a Secret to Everybody";

/// A recorded delivery.
#[derive(Clone)]
pub struct Recorded {
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

pub fn recorded(name: &str) -> Recorded {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../forge/tests/fixtures");
    let about: Value = serde_json::from_slice(&fs::read(folder.join(format!("{name}.headers.json"))).unwrap()).unwrap();
    let headers = about["headers"].as_object().unwrap().iter();
    Recorded {
        headers: headers
            .map(|(name, value)| (name.to_lowercase(), value.as_str().unwrap().to_owned()))
            .collect(),
        body: fs::read(folder.join(format!("{name}.json"))).unwrap(),
    }
}

impl Recorded {
    pub fn request(&self, api: &Api) -> Request<Body> {
        let mut request = api.bare("POST", "/webhooks/github");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(Body::from(self.body.clone())).unwrap()
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    /// Another body, signed anew, as another delivery.
    fn changed(self, id: &str, change: impl FnOnce(&mut Value)) -> Self {
        let mut body: Value = serde_json::from_slice(&self.body).unwrap();
        change(&mut body);
        let body = body.to_string().into_bytes();
        let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes())
            .unwrap()
            .chain_update(&body)
            .finalize();
        let signature: String = mac.into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let changed = Self { body, ..self };
        changed
            .with("x-hub-signature-256", &format!("sha256={signature}"))
            .with("x-github-delivery", id)
    }
}

async fn deliver(api: &Api, delivery: Recorded) -> Reply {
    api.send(delivery.request(api)).await
}

/// An app of this repository, with the secret of the fixtures.
async fn app(api: &Api, name: &str, repository: &str) {
    api.post("/apps", json!({"name": name, "repo_url": repository}))
        .await
        .must_be(201);
    let set = api
        .put(&format!("/apps/{name}/webhook"), json!({"secret": SECRET}))
        .await
        .must_be(200);
    assert_eq!(set["url"], format!("http://{}/webhooks/github", api.address));
}

const REPOSITORY: &str = "git@github.com:Woodpecker-CI/woodpecker.git";

#[tokio::test]
async fn a_push_to_the_branch_deploys_that_commit_once() {
    with_api(|api| async move {
        app(&api, "shop", REPOSITORY).await;
        let answer = deliver(&api, recorded("push")).await.must_be(202);
        assert_eq!(
            (&answer["result"], &answer["deployments"][0]["app"]),
            (&json!("deployed"), &json!("shop"))
        );
        let id = answer["deployments"][0]["deployment"].as_str().unwrap();
        let deployment = api.get(&format!("/apps/shop/deployments/{id}")).await.must_be(200);
        let commit = "366701fde727cb7a9e7f21eb88264f59f6f9b89c";
        assert_eq!(
            deployment["kind"],
            json!({"type": "fetch", "reference": "main", "commit": commit})
        );
        assert_eq!(
            (&deployment["trigger"], &deployment["commit"]),
            (&json!("webhook"), &json!(commit))
        );
        assert_eq!(deployment["message"], "Fix multiline secrets replacer (#700)");

        let again = deliver(&api, recorded("push")).await.must_be(200);
        assert_eq!(
            (&again["result"], again.get("deployments")),
            (&json!("duplicate"), None)
        );
        assert_eq!(
            api.get("/apps/shop/deployments").await.must_be(200)["items"]
                .as_array()
                .unwrap()
                .len(),
            1
        );
    })
    .await;
}

#[tokio::test]
async fn every_app_of_the_repository_whose_secret_fits_is_deployed() {
    with_api(|api| async move {
        app(&api, "one", REPOSITORY).await;
        app(&api, "two", "https://github.com/woodpecker-ci/woodpecker").await;
        app(&api, "other-branch", REPOSITORY).await;
        api.patch("/apps/other-branch", json!({"branch": "live"}))
            .await
            .must_be(200);
        app(&api, "other-secret", REPOSITORY).await;
        api.put("/apps/other-secret/webhook", json!({"secret": "another secret of 16"}))
            .await
            .must_be(200);
        let answer = deliver(&api, recorded("push")).await.must_be(202);
        let mut apps: Vec<&str> = answer["deployments"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["app"].as_str().unwrap())
            .collect();
        apps.sort_unstable();
        assert_eq!(apps, ["one", "two"]);
        assert!(
            answer["reason"]
                .as_str()
                .unwrap()
                .contains("`other-branch` deploys `live`"),
            "{answer}"
        );
        assert!(!answer.to_string().contains("other-secret"));
    })
    .await;
}

#[tokio::test]
async fn what_is_of_no_interest_is_answered_and_deploys_nothing() {
    with_api(|api| async move {
        app(&api, "shop", REPOSITORY).await;
        app(&api, "hello", "https://github.com/Codertocat/Hello-World").await;
        app(&api, "ping", "https://github.com/Octocoders/Hello-World.git").await;
        app(&api, "tags", "https://github.com/6543/test_ci_tmp").await;
        assert_eq!(deliver(&api, recorded("ping")).await.must_be(200)["result"], "pong");
        for (delivery, reason) in [
            (recorded("create-tag"), "`create`"),
            (recorded("push-tag"), "the-tag-v1"),
            (recorded("push-no-username"), "`master`"),
            (
                recorded("push").changed("d-1", |body| {
                    body["head_commit"]["message"] = json!("Docs\n\n[skip deploy]")
                }),
                "asks for no",
            ),
            (
                recorded("push").changed("d-2", |body| body["ref"] = json!("refs/heads/--upload-pack=x")),
                "deploys nothing",
            ),
            (
                recorded("push").changed("d-3", |body| body["deleted"] = json!(true)),
                "deleted",
            ),
        ] {
            let answer = deliver(&api, delivery).await.must_be(200);
            assert_eq!(answer["result"], "ignored", "{answer}");
            assert!(answer["reason"].as_str().unwrap().contains(reason), "{answer}");
        }
        for name in ["shop", "hello", "tags"] {
            assert_eq!(
                api.get(&format!("/apps/{name}/deployments")).await.must_be(200)["items"],
                json!([])
            );
        }
    })
    .await;
}

#[tokio::test]
async fn an_unknown_repository_and_a_wrong_signature_are_told_alike() {
    with_api(|api| async move {
        let unknown = deliver(&api, recorded("push")).await;
        app(&api, "shop", REPOSITORY).await;
        let push = recorded("push");
        let longer = Recorded {
            body: [push.body.clone(), b" ".to_vec()].concat(),
            ..push.clone()
        };
        let wrong = deliver(&api, longer).await;
        let told = |reply: &Reply| {
            let mut problem = reply.problem(401);
            problem["instance"] = Value::Null;
            problem
        };
        assert_eq!(told(&unknown), told(&wrong));
        assert_eq!(told(&unknown)["code"], "bad_signature");
        let unsigned = push.clone().without("x-hub-signature-256").without("x-hub-signature");
        assert!(
            told(&deliver(&api, unsigned).await)["detail"]
                .as_str()
                .unwrap()
                .contains("not signed")
        );
        let weak = push.without("x-hub-signature-256");
        assert!(
            told(&deliver(&api, weak).await)["detail"]
                .as_str()
                .unwrap()
                .contains("SHA-1")
        );
        assert_eq!(api.get("/apps/shop/deployments").await.must_be(200)["items"], json!([]));
    })
    .await;
}

#[tokio::test]
async fn malformed_and_oversized_deliveries_are_refused() {
    with_api(|api| async move {
        app(&api, "shop", REPOSITORY).await;
        let push = recorded("push");
        deliver(
            &api,
            Recorded {
                body: b"{".to_vec(),
                ..push.clone()
            },
        )
        .await
        .problem(400);
        deliver(&api, push.clone().with("x-github-delivery", "a b"))
            .await
            .problem(400);
        deliver(&api, push.clone().without("x-github-event")).await.problem(400);
        deliver(&api, push.clone().with("content-type", "text/plain"))
            .await
            .problem(415);
        let fits = Recorded {
            body: vec![b' '; 20 << 20],
            ..push.clone()
        };
        deliver(&api, fits).await.problem(400);
        deliver(
            &api,
            Recorded {
                body: vec![b' '; (25 << 20) + 1],
                ..push
            },
        )
        .await
        .problem(413);
    })
    .await;
}

#[tokio::test]
async fn a_secret_for_webhooks_is_made_with_the_app_and_can_be_replaced() {
    with_api(|api| async move {
        api.app("shop").await;
        let first = api.get("/apps/shop/webhook").await.must_be(200);
        assert_eq!(first["secret"].as_str().unwrap().len(), 64);
        for secret in ["", "short", "with\na line end in it"] {
            assert_eq!(
                api.put("/apps/shop/webhook", json!({"secret": secret}))
                    .await
                    .pointers(),
                ["/secret"]
            );
        }
        assert_eq!(api.get("/apps/shop/webhook").await.must_be(200), first);
    })
    .await;
}
