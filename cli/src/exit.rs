//! The exit codes, which scripts may rely on.

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// It did not work, for a reason that has no code of its own.
    Failure = 1,
    /// The command line is not valid, or a confirmation is missing.
    Usage = 2,
    /// The app, deployment, release or token does not exist.
    NotFound = 3,
    /// Not logged in, or the token is not accepted.
    AuthNeeded = 4,
    /// It conflicts with what is there: a name is taken, a deployment is over, a push is not a fast-forward.
    Conflict = 5,
    /// The build or the deployment failed, or was cancelled or superseded.
    DeployFailed = 6,
    /// The server does not answer.
    Unreachable = 7,
    /// The server, or what was waited for, took too long.
    Timeout = 8,
    /// Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// The code for an answer with this HTTP status.
    pub const fn for_status(status: u16) -> Self {
        match status {
            401 | 403 => Self::AuthNeeded,
            404 | 410 => Self::NotFound,
            409 | 412 | 423 => Self::Conflict,
            408 | 504 => Self::Timeout,
            502 | 503 => Self::Unreachable,
            _ => Self::Failure,
        }
    }

    /// A stable word for it, as in the `code` of an error in `--json` mode.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failure => "failure",
            Self::Usage => "usage",
            Self::NotFound => "not_found",
            Self::AuthNeeded => "auth_needed",
            Self::Conflict => "conflict",
            Self::DeployFailed => "deploy_failed",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Interrupted => "interrupted",
        }
    }
}

/// What `windlass help exit-codes` says.
pub const HELP: &str = "\
Exit codes

  0    done
  1    it did not work, for a reason without a code of its own
  2    the command line is not valid, or a confirmation is missing
  3    the app, deployment, release or token does not exist
  4    not logged in, or the token is not accepted
  5    conflict: a taken name, a deployment that is over, a push that is behind
  6    the build or deployment failed, or was cancelled or superseded
  7    the server cannot be reached
  8    the server, or what was waited for, took too long
  130  interrupted with Ctrl-C; a deployment that has begun goes on
";
