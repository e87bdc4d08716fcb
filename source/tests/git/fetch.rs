//! Fetches over HTTP from a real server of this machine.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::support::{Served, Work, config, listen, policy, serve, serve_with};
use axum::{Router, http::StatusCode};
use tempfile::TempDir;
use windlass_domain::{AppId, CommitSha, DeploymentId, FailureCode};
use windlass_source::{FetchError, FetchPolicy, FetchRequest, Repositories};

/// A fetching side: repositories of its own, and one app.
struct Side {
    repositories: Repositories,
    app: AppId,
    folder: TempDir,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Side {
    fn new(fetch: FetchPolicy) -> Self {
        let folder = TempDir::new().unwrap();
        let mut config = config(folder.path());
        config.fetch = fetch;
        Self {
            repositories: Repositories::new(config),
            app: AppId::generate(),
            folder,
            lines: Arc::default(),
        }
    }

    fn local() -> Self {
        Self::new(policy(&["127.0.0.0/8", "::1/128"]))
    }

    async fn fetch(&self, url: &str, reference: &str, commit: Option<&CommitSha>) -> Result<CommitSha, FetchError> {
        let lines = Arc::clone(&self.lines);
        let request = FetchRequest {
            app: self.app,
            url: url.parse().unwrap(),
            reference: reference.parse().unwrap(),
            commit: commit.cloned(),
            deploy_key: None,
            progress: Arc::new(move |line| lines.lock().unwrap().push(line.to_owned())),
        };
        self.repositories.fetch(request).await
    }
}

/// A server with a branch `main` of two commits and a tag `v1` on the first.
async fn upstream() -> (Served, Work, [CommitSha; 2]) {
    let served = serve().await;
    let work = served.work().await;
    let first = work.head().await;
    work.git(&["tag", "-a", "-m", "One", "v1"]).await;
    work.write("news", "news\n");
    let second = work.commit("Second").await;
    work.put_into(&served.bare()).await;
    (served, work, [first, second])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_is_found_by_branch_tag_and_commit() {
    let (served, _work, [first, second]) = upstream().await;
    for (reference, expected) in [
        ("main", &second),
        ("refs/heads/main", &second),
        ("HEAD", &second),
        ("v1", &first),
        (first.as_str(), &first),
        (first.short(), &first),
    ] {
        let side = Side::local();
        let found = side.fetch(&served.url(), reference, None).await.unwrap();
        assert_eq!(&found, expected, "{reference}");
        let info = side.repositories.describe(side.app, &found).await.unwrap();
        assert!(info.is_some(), "{reference} did not arrive");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_wins_over_a_tag_of_the_same_name() {
    let (served, work, [_, second]) = upstream().await;
    work.git(&["push", "-q", served.bare().to_str().unwrap(), "HEAD:refs/heads/v1"])
        .await;
    assert_eq!(Side::local().fetch(&served.url(), "v1", None).await.unwrap(), second);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_fetch_brings_only_what_is_new_and_tells_its_progress() {
    let (served, work, [_, second]) = upstream().await;
    let side = Side::local();
    side.fetch(&served.url(), "main", None).await.unwrap();
    work.write("more", "more\n");
    let third = work.commit("Third").await;
    work.put_into(&served.bare()).await;
    side.lines.lock().unwrap().clear();
    assert_eq!(side.fetch(&served.url(), "main", None).await.unwrap(), third);
    let lines = side.lines.lock().unwrap().join("\n");
    // One commit, its tree and the new file; the two old files did not travel again.
    assert!(lines.contains("Total 3 "), "{lines}");
    assert_ne!(second, third);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expected_commit_is_fetched_though_the_branch_has_moved() {
    let (served, work, [first, second]) = upstream().await;
    assert_eq!(
        Side::local().fetch(&served.url(), "main", Some(&first)).await.unwrap(),
        first
    );

    // A force-push has taken it off every branch; a server still gives it out until it is collected.
    work.git(&["commit", "-q", "--amend", "-m", "Amended"]).await;
    work.put_into(&served.bare()).await;
    assert_eq!(
        Side::local().fetch(&served.url(), "main", Some(&second)).await.unwrap(),
        second
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_here_needs_no_connection() {
    let (served, work, [_, second]) = upstream().await;
    let side = Side::local();
    let url = served.url();
    side.fetch(&url, "main", None).await.unwrap();
    side.repositories
        .keep(side.app, DeploymentId::generate(), &second)
        .await
        .unwrap();
    let third = work.commit("Third").await;
    work.put_into(&served.bare()).await;
    side.fetch(&url, "main", None).await.unwrap();
    drop(served);
    for commit in [second, third] {
        assert_eq!(side.fetch(&url, "main", Some(&commit)).await.unwrap(), commit);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_does_not_have_is_named() {
    let (served, ..) = upstream().await;
    let side = Side::local();
    let unknown: CommitSha = "1234567890".repeat(4).parse().unwrap();
    for (reference, commit) in [
        ("nope", None),
        ("abcdef12", None),
        ("main", Some(&unknown)),
        (unknown.as_str(), None),
    ] {
        let error = side.fetch(&served.url(), reference, commit).await.unwrap_err();
        assert_eq!(
            error.to_failure().code,
            FailureCode::RefNotFound,
            "{reference}: {error:?}"
        );
        let name = commit.map_or(reference, CommitSha::as_str);
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_this_machine_is_refused_unless_it_is_allowed() {
    let (served, ..) = upstream().await;
    for url in [served.url(), served.url().replace("127.0.0.1", "localhost")] {
        let error = Side::new(policy(&[])).fetch(&url, "main", None).await.unwrap_err();
        assert!(matches!(error, FetchError::Refused { .. }), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_fetched_from_the_address_that_was_checked() {
    let (served, _work, [_, second]) = upstream().await;
    let url = served.url().replace("127.0.0.1", "localhost");
    assert_eq!(Side::local().fetch(&url, "main", None).await.unwrap(), second);
}

async fn answering(status: StatusCode, location: &'static str) -> (String, tokio::task::JoinHandle<()>) {
    let router = Router::new().fallback(move || async move { (status, [("location", location)]) });
    let (address, server) = listen(router).await;
    (format!("http://{address}/a/b.git"), server)
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_doors_and_redirects_are_told_apart() {
    let kind = |error: FetchError| match error {
        FetchError::NotFoundOrPrivate { .. } => "closed",
        FetchError::Redirected { .. } => "redirected",
        FetchError::Unreachable { .. } => "unreachable",
        _ => "other",
    };
    for (status, expected) in [
        (StatusCode::NOT_FOUND, "closed"),
        (StatusCode::UNAUTHORIZED, "closed"),
        (StatusCode::FORBIDDEN, "closed"),
        (StatusCode::FOUND, "redirected"),
        (StatusCode::MOVED_PERMANENTLY, "redirected"),
        (StatusCode::BAD_GATEWAY, "unreachable"),
    ] {
        let (url, server) = answering(status, "http://169.254.169.254/").await;
        let error = Side::local().fetch(&url, "main", None).await.unwrap_err();
        assert_eq!(kind(error), expected, "{status}");
        server.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_or_silent_is_given_up() {
    let (address, server) = listen(Router::new()).await;
    server.abort();
    let _ = server.await;
    let url = format!("http://{address}/a.git");
    let error = Side::local().fetch(&url, "main", None).await.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error:?}");

    let router = Router::new().fallback(std::future::pending::<StatusCode>);
    let (address, server) = listen(router).await;
    let side = Side::new(FetchPolicy {
        timeout: Duration::from_millis(500),
        ..policy(&["127.0.0.0/8"])
    });
    let error = side
        .fetch(&format!("http://{address}/a.git"), "main", None)
        .await
        .unwrap_err();
    assert!(matches!(error, FetchError::Timeout(_)), "{error:?}");
    let folder = side.folder.path().display().to_string();
    crate::support::wait_until("git has ended", || !crate::support::runs(&folder)).await;
    server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_is_given_up_ends_also_a_git_that_does_not_heed_it() {
    let folder = TempDir::new().unwrap();
    let (git, asked) = (folder.path().join("git"), folder.path().join("asked"));
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in\n*' fetch '*) trap '' TERM; : >{}; while :; do sleep 1; done;;\nesac\n\
         exec /usr/bin/git \"$@\"\n",
        asked.display()
    );
    std::fs::write(&git, script).unwrap();
    std::fs::set_permissions(&git, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut side = Side::local();
    let mut config = config(side.folder.path());
    config.git.clone_from(&git);
    side.repositories = Repositories::new(config);
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/a.git", server.local_addr().unwrap());
    tokio::select! {
        ended = side.fetch(&url, "main", None) => panic!("{ended:?}"),
        () = crate::support::wait_until("git was asked", || asked.exists()) => {}
    }
    let git = git.display().to_string();
    crate::support::wait_until("git has ended", || !crate::support::runs(&git)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_over_the_limit_is_refused_and_leaves_nothing() {
    let served = serve_with(|_| {}).await;
    let work = served.work().await;
    let noise: String = (0..200_000_u64)
        .map(|n| format!("{:x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
        .collect();
    work.write("noise", &noise);
    work.commit("Large").await;
    work.put_into(&served.bare()).await;
    let side = Side::new(FetchPolicy {
        max_bytes: 100_000,
        ..policy(&["127.0.0.0/8"])
    });
    let error = side.fetch(&served.url(), "main", None).await.unwrap_err();
    assert!(
        matches!(error, FetchError::TooLarge { max_bytes: 100_000 }),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_was_killed_does_not_stop_the_next() {
    let (served, _work, [_, second]) = upstream().await;
    let side = Side::local();
    side.repositories.ensure(side.app).await.unwrap();
    let bare = side.folder.path().join(format!("{}.git", side.app));
    std::fs::write(bare.join("shallow.lock"), "").unwrap();
    std::fs::create_dir_all(bare.join("objects/pack")).unwrap();
    std::fs::write(bare.join("objects/pack/tmp_pack_x"), "half").unwrap();
    assert_eq!(side.fetch(&served.url(), "main", None).await.unwrap(), second);
    assert!(!bare.join("objects/pack/tmp_pack_x").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn fetches_at_the_same_time_take_turns() {
    let (served, _work, [first, second]) = upstream().await;
    let side = Side::local();
    let url = served.url();
    let (main, tag, again) = tokio::join!(
        side.fetch(&url, "main", None),
        side.fetch(&url, "v1", None),
        side.fetch(&url, "main", None)
    );
    assert_eq!(
        (main.unwrap(), tag.unwrap(), again.unwrap()),
        (second.clone(), first, second)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_without_dot_git_that_redirects_is_tried_with_it() {
    let (served, _work, [_, second]) = upstream().await;
    let short = served.url().trim_end_matches(".git").to_owned();
    assert_eq!(Side::local().fetch(&short, "main", None).await.unwrap(), second);
}
