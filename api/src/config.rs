//! What the API needs to know of the installation.

use std::path::PathBuf;

use url::Url;
use windlass_domain::{AppName, Hostname};

/// The addresses of the installation, as its users see them.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// Apps answer at `{app}.{base_domain}`.
    pub base_domain: Hostname,
    /// Where the API answers, as its users reach it.
    pub public_url: Url,
    /// `http` or `https`: how apps are reached.
    pub app_scheme: &'static str,
    /// The port in the apps' addresses; none: the scheme's own.
    pub app_port: Option<u16>,
    /// The Unix socket of [`crate::serve_hook`], which git's hook calls. Must be absolute.
    pub hook_socket: PathBuf,
}

impl ApiConfig {
    /// Where an app answers.
    pub fn app_url(&self, app: &AppName) -> String {
        let port = self.app_port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{app}.{}{port}", self.app_scheme, self.base_domain)
    }

    /// Where an app is pushed to.
    pub fn git_url(&self, app: &AppName) -> String {
        self.public(&format!("/git/{app}.git"))
    }

    /// A path of the API as an address.
    pub(crate) fn public(&self, path: &str) -> String {
        format!("{}{path}", self.public_url.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(app_port: Option<u16>) -> ApiConfig {
        ApiConfig {
            base_domain: "apps.example.com".parse().unwrap(),
            public_url: "https://windlass.example.com/".parse().unwrap(),
            app_scheme: "https",
            app_port,
            hook_socket: PathBuf::from("/run/hook.sock"),
        }
    }

    #[test]
    fn addresses_are_as_users_type_them() {
        let app = "shop".parse().unwrap();
        assert_eq!(config(None).app_url(&app), "https://shop.apps.example.com");
        assert_eq!(config(Some(8443)).app_url(&app), "https://shop.apps.example.com:8443");
        assert_eq!(config(None).git_url(&app), "https://windlass.example.com/git/shop.git");
    }
}
