//! Which app a command is about: the flag, then the environment, then the git remote of the working directory.

use url::Url;
use windlass_domain::AppName;

use crate::{context::Context, error::CliError, git, settings};

/// The name of the remote that `windlass apps create` adds.
pub const DEFAULT_REMOTE: &str = "windlass";

/// Finds the app. `argument` is the name that stands on the command line as an argument of the command itself.
pub fn resolve(context: &Context<'_>, argument: Option<&AppName>) -> Result<AppName, CliError> {
    if let Some(name) = argument.or(context.global.app.as_ref()) {
        return Ok(name.clone());
    }
    if let Some(text) = &context.environment.app {
        return text
            .parse()
            .map_err(|error| CliError::usage(format!("WINDLASS_APP: {error}")));
    }
    let server = context.server()?;
    from_remotes(&git::remotes(&context.directory), server.as_ref())
}

/// The app of the remote `windlass`, or of the only remote that belongs to the server in use.
fn from_remotes(remotes: &[git::Remote], server: Option<&Url>) -> Result<AppName, CliError> {
    let unknown = |detail: String| {
        CliError::usage(detail)
            .next("name the app with -a NAME, set WINDLASS_APP, or add its remote with `windlass git remote -a NAME`")
    };
    if let Some(remote) = remotes.iter().find(|remote| remote.name == DEFAULT_REMOTE) {
        let (origin, app) = app_of_url(&remote.url).ok_or_else(|| {
            unknown(format!(
                "the git remote `{DEFAULT_REMOTE}` is not the address of an app"
            ))
        })?;
        if let Some(server) = server.filter(|server| !settings::same_origin(server, &origin)) {
            return Err(unknown(format!(
                "the git remote `{DEFAULT_REMOTE}` belongs to {}, but the server in use is {server}",
                settings::context_name(&origin)
            )));
        }
        return Ok(app);
    }
    let belongs = |remote: &git::Remote| {
        let (origin, app) = app_of_url(&remote.url)?;
        settings::same_origin(server?, &origin).then_some(app)
    };
    let mut apps: Vec<AppName> = remotes.iter().filter_map(belongs).collect();
    apps.sort();
    apps.dedup();
    match apps.as_slice() {
        [app] => Ok(app.clone()),
        [] => Err(unknown("which app? this directory has no git remote of one".to_owned())),
        several => {
            let names: Vec<&str> = several.iter().map(AppName::as_str).collect();
            Err(unknown(format!("which app? there are remotes of {}", names.join(", "))))
        }
    }
}

/// The server and the app of an address such as `https://windlass.example.com/git/shop.git`.
pub fn app_of_url(text: &str) -> Option<(Url, AppName)> {
    let url = Url::parse(text).ok()?;
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    let (_, file) = url.path().rsplit_once("/git/")?;
    let app = file.strip_suffix(".git").unwrap_or(file).parse().ok()?;
    Some((url, app))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::Remote;

    fn resolved(remotes: &[(&str, &str)]) -> Result<String, String> {
        let remotes: Vec<Remote> = remotes
            .iter()
            .map(|&(name, url)| Remote {
                name: name.to_owned(),
                url: url.to_owned(),
            })
            .collect();
        let server = Url::parse("https://w.example").unwrap();
        from_remotes(&remotes, Some(&server))
            .map(String::from)
            .map_err(|error| error.detail)
    }

    #[test]
    fn the_remote_windlass_names_the_app() {
        let remotes = [
            ("origin", "https://w.example/git/other.git"),
            ("windlass", "https://w.example/git/shop.git"),
        ];
        assert_eq!(resolved(&remotes), Ok("shop".to_owned()));
    }

    #[test]
    fn the_only_remote_of_the_server_will_do() {
        let remotes = [
            ("origin", "git@github.com:a/b.git"),
            ("live", "https://w.example/git/shop.git"),
        ];
        assert_eq!(resolved(&remotes), Ok("shop".to_owned()));
    }

    #[test]
    fn two_apps_are_not_guessed_between() {
        let remotes = [
            ("a", "https://w.example/git/one.git"),
            ("b", "https://w.example/git/two.git"),
        ];
        assert_eq!(
            resolved(&remotes),
            Err("which app? there are remotes of one, two".to_owned())
        );
    }

    #[test]
    fn a_remote_of_another_server_is_not_taken() {
        assert!(resolved(&[("live", "https://x.example/git/shop.git")]).is_err());
        let error = resolved(&[("windlass", "http://w.example/git/shop.git")]).unwrap_err();
        assert!(error.contains("belongs to w.example"), "{error}");
    }
}
