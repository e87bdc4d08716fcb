//! `windlass apps destroy`: asked for twice, and waited for.

use std::time::{Duration, Instant};

use reqwest::Method;
use windlass_domain::AppName;

use crate::{
    app_name, args::DestroyApp, client::Client, context::Context, error::CliError, exit::Exit, follow::or_interrupt,
    git, prompt,
};

const ASK_AGAIN_AFTER: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_secs(300);

pub async fn run(context: &Context<'_>, destroy: &DestroyApp) -> Result<(), CliError> {
    let out = context.out;
    let name = context.app_or(destroy.name.as_ref())?;
    let client = context.client()?;
    confirmed(context, destroy, &name)?;
    let busy = out.spinner(&format!("destroying {name}: instances, images, config and repository"));
    let answer = client.send(Method::DELETE, &["apps", name.as_str()], None).await?;
    if destroy.detach {
        drop(busy);
        out.done(&format!("app {name} is being destroyed"));
        return if out.json { out.json(&answer) } else { Ok(()) };
    }
    or_interrupt(until_gone(&client, &name), || {
        CliError::new(Exit::Interrupted, format!("The destruction of {name} goes on."))
            .next(format!("windlass apps info {name}"))
    })
    .await?;
    drop(busy);
    out.done(&format!("destroyed app {name}; the name is free again"));
    let remotes = git::remotes(&context.directory);
    let left = remotes.iter().filter(|remote| {
        app_name::app_of_url(&remote.url)
            .is_some_and(|(server, app)| app == name && crate::settings::same_origin(&server, client.server()))
    });
    for remote in left {
        out.next(&format!("git remote remove {}", remote.name));
    }
    if out.json { out.json(&answer) } else { Ok(()) }
}

/// The name once more: as a flag, typed, or waived with `--yes`.
fn confirmed(context: &Context<'_>, destroy: &DestroyApp, name: &AppName) -> Result<(), CliError> {
    let advice = format!("windlass apps destroy {name} --confirm {name}");
    let typed = match &destroy.confirm {
        Some(typed) => typed.clone(),
        None if context.global.yes => return Ok(()),
        None if context.out.interactive => {
            context.out.warn(&format!(
                "this destroys app {name} with its instances, images, config and repository"
            ));
            prompt::text(context, &format!("Type {name} to go on"), &advice)?
        }
        None => return Err(CliError::usage(format!("destroying {name} needs a confirmation")).next(advice)),
    };
    if typed.trim() == name.as_str() {
        Ok(())
    } else {
        Err(CliError::usage(format!("`{typed}` is not the name of the app; nothing was destroyed")).next(advice))
    }
}

/// Waits until the server does not know the app any more.
async fn until_gone(client: &Client, name: &AppName) -> Result<(), CliError> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        match client.get(&["apps", name.as_str()]).await {
            Err(error) if error.exit == Exit::NotFound => return Ok(()),
            Err(error) if matches!(error.exit, Exit::Unreachable | Exit::Timeout) => {}
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        tokio::time::sleep(ASK_AGAIN_AFTER).await;
    }
    Err(CliError::new(Exit::Timeout, format!("{name} is still being destroyed"))
        .next(format!("windlass apps info {name}")))
}
