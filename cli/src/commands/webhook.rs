//! `windlass webhook …`

use reqwest::Method;
use serde_json::json;
use windlass_domain::AppName;

use crate::{
    args::WebhookCommand,
    context::Context,
    error::CliError,
    prompt, table,
    view::{self, App},
};

pub async fn run(context: &Context<'_>, command: Option<WebhookCommand>) -> Result<(), CliError> {
    match command.unwrap_or(WebhookCommand::Show) {
        WebhookCommand::Show => show(context).await,
        WebhookCommand::SetSecret { source } => set_secret(context, source.is_some()).await,
    }
}

async fn show(context: &Context<'_>) -> Result<(), CliError> {
    let app = context.app()?;
    let answer = context.client()?.get(&["apps", app.as_str(), "webhook"]).await?;
    if context.out.json {
        return context.out.json(&answer);
    }
    let field = |key: &str| answer[key].as_str().unwrap_or("-").to_owned();
    table::facts(context.out, &[("URL", field("url")), ("Secret", field("secret"))])?;
    say_use(context, &app).await
}

/// A webhook is matched by the repository's address: without one, no delivery ever fits.
async fn say_use(context: &Context<'_>, app: &AppName) -> Result<(), CliError> {
    let out = context.out;
    let answer: App = view::read(&context.client()?.get(&["apps", app.as_str()]).await?)?;
    if answer.repo_url.is_some() {
        out.note("Give both to the forge, with content type application/json and the push event.");
        return Ok(());
    }
    out.warn(&format!("app {app} has no repository yet, so webhooks lead to nothing"));
    out.next(&format!("windlass apps update {app} --repo-url URL"));
    Ok(())
}

async fn set_secret(context: &Context<'_>, from_stdin: bool) -> Result<(), CliError> {
    let app = context.app()?;
    let secret = if from_stdin {
        prompt::stdin_secret("secret")?
    } else {
        prompt::secret(
            context,
            "Webhook secret",
            "windlass webhook set-secret -, and the secret on stdin",
        )?
    };
    let path = ["apps", app.as_str(), "webhook"];
    let answer = context
        .client()?
        .send(Method::PUT, &path, Some(&json!({"secret": secret})))
        .await?;
    if context.out.json {
        return context.out.json(&answer);
    }
    context.out.done(&format!("set the webhook secret of {app}"));
    context.out.note("Set the same secret at the forge.");
    Ok(())
}
