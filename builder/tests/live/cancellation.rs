//! Builds that are ended from outside: their processes must be gone, also those that ignore signals.

use tokio::sync::mpsc;
use windlass_builder::{BuildError, BuildEvent};
use windlass_domain::FailureCode;

use crate::support::{Story, wait_until};

/// Whether a process with this word in its command line runs on this machine.
fn runs(word: &str) -> bool {
    let lines = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let path = entry.ok()?.path().join("cmdline");
        std::fs::read(path).ok()
    });
    let own = format!("{word}\0");
    lines
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .any(|line| line.ends_with(&own))
}

/// A step that ignores SIGTERM and sleeps for a number of seconds that nobody else uses.
fn stubborn(seconds: &str) -> String {
    format!("FROM BASE\nRUN trap '' TERM INT HUP; echo asleep; sleep {seconds}; sleep {seconds}\n")
}

fn seconds() -> String {
    format!("{}", 100_000 + std::process::id())
}

#[tokio::test]
async fn a_cancelled_build_stops_its_processes() {
    let seconds = seconds();
    let story = Story::of(&[("Dockerfile", &stubborn(&seconds))]).await;
    let (events, mut received) = mpsc::channel(16);
    let drain = tokio::spawn(async move { while received.recv().await.is_some() {} });
    let cancel = async {
        wait_until("the step", || runs(&seconds)).await;
        story.cancel.cancel();
    };
    let (result, ()) = tokio::join!(story.run_with(events), cancel);
    assert!(matches!(result, Err(BuildError::Cancelled)), "{result:?}");
    if story.builder.limits().await.is_ok() {
        assert!(!runs(&seconds), "the slot was free while the step still ran");
    }
    wait_until("the end of the step", || !runs(&seconds)).await;
    drain.await.unwrap();
}

#[tokio::test]
async fn a_dropped_build_stops_its_processes() {
    let seconds = seconds();
    let story = Story::of(&[("Dockerfile", &stubborn(&seconds))]).await;
    let (events, mut received) = mpsc::channel(16);
    let drain = tokio::spawn(async move { while received.recv().await.is_some() {} });
    tokio::select! {
        result = story.run_with(events) => panic!("{result:?}"),
        () = wait_until("the step", || runs(&seconds)) => {}
    }
    wait_until("the end of the step", || !runs(&seconds)).await;
    drain.await.unwrap();
}

#[tokio::test]
async fn a_build_that_takes_too_long_is_stopped_and_says_where() {
    let seconds = seconds();
    let mut story = Story::of(&[("Dockerfile", &stubborn(&seconds))]).await;
    story.settings.timeout_seconds = 4;
    let outcome = story.run().await;
    let failure = outcome.failure();
    assert_eq!(failure.code, FailureCode::BuildTimeout);
    assert!(failure.reason.contains("4 s during `[2/2] RUN trap"), "{failure:?}");
    assert_eq!(failure.evidence, ["asleep"]);
    wait_until("the end of the step", || !runs(&seconds)).await;
}

#[tokio::test]
async fn lines_arrive_while_the_build_runs() {
    let seconds = seconds();
    let story = Story::of(&[("Dockerfile", &stubborn(&seconds))]).await;
    let (events, mut received) = mpsc::channel(16);
    let line = async {
        loop {
            match received.recv().await {
                Some(BuildEvent::Line { text, .. }) => break text,
                Some(_) => {}
                None => panic!("the build ended"),
            }
        }
    };
    tokio::select! {
        result = story.run_with(events) => panic!("{result:?}"),
        text = line => assert_eq!(text, "asleep"),
    }
    wait_until("the end of the step", || !runs(&seconds)).await;
}
