//! Pushes and clones over smart HTTP with the real git client and a real proc-receive hook.

use std::{process::Stdio, sync::atomic::Ordering};

use crate::support::{Work, runs, serve, serve_with, wait_until};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use windlass_domain::{AppId, CommitSha, DeploymentId};
use windlass_source::{GitRequest, GitService, SourceError};

pub async fn push(work: &Work, options: &[&str]) -> crate::support::Said {
    let options = options.iter().flat_map(|option| ["-o", option]);
    let args: Vec<&str> = ["push"].into_iter().chain(options).chain(["origin", "main"]).collect();
    work.try_git(&args).await
}

/// A request as no git client makes it.
fn request(app: AppId, service: GitService, body: impl AsyncRead + Send + 'static) -> GitRequest {
    GitRequest {
        app,
        service,
        advertise: false,
        gzip: false,
        protocol: None,
        env: Vec::new(),
        body: Box::pin(body),
    }
}

async fn remote_main(work: &Work) -> String {
    work.git(&["ls-remote", "origin", "refs/heads/main"]).await.out
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_falls_through_moves_the_branch_and_can_be_cloned() {
    let served = serve().await;
    let work = served.work().await;
    let pushed = push(&work, &["fall-through"]).await;
    assert!(pushed.ok, "{pushed:?}");
    for version in ["0", "1", "2"] {
        let target = format!("clone-{version}");
        let protocol = format!("protocol.version={version}");
        work.git(&["-c", &protocol, "clone", "-q", "-b", "main", &served.url(), &target])
            .await;
        assert_eq!(
            std::fs::read_to_string(work.dir.join(target).join("hello")).unwrap(),
            "hello\n"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_push_leaves_the_branch_to_us() {
    let served = serve().await;
    let work = served.work().await;
    let commit = work.head().await;
    let pushed = push(&work, &["no-deploy"]).await;
    assert!(pushed.ok, "{pushed:?}");
    for line in [
        "remote: -----> Ticket t-42",
        "remote: -----> Received refs/heads/main",
        "remote: -----> Option no-deploy",
    ] {
        assert!(pushed.err.contains(line), "{line} is missing: {}", pushed.err);
    }
    assert_eq!(remote_main(&work).await, "");

    let main = "main".parse().unwrap();
    for _ in 0..2 {
        served
            .repositories
            .set_branch(served.app, &main, &commit)
            .await
            .unwrap();
    }
    assert!(remote_main(&work).await.starts_with(commit.as_str()));
    assert_eq!(
        served
            .repositories
            .resolve(served.app, &"main".parse().unwrap())
            .await
            .unwrap(),
        Some(commit.clone())
    );
    let short = commit.short().parse().unwrap();
    assert_eq!(
        served.repositories.resolve(served.app, &short).await.unwrap(),
        Some(commit.clone())
    );
    let info = served
        .repositories
        .describe(served.app, &commit)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((info.subject.as_str(), info.author.as_str()), ("First", "Ada"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_push_fails_with_its_reason_but_its_objects_are_in() {
    let served = serve().await;
    let work = served.work().await;
    let commit = work.head().await;
    let pushed = push(&work, &["reject=the build failed"]).await;
    assert!(!pushed.ok);
    assert!(
        pushed
            .err
            .contains("! [remote rejected] main -> main (the build failed)"),
        "{}",
        pushed.err
    );
    assert_eq!(remote_main(&work).await, "");
    let known = served.repositories.describe(served.app, &commit).await.unwrap();
    assert!(known.is_some(), "the objects are not in the repository");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_does_not_stop_the_hook() {
    let served = serve().await;
    let work = served.work().await;
    let fifo = served.folder.path().join("fifo");
    let done = served.folder.path().join("done");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let (wait, finish) = (format!("wait={}", fifo.display()), format!("done={}", done.display()));
    let mut client = work
        .command(&[
            "push",
            "-o",
            &wait,
            "-o",
            &finish,
            "-o",
            "fall-through",
            "origin",
            "main",
        ])
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(client.stderr.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if line.contains("remote: -----> Received refs/heads/main") {
            break;
        }
    }
    let group = rustix::process::Pid::from_raw(i32::try_from(client.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
    client.wait().await.unwrap();
    drop(lines);

    tokio::task::spawn_blocking(move || std::fs::write(fifo, "go"))
        .await
        .unwrap()
        .unwrap();
    wait_until("the hook has ended", || done.exists()).await;
    let main = served.bare().join("refs/heads/main");
    wait_until("git has moved the branch", || main.exists()).await;
    let bare = served.bare().display().to_string();
    wait_until("git has ended", || !runs(&bare)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_ends_its_clone() {
    let served = serve().await;
    let (_writer, body) = tokio::io::duplex(16);
    let request = GitRequest {
        protocol: Some("version=2".to_owned()),
        ..request(served.app, GitService::UploadPack, body)
    };
    let response = served.repositories.serve(request).await.unwrap();
    let bare = served.bare().display().to_string();
    // Between fork and exec a process has no command line yet.
    wait_until("git runs", || runs(&bare)).await;
    drop(response);
    wait_until("git has ended", || !runs(&bare)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_still_sends_after_git_has_ended_is_read_before_the_answer_ends() {
    let served = serve().await;
    let (mut writer, body) = tokio::io::duplex(64);
    let request = request(served.app, GitService::ReceivePack, body);
    let response = served.repositories.serve(request).await.unwrap();
    // No length of a line, so git gives up at once.
    let bare = served.bare().display().to_string();
    tokio::io::AsyncWriteExt::write_all(&mut writer, b"zzzz").await.unwrap();
    wait_until("git has ended", || !runs(&bare)).await;
    tokio::io::AsyncWriteExt::write_all(&mut writer, &vec![0; 1 << 20])
        .await
        .unwrap();
    drop(writer);
    let _said: Vec<_> = futures::StreamExt::collect(response.body).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_breaks_off_leaves_nothing_behind() {
    let served = serve().await;
    let (mut writer, body) = tokio::io::duplex(64);
    let request = request(served.app, GitService::ReceivePack, body);
    let response = served.repositories.serve(request).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut writer, b"0094").await.unwrap();
    drop((writer, response));
    let bare = served.bare().display().to_string();
    wait_until("git has ended", || !runs(&bare)).await;
    let objects: Vec<_> = std::fs::read_dir(served.bare().join("objects"))
        .unwrap()
        .flatten()
        .collect();
    assert_eq!(objects.len(), 2, "more than info and pack: {objects:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_negotiation_is_understood() {
    let served = serve().await;
    let work = served.work().await;
    push(&work, &["fall-through"]).await;
    work.git(&["clone", "-q", "-b", "main", &served.url(), "other"]).await;
    let other = Work {
        dir: work.dir.join("other"),
    };
    for n in 0..60 {
        other.commit(&format!("Local {n}")).await;
    }
    for version in ["0", "2"] {
        work.write("news", version);
        let news = work.commit("News").await;
        push(&work, &["fall-through"]).await;
        served.gzip_seen.store(false, Ordering::SeqCst);
        other.git(&["update-ref", "-d", "refs/remotes/origin/main"]).await;
        let protocol = format!("protocol.version={version}");
        other.git(&["-c", &protocol, "fetch", "-q", "origin"]).await;
        let fetched = other.git(&["rev-parse", "origin/main"]).await.out;
        assert_eq!(fetched.trim(), news.as_str());
        assert!(
            served.gzip_seen.load(Ordering::SeqCst),
            "version {version} did not compress; this proves nothing"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_refs_are_neither_seen_nor_touched_by_clients() {
    let served = serve().await;
    let work = served.work().await;
    push(&work, &["fall-through"]).await;
    let (commit, deployment) = (work.head().await, DeploymentId::generate());
    served.repositories.keep(served.app, deployment, &commit).await.unwrap();
    assert!(!work.git(&["ls-remote", "origin"]).await.out.contains("windlass"));
    let pushed = work
        .try_git(&["push", "origin", "main:refs/windlass/deployments/x"])
        .await;
    assert!(!pushed.ok && pushed.err.contains("[remote rejected]"), "{pushed:?}");

    let kept = served.bare().join(format!("refs/windlass/deployments/{deployment}"));
    assert!(kept.exists());
    assert_eq!(served.repositories.kept(served.app).await.unwrap(), [deployment]);
    for _ in 0..2 {
        served.repositories.forget(served.app, deployment).await.unwrap();
    }
    assert!(!kept.exists());
    assert!(served.repositories.kept(served.app).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_over_the_limit_is_refused_and_the_next_one_works() {
    let served = serve_with(|config| config.max_pack_bytes = 100_000).await;
    let work = served.work().await;
    let noise: String = (0..200_000_u64)
        .map(|n| format!("{:x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
        .collect();
    work.write("noise", &noise);
    work.commit("Large").await;
    let pushed = push(&work, &["fall-through"]).await;
    assert!(!pushed.ok && pushed.err.contains("maximum allowed size"), "{pushed:?}");
    work.git(&["reset", "-q", "--hard", "HEAD~1"]).await;
    assert!(push(&work, &["fall-through"]).await.ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_objects_are_refused() {
    let served = serve().await;
    let work = served.work().await;
    let commit = hostile_commit(&work).await;
    work.git(&["update-ref", "refs/heads/main", commit.as_str()]).await;
    let pushed = push(&work, &["fall-through"]).await;
    assert!(!pushed.ok && pushed.err.contains("hasDotgit"), "{pushed:?}");
}

/// A commit whose tree holds a folder `.git`.
async fn hostile_commit(work: &Work) -> CommitSha {
    let tree = work.git(&["write-tree"]).await.out.trim().to_owned();
    let mut mktree = work.command(&["mktree"]);
    let mut mktree = mktree.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let line = format!("040000 tree {tree}\t.git\n");
    tokio::io::AsyncWriteExt::write_all(&mut mktree.stdin.take().unwrap(), line.as_bytes())
        .await
        .unwrap();
    let tree = String::from_utf8(mktree.wait_with_output().await.unwrap().stdout).unwrap();
    let commit = work.git(&["commit-tree", "-m", "x", tree.trim()]).await.out;
    commit.trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_without_a_repository_is_told_so() {
    let served = serve().await;
    let request = GitRequest {
        advertise: true,
        ..request(AppId::generate(), GitService::UploadPack, tokio::io::empty())
    };
    let error = served.repositories.serve(request).await.err().unwrap();
    assert!(matches!(error, SourceError::NoRepository(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_is_made_once_and_removed_for_good() {
    let served = serve().await;
    let work = served.work().await;
    push(&work, &["fall-through"]).await;
    served.repositories.ensure(served.app).await.unwrap();
    assert!(!remote_main(&work).await.is_empty(), "ensure lost the branch");
    served.repositories.maintain(served.app).await.unwrap();
    served.repositories.sweep().await.unwrap();
    assert_eq!(served.repositories.apps().await.unwrap(), [served.app]);
    assert!(served.repositories.git_version().await.unwrap().starts_with("2."));
    for _ in 0..2 {
        served.repositories.remove(served.app).await.unwrap();
    }
    assert!(!served.bare().exists());
    assert!(served.repositories.apps().await.unwrap().is_empty());
    assert_eq!(
        std::fs::read_dir(served.folder.path().join("repositories/tmp"))
            .unwrap()
            .count(),
        0
    );
}
