//! What is left behind in a repository, and how it goes.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use crate::{push::push, support::serve};
use tokio::time::timeout;
use windlass_domain::DeploymentId;
use windlass_source::SourceError;

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_drops_what_is_forgotten_and_old_and_nothing_else() {
    let served = serve().await;
    let work = served.work().await;
    let (repositories, bare) = (&served.repositories, served.bare());
    let mut commits = Vec::new();
    for name in ["kept", "forgotten", "fresh"] {
        work.git(&["checkout", "-q", "--orphan", name]).await;
        work.write("hello", name);
        commits.push(work.commit(name).await);
        work.git(&["push", "-q", "--force", bare.to_str().unwrap(), "HEAD:refs/heads/tmp"])
            .await;
        let deployment = DeploymentId::generate();
        repositories
            .keep(served.app, deployment, commits.last().unwrap())
            .await
            .unwrap();
        if name == "forgotten" {
            age(&bare.join("objects"));
        }
        if name != "kept" {
            repositories.forget(served.app, deployment).await.unwrap();
        }
    }
    work.git(&["push", "-q", bare.to_str().unwrap(), ":refs/heads/tmp"])
        .await;

    let day = Duration::from_secs(24 * 60 * 60);
    assert!(repositories.needs_maintenance(served.app, day).await.unwrap());
    let half_a_pack = bare.join("objects/pack/tmp_pack_x");
    std::fs::write(&half_a_pack, "").unwrap();
    let lock = bare.join("objects/info/commit-graph.lock");
    std::fs::write(&lock, "").unwrap();
    age(lock.parent().unwrap());
    repositories.maintain(served.app).await.unwrap();
    assert!(!half_a_pack.exists());
    assert!(!repositories.needs_maintenance(served.app, day).await.unwrap());
    let mut left = Vec::new();
    for commit in &commits {
        left.push(repositories.describe(served.app, commit).await.unwrap().is_some());
    }
    assert_eq!(left, [true, false, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_locks_of_a_git_that_was_killed_are_removed_and_those_of_one_at_work_are_not() {
    let served = serve().await;
    let work = served.work().await;
    push(&work, &["fall-through"]).await;
    let (repositories, bare) = (&served.repositories, served.bare());
    let deployment = DeploymentId::generate();
    let commit = work.head().await;
    let on_it = format!("refs/windlass/deployments/{deployment}.lock");
    for lock in ["packed-refs.lock", &on_it] {
        repositories.keep(served.app, deployment, &commit).await.unwrap();
        let lock = bare.join(lock);
        std::fs::write(&lock, "").unwrap();
        let refused = repositories.forget(served.app, deployment).await;
        assert!(matches!(refused, Err(SourceError::Git { .. })), "{refused:?}");
        assert!(lock.exists(), "some git may be at work");
        let then = SystemTime::now() - Duration::from_secs(90);
        std::fs::File::open(&lock).unwrap().set_modified(then).unwrap();
        repositories.forget(served.app, deployment).await.unwrap();
        assert!(!lock.exists());
    }
    assert!(repositories.kept(served.app).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_git_that_nobody_waits_for_any_more_leaves_no_lock_behind() {
    let served = serve().await;
    let work = served.work().await;
    push(&work, &["fall-through"]).await;
    let (repositories, app, commit) = (&served.repositories, served.app, work.head().await);
    let kept: Vec<_> = (0..40).map(|_| DeploymentId::generate()).collect();
    for deployment in &kept {
        repositories.keep(app, *deployment, &commit).await.unwrap();
    }
    // Given up at ever later moments of its life.
    for (deployment, patience) in kept.iter().zip(0_u64..) {
        let _ = timeout(
            Duration::from_micros(300 * patience),
            repositories.forget(app, *deployment),
        )
        .await;
    }
    for deployment in kept {
        repositories.forget(app, deployment).await.unwrap();
    }
    assert!(repositories.kept(app).await.unwrap().is_empty());
}

/// Makes all that is there now a month old.
fn age(folder: &Path) {
    let then = SystemTime::now() - Duration::from_secs(30 * 24 * 60 * 60);
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            age(&path);
        } else {
            let file = std::fs::File::open(&path).unwrap();
            file.set_modified(then).unwrap();
        }
    }
}
