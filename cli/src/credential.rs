//! git's credential helper protocol (gitcredentials(7)): gives git the token of a server, for that server's origin only.

use std::collections::BTreeMap;

use url::Url;
use windlass_domain::Secret;

use crate::{
    context::Context,
    error::CliError,
    prompt,
    settings::{parse_server, same_origin},
};

/// Any user name will do: the token is what counts.
const USER: &str = "windlass";

/// Answers git on stdout. Unknown operations are ignored, as the protocol demands.
pub fn serve(context: &Context<'_>, operation: &str) -> Result<(), CliError> {
    let request = prompt::stdin()?;
    let Some(origin) = origin(&request) else {
        return Ok(());
    };
    match operation {
        "get" => match token(context, &origin)? {
            Some(token) => context
                .out
                .exact(&format!("username={USER}\npassword={}", token.expose())),
            None => Ok(()),
        },
        // Git erases what a server has refused. The file is left alone: the refusal may be a passing one.
        "erase" => {
            if token(context, &origin)?.is_some() {
                context
                    .out
                    .warn("the server refused the token; log in again with `windlass login URL`");
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The address that git asks about.
fn origin(request: &str) -> Option<Url> {
    let fields: BTreeMap<&str, &str> = request.lines().filter_map(|line| line.split_once('=')).collect();
    let protocol = fields
        .get("protocol")
        .filter(|protocol| matches!(**protocol, "http" | "https"))?;
    Url::parse(&format!("{protocol}://{}", fields.get("host")?)).ok()
}

/// The token for an origin: of the server in use, or of any server that the user has logged in to.
fn token(context: &Context<'_>, origin: &Url) -> Result<Option<Secret>, CliError> {
    if let Some(text) = &context.environment.url {
        let server = parse_server(text)?;
        if same_origin(&server, origin) {
            return match &context.environment.token {
                Some(token) => Ok(Some(Secret::new(token.clone()))),
                None => context.settings.token(&server),
            };
        }
    }
    let config = context.settings.config()?;
    let current = config.current.as_ref().and_then(|name| config.contexts.get(name));
    let environment_token = context
        .environment
        .token
        .as_ref()
        .filter(|_| context.environment.url.is_none());
    if let (Some(server), Some(token)) = (current, environment_token)
        && same_origin(&server.url, origin)
    {
        return Ok(Some(Secret::new(token.clone())));
    }
    for server in config
        .contexts
        .values()
        .filter(|server| same_origin(&server.url, origin))
    {
        if let Some(token) = context.settings.token(&server.url)? {
            return Ok(Some(token));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_names_the_server_line_by_line() {
        let url = origin("protocol=https\nhost=w.example:8443\npath=git/shop.git\n\n").unwrap();
        assert_eq!(url.as_str(), "https://w.example:8443/");
        assert!(origin("protocol=ssh\nhost=w.example\n").is_none());
        assert!(origin("host=w.example\n").is_none());
        assert!(origin("").is_none());
    }
}
