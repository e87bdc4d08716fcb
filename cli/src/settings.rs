//! What is kept between runs, in `$XDG_CONFIG_HOME/windlass`: `config.toml` with the servers, and `credentials.toml` with their
//! tokens, readable by its owner only. A token is filed under its server's address and is never used for another.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use etcetera::BaseStrategy;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use url::Url;
use windlass_domain::Secret;

use crate::error::CliError;

/// The servers that are known.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The name of the context in use.
    pub current: Option<String>,
    /// The servers by name.
    pub contexts: BTreeMap<String, Server>,
}

/// A server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Server {
    /// Its address.
    pub url: Url,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Credentials {
    /// Tokens by the server's address.
    tokens: BTreeMap<String, String>,
}

/// The directory that holds both files.
#[derive(Debug, Clone)]
pub struct Settings {
    directory: PathBuf,
}

impl Settings {
    /// The user's own directory (XDG base directories).
    pub fn of_user() -> Result<Self, CliError> {
        let base = etcetera::base_strategy::Xdg::new()
            .map_err(|_| CliError::failure("the home directory is not known").next("set HOME or XDG_CONFIG_HOME"))?;
        Ok(Self::in_directory(base.config_dir().join("windlass")))
    }

    /// A directory of the caller's choice.
    pub const fn in_directory(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Reads the known servers; none if there is no file yet.
    pub fn config(&self) -> Result<Config, CliError> {
        read(&self.config_path())
    }

    /// Writes the known servers.
    pub fn save_config(&self, config: &Config) -> Result<(), CliError> {
        self.write(&self.config_path(), config, 0o644)
    }

    /// The token that was filed for a server.
    pub fn token(&self, server: &Url) -> Result<Option<Secret>, CliError> {
        let mut credentials: Credentials = read(&self.credentials_path())?;
        Ok(credentials.tokens.remove(server.as_str()).map(Secret::new))
    }

    /// Files a token for a server.
    pub fn save_token(&self, server: &Url, token: &Secret) -> Result<(), CliError> {
        let mut credentials: Credentials = read(&self.credentials_path())?;
        credentials.tokens.insert(server.to_string(), token.expose().clone());
        self.write(&self.credentials_path(), &credentials, 0o600)
    }

    /// Forgets the token of a server; answers whether there was one.
    pub fn forget_token(&self, server: &Url) -> Result<bool, CliError> {
        let mut credentials: Credentials = read(&self.credentials_path())?;
        let known = credentials.tokens.remove(server.as_str()).is_some();
        if known {
            self.write(&self.credentials_path(), &credentials, 0o600)?;
        }
        Ok(known)
    }

    /// Where the tokens are, for messages.
    pub fn credentials_path(&self) -> PathBuf {
        self.directory.join("credentials.toml")
    }

    fn config_path(&self) -> PathBuf {
        self.directory.join("config.toml")
    }

    /// Writes beside the file and renames, so that a crash leaves the old file whole.
    fn write(&self, path: &Path, value: &impl Serialize, mode: u32) -> Result<(), CliError> {
        let text = toml::to_string(value).map_err(|error| CliError::failure(error.to_string()))?;
        write_private(path, text.as_bytes(), mode)
            .map_err(|error| CliError::failure(format!("cannot write {}: {error}", path.display())))
    }
}

fn read<T: DeserializeOwned + Default>(path: &Path) -> Result<T, CliError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(T::default()),
        Err(error) => return Err(CliError::failure(format!("cannot read {}: {error}", path.display()))),
    };
    toml::from_str(&text).map_err(|error| {
        // The error's own text quotes the line, which may hold a token.
        let message = error.message().to_owned();
        CliError::failure(format!("{} is not valid: {message}", path.display()))
            .next("repair or remove the file, then log in again")
    })
}

fn write_private(path: &Path, text: &[u8], mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&beside)
        .and_then(|mut file| {
            file.write_all(text)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // The half-written file is of no use; the first error is the one to tell.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Reads a server's address as people type it: `https://` may be left out, and for this machine `http://` is meant.
pub fn parse_server(text: &str) -> Result<Url, CliError> {
    let wrong = || {
        CliError::usage(format!("`{text}` is not the address of a server"))
            .next("use an address such as https://windlass.example.com")
    };
    let text = text.trim();
    let with_scheme = if text.contains("://") {
        text.to_owned()
    } else if Url::parse(&format!("http://{text}")).is_ok_and(|url| is_loopback(&url)) {
        format!("http://{text}")
    } else {
        format!("https://{text}")
    };
    let mut url = Url::parse(&with_scheme).map_err(|_| wrong())?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(wrong());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(CliError::usage("the address holds a user or password").next("leave it out; tokens are asked for"));
    }
    url.set_query(None);
    url.set_fragment(None);
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

/// Whether an address is of this machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Whether two addresses share scheme, host and port.
pub fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// The name that a server's context gets: its host, with the port if it is not the usual one.
pub fn context_name(server: &Url) -> String {
    let host = server.host_str().unwrap_or_default();
    match server.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn server(text: &str) -> Url {
        parse_server(text).unwrap()
    }

    #[test]
    fn addresses_read_as_typed() {
        assert_eq!(server("windlass.example.com").as_str(), "https://windlass.example.com/");
        assert_eq!(server("localhost:8000").as_str(), "http://localhost:8000/");
        assert_eq!(server("127.0.0.1:8000/").as_str(), "http://127.0.0.1:8000/");
        assert_eq!(server("http://a.example/x/?q#f").as_str(), "http://a.example/x");
        for wrong in ["", "ftp://x", "https://", "https://me:pw@host", "a b"] {
            assert!(parse_server(wrong).is_err(), "{wrong} was accepted");
        }
    }

    #[test]
    fn a_token_is_filed_for_its_server_only_and_readable_by_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings::in_directory(folder.path().join("windlass"));
        let (a, b) = (server("a.example"), server("b.example"));
        settings.save_token(&a, &Secret::from("wl_a")).unwrap();
        assert_eq!(settings.token(&a).unwrap(), Some(Secret::from("wl_a")));
        assert_eq!(settings.token(&b).unwrap(), None);
        let mode = fs::metadata(settings.credentials_path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(settings.forget_token(&a).unwrap());
        assert!(!settings.forget_token(&a).unwrap());
    }

    #[test]
    fn a_broken_file_is_named_without_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings::in_directory(folder.path().to_owned());
        fs::write(settings.credentials_path(), "[tokens]\nx = wl_secret").unwrap();
        let error = settings.token(&server("a.example")).unwrap_err();
        assert!(
            error.detail.contains("credentials.toml") && !error.detail.contains("wl_secret"),
            "{error}"
        );
    }
}
