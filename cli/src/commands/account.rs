//! `windlass login`, `logout` and `whoami`

use reqwest::Method;
use serde_json::json;
use url::Url;
use windlass_domain::Secret;

use crate::{
    args::Login,
    client::Client,
    context::Context,
    error::CliError,
    exit::Exit,
    prompt,
    settings::{self, Server},
    table,
    view::{self, Account},
};

/// What every setup token begins with; an API token does not.
const SETUP_PREFIX: &str = "wls_";

/// What was given to log in with.
enum Given {
    Token(Secret),
    SetupToken(Secret),
}

pub async fn login(context: &Context<'_>, login: &Login) -> Result<(), CliError> {
    let out = context.out;
    let server = wanted_server(context, login)?;
    if server.scheme() == "http" && !settings::is_loopback(&server) {
        out.warn(&format!(
            "{server} is not encrypted: everybody on the way can read the token"
        ));
    }
    let given = given(context, login, &server)?;
    let busy = out.spinner(&format!("logging in to {server}"));
    let token = match given {
        Given::Token(token) => token,
        Given::SetupToken(token) => redeem(&server, &token).await?,
    };
    let client = Client::new(&server, Some(token.clone()))?;
    let account = client.get(&["account"]).await;
    drop(busy);
    if account.as_ref().is_err_and(|error| error.exit == Exit::AuthNeeded) {
        return Err(
            CliError::new(Exit::AuthNeeded, format!("{server} does not accept this token"))
                .next("check it, or have a new one made with `windlass tokens create NAME`"),
        );
    }
    let name = remember(context, &server, &token)?;
    // A setup token can be redeemed once only: what it was traded for is kept before anything else may fail.
    let account = account?;
    if out.json {
        return out.json(&account);
    }
    let facts: Account = view::read(&account)?;
    let version = facts.server.map(|server| format!(" (Windlass {})", server.version));
    out.done(&format!("logged in to {name}{}", version.unwrap_or_default()));
    out.next("windlass apps create NAME");
    Ok(())
}

fn wanted_server(context: &Context<'_>, login: &Login) -> Result<Url, CliError> {
    if let Some(text) = &login.url {
        return settings::parse_server(text);
    }
    if let Some(server) = context.server()? {
        return Ok(server);
    }
    let answer = prompt::text(context, "Address of the server", "windlass login URL")?;
    settings::parse_server(&answer)
}

fn given(context: &Context<'_>, login: &Login, server: &Url) -> Result<Given, CliError> {
    if login.setup_token.is_some() {
        return prompt::stdin_secret("setup token").map(|token| Given::SetupToken(Secret::new(token)));
    }
    let text = match &context.environment.token {
        _ if login.token.is_some() => prompt::stdin_secret("token")?,
        Some(token) => token.clone(),
        None => prompt::secret(
            context,
            &format!(
                "Token for {} (or the setup token of a new server)",
                settings::context_name(server)
            ),
            "give it on stdin with `--token -` or `--setup-token -`, or set WINDLASS_TOKEN",
        )?,
    };
    let is_setup = text.starts_with(SETUP_PREFIX);
    let token = Secret::new(text);
    Ok(if is_setup {
        Given::SetupToken(token)
    } else {
        Given::Token(token)
    })
}

/// Trades the setup token of a new server for an API token.
async fn redeem(server: &Url, setup_token: &Secret) -> Result<Secret, CliError> {
    let body = json!({"setup_token": setup_token.expose()});
    let answer = Client::new(server, None)?
        .send(Method::POST, &["setup"], Some(&body))
        .await;
    let answer = answer.map_err(|error| match error.exit {
        Exit::AuthNeeded => CliError {
            next_step: Some(
                "a setup token works once; log in with an API token if the server is set up already".to_owned(),
            ),
            ..error
        },
        _ => error,
    })?;
    answer["token"]
        .as_str()
        .or_else(|| answer["token"]["token"].as_str())
        .map(Secret::from)
        .ok_or_else(|| CliError::failure("the server's answer holds no token"))
}

/// Files server and token, and makes the server the current one; answers with the name of its context.
fn remember(context: &Context<'_>, server: &Url, token: &Secret) -> Result<String, CliError> {
    context.settings.save_token(server, token)?;
    let mut config = context.settings.config()?;
    let known = config.contexts.iter().find(|(_, known)| known.url == *server);
    let name = known.map_or_else(|| settings::context_name(server), |(name, _)| name.clone());
    config.contexts.insert(name.clone(), Server { url: server.clone() });
    config.current = Some(name.clone());
    context.settings.save_config(&config)?;
    Ok(name)
}

pub fn logout(context: &Context<'_>) -> Result<(), CliError> {
    let out = context.out;
    let Some(server) = context.server()? else {
        out.note("You are not logged in to a server.");
        return Ok(());
    };
    let forgotten = context.settings.forget_token(&server)?;
    let mut config = context.settings.config()?;
    config.contexts.retain(|_, known| known.url != server);
    if config
        .current
        .as_ref()
        .is_some_and(|name| !config.contexts.contains_key(name))
    {
        config.current = config.contexts.keys().next().cloned();
    }
    context.settings.save_config(&config)?;
    let name = settings::context_name(&server);
    if !forgotten {
        out.note(&format!("There was no token of {name} on this machine."));
        return Ok(());
    }
    out.done(&format!("forgot the token of {name} on this machine"));
    out.note("The token itself is still valid; `windlass tokens revoke ID` ends it.");
    if let Some(current) = &config.current {
        out.note(&format!("The current server is now {current}."));
    }
    Ok(())
}

pub async fn whoami(context: &Context<'_>) -> Result<(), CliError> {
    let client = context.client()?;
    let busy = context.out.spinner("asking the server");
    let account = client.get(&["account"]).await?;
    drop(busy);
    if context.out.json {
        return context.out.json(&account);
    }
    let facts: Account = view::read(&account)?;
    let mut rows = vec![("Server", client.server().to_string()), ("Team", facts.team_name())];
    if let Some(token) = &facts.token {
        rows.push(("Token", format!("{} ({})", token.name, token.id)));
    }
    if let Some(server) = &facts.server {
        rows.push(("Version", server.version.clone()));
        rows.push(("Apps at", format!("*.{}", server.base_domain)));
    }
    table::facts(context.out, &rows)
}
