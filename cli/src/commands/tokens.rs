//! `windlass tokens …`

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    args::TokensCommand,
    context::Context,
    error::CliError,
    prompt,
    table::Table,
    time,
    view::{self, Token},
};

const ALL: usize = 10_000;

pub async fn run(context: &Context<'_>, command: Option<TokensCommand>) -> Result<(), CliError> {
    match command.unwrap_or(TokensCommand::List) {
        TokensCommand::List => list(context).await,
        TokensCommand::Create { name } => create(context, &name).await,
        TokensCommand::Revoke { id } => revoke(context, &id).await,
    }
}

async fn list(context: &Context<'_>) -> Result<(), CliError> {
    let items = context.client()?.list(&["tokens"], ALL).await?;
    if context.out.json {
        return context.out.json(&Value::Array(items));
    }
    let mut table = Table::new(&["ID", "NAME", "CREATED", "LAST USED"]);
    for token in view::read_all::<Token>(&items)? {
        let used = token
            .last_used_at
            .map_or_else(|| "never".to_owned(), |at| time::since(Some(at)));
        table.row([&token.id, &token.name, &time::since(token.created_at), &used]);
    }
    table.print(context.out)
}

async fn create(context: &Context<'_>, name: &str) -> Result<(), CliError> {
    let out = context.out;
    let answer = context
        .client()?
        .send(Method::POST, &["tokens"], Some(&json!({"name": name})))
        .await?;
    if out.json {
        return out.json(&answer);
    }
    let token: Token = view::read(&answer)?;
    out.done(&format!("created token {} ({})", token.name, token.id));
    out.note("It is shown this once:");
    out.exact(token.token.as_deref().unwrap_or_default())
}

async fn revoke(context: &Context<'_>, id: &str) -> Result<(), CliError> {
    let client = context.client()?;
    // Without a question for others; but one's own token is what this very program uses.
    let own = client.get(&["account"]).await?["token"]["id"] == id;
    if own {
        prompt::confirm(context, "This is the token that you are using. Revoke it?")?;
    }
    client.send(Method::DELETE, &["tokens", id], None).await?;
    context.out.done(&format!("revoked token {id}"));
    if own {
        context.out.next("windlass login URL");
    }
    Ok(())
}
