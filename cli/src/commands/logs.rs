//! `windlass logs`

use std::ops::ControlFlow;

use chrono::SecondsFormat;
use owo_colors::OwoColorize;
use serde_json::Value;

use crate::{
    args::Logs,
    client::take_items,
    context::Context,
    error::CliError,
    exit::Exit,
    follow::{self, Source},
    output::{Output, coloured, harmless},
    view::{self, LogLine},
};

pub async fn run(context: &Context<'_>, logs: &Logs) -> Result<(), CliError> {
    let out = context.out;
    let app = context.app()?;
    let client = context.client()?;
    let lines = logs.lines.to_string();
    let mut query = vec![("lines", lines.as_str())];
    query.extend(logs.process.as_ref().map(|process| ("process", process.as_str())));
    let path = ["apps", app.as_str(), "logs"];
    if !logs.tail {
        let busy = out.spinner("asking for the log");
        let mut page = client.get_with(&path, &query).await?;
        drop(busy);
        return take_items(&mut page).iter().try_for_each(|item| show(out, item));
    }
    query.push(("follow", "true"));
    let source = Source {
        path: &path,
        query: &query,
        reached: false,
    };
    let mut waiting = Some(out.spinner("waiting for lines"));
    let mut last_id = 0;
    let tail = follow::stream(out, &client, source, |event| {
        waiting = None;
        let id = event.id.as_deref().and_then(|id| id.parse::<u64>().ok());
        let seen = id.is_some_and(|id| id <= last_id);
        last_id = id.unwrap_or(last_id).max(last_id);
        if event.event == "line" && !seen {
            let item: Value = serde_json::from_str(&event.data).unwrap_or(Value::Null);
            show(out, &item)?;
        }
        Ok(if event.event == "end" {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    });
    // Ctrl-C is how a tail is meant to end, so there is nothing to say.
    follow::or_interrupt(tail, || CliError {
        silent: true,
        ..CliError::new(Exit::Interrupted, "interrupted")
    })
    .await
}

fn show(out: &Output, item: &Value) -> Result<(), CliError> {
    if out.json {
        return out.json_line(item);
    }
    let line: LogLine = view::read(item)?;
    let at = line.at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let instance = harmless(line.instance.as_deref().unwrap_or(&line.process));
    out.data(&format!(
        "{} {} | {}",
        at.dimmed(),
        instance.cyan(),
        coloured(&line.text)
    ))
}
