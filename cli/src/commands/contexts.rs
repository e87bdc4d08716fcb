//! `windlass context …`: which server is in use.

use serde_json::{Value, json};

use crate::{args::ContextCommand, context::Context, error::CliError, exit::Exit, table::Table};

pub fn run(context: &Context<'_>, command: Option<ContextCommand>) -> Result<(), CliError> {
    match command.unwrap_or(ContextCommand::List) {
        ContextCommand::List => list(context),
        ContextCommand::Use { name } => switch(context, &name),
    }
}

fn list(context: &Context<'_>) -> Result<(), CliError> {
    let out = context.out;
    let config = context.settings.config()?;
    let is_current = |name: &String| config.current.as_ref() == Some(name);
    if out.json {
        let rows = config.contexts.iter();
        let rows = rows.map(|(name, server)| json!({"name": name, "url": server.url, "current": is_current(name)}));
        return out.json(&Value::Array(rows.collect()));
    }
    if config.contexts.is_empty() {
        out.note("You are not logged in to a server.");
        out.next("windlass login URL");
        return Ok(());
    }
    let mut table = Table::new(&["", "NAME", "URL"]);
    for (name, server) in &config.contexts {
        table.row([if is_current(name) { "*" } else { "" }, name, server.url.as_str()]);
    }
    table.print(out)
}

fn switch(context: &Context<'_>, name: &str) -> Result<(), CliError> {
    let mut config = context.settings.config()?;
    if !config.contexts.contains_key(name) {
        let known: Vec<&str> = config.contexts.keys().map(String::as_str).collect();
        return Err(
            CliError::new(Exit::NotFound, format!("there is no context `{name}`")).next(if known.is_empty() {
                "windlass login URL".to_owned()
            } else {
                format!("use one of: {}", known.join(", "))
            }),
        );
    }
    config.current = Some(name.to_owned());
    context.settings.save_config(&config)?;
    context.out.done(&format!("the current server is {name}"));
    if context.global.server.is_some() || context.environment.url.is_some() {
        context.out.warn("WINDLASS_URL or --server takes precedence over it");
    }
    Ok(())
}
