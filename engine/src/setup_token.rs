//! The one-time token for the first login: shown, kept in a file of its own until it is redeemed, and made anew.

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, bail, ensure};
use tokio_util::sync::CancellationToken;
use windlass_domain::Secret;
use windlass_store::{Store, StoreOptions};

use crate::{config::Config, data_dir, master_key};

/// Shows the setup token once, and keeps it for the operator until it is redeemed.
pub fn welcome(config: &Config, setup: &Secret<String>) -> anyhow::Result<()> {
    write(config, setup)?;
    let url = &config.api_public_url;
    let port = if config.router_public_port == 80 {
        String::new()
    } else {
        format!(":{}", config.router_public_port)
    };
    println!(
        "\nWelcome to Windlass.\n\n  API          {url}\n  Apps         http://APP.{}{port}\n  Setup token  {} (works once)\n\n\
         Log in:\n\n  {}\n\nThen, in a git repository:\n\n  windlass apps create hello\n  git push windlass main\n",
        config.base_domain,
        setup.expose(),
        login_command(config)
    );
    Ok(())
}

/// The token is read from its file: what stands on a command line stands in the shell's history and in the process list.
fn login_command(config: &Config) -> String {
    format!(
        "windlass login {} --setup-token - < {}",
        config.api_public_url,
        config.setup_token_file().display()
    )
}

fn write(config: &Config, setup: &Secret<String>) -> anyhow::Result<()> {
    let path = config.setup_token_file();
    let mut file = fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)?;
    writeln!(file, "{}", setup.expose()).with_context(|| format!("cannot write {}", path.display()))
}

/// Removes the file of the setup token as soon as the token has been redeemed.
pub async fn forget_redeemed(path: PathBuf, store: Store, token: CancellationToken) -> anyhow::Result<()> {
    let mut clock = tokio::time::interval(Duration::from_secs(2));
    loop {
        tokio::select! {
            () = token.cancelled() => return Ok(()),
            _ = clock.tick() => {}
        }
        if path.exists() && store.setup_token_waits().await.is_ok_and(|waits| !waits) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
}

/// `windlassd setup-token`: for whoever lost the first one.
pub fn renew(config: &Config) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let url = match &config.database_url {
            Some(url) => url.clone(),
            None => running_database(config)?,
        };
        let master_key = master_key::load_or_create(&config.master_key_file)?;
        let store = Store::connect(StoreOptions {
            url,
            max_connections: 3,
            master_key,
        })
        .await?;
        let setup = store.reset_setup_token().await?;
        write(config, &setup)?;
        println!("{}\n\n  {}", setup.expose(), login_command(config));
        Ok(ExitCode::SUCCESS)
    })
}

fn running_database(config: &Config) -> anyhow::Result<String> {
    let Some(_) = data_dir::running_engine(config)? else {
        bail!("no engine runs on {}; start it first", config.data_dir.display());
    };
    let directory = config.postgres_dir();
    ensure!(directory.join("run").exists(), "the embedded PostgreSQL is not there");
    Ok(crate::postgres::url(&directory))
}
