//! Submodules: fetched into the app's own repository under the same rules as the app's address, and shown in their place.
//!
//! What `.gitmodules` says is hostile input. Git parses it; an address passes only as a [`RepoUrl`]; names play no part.

use std::{collections::HashMap, time::Duration};

use windlass_domain::{AppId, CommitSha, RepoUrl};

use super::{
    SubmoduleAccess, TreeError,
    listing::{Link, Listing},
};
use crate::{
    fetch::{Attempt, FetchRequest},
    git::SourceError,
    repositories::Repositories,
};

/// Submodules of submodules of …
const MAX_DEPTH: usize = 5;

/// All submodules of a revision together.
const MAX_SUBMODULES: usize = 50;

/// How long fetching them may take together. Each alone has the time of a fetch, but nobody waits for fifty of those.
const FETCHED_WITHIN: Duration = Duration::from_secs(15 * 60);

/// A commit whose links are to be filled.
struct Parent {
    commit: CommitSha,
    /// Where it is in the tree: empty, or ending with a slash.
    prefix: String,
    /// What relative addresses are relative to.
    url: Option<RepoUrl>,
    links: Vec<Link>,
    depth: usize,
}

impl Repositories {
    /// Replaces the links of a listing by the files that they stand for.
    pub(super) async fn graft_submodules(
        &self,
        app: AppId,
        commit: &CommitSha,
        access: &SubmoduleAccess,
        listing: Listing,
    ) -> Result<Listing, TreeError> {
        let grafted = self.graft_all(app, commit, access, listing);
        let late = |_| TreeError::SubmodulesLate(FETCHED_WITHIN);
        tokio::time::timeout(FETCHED_WITHIN, grafted).await.map_err(late)?
    }

    async fn graft_all(
        &self,
        app: AppId,
        commit: &CommitSha,
        access: &SubmoduleAccess,
        mut listing: Listing,
    ) -> Result<Listing, TreeError> {
        let mut waiting = vec![Parent {
            commit: commit.clone(),
            prefix: String::new(),
            url: access.repo_url.clone(),
            links: std::mem::take(&mut listing.links),
            depth: 0,
        }];
        let mut count = 0;
        while let Some(parent) = waiting.pop() {
            let urls = self.submodule_urls(app, &parent).await?;
            for link in &parent.links {
                count += 1;
                check_limits(link, parent.depth, count)?;
                let url = submodule_url(link, &parent, &urls)?;
                self.fetch_submodule(app, access, link, &url).await?;
                let prefix = format!("{}/", link.path);
                listing = self.list(app, link.commit.clone(), prefix.clone(), listing).await?;
                waiting.push(Parent {
                    commit: link.commit.clone(),
                    prefix,
                    url: Some(url),
                    links: std::mem::take(&mut listing.links),
                    depth: parent.depth + 1,
                });
            }
        }
        Ok(listing)
    }

    async fn fetch_submodule(
        &self,
        app: AppId,
        access: &SubmoduleAccess,
        link: &Link,
        url: &RepoUrl,
    ) -> Result<(), TreeError> {
        let same_host = access.repo_url.as_ref().is_some_and(|own| own.host() == url.host());
        let fetch_error = |source| TreeError::SubmoduleFetch {
            path: link.path.clone(),
            source,
        };
        let request = FetchRequest {
            app,
            url: url.clone(),
            reference: link
                .commit
                .as_str()
                .parse()
                .map_err(|_| broken(link, "has no valid commit"))?,
            commit: Some(link.commit.clone()),
            deploy_key: access.deploy_key.clone().filter(|_| same_host),
            progress: access.progress.clone(),
        };
        let attempts = [
            Attempt::Object(link.commit.clone()),
            Attempt::Everything(link.commit.to_string()),
        ];
        let destination = format!("refs/windlass/submodules/{}", link.commit);
        self.fetch_first(&request, &attempts, &destination)
            .await
            .map_err(fetch_error)?;
        Ok(())
    }

    /// The addresses that a commit's `.gitmodules` gives, by path. Empty if there is nothing to fill or no such file.
    async fn submodule_urls(&self, app: AppId, parent: &Parent) -> Result<HashMap<String, String>, TreeError> {
        if parent.links.is_empty() {
            return Ok(HashMap::new());
        }
        let mut command = self.git.in_repository(&self.dir(app));
        command.args(["config", "--null", "--blob", &format!("{}:.gitmodules", parent.commit)]);
        command.args(["--get-regexp", r"^submodule\..*\.(path|url)$"]);
        match self.git.run(command, "read .gitmodules").await {
            Ok(listing) => Ok(parse_urls(&String::from_utf8_lossy(&listing))),
            // A missing or malformed file: every link will be told as one without an address.
            Err(SourceError::Git { .. }) => Ok(HashMap::new()),
            Err(error) => Err(error.into()),
        }
    }
}

fn check_limits(link: &Link, depth: usize, count: usize) -> Result<(), TreeError> {
    if depth >= MAX_DEPTH {
        return Err(broken(link, &format!("is nested more than {MAX_DEPTH} deep")));
    }
    if count > MAX_SUBMODULES {
        return Err(broken(link, &format!("is one too many: there may be {MAX_SUBMODULES}")));
    }
    Ok(())
}

fn submodule_url(link: &Link, parent: &Parent, urls: &HashMap<String, String>) -> Result<RepoUrl, TreeError> {
    let path = link.path.strip_prefix(&parent.prefix).unwrap_or(&link.path);
    let text = urls
        .get(path)
        .ok_or_else(|| broken(link, "has no address in .gitmodules"))?;
    if text.starts_with("./") || text.starts_with("../") {
        let base = parent
            .url
            .as_ref()
            .ok_or_else(|| broken(link, "has a relative address, but the app has no repository address"))?;
        return relative(base, text).ok_or_else(|| broken(link, "has a relative address that leads nowhere"));
    }
    text.parse()
        .map_err(|error| broken(link, &format!("has an address that is not allowed: {error}")))
}

fn broken(link: &Link, why: &str) -> TreeError {
    TreeError::Submodule {
        path: link.path.clone(),
        why: why.to_owned(),
    }
}

/// Reads `submodule.<name>.path\n<path>\0` and the same with `url`.
fn parse_urls(listing: &str) -> HashMap<String, String> {
    let mut paths = HashMap::new();
    let mut urls = HashMap::new();
    for (key, value) in listing.split('\0').filter_map(|item| item.split_once('\n')) {
        if let Some(name) = key.strip_suffix(".path") {
            paths.insert(name, value);
        } else if let Some(name) = key.strip_suffix(".url") {
            urls.insert(name, value);
        }
    }
    paths
        .into_iter()
        .filter_map(|(name, path)| Some((path.trim_end_matches('/').to_owned(), (*urls.get(name)?).to_owned())))
        .collect()
}

/// As `git submodule` does it: `../` takes a part off the parent's address.
fn relative(base: &RepoUrl, text: &str) -> Option<RepoUrl> {
    let mut parts: Vec<&str> = base.url().path().split('/').filter(|part| !part.is_empty()).collect();
    let mut rest = text;
    loop {
        if let Some(after) = rest.strip_prefix("../") {
            parts.pop()?;
            rest = after;
        } else if let Some(after) = rest.strip_prefix("./") {
            rest = after;
        } else {
            break;
        }
    }
    parts.push(rest);
    let mut url = base.url().clone();
    url.set_path(&parts.join("/"));
    url.as_str().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_addresses_are_relative_to_the_parents() {
        let base: RepoUrl = "https://git.example/owner/app.git".parse().unwrap();
        let resolved = |text| relative(&base, text).map(|url| url.to_string());
        assert_eq!(
            resolved("../lib.git").as_deref(),
            Some("https://git.example/owner/lib.git")
        );
        assert_eq!(
            resolved("../../other/lib").as_deref(),
            Some("https://git.example/other/lib")
        );
        assert_eq!(
            resolved("./lib").as_deref(),
            Some("https://git.example/owner/app.git/lib")
        );
        assert_eq!(resolved("../../../../lib"), None);
    }

    #[test]
    fn addresses_are_found_by_path_whatever_the_name_is() {
        let listing =
            "submodule.../../x.path\nlib\0submodule.../../x.url\nhttps://git.example/lib\0submodule.y.path\nz\0";
        let urls = parse_urls(listing);
        assert_eq!(urls.get("lib").map(String::as_str), Some("https://git.example/lib"));
        assert_eq!(urls.len(), 1);
    }

    fn refusal(address: &str) -> Option<String> {
        let link = Link {
            path: "lib".to_owned(),
            commit: "0".repeat(40).parse().unwrap(),
        };
        let parent = Parent {
            commit: link.commit.clone(),
            prefix: String::new(),
            url: None,
            links: Vec::new(),
            depth: 0,
        };
        let urls = HashMap::from([("lib".to_owned(), address.to_owned())]);
        submodule_url(&link, &parent, &urls)
            .err()
            .map(|error| error.to_string())
    }

    #[test]
    fn hostile_addresses_are_refused() {
        let addresses = [
            "file:///etc",
            "/etc",
            "-u./x",
            "ext::sh -c id",
            "../lib",
            "https:///h",
            "https://h/%0ahost=x",
        ];
        for address in addresses {
            assert!(
                refusal(address).is_some_and(|text| text.starts_with("the submodule `lib` has")),
                "{address}"
            );
        }
        assert_eq!(refusal("https://git.example/lib"), None);
    }
}
