//! Following what goes on: a live stream that survives lost connections, and a deployment to its end.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use futures::StreamExt;
use serde_json::Value;

use crate::{
    client::Client,
    context::Context,
    error::CliError,
    exit::Exit,
    output::{Output, harmless, log_line},
    sse::{SseEvent, SseParser},
    view::{self, Deployment, DeploymentLine},
};

const FIRST_DELAY: Duration = Duration::from_millis(200);
const LONGEST_DELAY: Duration = Duration::from_secs(3);
/// How long a server may be away before following ends.
const PATIENCE: Duration = Duration::from_secs(60);

/// What to stream.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The path below `/api/v1`.
    pub path: &'a [&'a str],
    /// The query.
    pub query: &'a [(&'a str, &'a str)],
    /// The server has answered a moment ago, so if it does not now, it is worth waiting for.
    pub reached: bool,
}

/// Feeds the events of a stream to `on_event` until it breaks off. When the connection is lost, it is made again and goes on after
/// the last event (`Last-Event-ID`); only a server that stays away, or that refuses, ends it with an error.
pub async fn stream<T>(
    out: &Output,
    client: &Client,
    source: Source<'_>,
    mut on_event: impl FnMut(SseEvent) -> Result<ControlFlow<T>, CliError>,
) -> Result<T, CliError> {
    let mut after: Option<String> = None;
    let mut delay = FIRST_DELAY;
    let mut last_contact = source.reached.then(Instant::now);
    loop {
        match client.stream(source.path, source.query, after.as_deref()).await {
            Ok(response) => {
                let connected = Instant::now();
                let mut parser = SseParser::default();
                let mut bytes = response.bytes_stream();
                while let Some(Ok(chunk)) = bytes.next().await {
                    for event in parser.push(&chunk) {
                        after = event.id.clone().or(after);
                        delay = FIRST_DELAY;
                        if let ControlFlow::Break(result) = on_event(event)? {
                            return Ok(result);
                        }
                    }
                }
                if connected.elapsed() > LONGEST_DELAY {
                    delay = FIRST_DELAY;
                }
                last_contact = Some(Instant::now());
            }
            Err(error) => match last_contact {
                Some(contact) if is_passing(&error) && contact.elapsed() < PATIENCE => {}
                _ => return Err(error),
            },
        }
        // The second failure in a row is told, once.
        if delay > FIRST_DELAY && delay <= FIRST_DELAY * 2 {
            out.note("The connection was lost; connecting again …");
        }
        tokio::time::sleep(delay).await;
        delay = (delay * 2).min(LONGEST_DELAY);
    }
}

/// Asks a server that has answered a moment ago, and waits for it if it is away, as while it restarts.
pub async fn patiently<T, F>(out: &Output, mut ask: impl FnMut() -> F) -> Result<T, CliError>
where
    F: Future<Output = Result<T, CliError>>,
{
    let begun = Instant::now();
    let mut delay = FIRST_DELAY;
    loop {
        match ask().await {
            Err(error) if is_passing(&error) && begun.elapsed() < PATIENCE => {}
            answer => return answer,
        }
        if delay == FIRST_DELAY {
            out.note("The server does not answer; waiting for it …");
        }
        tokio::time::sleep(delay).await;
        delay = (delay * 2).min(LONGEST_DELAY);
    }
}

/// Whether the server may be back soon.
const fn is_passing(error: &CliError) -> bool {
    matches!(error.exit, Exit::Unreachable | Exit::Timeout)
}

/// Does the work, unless Ctrl-C comes first: then `interrupted` says what goes on without us.
pub async fn or_interrupt<T>(
    work: impl Future<Output = Result<T, CliError>>,
    interrupted: impl FnOnce() -> CliError,
) -> Result<T, CliError> {
    tokio::select! {
        result = work => result,
        Ok(()) = tokio::signal::ctrl_c() => Err(interrupted()),
    }
}

/// Where the lines of a deployment's log go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLines {
    /// They are what was asked for: stdout.
    Data,
    /// They show progress: stderr.
    Progress,
}

/// Shows the log of a deployment until it ends, and answers with the deployment as it ended.
pub async fn deployment(context: &Context<'_>, app: &str, id: &str, lines: LogLines) -> Result<Value, CliError> {
    let client = context.client()?;
    let out = context.out;
    let path = ["apps", app, "deployments", id, "log"];
    let source = Source {
        path: &path,
        query: &[],
        // Progress is of something that this command has just asked for.
        reached: lines == LogLines::Progress,
    };
    let mut waiting = Some(out.spinner("waiting for the deployment"));
    let mut last_seq = 0;
    let follow = stream(out, &client, source, |event| {
        waiting = None;
        let value: Value = serde_json::from_str(&event.data).unwrap_or(Value::Null);
        match event.event.as_str() {
            "end" => return Ok(ControlFlow::Break(value)),
            "line" => show_line(out, &value, lines, &mut last_seq)?,
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    });
    let ended = or_interrupt(follow, || {
        CliError::new(Exit::Interrupted, format!("The deployment {id} of {app} goes on.")).next(format!(
            "windlass deployments log {id} -f -a {app}, or windlass deployments cancel {id} -a {app}"
        ))
    })
    .await?;
    if ended.get("status").is_some() {
        return Ok(ended);
    }
    client.get(&["apps", app, "deployments", id]).await
}

/// Shows a line once: what comes again after a reconnect is known by its number.
fn show_line(out: &Output, value: &Value, lines: LogLines, last_seq: &mut i64) -> Result<(), CliError> {
    let line: DeploymentLine = view::read(value)?;
    if line.seq <= *last_seq {
        return Ok(());
    }
    *last_seq = line.seq;
    match lines {
        LogLines::Data if out.json => out.json_line(value),
        LogLines::Data => out.data(&log_line(&line.text)),
        LogLines::Progress => {
            out.note(&log_line(&line.text));
            Ok(())
        }
    }
}

/// The end of a deployment as the end of the command.
pub fn verdict(deployment: &Deployment) -> Result<(), CliError> {
    let id = &deployment.id;
    let failed = |detail: String| CliError::new(Exit::DeployFailed, detail);
    match deployment.status.as_str() {
        "succeeded" => Ok(()),
        "failed" => Err(match &deployment.failure {
            Some(failure) => {
                let error = failed(format!("the deployment failed: {}", failure.reason));
                match &failure.next_step {
                    Some(step) => error.next(step.clone()),
                    None => error,
                }
            }
            None => failed("the deployment failed".to_owned()).next(format!("windlass deployments log {id}")),
        }),
        "superseded" => Err(failed(match &deployment.superseded_by {
            Some(newer) => format!("the deployment was superseded by {newer}, which was asked for later"),
            None => "the deployment was superseded by a newer one".to_owned(),
        })
        .next("windlass deployments")),
        "cancelled" => Err(failed(
            "the deployment was cancelled; what was live still is".to_owned(),
        )),
        other => Err(failed(format!("the deployment ended as `{other}`"))),
    }
}

/// Follows a deployment that a command has started, to its end, and says what is live then.
pub async fn to_the_end(context: &Context<'_>, app: &str, started: &Value) -> Result<(), CliError> {
    let id = started.get("id").and_then(Value::as_str).unwrap_or_default();
    let ended = deployment(context, app, id, LogLines::Progress).await?;
    if context.out.json {
        context.out.json(&ended)?;
    }
    let deployment: Deployment = view::read(&ended)?;
    verdict(&deployment)?;
    say_live(context.out, app, &deployment)
}

/// Follows a deployment to its end without printing it: the command has printed its own answer.
pub async fn quietly(context: &Context<'_>, app: &str, started: &Value) -> Result<(), CliError> {
    let id = started.get("id").and_then(Value::as_str).unwrap_or_default();
    let ended = deployment(context, app, id, LogLines::Progress).await?;
    verdict(&view::read(&ended)?)
}

/// Says which release is live, and prints where.
pub fn say_live(out: &Output, app: &str, deployment: &Deployment) -> Result<(), CliError> {
    if out.json {
        return Ok(());
    }
    let release = deployment.release.as_deref().unwrap_or("the release");
    out.done(&format!("{release} of {app} is live"));
    deployment.url.as_deref().map_or(Ok(()), |url| out.data(url))
}

/// Says how to follow a deployment that is not waited for.
pub fn detached(out: &Output, app: &str, started: &Value) -> Result<(), CliError> {
    if out.json {
        return out.json(started);
    }
    let id = started.get("id").and_then(Value::as_str).unwrap_or_default();
    out.done(&format!("deployment of {app} is under way"));
    out.data(id)?;
    out.next(&format!("windlass deployments log {id} -f -a {app}"));
    Ok(())
}

/// Tells what to know before a deployment begins, such as a downtime.
pub fn warn(out: &Output, started: &Value) {
    let warnings = started.get("warnings").and_then(Value::as_array);
    for warning in warnings.into_iter().flatten().filter_map(Value::as_str) {
        out.warn(&harmless(warning));
    }
}

/// Waits for the deployment, or not.
pub async fn finish(context: &Context<'_>, app: &str, started: &Value, detach: bool) -> Result<(), CliError> {
    warn(context.out, started);
    if detach {
        return detached(context.out, app, started);
    }
    to_the_end(context, app, started).await
}
