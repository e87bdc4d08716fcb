//! One remote repository for the time of a fetch: the command line for git, and what its end means.

use std::path::PathBuf;

use tempfile::TempDir;
use tokio::{process::Command, time::Instant};
use url::Host;
use windlass_domain::RepoUrl;

use super::{
    Attempt, FetchError, FetchRequest, Progress,
    complaint::{Complaint, judge},
    ssh,
    transfer::{Ended, Transfer},
};
use crate::{
    address::Endpoint,
    git::{SourceError, Turn},
    repositories::Repositories,
};

/// Settings of a fetch. No redirect is followed, because its target was not checked; a server that dawdles is given up.
/// Packs are kept as they come, so that the size of what arrives can be watched.
const SETTINGS: [&str; 10] = [
    "protocol.https.allow=always",
    "protocol.http.allow=always",
    "protocol.ssh.allow=always",
    "http.followRedirects=false",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=30",
    "fetch.unpackLimit=1",
    "fetch.recurseSubmodules=false",
    "fetch.writeCommitGraph=false",
    "transfer.bundleURI=false",
];

pub(super) struct Remote<'a> {
    repositories: &'a Repositories,
    repository: PathBuf,
    url: &'a RepoUrl,
    endpoint: Endpoint,
    progress: &'a Progress,
    ssh: Option<TempDir>,
    turn: Turn,
}

impl<'a> Remote<'a> {
    pub(super) fn new(
        repositories: &'a Repositories,
        request: &'a FetchRequest,
        endpoint: Endpoint,
        turn: Turn,
    ) -> Result<Self, SourceError> {
        let root = &repositories.config.root;
        repositories.prepare_root()?;
        let ssh = request
            .url
            .is_ssh()
            .then(|| {
                let key = request.deploy_key.as_ref();
                ssh::prepare(&repositories.tmp(), &root.join("known_hosts"), &endpoint, key)
            })
            .transpose()
            .map_err(SourceError::io("prepare the deploy key"))?;
        Ok(Self {
            repositories,
            repository: repositories.dir(request.app),
            url: &request.url,
            endpoint,
            progress: &request.progress,
            ssh,
            turn,
        })
    }

    /// Asks for one thing; false if the server does not have it or does not give it out.
    pub(super) async fn fetch(
        &self,
        attempt: &Attempt,
        destination: &str,
        deadline: Instant,
    ) -> Result<bool, FetchError> {
        let policy = &self.repositories.config.fetch;
        let transfer = Transfer {
            repository: &self.repository,
            max_bytes: policy.max_bytes,
            deadline,
            progress: self.progress,
            turn: &self.turn,
        };
        match transfer.run(self.command(attempt, destination)).await? {
            Ended::Well => Ok(true),
            Ended::TooLarge => Err(FetchError::TooLarge {
                max_bytes: policy.max_bytes,
            }),
            Ended::Late => Err(FetchError::Timeout(policy.timeout)),
            Ended::Badly(stderr) => match judge(&stderr, self.url) {
                Complaint::Missing => Ok(false),
                Complaint::Fatal(error) => Err(error),
            },
        }
    }

    fn command(&self, attempt: &Attempt, destination: &str) -> Command {
        let mut command = self.repositories.git.in_repository(&self.repository);
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        if let Some(pin) = pin(self.url, &self.endpoint) {
            command.args(["-c", &pin]);
        }
        if let Some(folder) = &self.ssh {
            command.env("GIT_SSH_COMMAND", ssh::COMMAND).current_dir(folder.path());
        }
        command
            .args([
                "fetch",
                "--no-tags",
                "--no-write-fetch-head",
                "--no-recurse-submodules",
                "--progress",
            ])
            .args(["--no-auto-maintenance", "--update-shallow", attempt.depth()])
            .args(["--end-of-options", self.url.url().as_str()])
            .args(attempt.refspecs(destination));
        command
    }
}

/// Tells curl the address of the host, so that it does not ask again. An address needs none.
fn pin(url: &RepoUrl, endpoint: &Endpoint) -> Option<String> {
    let named = !url.is_ssh() && matches!(url.url().host(), Some(Host::Domain(_)));
    let address = match endpoint.address {
        std::net::IpAddr::V4(address) => address.to_string(),
        std::net::IpAddr::V6(address) => format!("[{address}]"),
    };
    named.then(|| format!("http.curloptResolve={}:{}:{address}", endpoint.host, endpoint.port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pinned(url: &str, address: &str) -> Option<String> {
        let url: RepoUrl = url.parse().unwrap();
        let endpoint = Endpoint {
            host: url.host().to_owned(),
            port: url.url().port_or_known_default().unwrap_or(22),
            address: address.parse().unwrap(),
        };
        pin(&url, &endpoint)
    }

    #[test]
    fn the_checked_address_is_pinned() {
        let pin = |url, address| pinned(url, address).unwrap_or_default();
        assert_eq!(
            pin("https://git.example/a", "192.0.2.1"),
            "http.curloptResolve=git.example:443:192.0.2.1"
        );
        assert_eq!(
            pin("http://git.example:3000/a", "2001:db8::1"),
            "http.curloptResolve=git.example:3000:[2001:db8::1]"
        );
        assert_eq!(pinned("https://192.0.2.1/a", "192.0.2.1"), None);
        assert_eq!(pinned("ssh://git@git.example/a", "192.0.2.1"), None);
    }
}
