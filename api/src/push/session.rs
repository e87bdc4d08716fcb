//! One push, from the hook's question to the verdict.

use std::{io, pin::pin};

use axum::extract::FromRef;
use futures::StreamExt;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use windlass_domain::{AppName, DeploymentKind};
use windlass_source::hook::{RefUpdate, Verdict};
use windlass_store::{AppRow, DeploymentRow, NewDeployment, StoreError, Trigger};

use crate::{
    ApiState,
    follow::{self, DeploymentScope, Followed},
    planner::Planner,
    problem::chain,
    push::{
        Ticket,
        decision::{Decision, Deploy, decide},
        report::{Ending, ending, interrupted},
        wire::{Hello, Message, Word},
    },
};

const AWAY: &str = "the database of Windlass does not answer; push again in a moment";

/// Lines that are remembered, to say nothing twice at the end.
const REMEMBERED: usize = 64;

/// Why a push is rejected before anything is decided.
type Refused = &'static str;

/// Answers the hook. An error means that the hook has gone away.
pub(crate) async fn answer(state: &ApiState, hello: Hello, out: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    let count = hello.updates.len();
    let updates: Vec<RefUpdate> = hello.updates.into_iter().map(RefUpdate::from).collect();
    let (ticket, app) = match redeem(state, &hello.ticket).await {
        Ok(allowed) => allowed,
        Err(refused) => {
            let verdicts = std::iter::repeat_with(|| Word::Rejected(refused.to_owned())).take(count);
            return say(out, &Message::Verdict(verdicts.collect())).await;
        }
    };
    let mut decision = decide(&app.settings.branch, &updates, &hello.options);
    let lines = std::mem::take(&mut decision.lines);
    let verdict = deploy(state, &Pusher { ticket, app }, &decision, lines, out).await?;
    let verdicts = Decision::verdicts(decision, &verdict).into_iter().map(Word::from);
    say(out, &Message::Verdict(verdicts.collect())).await
}

struct Pusher {
    ticket: Ticket,
    app: AppRow,
}

async fn redeem(state: &ApiState, ticket: &str) -> Result<(Ticket, AppRow), Refused> {
    let ticket = state.tickets.redeem(ticket).ok_or("this push is not allowed")?;
    match state.store.app_by_id(ticket.team, ticket.app).await {
        Ok(Some(app)) if !app.deleting => Ok((ticket, app)),
        Ok(_) => Err("the app is being deleted"),
        Err(error) => Err(store_failed(&error)),
    }
}

/// The deployment is recorded before anything is said: whoever hangs up later does not stop it.
async fn deploy(
    state: &ApiState,
    pusher: &Pusher,
    decision: &Decision,
    lines: Vec<String>,
    out: &mut (impl AsyncWrite + Unpin),
) -> io::Result<Verdict> {
    let recorded = match &decision.deploy {
        Some(deploy) => Some((deploy, record(state, pusher, deploy).await)),
        None => None,
    };
    for line in lines {
        say(out, &Message::Line(line)).await?;
    }
    match recorded {
        None => Ok(Verdict::FallThrough),
        Some((_, Err(refused))) => Ok(Verdict::Rejected(refused.to_owned())),
        Some((deploy, Ok(row))) => {
            let queued = format!("-----> Deployment {} of {} queued", row.id, deploy.commit.short());
            say(out, &Message::Line(queued)).await?;
            for warning in warnings(state, &pusher.app, &row.kind).await {
                say(out, &Message::Line(format!(" !     Downtime: {warning}"))).await?;
            }
            if deploy.detach {
                let line = format!(
                    "-----> It goes on by itself: windlass deployments -a {}",
                    pusher.app.name
                );
                say(out, &Message::Line(line)).await?;
                return Ok(Verdict::Accepted);
            }
            let ending = follow(state, row, &pusher.app.name, out).await?;
            for line in ending.lines {
                say(out, &Message::Line(line)).await?;
            }
            Ok(ending.verdict)
        }
    }
}

/// What to know before it begins. That this is not known is no reason to stop a push.
async fn warnings(state: &ApiState, app: &AppRow, kind: &DeploymentKind) -> Vec<String> {
    let warnings = Planner::from_ref(state).warnings(app, kind).await;
    warnings.unwrap_or_default()
}

async fn record(state: &ApiState, pusher: &Pusher, deploy: &Deploy) -> Result<DeploymentRow, Refused> {
    let Pusher { ticket, app } = pusher;
    let described = state.repositories.describe(app.id, &deploy.commit).await;
    let message = described.ok().flatten().map(|commit| commit.subject);
    let new = NewDeployment {
        kind: DeploymentKind::Push {
            commit: deploy.commit.clone(),
        },
        trigger: Trigger::Push,
        reference: Some(deploy.branch.clone()),
        commit: Some(deploy.commit.clone()),
        message,
        by: Some(ticket.token),
    };
    let row = state.store.create_deployment(ticket.team, app.id, new).await;
    let row = row
        .map_err(|error| store_failed(&error))?
        .ok_or("the app is being deleted")?;
    if let Err(error) = state.repositories.keep(app.id, row.id, &deploy.commit).await {
        // The objects are there, and stay for weeks without a ref: the deployment can go on.
        tracing::warn!(error = chain(&error), deployment = %row.id, "a pushed commit is not kept by a ref");
    }
    Ok(row)
}

async fn follow(
    state: &ApiState,
    row: DeploymentRow,
    app: &AppName,
    out: &mut (impl AsyncWrite + Unpin),
) -> io::Result<Ending> {
    let scope = DeploymentScope {
        store: state.store.clone(),
        team: row.team,
        app: row.app,
        deployment: row.id,
        shutdown: state.shutdown.clone(),
    };
    let mut seen = Vec::new();
    let mut followed = pin!(follow::deployment(scope, 0));
    while let Some(next) = followed.next().await {
        match next {
            Ok(Followed::Line(line)) => {
                if line.source == windlass_domain::LogSource::Windlass {
                    seen.truncate(REMEMBERED);
                    seen.insert(0, line.text.clone());
                }
                say(out, &Message::Line(line.text)).await?;
            }
            Ok(Followed::End(row)) => return Ok(ending(&row, &state.config.app_url(app), &seen)),
            Ok(Followed::Stopping) => return Ok(interrupted(&row, app)),
            Err(error) => return Ok(rejected(store_failed(&error))),
        }
    }
    Ok(rejected("the app is being deleted"))
}

fn rejected(reason: &str) -> Ending {
    Ending {
        lines: Vec::new(),
        verdict: Verdict::Rejected(reason.to_owned()),
    }
}

fn store_failed(error: &StoreError) -> Refused {
    tracing::error!(error = chain(error), "a push failed");
    match error {
        StoreError::Unavailable(_) => AWAY,
        StoreError::Sealed(_) | StoreError::Internal(_) => "something went wrong inside Windlass; its log says what",
    }
}

async fn say(out: &mut (impl AsyncWrite + Unpin), message: &Message) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    out.write_all(&line).await?;
    out.flush().await
}
