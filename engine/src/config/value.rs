//! From texts to typed values.

use std::{fmt::Display, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use ipnet::{IpNet, Ipv4Net};
use tracing_subscriber::EnvFilter;
use windlass_domain::Hostname;

use super::{Config, KEYS, LogFormat, RouterKind, Setting};

/// Reads settings and collects what is wrong with them.
pub(super) struct Reader<'a> {
    settings: &'a [Setting],
    problems: &'a mut Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(settings: &'a [Setting], problems: &'a mut Vec<String>) -> Self {
        Self { settings, problems }
    }

    /// The configuration; none if a value is missing because it could not be read.
    pub(super) fn config(mut self) -> Option<Config> {
        let data_dir = self.absolute_path("data_dir");
        let base_domain = self.base_domain();
        let database_url = self.database_url();
        let api_listen: Option<SocketAddr> = self.parse("api.listen");
        let router_http: Option<SocketAddr> = self.parse("router.http");
        let log_format = self.choice("log.format", &FORMATS);
        let log_level = self.log_level();
        let router = self.choice("router.kind", &ROUTERS);
        let concurrent_builds = self.number("worker.concurrent_builds", 1..=64);
        let network_pool = self.network_pool();
        let lease = self.seconds("worker.lease_seconds", 2..=600);
        let connections = self.number("database_connections", 3..=500);
        let keep_releases = self.number("worker.keep_releases", 1..=1000);
        let shutdown = self.seconds("shutdown_seconds", 1..=3600);
        let max_repository_bytes = self.number("source.max_repository_bytes", 1 << 20..=1 << 40);
        let max_build_log_bytes = self.number("build.max_log_bytes", 1 << 16..=1 << 32);
        let build_memory = self.optional_in("build.memory", 64 << 20..=1 << 50);
        let build_cpu_millis = self.cores("build.cpus");
        let build_cache_bytes = self.optional_in("build.cache_bytes", 64 << 20..=1 << 50);
        let disk_min_free_bytes = self.number("disk.min_free_bytes", 0..=1 << 50);
        let disk_min_free_percent = self.number("disk.min_free_percent", 0..=90);
        let source_allow_private = self.networks("source.allow_private");
        let public_port = self.optional_number("router.public_port");
        let public_url = self.public_url();
        let data_dir = data_dir?;
        let (base_domain, api_listen, router_http) = (base_domain?, api_listen?, router_http?);
        self.apart(router, api_listen, router_http);
        let default_url = format!("http://{base_domain}:{}", api_listen.port());
        Some(Config {
            master_key_file: self
                .optional("master_key_file")
                .map_or_else(|| data_dir.join("master.key"), PathBuf::from),
            data_dir,
            base_domain,
            database_url,
            database_connections: u32::try_from(connections?).ok()?,
            docker_host: self.text("docker_host"),
            log_format: log_format?,
            log_level: log_level?,
            shutdown: shutdown?,
            api_listen,
            api_public_url: public_url.unwrap_or(default_url),
            router: router?,
            router_http,
            router_public_port: public_port.unwrap_or(router_http.port()),
            traefik_entrypoints: self.list("router.traefik_entrypoints"),
            concurrent_builds: u32::try_from(concurrent_builds?).ok()?,
            network_pool: network_pool?,
            lease: lease?,
            keep_releases: u32::try_from(keep_releases?).ok()?,
            source_allow_private,
            max_repository_bytes: max_repository_bytes?,
            base_image_debian: self.text("build.base_images.debian"),
            base_image_node: self.text("build.base_images.node"),
            base_image_python: self.text("build.base_images.python"),
            max_build_log_bytes: max_build_log_bytes?,
            build_memory,
            build_cpu_millis,
            build_cache_bytes,
            disk_min_free_bytes: disk_min_free_bytes?,
            disk_min_free_percent: u32::try_from(disk_min_free_percent?).ok()?,
        })
    }

    /// A host name whose last label is a number would be read as an address.
    fn base_domain(&mut self) -> Option<Hostname> {
        let name: Hostname = self.parse("base_domain")?;
        if name
            .as_str()
            .rsplit('.')
            .next()
            .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()))
        {
            self.problem(
                "base_domain",
                format!("`{name}` is no domain; use one such as apps.example.com"),
            );
            return None;
        }
        Some(name)
    }

    fn database_url(&mut self) -> Option<String> {
        let url = self.optional("database_url")?;
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            // Not shown: whatever it is, it may hold a password.
            self.problem("database_url", "must begin with postgres:// or postgresql://");
        }
        Some(url)
    }

    /// The API and the built-in router cannot share an address.
    fn apart(&mut self, router: Option<RouterKind>, api: SocketAddr, http: SocketAddr) {
        let same_host = api.ip() == http.ip() || api.ip().is_unspecified() || http.ip().is_unspecified();
        if router == Some(RouterKind::Builtin) && same_host && api.port() == http.port() && api.port() != 0 {
            self.problem(
                "router.http",
                format!("`{http}` is the port of api.listen (`{api}`); use another one"),
            );
        }
    }

    fn setting(&self, name: &str) -> &'a Setting {
        self.settings
            .iter()
            .find(|setting| setting.name == name)
            .expect("every key that is read stands in KEYS")
    }

    fn problem(&mut self, name: &str, problem: impl Display) {
        let origin = &self.setting(name).origin;
        let help = KEYS.iter().find(|key| key.name == name).map_or("", |key| key.help);
        self.problems
            .push(format!("{name}: {problem} (from: {origin}). What it is: {help}"));
    }

    fn text(&self, name: &str) -> String {
        self.setting(name).value.clone()
    }

    fn optional(&self, name: &str) -> Option<String> {
        Some(self.text(name)).filter(|value| !value.is_empty())
    }

    fn log_level(&mut self) -> Option<String> {
        let value = self.text("log.level");
        if EnvFilter::try_new(&value).is_err() {
            self.problem(
                "log.level",
                format!("`{value}` is neither a level such as `info` nor a list of directives"),
            );
            return None;
        }
        Some(value)
    }

    fn list(&self, name: &str) -> Vec<String> {
        self.text(name)
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect()
    }

    fn parse<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        let value = self.text(name);
        value
            .parse()
            .map_err(|error: T::Err| self.problem(name, format!("`{value}`: {error}")))
            .ok()
    }

    fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let value = self.text(name);
        let found = choices
            .iter()
            .find(|(word, _)| *word == value)
            .map(|(_, choice)| *choice);
        if found.is_none() {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            self.problem(name, format!("`{value}` is not one of {}", words.join(", ")));
        }
        found
    }

    fn number(&mut self, name: &str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        let value = self.text(name);
        let number = value.parse::<u64>().ok().filter(|number| range.contains(number));
        if number.is_none() {
            self.problem(
                name,
                format!(
                    "`{value}` must be a whole number from {} to {}",
                    range.start(),
                    range.end()
                ),
            );
        }
        number
    }

    fn optional_number(&mut self, name: &str) -> Option<u16> {
        self.optional_in(name, 1..=65_535)
            .and_then(|number| u16::try_from(number).ok())
    }

    fn optional_in(&mut self, name: &str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        self.optional(name)?;
        self.number(name, range)
    }

    /// Cores such as `1.5`, in thousandths.
    fn cores(&mut self, name: &str) -> Option<u32> {
        let value = self.optional(name)?;
        let (whole, part) = value.split_once('.').unwrap_or((&value, ""));
        let thousandths = format!("{part:0<3}");
        let millis = whole.parse::<u32>().ok().zip(thousandths.parse::<u32>().ok());
        let millis = millis
            .filter(|_| part.len() <= 3)
            .map(|(whole, part)| whole.saturating_mul(1000).saturating_add(part));
        let found = millis.filter(|millis| (100..=1_024_000).contains(millis));
        if found.is_none() {
            self.problem(
                name,
                format!("`{value}` must be a number of cores from 0.1 to 1024, such as 1.5"),
            );
        }
        found
    }

    fn seconds(&mut self, name: &str, range: std::ops::RangeInclusive<u64>) -> Option<Duration> {
        self.number(name, range).map(Duration::from_secs)
    }

    fn absolute_path(&mut self, name: &str) -> Option<PathBuf> {
        let path = PathBuf::from(self.text(name));
        if path.is_absolute() {
            return Some(path);
        }
        self.problem(name, format!("`{}` must be an absolute path", path.display()));
        None
    }

    fn networks(&mut self, name: &str) -> Vec<IpNet> {
        let mut networks = Vec::new();
        for item in self.list(name) {
            match item.parse() {
                Ok(network) => networks.push(network),
                Err(_) => self.problem(name, format!("`{item}` is not a network such as 10.0.0.0/8")),
            }
        }
        networks
    }

    fn network_pool(&mut self) -> Option<Ipv4Net> {
        const NAME: &str = "worker.network_pool";
        let pool: Ipv4Net = self.parse(NAME)?;
        if pool.prefix_len() > 26 {
            self.problem(
                NAME,
                format!("`{pool}` is too small; each app needs a /26, so use a /16 such as 10.210.0.0/16"),
            );
            return None;
        }
        Some(pool.trunc())
    }

    fn public_url(&mut self) -> Option<String> {
        const NAME: &str = "api.public_url";
        let url = self.optional(NAME)?;
        let after = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        if after.is_none_or(|rest| rest.is_empty() || rest.contains(['/', ' ', '"']) && !rest.ends_with('/')) {
            self.problem(
                NAME,
                format!("`{url}` must be an address such as https://windlass.example.com"),
            );
        }
        Some(url.trim_end_matches('/').to_owned())
    }
}

const FORMATS: [(&str, LogFormat); 3] = [
    ("auto", LogFormat::Auto),
    ("text", LogFormat::Text),
    ("json", LogFormat::Json),
];
const ROUTERS: [(&str, RouterKind); 2] = [("builtin", RouterKind::Builtin), ("traefik", RouterKind::Traefik)];
