//! What GitHub really sends, from public fixtures.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on should stop")]

use std::{fs, path::Path};

use http::{HeaderMap, HeaderName, HeaderValue};
use rstest::rstest;
use serde_json::Value;
use windlass_domain::Secret;
use windlass_forge::{Content, Delivery, Forge, PayloadError, PushEvent, PushedRef, SignatureError};

struct Recorded {
    headers: HeaderMap,
    secret: Secret<String>,
    body: Vec<u8>,
}

fn recorded(name: &str) -> Recorded {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let about: Value = serde_json::from_slice(&fs::read(folder.join(format!("{name}.headers.json"))).unwrap()).unwrap();
    let headers = about["headers"].as_object().unwrap().iter().map(|(name, value)| {
        let name: HeaderName = name.parse().unwrap();
        (name, value.as_str().unwrap().parse::<HeaderValue>().unwrap())
    });
    Recorded {
        headers: headers.collect(),
        secret: Secret::from(about["secret"].as_str().unwrap()),
        body: fs::read(folder.join(format!("{name}.json"))).unwrap(),
    }
}

fn parsed(name: &str) -> Delivery {
    let recorded = recorded(name);
    Forge::GitHub.parse(&recorded.headers, &recorded.body).unwrap()
}

fn push(name: &str) -> PushEvent {
    match parsed(name).content {
        Content::Push(push) => push,
        other => panic!("{other:?}"),
    }
}

#[rstest]
fn every_recorded_delivery_is_signed_and_parses(
    #[values(
        "push",
        "push-tag",
        "push-no-username",
        "ping",
        "create-tag",
        "delete-branch-or-tag",
        "issues-opened",
        "pull_request-opened",
        "release"
    )]
    name: &str,
) {
    let Recorded {
        headers,
        secret,
        mut body,
    } = recorded(name);
    let signature = Forge::GitHub.signature(&headers).unwrap();
    signature.verify(&secret, &body).unwrap();
    let delivery = Forge::GitHub.parse(&headers, &body).unwrap();
    assert_eq!(delivery.repositories.len(), 1, "{:?}", delivery.repositories);
    body.push(b' ');
    assert_eq!(signature.verify(&secret, &body), Err(SignatureError::Wrong));
}

#[test]
fn a_push_to_a_branch_names_repository_branch_commit_and_message() {
    let delivery = parsed("push");
    assert_eq!(delivery.id, "797827e4-f83f-53ee-9962-5d8cca7603fc");
    assert_eq!(delivery.event, "push");
    assert!(delivery.repositories.contains("github.com/woodpecker-ci/woodpecker"));
    let push = push("push");
    assert_eq!(push.reference, PushedRef::Branch("main".parse().unwrap()));
    assert_eq!(
        push.commit.unwrap().as_str(),
        "366701fde727cb7a9e7f21eb88264f59f6f9b89c"
    );
    assert_eq!(push.message.as_deref(), Some("Fix multiline secrets replacer (#700)"));
    assert_eq!(push.pusher.as_deref(), Some("6543"));
    assert!(!push.skip);
}

#[test]
fn a_pushed_tag_is_no_branch() {
    assert_eq!(push("push-tag").reference, PushedRef::Tag("the-tag-v1".to_owned()));
}

#[test]
fn a_ping_and_other_events_are_no_push() {
    assert_eq!(parsed("ping").content, Content::Ping);
    for name in ["issues-opened", "create-tag", "delete-branch-or-tag", "release"] {
        assert_eq!(parsed(name).content, Content::Other);
    }
}

#[test]
fn a_deleted_branch_has_no_commit() {
    let mut recorded = recorded("push");
    let mut body: Value = serde_json::from_slice(&recorded.body).unwrap();
    body["after"] = "0".repeat(40).into();
    body["deleted"] = true.into();
    body["head_commit"] = Value::Null;
    recorded.body = serde_json::to_vec(&body).unwrap();
    let delivery = Forge::GitHub.parse(&recorded.headers, &recorded.body).unwrap();
    assert!(matches!(
        delivery.content,
        Content::Push(PushEvent { commit: None, .. })
    ));
}

#[test]
fn a_form_carries_the_same_payload() {
    let mut recorded = recorded("push");
    let plain = parsed("push");
    let json = String::from_utf8(recorded.body).unwrap();
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("payload", &json)
        .finish();
    let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
    recorded.headers.insert("Content-Type", form_type);
    assert_eq!(Forge::GitHub.parse(&recorded.headers, form.as_bytes()).unwrap(), plain);
    let error = Forge::GitHub.parse(&recorded.headers, b"other=1").unwrap_err();
    assert!(matches!(error, PayloadError::NoPayload));
}

#[rstest]
#[case::none(&["X-Hub-Signature-256", "X-Hub-Signature"], None)]
#[case::sha1_only(&["X-Hub-Signature-256"], None)]
#[case::malformed(&[], Some("sha256=zz"))]
#[case::other_algorithm(&[], Some("sha1=4750ed7c0caca0a57d0918a7bde0845aaee130f1"))]
#[case::empty(&[], Some(""))]
fn a_request_without_a_strong_signature_is_refused(#[case] removed: &[&str], #[case] replaced: Option<&'static str>) {
    let mut headers = recorded("push").headers;
    for name in removed {
        headers.remove(*name);
    }
    if let Some(value) = replaced {
        headers.insert("X-Hub-Signature-256", HeaderValue::from_static(value));
    }
    let expected = match (removed.len(), replaced) {
        (2, _) => SignatureError::Missing {
            header: "X-Hub-Signature-256",
        },
        (1, _) => SignatureError::TooWeak {
            header: "X-Hub-Signature-256",
        },
        _ => SignatureError::Malformed {
            header: "X-Hub-Signature-256",
        },
    };
    assert_eq!(Forge::GitHub.signature(&headers), Err(expected));
}

#[test]
fn two_signatures_are_as_bad_as_none() {
    let mut headers = recorded("push").headers;
    headers.append("X-Hub-Signature-256", HeaderValue::from_static("sha256=00"));
    assert!(matches!(
        Forge::GitHub.signature(&headers),
        Err(SignatureError::Malformed { .. })
    ));
}

#[rstest]
#[case("X-GitHub-Delivery", "")]
#[case("X-GitHub-Delivery", "a/../b")]
#[case("X-GitHub-Delivery", "a\tb")]
#[case("X-GitHub-Event", "Push")]
#[case("X-GitHub-Event", "push push")]
fn malformed_headers_are_refused(#[case] name: &'static str, #[case] value: &'static str) {
    let mut recorded = recorded("push");
    recorded.headers.insert(name, HeaderValue::from_static(value));
    let error = Forge::GitHub.parse(&recorded.headers, &recorded.body).unwrap_err();
    assert!(
        matches!(error, PayloadError::Header(header) if header == name),
        "{error:?}"
    );
    recorded
        .headers
        .insert(name, HeaderValue::from_str(&"a".repeat(65)).unwrap());
    assert!(Forge::GitHub.parse(&recorded.headers, &recorded.body).is_err());
}

#[rstest]
#[case::no_json(b"{")]
#[case::no_object(b"[1]")]
#[case::no_push(b"{}")]
#[case::no_commit(br#"{"ref": "refs/heads/main", "after": "--upload-pack=x"}"#)]
#[case::wrong_type(br#"{"ref": 1, "after": []}"#)]
#[case::deep(&[b'['; 100_000])]
fn malformed_payloads_are_refused(#[case] body: &[u8]) {
    assert!(Forge::GitHub.parse(&recorded("push").headers, body).is_err());
}

#[test]
fn other_content_types_are_refused() {
    let mut recorded = recorded("push");
    recorded
        .headers
        .insert("Content-Type", HeaderValue::from_static("text/plain"));
    let error = Forge::GitHub.parse(&recorded.headers, &recorded.body).unwrap_err();
    assert!(matches!(error, PayloadError::ContentType));
}
