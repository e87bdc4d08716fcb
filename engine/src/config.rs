//! The configuration: a TOML file, over it the environment. Every key has one row in [`KEYS`]; the whole is validated at once, so
//! that one start shows every problem with its key and its remedy.

mod load;
mod unknown;
mod value;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::{IpNet, Ipv4Net};
use windlass_domain::Hostname;

pub use load::{Loaded, Setting, load};
pub use unknown::unknown_variables;

/// One key of the configuration.
pub struct Key {
    /// Its path in the TOML file.
    pub name: &'static str,
    /// The environment variable that overrides it.
    pub env: &'static str,
    /// Its default as text; empty: none, or derived from other keys.
    pub default: &'static str,
    /// What it is for.
    pub help: &'static str,
}

const fn key(name: &'static str, env: &'static str, default: &'static str, help: &'static str) -> Key {
    Key {
        name,
        env,
        default,
        help,
    }
}

/// All keys. The book's reference page lists the same rows.
pub const KEYS: [Key; 30] = [
    key(
        "data_dir",
        "WINDLASS_DATA_DIR",
        "/var/lib/windlass",
        "where Windlass keeps everything that is its own",
    ),
    key(
        "base_domain",
        "WINDLASS_BASE_DOMAIN",
        "localhost",
        "apps answer at `{app}.{base_domain}`",
    ),
    key(
        "database_url",
        "DATABASE_URL",
        "",
        "a PostgreSQL server; none: an embedded one in data_dir",
    ),
    key(
        "database_connections",
        "WINDLASS_DATABASE_CONNECTIONS",
        "8",
        "connections to PostgreSQL at most",
    ),
    key(
        "master_key_file",
        "WINDLASS_MASTER_KEY_FILE",
        "",
        "the key that seals secrets; none: data_dir/master.key",
    ),
    key(
        "docker_host",
        "DOCKER_HOST",
        "unix:///var/run/docker.sock",
        "the Docker Engine",
    ),
    key(
        "log.format",
        "WINDLASS_LOG_FORMAT",
        "auto",
        "text, json, or auto (text on a terminal)",
    ),
    key(
        "log.level",
        "WINDLASS_LOG",
        "info",
        "a level, or filter directives such as `info,windlass_worker=debug`",
    ),
    key(
        "shutdown_seconds",
        "WINDLASS_SHUTDOWN_SECONDS",
        "25",
        "how long an orderly end may take",
    ),
    key(
        "api.listen",
        "WINDLASS_API_LISTEN",
        "0.0.0.0:8700",
        "where the API and git over HTTP listen",
    ),
    key(
        "api.public_url",
        "WINDLASS_API_PUBLIC_URL",
        "",
        "how users reach the API; none: http://{base_domain}:{port}",
    ),
    key(
        "router.kind",
        "WINDLASS_ROUTER",
        "builtin",
        "builtin, or traefik (container labels)",
    ),
    key(
        "router.http",
        "WINDLASS_ROUTER_HTTP",
        "0.0.0.0:80",
        "where the built-in router listens",
    ),
    key(
        "router.public_port",
        "WINDLASS_ROUTER_PUBLIC_PORT",
        "",
        "the port in app URLs; none: that of router.http",
    ),
    key(
        "router.traefik_entrypoints",
        "WINDLASS_TRAEFIK_ENTRYPOINTS",
        "web",
        "Traefik entry points, by comma",
    ),
    key(
        "worker.concurrent_builds",
        "WINDLASS_CONCURRENT_BUILDS",
        "2",
        "builds at once",
    ),
    key(
        "worker.network_pool",
        "WINDLASS_NETWORK_POOL",
        "10.210.0.0/16",
        "each app gets a /26 of it",
    ),
    key(
        "worker.lease_seconds",
        "WINDLASS_LEASE_SECONDS",
        "8",
        "after this a silent worker's work is taken over",
    ),
    key(
        "worker.keep_releases",
        "WINDLASS_KEEP_RELEASES",
        "5",
        "images of an app that are kept, and with them their releases",
    ),
    key(
        "source.allow_private",
        "WINDLASS_SOURCE_ALLOW_PRIVATE",
        "",
        "networks that repo_url may lead to, by comma",
    ),
    key(
        "source.max_repository_bytes",
        "WINDLASS_MAX_REPOSITORY_BYTES",
        "2147483648",
        "a larger repository is refused",
    ),
    key(
        "build.base_images.debian",
        "WINDLASS_BASE_IMAGE_DEBIAN",
        "debian:bookworm-slim",
        "for Procfile and static apps",
    ),
    key(
        "build.base_images.node",
        "WINDLASS_BASE_IMAGE_NODE",
        "node:{version}-bookworm-slim",
        "for Node apps",
    ),
    key(
        "build.base_images.python",
        "WINDLASS_BASE_IMAGE_PYTHON",
        "python:{version}-slim-bookworm",
        "for Python apps",
    ),
    key(
        "build.max_log_bytes",
        "WINDLASS_BUILD_MAX_LOG_BYTES",
        "4194304",
        "a longer build log is cut",
    ),
    key(
        "build.memory",
        "WINDLASS_BUILD_MEMORY",
        "",
        "bytes of memory of one build; none: half of the machine's",
    ),
    key(
        "build.cpus",
        "WINDLASS_BUILD_CPUS",
        "",
        "cores of one build, such as 1.5; none: all of them, behind the apps",
    ),
    key(
        "build.cache_bytes",
        "WINDLASS_BUILD_CACHE_BYTES",
        "",
        "bytes of Docker's build cache; none: 10 GiB, or a tenth of a smaller disk",
    ),
    key(
        "disk.min_free_bytes",
        "WINDLASS_DISK_MIN_FREE_BYTES",
        "1073741824",
        "no build begins with less free",
    ),
    key(
        "disk.min_free_percent",
        "WINDLASS_DISK_MIN_FREE_PERCENT",
        "10",
        "nor with less of the disk free, up to 10 GiB",
    ),
];

/// Which router serves the apps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouterKind {
    /// The one in this binary, as a process of its own.
    Builtin,
    /// A Traefik that reads the containers' labels.
    Traefik,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// The valid configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where Windlass keeps everything that is its own.
    pub data_dir: PathBuf,
    /// Apps answer at `{app}.{base_domain}`.
    pub base_domain: Hostname,
    /// An outside PostgreSQL server; none: the embedded one.
    pub database_url: Option<String>,
    /// Connections at most.
    pub database_connections: u32,
    /// Where the master key is.
    pub master_key_file: PathBuf,
    /// The Docker Engine.
    pub docker_host: String,
    /// How the log is written.
    pub log_format: LogFormat,
    /// What of the log is written.
    pub log_level: String,
    /// How long an orderly end may take.
    pub shutdown: Duration,
    /// Where the API listens.
    pub api_listen: SocketAddr,
    /// How users reach the API, without a slash at its end.
    pub api_public_url: String,
    /// Which router serves the apps.
    pub router: RouterKind,
    /// Where the built-in router listens.
    pub router_http: SocketAddr,
    /// The port in app URLs.
    pub router_public_port: u16,
    /// Traefik's entry points.
    pub traefik_entrypoints: Vec<String>,
    /// Builds at once.
    pub concurrent_builds: u32,
    /// Subnets of apps are cut from it.
    pub network_pool: Ipv4Net,
    /// After this a silent worker's work is taken over.
    pub lease: Duration,
    /// Different images of an app that are kept.
    pub keep_releases: u32,
    /// Networks that `repo_url` may lead to though they are not public.
    pub source_allow_private: Vec<IpNet>,
    /// A larger repository is refused.
    pub max_repository_bytes: u64,
    /// Base images by their role: debian, node, python.
    pub base_image_debian: String,
    /// See [`Config::base_image_debian`].
    pub base_image_node: String,
    /// See [`Config::base_image_debian`].
    pub base_image_python: String,
    /// A longer build log is cut.
    pub max_build_log_bytes: u64,
    /// Bytes of memory of one build; none: half of the machine's.
    pub build_memory: Option<u64>,
    /// Thousandths of a core of one build; none: all cores.
    pub build_cpu_millis: Option<u32>,
    /// Bytes of Docker's build cache; none: it depends on the disk.
    pub build_cache_bytes: Option<u64>,
    /// No build begins with fewer bytes free.
    pub disk_min_free_bytes: u64,
    /// No build begins with fewer hundredths of the disk free.
    pub disk_min_free_percent: u32,
}

impl Config {
    /// The directory of the bare repositories.
    pub fn repositories_dir(&self) -> PathBuf {
        self.data_dir.join("repositories")
    }

    /// The directory that the router process may write to.
    pub fn router_dir(&self) -> PathBuf {
        self.data_dir.join("router")
    }

    /// The router's control socket.
    pub fn router_socket(&self) -> PathBuf {
        self.router_dir().join("control.sock")
    }

    /// The folder of the logs that children of the engine write; root's own, unlike the children's folders.
    pub fn log_dir(&self) -> PathBuf {
        self.data_dir.join("log")
    }

    /// The log of the router process.
    pub fn router_log(&self) -> PathBuf {
        self.log_dir().join("router.log")
    }

    /// The embedded PostgreSQL.
    pub fn postgres_dir(&self) -> PathBuf {
        self.data_dir.join("postgres")
    }

    /// The log of the embedded PostgreSQL.
    pub fn postgres_log(&self) -> PathBuf {
        self.log_dir().join("postgres.log")
    }

    /// The socket that git's hook talks to.
    pub fn hook_socket(&self) -> PathBuf {
        self.data_dir.join("hook.sock")
    }

    /// Holds the process id of the running engine.
    pub fn pid_file(&self) -> PathBuf {
        self.data_dir.join("windlassd.pid")
    }

    /// Holds the setup token until it is redeemed.
    pub fn setup_token_file(&self) -> PathBuf {
        self.data_dir.join("setup-token")
    }
}
