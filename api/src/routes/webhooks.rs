//! What forges call. The signature is the only credential: it says which apps a delivery concerns.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use windlass_api_types::{DeliveryDeployment, DeliveryResult, WebhookDelivered};
use windlass_domain::{AppId, BranchName, DeploymentKind, GitRef, Secret};
use windlass_forge::{Content, Delivery, Forge, PayloadError, PushEvent, PushedRef, Signature};
use windlass_store::{Delivered, Delivery as Recorded, NewDeployment, Store, Trigger, WebhookTarget};

use crate::{
    extract::RawBody,
    problem::{Kind, Problem},
};

/// Take a webhook of GitHub.
///
/// `ping` is answered, a `push` to an app's branch deploys that commit, everything else is ignored. A delivery that comes again
/// deploys nothing. The signature must be that of an app whose `repo_url` is the repository; which apps there are stays untold.
#[utoipa::path(
    post, path = "/webhooks/github", tag = "webhooks", security(("github_signature" = [])),
    request_body(content = serde_json::Value, description = "What GitHub sends, also as a form"),
    params(
        ("X-GitHub-Event" = String, Header, description = "The event", example = "push"),
        ("X-GitHub-Delivery" = String, Header, description = "The delivery's id", example = "797827e4-f83f-53ee-9962-5d8cca7603fc"),
    ),
    responses(
        (status = 202, description = "Deployments wait for a worker", body = WebhookDelivered),
        (status = 200, description = "Nothing is to be done", body = WebhookDelivered),
    ),
)]
pub(crate) async fn take_github_webhook(
    State(store): State<Store>,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Result<Response, Problem> {
    let forge = Forge::GitHub;
    let signature = forge
        .signature(&headers)
        .map_err(|error| untrusted(&error.to_string()))?;
    let delivery = forge.parse(&headers, &body).map_err(|error| unreadable(&error))?;
    let targets = signed_for(&store, &delivery, &signature, &body).await?;
    let answer = match &delivery.content {
        Content::Ping => told(DeliveryResult::Pong, None),
        Content::Other => told(
            DeliveryResult::Ignored,
            Some(format!("the event `{}` deploys nothing", delivery.event)),
        ),
        Content::Push(push) => deliver(&store, forge, &delivery, (push, targets)).await?,
    };
    let status = match answer.result {
        DeliveryResult::Deployed => StatusCode::ACCEPTED,
        DeliveryResult::Pong | DeliveryResult::Duplicate | DeliveryResult::Ignored => StatusCode::OK,
    };
    Ok((status, Json(answer)).into_response())
}

/// The apps of that repository whose secret made the signature. That there is none is told as a wrong signature is.
async fn signed_for(
    store: &Store,
    delivery: &Delivery,
    signature: &Signature,
    body: &[u8],
) -> Result<Vec<WebhookTarget>, Problem> {
    let mut known: BTreeMap<AppId, WebhookTarget> = BTreeMap::new();
    for identity in &delivery.repositories {
        let targets = store.webhook_targets(identity).await?;
        known.extend(targets.into_iter().map(|target| (target.app, target)));
    }
    if known.is_empty() {
        // The same work as for a repository that is known: time tells nothing.
        let _ = signature.verify(&Secret::from("a repository that no app has"), body);
    }
    let fits = |target: &WebhookTarget| signature.verify(&target.secret, body).is_ok();
    let targets: Vec<WebhookTarget> = known.into_values().filter(fits).collect();
    if targets.is_empty() {
        return Err(untrusted(
            "the signature does not fit, or no app has this repository as its repo_url",
        ));
    }
    Ok(targets)
}

async fn deliver(
    store: &Store,
    forge: Forge,
    delivery: &Delivery,
    (push, targets): (&PushEvent, Vec<WebhookTarget>),
) -> Result<WebhookDelivered, Problem> {
    let recorded = Recorded {
        forge: forge.name().to_owned(),
        id: delivery.id.clone(),
        event: delivery.event.clone(),
    };
    let mut deployments = Vec::new();
    let mut reasons = Vec::new();
    let mut duplicate = false;
    for target in targets {
        let new = match decide(push, &target) {
            Ok(new) => new,
            Err(reason) => {
                reasons.push(reason);
                continue;
            }
        };
        match store.deliver_push(&target, &recorded, new).await? {
            Delivered::Deployed(row) => deployments.push(DeliveryDeployment {
                app: target.name.to_string(),
                deployment: row.id.to_string(),
            }),
            Delivered::Duplicate => duplicate = true,
            Delivered::AppGone => reasons.push(format!("`{}` is being deleted", target.name)),
        }
    }
    let result = match (deployments.is_empty(), duplicate) {
        (false, _) => DeliveryResult::Deployed,
        (true, true) => DeliveryResult::Duplicate,
        (true, false) => DeliveryResult::Ignored,
    };
    let reason = (!reasons.is_empty()).then(|| reasons.join("; "));
    Ok(WebhookDelivered {
        result,
        reason,
        deployments,
    })
}

/// What a push deploys of an app, or why it deploys nothing.
fn decide(push: &PushEvent, target: &WebhookTarget) -> Result<NewDeployment, String> {
    let WebhookTarget {
        name, branch: wanted, ..
    } = target;
    let branch: &BranchName = match &push.reference {
        PushedRef::Branch(branch) => branch,
        PushedRef::Tag(tag) => return Err(format!("the tag `{tag}` deploys nothing")),
        PushedRef::Other(name) => return Err(format!("`{name}` deploys nothing")),
    };
    if branch != wanted {
        return Err(format!(
            "pushes to `{branch}` are not deployed; `{name}` deploys `{wanted}`"
        ));
    }
    let Some(commit) = push.commit.clone() else {
        return Err(format!("the branch `{branch}` was deleted; what is live stays"));
    };
    if push.skip {
        return Err("the commit's message asks for no deployment".to_owned());
    }
    let reference: GitRef = branch.as_str().parse().map_err(|error| format!("{error}"))?;
    Ok(NewDeployment {
        kind: DeploymentKind::Fetch {
            reference,
            commit: Some(commit.clone()),
        },
        trigger: Trigger::Webhook,
        reference: Some(branch.to_string()),
        commit: Some(commit),
        message: push.message.clone(),
        by: None,
    })
}

const fn told(result: DeliveryResult, reason: Option<String>) -> WebhookDelivered {
    WebhookDelivered {
        result,
        reason,
        deployments: Vec::new(),
    }
}

fn untrusted(detail: &str) -> Problem {
    Problem::new(Kind::BadSignature, detail)
        .header(
            http::header::WWW_AUTHENTICATE,
            "HMAC-SHA256 header=\"X-Hub-Signature-256\"",
        )
        .next("give the forge the secret that `windlass webhook` shows, and the app the repository as its repo_url")
}

fn unreadable(error: &PayloadError) -> Problem {
    let kind = match error {
        PayloadError::ContentType => Kind::UnsupportedMediaType,
        PayloadError::Header(_) | PayloadError::NoPayload | PayloadError::Json(_) | PayloadError::Commit(_) => {
            Kind::Malformed
        }
    };
    Problem::new(kind, error.to_string())
}
