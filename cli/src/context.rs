//! What a command works with: flags, environment, settings, and the way from them to a server and an app.

use std::path::PathBuf;

use url::Url;
use windlass_domain::{AppName, Secret};

use crate::{
    app_name,
    args::Global,
    client::Client,
    environment::Environment,
    error::CliError,
    exit::Exit,
    output::Output,
    settings::{self, Settings},
};

/// What every command gets.
pub struct Context<'a> {
    /// The global flags.
    pub global: Global,
    /// The environment.
    pub environment: Environment,
    /// What is kept between runs.
    pub settings: Settings,
    /// Where to write.
    pub out: &'a Output,
    /// The working directory.
    pub directory: PathBuf,
}

/// A server and the token for it.
#[derive(Debug, Clone)]
pub struct Session {
    /// The server's address.
    pub server: Url,
    /// The token.
    pub token: Secret,
}

impl<'a> Context<'a> {
    /// Gathers the context of this process.
    pub fn load(global: Global, out: &'a Output) -> Result<Self, CliError> {
        let directory = std::env::current_dir()
            .map_err(|error| CliError::failure(format!("the working directory cannot be read: {error}")))?;
        Ok(Self {
            global,
            environment: Environment::read(),
            settings: Settings::of_user()?,
            out,
            directory,
        })
    }

    /// The server in use: flag, then environment, then the current context.
    pub fn server(&self) -> Result<Option<Url>, CliError> {
        if let Some(text) = self.global.server.as_deref().or(self.environment.url.as_deref()) {
            return settings::parse_server(text).map(Some);
        }
        let mut config = self.settings.config()?;
        let server = config.current.and_then(|name| config.contexts.remove(&name));
        Ok(server.map(|server| server.url))
    }

    /// The server in use and its token: `WINDLASS_TOKEN`, or the one that was filed for exactly this server.
    pub fn session(&self) -> Result<Session, CliError> {
        let server = self.server()?.ok_or_else(|| {
            CliError::new(Exit::AuthNeeded, "you are not logged in to a server").next("windlass login URL")
        })?;
        let token = match &self.environment.token {
            Some(token) => Some(Secret::new(token.clone())),
            None => self.settings.token(&server)?,
        };
        let token = token.ok_or_else(|| {
            CliError::new(Exit::AuthNeeded, format!("there is no token for {server}"))
                .next(format!("windlass login {server}, or set WINDLASS_TOKEN"))
        })?;
        Ok(Session { server, token })
    }

    /// A client for the server in use.
    pub fn client(&self) -> Result<Client, CliError> {
        let session = self.session()?;
        Client::new(&session.server, Some(session.token))
    }

    /// The app that is meant: flag, then environment, then git remote.
    pub fn app(&self) -> Result<AppName, CliError> {
        app_name::resolve(self, None)
    }

    /// The app that is meant, when the command takes its name as an argument too.
    pub fn app_or(&self, name: Option<&AppName>) -> Result<AppName, CliError> {
        app_name::resolve(self, name)
    }
}
