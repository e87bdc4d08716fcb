//! The words of the domain as the wire shows them. Each enum mirrors one of the domain; the conversions are exhaustive both ways,
//! so that a word that is added there must be added, and documented, here.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident = $domain:ty { $($(#[$variant_doc:meta])* $variant:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$variant_doc])* $variant),*
        }

        impl From<$domain> for $name {
            fn from(word: $domain) -> Self {
                type Domain = $domain;
                match word {
                    $(Domain::$variant => Self::$variant),*
                }
            }
        }

        impl From<$name> for $domain {
            fn from(word: $name) -> Self {
                match word {
                    $($name::$variant => Self::$variant),*
                }
            }
        }

        #[cfg(test)]
        impl $name {
            const ALL: &[Self] = &[$(Self::$variant),*];
        }
    };
}

words!(
    /// Where a deployment stands.
    DeploymentStatus = windlass_domain::DeploymentStatus {
        /// Waiting for a worker.
        Pending,
        /// A worker holds it.
        Running,
        /// Live.
        Succeeded,
        /// Ended with a failure; what was live before still is.
        Failed,
        /// Ended because somebody asked for it.
        Cancelled,
        /// Ended because a newer one waited behind it.
        Superseded,
    }
);

impl DeploymentStatus {
    /// Whether nothing follows.
    pub fn is_terminal(self) -> bool {
        windlass_domain::DeploymentStatus::from(self).is_terminal()
    }
}

words!(
    /// A step of a deployment, in this order.
    Step = windlass_domain::Step {
        /// Bring the source in and find the commit.
        Fetch,
        /// Decide how to build it.
        Plan,
        /// Build the image.
        Build,
        /// Record the release and run its release command.
        Release,
        /// Start the new instances.
        Start,
        /// Wait until they are healthy.
        Probe,
        /// Send requests to them: from here on the release is live.
        Route,
        /// Let the instances of the release before finish the requests that they have. Goes on after the deployment has succeeded, as
        /// does the next step.
        Drain,
        /// Stop and remove them.
        Retire,
    }
);

words!(
    /// Where a line of a deployment's log comes from.
    LogSource = windlass_domain::LogSource {
        /// Windlass itself.
        Windlass,
        /// The build.
        Build,
        /// The release command, or an instance that is being started.
        App,
    }
);

words!(
    /// Where an instance stands.
    InstanceState = windlass_domain::InstanceState {
        /// Its container is being made or runs, and its health check has not passed yet.
        Starting,
        /// It passed its health check.
        Healthy,
        /// It passed its health check before, and no longer does.
        Unhealthy,
        /// It gets no new requests and finishes those it has.
        Draining,
        /// Its container ended by itself and shall be replaced.
        Crashed,
        /// It was stopped because it is no longer wanted.
        Stopped,
    }
);

words!(
    /// Which builder turns a revision into an image.
    Builder = windlass_domain::app::Builder {
        /// A Dockerfile if there is one, otherwise the first buildpack that detects the app.
        Auto,
        /// The Dockerfile, or a failure.
        Dockerfile,
        /// A buildpack even if there is a Dockerfile.
        Buildpack,
    }
);

words!(
    /// How new instances take the place of old ones.
    Strategy = windlass_domain::Strategy {
        /// A few at a time, never fewer than wanted: a quarter more at most, one more at least.
        Rolling,
        /// All new instances beside all old ones; requests move over at one stroke.
        BlueGreen,
        /// All old instances end before the first new one starts. Nothing answers meanwhile.
        Recreate,
    }
);

words!(
    /// What would become of something.
    PlannedChange = windlass_domain::preview::Change {
        /// It stays.
        Unchanged,
        /// It is new.
        Added,
        /// It is other than before.
        Changed,
        /// It would be gone.
        Removed,
    }
);

words!(
    /// Whether a downtime is to be expected.
    DowntimeExpected = windlass_domain::preview::Expected {
        /// No.
        None,
        /// Yes.
        Yes,
        /// Nothing says when an instance is ready.
        NotJudged,
    }
);

words!(
    /// What kind of failure ended a deployment. Stable: scripts and documentation refer to it.
    FailureCode = windlass_domain::FailureCode {
        /// The repository is missing, private or does not answer.
        RepositoryUnavailable,
        /// The repository or the revision is larger than allowed.
        RepositoryTooLarge,
        /// The branch, tag or commit does not exist.
        RefNotFound,
        /// The address of the repository is not allowed.
        RepositoryRefused,
        /// Neither a Dockerfile nor a buildpack fits.
        NoBuilder,
        /// The Dockerfile, Procfile or another build file cannot be used as it stands.
        InvalidBuildFile,
        /// A build step failed.
        BuildFailed,
        /// The build took longer than its timeout.
        BuildTimeout,
        /// The release command failed.
        ReleaseFailed,
        /// A new instance ended before it was ready.
        Exited,
        /// A new instance used more memory than allowed.
        OutOfMemory,
        /// A new instance listens, but on another port.
        WrongPort,
        /// A new instance listens on 127.0.0.1 only.
        LoopbackOnly,
        /// A new instance does not listen at all.
        NotListening,
        /// A new instance listens but its health check does not pass.
        Unhealthy,
        /// A limit of the machine: disk, memory, networks.
        MachineLimit,
        /// A fault of Windlass or of Docker, not of the app.
        Internal,
    }
);

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    fn json(value: impl Serialize) -> String {
        serde_json::to_string(&value).unwrap()
    }

    #[test]
    fn the_wire_and_the_domain_use_the_same_words() {
        for &word in DeploymentStatus::ALL {
            assert_eq!(json(word), json(windlass_domain::DeploymentStatus::from(word)));
        }
        for &word in Step::ALL {
            assert_eq!(json(word), json(windlass_domain::Step::from(word)));
        }
        for &word in LogSource::ALL {
            assert_eq!(json(word), json(windlass_domain::LogSource::from(word)));
        }
        for &word in InstanceState::ALL {
            assert_eq!(json(word), json(windlass_domain::InstanceState::from(word)));
        }
        for &word in Builder::ALL {
            assert_eq!(json(word), json(windlass_domain::app::Builder::from(word)));
        }
        for &word in Strategy::ALL {
            assert_eq!(json(word), json(windlass_domain::Strategy::from(word)));
        }
        for &word in PlannedChange::ALL {
            assert_eq!(PlannedChange::from(windlass_domain::preview::Change::from(word)), word);
        }
        for &word in DowntimeExpected::ALL {
            assert_eq!(
                DowntimeExpected::from(windlass_domain::preview::Expected::from(word)),
                word
            );
        }
        for &word in FailureCode::ALL {
            assert_eq!(json(word), json(windlass_domain::FailureCode::from(word)));
        }
    }
}
