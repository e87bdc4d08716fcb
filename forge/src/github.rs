//! GitHub. Headers and signature: docs.github.com, "Webhook events and payloads" and "Validating webhook deliveries".

use std::{borrow::Cow, collections::BTreeSet};

use http::{HeaderMap, header::CONTENT_TYPE};
use serde::{Deserialize, de::DeserializeOwned};
use windlass_domain::RepoUrl;

use crate::{
    Content, Delivery, PayloadError, PushEvent, PushedRef, Signature, SignatureError,
    delivery::{asks_to_skip, first_line},
};

const SIGNATURE: &str = "X-Hub-Signature-256";
const WEAK_SIGNATURE: &str = "X-Hub-Signature";
const EVENT: &str = "X-GitHub-Event";
const DELIVERY: &str = "X-GitHub-Delivery";

/// GitHub sends a UUID.
const MAX_ID_CHARS: usize = 64;

pub(crate) fn signature(headers: &HeaderMap) -> Result<Signature, SignatureError> {
    if !headers.contains_key(SIGNATURE) {
        return Err(if headers.contains_key(WEAK_SIGNATURE) {
            SignatureError::TooWeak { header: SIGNATURE }
        } else {
            SignatureError::Missing { header: SIGNATURE }
        });
    }
    only(headers, SIGNATURE)
        .and_then(|value| Signature::from_hex(value.strip_prefix("sha256=")?))
        .ok_or(SignatureError::Malformed { header: SIGNATURE })
}

pub(crate) fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Delivery, PayloadError> {
    let event = word(headers, EVENT, |b| b.is_ascii_lowercase() || b == b'_')?;
    let id = word(headers, DELIVERY, |b| b.is_ascii_alphanumeric() || b == b'-')?;
    let json = payload(headers, body)?;
    let about: About = read(&json)?;
    let content = match event {
        "ping" => Content::Ping,
        "push" => Content::Push(push(read(&json)?)?),
        _ => Content::Other,
    };
    Ok(Delivery {
        id: id.to_owned(),
        event: event.to_owned(),
        repositories: about.repository.map(Repository::identities).unwrap_or_default(),
        content,
    })
}

/// A header that stands there once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn word<'a>(headers: &'a HeaderMap, name: &'static str, allowed: impl Fn(u8) -> bool) -> Result<&'a str, PayloadError> {
    only(headers, name)
        .filter(|value| (1..=MAX_ID_CHARS).contains(&value.len()) && value.bytes().all(allowed))
        .ok_or(PayloadError::Header(name))
}

/// GitHub sends JSON as it stands or, by default of its settings page, as the field `payload` of a form.
fn payload<'a>(headers: &HeaderMap, body: &'a [u8]) -> Result<Cow<'a, [u8]>, PayloadError> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim();
    match essence.to_ascii_lowercase().as_str() {
        "application/json" => Ok(Cow::Borrowed(body)),
        "application/x-www-form-urlencoded" => url::form_urlencoded::parse(body)
            .find(|(key, _)| key == "payload")
            .map(|(_, value)| Cow::Owned(value.into_owned().into_bytes()))
            .ok_or(PayloadError::NoPayload),
        _ => Err(PayloadError::ContentType),
    }
}

fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, PayloadError> {
    serde_json::from_slice(json).map_err(PayloadError::Json)
}

#[derive(Deserialize)]
struct About {
    repository: Option<Repository>,
}

#[derive(Deserialize)]
struct Repository {
    clone_url: Option<String>,
    ssh_url: Option<String>,
    git_url: Option<String>,
    html_url: Option<String>,
}

impl Repository {
    fn identities(self) -> BTreeSet<String> {
        [self.clone_url, self.ssh_url, self.git_url, self.html_url]
            .into_iter()
            .flatten()
            // `git://` addresses cannot be fetched from, but they name the repository as `https://` does.
            .map(|url| {
                url.strip_prefix("git://")
                    .map(|rest| format!("https://{rest}"))
                    .unwrap_or(url)
            })
            .filter_map(|url| url.parse::<RepoUrl>().ok())
            .map(|url| url.identity())
            .collect()
    }
}

#[derive(Deserialize)]
struct Push {
    #[serde(rename = "ref")]
    reference: String,
    after: String,
    #[serde(default)]
    deleted: bool,
    head_commit: Option<Commit>,
    pusher: Option<Pusher>,
}

#[derive(Deserialize)]
struct Commit {
    id: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Pusher {
    name: Option<String>,
}

fn push(push: Push) -> Result<PushEvent, PayloadError> {
    let deleted = push.deleted || push.after.bytes().all(|b| b == b'0');
    let head = push.head_commit.filter(|_| !deleted);
    // `after` of an annotated tag is the tag's own object.
    let id = head.as_ref().map_or(&push.after, |head| &head.id);
    let commit = if deleted {
        None
    } else {
        Some(id.parse().map_err(PayloadError::Commit)?)
    };
    Ok(PushEvent {
        reference: PushedRef::parse(&push.reference),
        commit,
        skip: head.as_ref().is_some_and(|head| asks_to_skip(&head.message)),
        message: head
            .map(|head| first_line(&head.message))
            .filter(|line| !line.is_empty()),
        pusher: push.pusher.and_then(|pusher| pusher.name).map(|name| first_line(&name)),
    })
}
