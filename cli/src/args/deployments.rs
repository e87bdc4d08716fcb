//! `windlass deploy`, `windlass deployments …` and `windlass releases …`

use clap::{Args, Subcommand};
use windlass_domain::{GitRef, ReleaseVersion, RepoUrl};

/// `windlass deploy`
#[derive(Debug, Args)]
#[command(after_help = "\
Without arguments, this directory's HEAD is pushed to the app's branch on the
server, as `git push` would, and the deployment's log is shown. Uncommitted
changes are not deployed.

Examples:
  windlass deploy                  this directory's commit
  windlass deploy --ref v1.2       a ref of the app's repository
  windlass deploy --detach         do not wait
  windlass deploy https://github.com/acme/docs.git")]
pub struct Deploy {
    /// Deploy from this git repository, and make it the app's repository
    #[arg(value_name = "REPO_URL")]
    pub repo_url: Option<RepoUrl>,
    /// A branch, tag or commit of the app's repository, fetched by the server
    #[arg(long = "ref", visible_alias = "git", value_name = "REF")]
    pub reference: Option<GitRef>,
    /// Do not wait for the deployment
    #[arg(long)]
    pub detach: bool,
    /// Push even if the server's branch has commits that HEAD does not have
    #[arg(long, conflicts_with_all = ["repo_url", "reference"])]
    pub force: bool,
}

/// `windlass plan`
#[derive(Debug, Args)]
#[command(after_help = "\
It takes what `windlass deploy` takes, and compares with what is live: config
vars, settings, instances, routes, and whether the app would stop answering.
Nothing is deployed, pushed or recorded.

Examples:
  windlass plan                    this directory's commit
  windlass plan --ref v1.2         a ref of the app's repository
  windlass plan --rollback         going back to the release before
  windlass plan --rollback v3")]
pub struct Plan {
    /// The app's git repository, as for `windlass deploy`; another one would become the app's first
    #[arg(value_name = "REPO_URL")]
    pub repo_url: Option<RepoUrl>,
    /// A branch, tag or commit of the app's repository
    #[arg(long = "ref", visible_alias = "git", value_name = "REF")]
    pub reference: Option<GitRef>,
    /// Going back to this release; without a version, to the one before the live one
    #[arg(long, value_name = "VERSION", num_args = 0..=1, conflicts_with_all = ["repo_url", "reference"])]
    pub rollback: Option<Option<ReleaseVersion>>,
}

/// What to do with deployments.
#[derive(Debug, Subcommand)]
pub enum DeploymentsCommand {
    /// List the newest deployments
    List {
        /// How many
        #[arg(short = 'n', long, default_value_t = 20, value_name = "NUMBER")]
        limit: usize,
    },
    /// Show a deployment with its steps
    Info {
        /// Its id; without it, the newest
        id: Option<String>,
    },
    /// Show the log of a deployment
    Log {
        /// Its id; without it, the newest
        id: Option<String>,
        /// Go on until it ends, and end with its result
        #[arg(short = 'f', long, visible_alias = "tail", short_alias = 't')]
        follow: bool,
    },
    /// Cancel a deployment; what is live stays live
    Cancel {
        /// Its id; without it, the one that runs, or else the newest that waits
        id: Option<String>,
    },
}

/// What to do with releases.
#[derive(Debug, Subcommand)]
pub enum ReleasesCommand {
    /// List the newest releases
    List {
        /// How many
        #[arg(short = 'n', long, default_value_t = 20, value_name = "NUMBER")]
        limit: usize,
    },
    /// Show a release with its process types
    Info {
        /// Its version, such as v3; without it, the live one
        version: Option<ReleaseVersion>,
    },
    /// The same as `windlass rollback`
    #[command(hide = true)]
    Rollback {
        /// The release to go back to
        version: Option<ReleaseVersion>,
        /// Do not wait for the deployment
        #[arg(long)]
        detach: bool,
    },
}
