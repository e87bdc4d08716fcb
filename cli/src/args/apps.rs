//! `windlass apps …`

use clap::{Args, Subcommand, ValueEnum};
use windlass_domain::{AppName, BranchName, ConfigKey, ProcessType, RepoUrl, StatusSet};

use crate::process_health::ProcessHealth;

use super::values::{parse_cores, parse_millis, parse_pair, parse_seconds, parse_size};

/// What to do with apps.
#[derive(Debug, Subcommand)]
pub enum AppsCommand {
    /// List the apps
    List,
    /// Create an app, and add it as a git remote of this directory
    #[command(
        after_help = "Examples:\n  windlass apps create shop\n  windlass apps create docs --repo-url https://github.com/acme/docs.git --branch main"
    )]
    Create(Box<CreateApp>),
    /// Show an app with all its settings
    Info {
        /// The app, if not given otherwise
        name: Option<AppName>,
    },
    /// Change settings of an app; they take effect with its next deployment
    #[command(
        after_help = "Examples:\n  windlass apps update --health-path /healthz --memory 1GiB\n  windlass apps update --strategy recreate --watch-seconds 0\n  windlass apps update --process-health worker:port=9000,path=/up\n  windlass apps update --reset health-path --reset target"
    )]
    Update(Box<UpdateApp>),
    /// Destroy an app with its instances, images, config and repository
    #[command(after_help = "Example:\n  windlass apps destroy shop --confirm shop")]
    Destroy(DestroyApp),
}

/// `windlass apps create`
#[derive(Debug, Args)]
pub struct CreateApp {
    /// Its name: lower-case letters, digits and hyphens
    pub name: AppName,
    /// Its settings.
    #[command(flatten)]
    pub settings: SettingFlags,
    /// The name of the git remote to add
    #[arg(long, default_value = "windlass", value_name = "NAME")]
    pub remote: windlass_domain::BranchName,
    /// Do not add a git remote
    #[arg(long)]
    pub no_remote: bool,
}

/// `windlass apps update`
#[derive(Debug, Args)]
pub struct UpdateApp {
    /// The app, if not given otherwise
    pub name: Option<AppName>,
    /// Its settings.
    #[command(flatten)]
    pub settings: SettingFlags,
    /// Set a setting back to its default (may be repeated)
    #[arg(long, value_enum, value_name = "SETTING")]
    pub reset: Vec<Setting>,
}

/// `windlass apps destroy`
#[derive(Debug, Args)]
pub struct DestroyApp {
    /// The app, if not given otherwise
    pub name: Option<AppName>,
    /// The app's name once more, as confirmation
    #[arg(long, value_name = "NAME")]
    pub confirm: Option<String>,
    /// Do not wait until it is gone
    #[arg(long)]
    pub detach: bool,
}

/// Settings of an app.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Settings")]
pub struct SettingFlags {
    /// The git repository that it is deployed from (https or ssh)
    #[arg(long, value_name = "URL")]
    pub repo_url: Option<RepoUrl>,
    /// The branch whose pushes are deployed [default: main]
    #[arg(long, value_name = "BRANCH")]
    pub branch: Option<BranchName>,
    /// The port that `web` listens on and finds in PORT [default: the one that the image exposes, or 8080]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// How its instances show that they are ready.
    #[command(flatten)]
    pub health: HealthFlags,
    /// How it is built.
    #[command(flatten)]
    pub build: BuildFlags,
    /// The memory of an instance, such as 512MiB or 1GiB
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub memory: Option<u64>,
    /// The CPU of an instance in cores, such as 0.5
    #[arg(long, value_name = "CORES", value_parser = parse_cores)]
    pub cpu: Option<u32>,
    /// The processes and threads of an instance [default: 512]
    #[arg(long, value_name = "NUMBER")]
    pub pids: Option<u32>,
    /// Seconds that an instance gets to finish its requests [default: 30]
    #[arg(long, value_name = "SECONDS")]
    pub drain_seconds: Option<u32>,
    /// How a release takes the place of the one before.
    #[command(flatten)]
    pub takeover: TakeoverFlags,
}

/// How instances show that they are ready, and later that they still live.
#[derive(Debug, Clone, Default, Args)]
pub struct HealthFlags {
    /// The path that answers when an instance of `web` is ready [default: a TCP connection is enough]
    #[arg(long, value_name = "PATH")]
    pub health_path: Option<String>,
    /// The statuses that count as healthy, such as 200-399,404 [default: 200-399]
    #[arg(long, value_name = "STATUSES")]
    pub health_status: Option<StatusSet>,
    /// Seconds between two checks of a healthy instance; 0: it is not checked again [default: 10]
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub health_interval: Option<u32>,
    /// How long one check may take, in milliseconds or such as 2s [default: 2000]
    #[arg(long, value_name = "TIME", value_parser = parse_millis)]
    pub health_timeout: Option<u32>,
    /// Checks in a row that must fail before a healthy instance is replaced [default: 3]
    #[arg(long, value_name = "NUMBER")]
    pub health_retries: Option<u32>,
    /// Seconds that a new instance has to become ready [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub health_deadline: Option<u32>,
    /// The health check of another process type, with port, path, status, interval, timeout, retries and deadline (may be repeated)
    #[arg(long, value_name = "TYPE:KEY=VALUE,…")]
    pub process_health: Vec<ProcessHealth>,
    /// Remove the health check of a process type: its instances are healthy while they run (may be repeated)
    #[arg(long, value_name = "TYPE")]
    pub no_process_health: Vec<ProcessType>,
}

/// How a release takes the place of the one before, and what is watched afterwards.
#[derive(Debug, Clone, Default, Args)]
pub struct TakeoverFlags {
    /// How new instances take the place of old ones [default: rolling]
    #[arg(long, value_enum)]
    pub strategy: Option<StrategyKind>,
    /// Seconds that a new release is watched and rolled back if it does badly; 0: not at all [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub watch_seconds: Option<u32>,
    /// So many ends of its instances roll it back [default: 2]
    #[arg(long, value_name = "NUMBER")]
    pub watch_crashes: Option<u32>,
    /// So many answers of a hundred with status 500 or more roll it back [default: 50]
    #[arg(long, value_name = "PERCENT")]
    pub watch_error_percent: Option<u32>,
    /// Answers before their statuses are judged [default: 20]
    #[arg(long, value_name = "NUMBER")]
    pub watch_min_requests: Option<u32>,
}

/// How new instances take the place of old ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StrategyKind {
    /// A few at a time, never fewer than wanted.
    Rolling,
    /// All new ones beside all old ones.
    BlueGreen,
    /// All old ones end before the first new one starts: there is a downtime.
    Recreate,
}

impl StrategyKind {
    /// The word in the API.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Rolling => "rolling",
            Self::BlueGreen => "blue_green",
            Self::Recreate => "recreate",
        }
    }
}

/// How an app is built.
#[derive(Debug, Clone, Default, Args)]
pub struct BuildFlags {
    /// What builds it [default: auto, a Dockerfile if there is one, otherwise a buildpack]
    #[arg(long, value_enum)]
    pub builder: Option<BuilderKind>,
    /// The Dockerfile, relative to the context directory
    #[arg(long, value_name = "PATH")]
    pub dockerfile: Option<String>,
    /// The directory of the repository that is built
    #[arg(long, value_name = "DIRECTORY")]
    pub context: Option<String>,
    /// The stage of the Dockerfile to build
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,
    /// A build arg (may be repeated)
    #[arg(long = "build-arg", value_name = "KEY=VALUE", value_parser = parse_pair)]
    pub build_args: Vec<(String, String)>,
    /// A config var that the build gets as a build arg; all others are secret mounts (may be repeated)
    #[arg(long = "config-arg", value_name = "NAME")]
    pub config_args: Vec<ConfigKey>,
    /// Fetch the repository's submodules; `--submodules=false` does not
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub submodules: Option<bool>,
    /// How long a build may take, in seconds or such as 45m [default: 1800]
    #[arg(long, value_name = "TIME", value_parser = parse_seconds)]
    pub build_timeout: Option<u32>,
}

/// What builds an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BuilderKind {
    /// A Dockerfile if there is one, otherwise a buildpack.
    Auto,
    /// The Dockerfile.
    Dockerfile,
    /// A buildpack even if there is a Dockerfile.
    Buildpack,
}

impl BuilderKind {
    /// The word in the API.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Dockerfile => "dockerfile",
            Self::Buildpack => "buildpack",
        }
    }
}

/// A setting that can go back to its default, with that default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Setting {
    /// None: the app is only pushed to.
    RepoUrl,
    /// `main`.
    Branch,
    /// A Dockerfile if there is one, otherwise a buildpack.
    Builder,
    /// `Dockerfile`.
    Dockerfile,
    /// The root of the repository.
    Context,
    /// The last stage.
    Target,
    /// None.
    BuildArgs,
    /// None.
    ConfigArgs,
    /// Not fetched.
    Submodules,
    /// 30 minutes.
    BuildTimeout,
    /// A TCP connection is enough.
    HealthPath,
    /// 200 to 399.
    HealthStatus,
    /// 10 seconds.
    HealthInterval,
    /// 2 seconds.
    HealthTimeout,
    /// 3.
    HealthRetries,
    /// 60 seconds.
    HealthDeadline,
    /// None: instances of other process types are healthy while they run.
    ProcessHealth,
    /// 512 MiB.
    Memory,
    /// One core.
    Cpu,
    /// 512.
    Pids,
    /// The one that the image exposes, or 8080.
    Port,
    /// 30 seconds.
    DrainSeconds,
    /// Rolling.
    Strategy,
    /// 60 seconds.
    WatchSeconds,
    /// 2.
    WatchCrashes,
    /// 50.
    WatchErrorPercent,
    /// 20.
    WatchMinRequests,
}

impl Setting {
    /// Its group of settings in the API, if it is in one, and its field.
    pub const fn field(self) -> (Option<&'static str>, &'static str) {
        match self {
            Self::RepoUrl => (None, "repo_url"),
            Self::Branch => (None, "branch"),
            Self::Builder => (Some("build"), "builder"),
            Self::Dockerfile => (Some("build"), "dockerfile"),
            Self::Context => (Some("build"), "context"),
            Self::Target => (Some("build"), "target"),
            Self::BuildArgs => (Some("build"), "args"),
            Self::ConfigArgs => (Some("build"), "config_args"),
            Self::Submodules => (Some("build"), "submodules"),
            Self::BuildTimeout => (Some("build"), "timeout_seconds"),
            Self::HealthPath => (Some("health"), "path"),
            Self::HealthStatus => (Some("health"), "status"),
            Self::HealthInterval => (Some("health"), "interval_seconds"),
            Self::HealthTimeout => (Some("health"), "timeout_ms"),
            Self::HealthRetries => (Some("health"), "retries"),
            Self::HealthDeadline => (Some("health"), "deadline_seconds"),
            Self::ProcessHealth => (None, "process_health"),
            Self::Memory => (Some("limits"), "memory_bytes"),
            Self::Cpu => (Some("limits"), "cpu_millis"),
            Self::Pids => (Some("limits"), "pids"),
            Self::Port => (None, "port"),
            Self::DrainSeconds => (None, "drain_seconds"),
            Self::Strategy => (None, "strategy"),
            Self::WatchSeconds => (Some("watch"), "seconds"),
            Self::WatchCrashes => (Some("watch"), "crashes"),
            Self::WatchErrorPercent => (Some("watch"), "error_percent"),
            Self::WatchMinRequests => (Some("watch"), "min_requests"),
        }
    }
}
