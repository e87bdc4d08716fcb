//! Whether the server lives, and whether it can work.

use std::sync::Arc;

use axum::{Json, extract::State};
use http::StatusCode;
use tokio_util::sync::CancellationToken;
use windlass_api_types::{Health, Readiness, ReadinessCheck, Verdict};

use crate::{Check, ReadinessChecks};

/// Whether the server lives.
///
/// Says nothing about what it needs; see `/readyz`.
#[utoipa::path(get, path = "/livez", tag = "health", security(()), responses((status = 200, body = Health)))]
pub(crate) async fn get_livez() -> Json<Health> {
    Json(Health {
        status: Verdict::Ok,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// The same as `/livez`.
#[utoipa::path(get, path = "/health", tag = "health", security(()), responses((status = 200, body = Health)))]
pub(crate) async fn get_health() -> Json<Health> {
    get_livez().await
}

/// Whether the server can work, and each thing that it needs.
#[utoipa::path(
    get, path = "/readyz", tag = "health", security(()),
    responses(
        (status = 200, body = Readiness),
        (status = 503, description = "Something is missing, or the server is stopping", body = Readiness),
    ),
)]
pub(crate) async fn get_readyz(
    State(dependencies): State<Arc<dyn ReadinessChecks>>,
    State(shutdown): State<CancellationToken>,
) -> (StatusCode, Json<Readiness>) {
    let mut found = dependencies.check().await;
    if shutdown.is_cancelled() {
        found.push(Check {
            name: "shutdown".to_owned(),
            ok: false,
            detail: Some("the server is stopping".to_owned()),
            millis: 0,
        });
    }
    let checks: Vec<ReadinessCheck> = found.into_iter().map(ReadinessCheck::from).collect();
    let all_good = checks.iter().all(|check| check.status == Verdict::Ok);
    let (code, status) = if all_good {
        (StatusCode::OK, Verdict::Ok)
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Verdict::Failing)
    };
    (code, Json(Readiness { status, checks }))
}
