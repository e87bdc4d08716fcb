//! The environment variables that the command line knows. Read here and nowhere else; an empty one counts as not set.

/// What the environment says.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `WINDLASS_URL`: the server.
    pub url: Option<String>,
    /// `WINDLASS_TOKEN`: the API token.
    pub token: Option<String>,
    /// `WINDLASS_APP`: the app.
    pub app: Option<String>,
    /// Whether a proxy for HTTP is set, which git would use for addresses on this machine too.
    pub proxied: bool,
}

impl Environment {
    /// Reads the process's environment.
    pub fn read() -> Self {
        let proxies = ["http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
        Self {
            url: variable("WINDLASS_URL"),
            token: variable("WINDLASS_TOKEN"),
            app: variable("WINDLASS_APP"),
            proxied: proxies.iter().any(|name| variable(name).is_some()),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the command line reads its environment, here only"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name)
        .ok()
        .map(|value| value.trim().to_owned())
        .filter(|value| !value.is_empty())
}

/// The directories of `PATH`.
#[expect(
    clippy::disallowed_methods,
    reason = "the command line reads its environment, here only"
)]
pub fn search_path() -> Vec<std::path::PathBuf> {
    std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default()
}
