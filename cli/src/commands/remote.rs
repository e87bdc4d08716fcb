//! The git remote of an app: how `git push windlass main` finds the server and the token.

use std::path::Path;

use url::Url;

use crate::{
    context::{Context, Session},
    environment,
    error::CliError,
    git, settings,
    view::{self, App},
};

/// `windlass git remote`
pub async fn run(context: &Context<'_>, remote: &str) -> Result<(), CliError> {
    if !git::in_work_tree(&context.directory) {
        return Err(CliError::usage("this directory is not in a git repository").next("git init"));
    }
    let session = context.session()?;
    let name = context.app()?;
    let answer = context.client()?.get(&["apps", name.as_str()]).await?;
    let app: App = view::read(&answer)?;
    if connect(context, &session, &app, remote)? {
        context.out.next(&format!("git push {remote} HEAD:{}", app.branch));
    }
    Ok(())
}

/// Adds the remote and lets git ask this program for the token; says what was done. A remote that is there already and belongs to
/// something else stays, and the answer is false.
pub fn connect(context: &Context<'_>, session: &Session, app: &App, remote: &str) -> Result<bool, CliError> {
    let directory = &context.directory;
    let url = push_url(&session.server, app)?;
    let known = git::remotes(directory).into_iter().find(|known| known.name == remote);
    match known {
        Some(known) if known.url == url.as_str() => {}
        Some(known) => {
            context.out.warn(&format!(
                "the git remote {remote} exists already and points to {}; it was left alone",
                crate::output::harmless(&known.url)
            ));
            context.out.next(&format!("git remote set-url {remote} {url}"));
            return Ok(false);
        }
        None => {
            git::must(directory, &["remote", "add", "--", remote, url.as_str()])?;
            context.out.done(&format!("added git remote {remote} = {url}"));
        }
    }
    configure_credentials(context, &session.server)?;
    Ok(true)
}

/// Sets `credential.<server>.helper` in the repository's own configuration. The empty first value keeps helpers of the system from
/// storing the token somewhere else.
fn configure_credentials(context: &Context<'_>, server: &Url) -> Result<(), CliError> {
    let directory = &context.directory;
    let origin = server.origin().ascii_serialization();
    let key = format!("credential.{origin}.helper");
    let helper = helper_command()?;
    let wanted = format!("\n{helper}");
    if git::ask(directory, &["config", "--local", "--get-all", &key]).as_deref() != Some(&wanted) {
        git::must(directory, &["config", "--local", "--replace-all", &key, ""])?;
        git::must(directory, &["config", "--local", "--add", &key, &helper])?;
        context.out.done(&format!(
            "git asks `windlass` for the token of {origin}, in this repository only"
        ));
    }
    if context.environment.proxied && settings::is_loopback(server) {
        // git would send even this to the proxy of the environment.
        git::must(directory, &["config", "--local", &format!("http.{origin}.proxy"), ""])?;
    }
    Ok(())
}

/// What git runs, through a shell: `windlass` by name if `PATH` leads here, otherwise this very file, quoted.
fn helper_command() -> Result<String, CliError> {
    let program = std::env::current_exe()
        .map_err(|error| CliError::failure(format!("the path of this program is not known: {error}")))?;
    let found = environment::search_path()
        .into_iter()
        .map(|directory| directory.join("windlass"))
        .find(|candidate| candidate.is_file());
    let same = found.and_then(|found| found.canonicalize().ok()) == program.canonicalize().ok();
    let program = if same { "windlass".to_owned() } else { quoted(&program)? };
    Ok(format!("!{program} git-credential"))
}

/// A path in single quotes, as POSIX shells read it.
fn quoted(path: &Path) -> Result<String, CliError> {
    let text = path
        .to_str()
        .ok_or_else(|| CliError::failure("the path of this program is not UTF-8"))?;
    Ok(format!("'{}'", text.replace('\'', "'\\''")))
}

/// Where the app is pushed to: the server's own word if it is the server that was logged in to; otherwise the same repository at the
/// address of the login, which is the one that can be reached from here and that the token belongs to.
pub fn push_url(server: &Url, app: &App) -> Result<Url, CliError> {
    if let Ok(url) = Url::parse(&app.git_url)
        && settings::same_origin(&url, server)
    {
        return Ok(url);
    }
    let mut url = server.clone();
    url.path_segments_mut()
        .map_err(|()| CliError::failure(format!("{server} cannot be pushed to")))?
        .pop_if_empty()
        .extend(["git", &format!("{}.git", app.name)]);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pushed_to(server: &str, git_url: &str) -> String {
        let app = json!({"name": "shop", "url": "", "branch": "main", "git_url": git_url});
        push_url(&Url::parse(server).unwrap(), &view::read(&app).unwrap())
            .unwrap()
            .to_string()
    }

    #[test]
    fn pushes_go_to_the_server_that_was_logged_in_to() {
        let own = "https://w.example/git/shop.git";
        assert_eq!(pushed_to("https://w.example/", own), own);
        assert_eq!(
            pushed_to("http://10.0.0.5:8000/", own),
            "http://10.0.0.5:8000/git/shop.git"
        );
        assert_eq!(
            pushed_to("https://w.example/", "https://evil.example/git/shop.git"),
            own
        );
    }

    #[test]
    fn a_path_is_one_word_for_a_shell() {
        assert_eq!(quoted(Path::new("/a b/$x/it's")).unwrap(), r"'/a b/$x/it'\''s'");
    }
}
