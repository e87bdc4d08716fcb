//! Dockerfile builds against a real engine.

use std::time::Duration;

use crate::support::{MemoryTree, Story, builder_with, docker, wait_until};
use windlass_builder::{BuildError, BuildEvent, BuilderConfig};
use windlass_domain::{EntryKind, FailureCode};

#[tokio::test]
async fn an_image_is_built_with_its_labels_ports_and_steps() {
    let mut story = Story::of(&[
        ("Dockerfile", "FROM BASE\nLABEL windlass.app=evil own=yes\nCOPY . /app\nRUN cat /app/x\nEXPOSE 3000 9/udp\nCMD [\"/bin/true\"]\n"),
        ("x", "content\n"),
    ])
    .await;
    story.labels = vec![("windlass.app", "shop")];
    let outcome = story.run().await;
    let image = outcome.image();
    assert!(image.id.starts_with("sha256:") && image.size_bytes > 0);
    assert_eq!(image.exposed_ports, [3000]);
    assert_eq!(image.processes.len(), 1);
    assert!(image.processes[0].process.is_web() && image.processes[0].command.is_none());
    assert!(outcome.lines().contains(&"content"), "{:?}", outcome.events);
    let labels = docker(&["inspect", "--format", "{{json .Config.Labels}}", &outcome.tag]);
    assert_eq!(labels.trim(), r#"{"own":"yes","windlass.app":"shop"}"#);
    let run = |event: &BuildEvent| matches!(event, BuildEvent::StepFinished { name, error: None, .. } if name.contains("RUN cat"));
    assert!(outcome.events.iter().any(run), "{:?}", outcome.events);
}

#[tokio::test]
async fn a_second_build_of_the_same_tree_is_cached() {
    let story = Story::of(&[
        ("Dockerfile", "FROM BASE\nCOPY x /x\nRUN echo built\n"),
        ("x", "cached"),
    ])
    .await;
    story.run().await.image();
    let again = story.run().await;
    let cached = |event: &BuildEvent| matches!(event, BuildEvent::StepFinished { name, cached: true, .. } if name.contains("RUN"));
    assert!(again.events.iter().any(cached), "{:?}", again.events);
}

#[tokio::test]
async fn config_vars_are_secret_mounts_and_leave_no_trace() {
    let mut story = Story::of(&[(
        "Dockerfile",
        "FROM BASE\nRUN --mount=type=secret,id=API_KEY cat /run/secrets/API_KEY && echo -n \"$(cat /run/secrets/API_KEY)\" > /dev/null\n\
         RUN --mount=type=secret,id=MISSING test ! -e /run/secrets/MISSING\nRUN test ! -e /run/secrets/API_KEY\n",
    )])
    .await;
    story.config = vec![("API_KEY", "hunter22-canary")];
    let outcome = story.run().await;
    outcome.image();
    assert!(outcome.lines().contains(&"[redacted]"), "{:?}", outcome.events);
    assert!(!format!("{:?}", outcome.events).contains("hunter22"));
    assert!(!docker(&["history", "--no-trunc", &outcome.tag]).contains("hunter22"));
    assert!(!docker(&["inspect", &outcome.tag]).contains("hunter22"));
}

#[tokio::test]
async fn declared_config_vars_and_args_are_build_args() {
    let mut story = Story::of(&[(
        "Dockerfile",
        "FROM BASE\nARG MODE\nARG STAGE\nRUN echo \"mode $MODE stage $STAGE\"\n",
    )])
    .await;
    story.settings.args.insert("STAGE".to_owned(), "a b&c=\"d\"".to_owned());
    story.settings.config_args = vec!["MODE".to_owned()];
    story.config = vec![("MODE", "fast")];
    let outcome = story.run().await;
    outcome.image();
    assert!(
        outcome.lines().contains(&"mode fast stage a b&c=\"d\""),
        "{:?}",
        outcome.lines()
    );
}

#[tokio::test]
async fn the_context_is_what_docker_would_send() {
    let story = Story::of(&[
        ("Dockerfile", "FROM BASE\nCOPY . /c\nRUN find /c -type f\n"),
        (
            ".dockerignore",
            "# comment\nnode_modules\n*.log\n!keep.log\nDockerfile\nfoo/*\n!foo/bar/b\n",
        ),
        ("node_modules/a", ""),
        ("sub/node_modules/a", ""),
        ("x.log", ""),
        ("keep.log", ""),
        ("foo/a", ""),
        ("foo/bar/b", ""),
    ])
    .await;
    let outcome = story.run().await;
    outcome.image();
    let mut files: Vec<_> = outcome
        .lines()
        .into_iter()
        .filter(|line| line.starts_with("/c/"))
        .collect();
    files.sort_unstable();
    assert_eq!(
        files,
        [
            "/c/.dockerignore",
            "/c/Dockerfile",
            "/c/foo/bar/b",
            "/c/keep.log",
            "/c/sub/node_modules/a"
        ]
    );
}

#[tokio::test]
async fn the_rules_beside_a_dockerfile_win() {
    let mut story = Story::of(&[
        (
            "app/deploy/web.Dockerfile",
            "FROM BASE\nCOPY . /c\nRUN find /c -type f\n",
        ),
        ("app/deploy/web.Dockerfile.dockerignore", "a\n"),
        ("app/.dockerignore", "b\n"),
        ("app/a", ""),
        ("app/b", ""),
        ("outside", ""),
    ])
    .await;
    story.settings.context = Some("app".to_owned());
    story.settings.dockerfile = Some("deploy/web.Dockerfile".to_owned());
    let outcome = story.run().await;
    outcome.image();
    let lines = outcome.lines();
    assert!(
        lines.contains(&"/c/b") && !lines.contains(&"/c/a") && !lines.contains(&"/c/outside"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_target_stage_is_built_alone() {
    let files = [(
        "Dockerfile",
        "FROM BASE AS first\nRUN echo one\nFROM BASE AS second\nRUN echo two > /two\nFROM second AS last\nRUN nosuch\n",
    )];
    let mut story = Story::of(&files).await;
    story.settings.target = Some("second".to_owned());
    assert_eq!(story.run().await.run(&["cat", "/two"]), "two\n");
    story.settings.target = Some("third".to_owned());
    let outcome = story.run().await;
    assert_eq!(outcome.failure().code, FailureCode::InvalidBuildFile);
    assert_eq!(outcome.failure().reason, "Dockerfile has no stage `third`");
}

#[tokio::test]
async fn a_failed_step_is_named_with_its_exit_code_and_last_lines() {
    let story = Story::of(&[("Dockerfile", "FROM BASE\nRUN echo before; echo trouble >&2; exit 3\n")]).await;
    let outcome = story.run().await;
    let failure = outcome.failure();
    assert_eq!(failure.code, FailureCode::BuildFailed);
    assert_eq!(
        failure.reason,
        "`[2/2] RUN echo before; echo trouble >&2; exit 3` ended with exit code 3"
    );
    assert!(failure.evidence.iter().any(|line| line == "trouble"), "{failure:?}");
}

#[tokio::test]
async fn a_dockerfile_that_does_not_parse_is_named_with_its_line() {
    let story = Story::of(&[("Dockerfile", "FROM BASE\n\nFOO bar\n")]).await;
    let outcome = story.run().await;
    assert_eq!(outcome.failure().code, FailureCode::InvalidBuildFile);
    assert_eq!(outcome.failure().reason, "Dockerfile line 3: unknown instruction: FOO");
    let outcome = Story::of(&[("Dockerfile", "")]).await.run().await;
    assert_eq!(
        outcome.failure().code,
        FailureCode::InvalidBuildFile,
        "{:?}",
        outcome.failure()
    );
}

#[tokio::test]
async fn a_missing_image_is_named() {
    let outcome = Story::of(&[("Dockerfile", "FROM localhost:1/nosuch:v1\n")])
        .await
        .run()
        .await;
    let failure = outcome.failure();
    assert_eq!(failure.code, FailureCode::BuildFailed);
    assert_eq!(
        failure.reason, "the image `localhost:1/nosuch:v1` that the build starts from cannot be pulled",
        "{failure:?}"
    );
}

#[tokio::test]
async fn a_frontend_that_cannot_be_had_is_named() {
    let files = [("Dockerfile", "# syntax=docker/dockerfile:0.0.0-nosuch\nFROM BASE\n")];
    let outcome = Story::of(&files).await.run().await;
    let failure = outcome.failure();
    assert!(
        failure.reason.contains("frontend `docker/dockerfile:0.0.0-nosuch`"),
        "{failure:?}"
    );
    let files = [("Dockerfile", "# syntax=evil/frontend\nFROM BASE\n")];
    let outcome = Story::of(&files).await.run().await;
    assert_eq!(
        outcome.failure().reason,
        "Dockerfile line 1: asks for the frontend `evil/frontend`, which is not allowed"
    );
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named() {
    let outcome = Story::of(&[("Dockerfile", "FROM BASE\nCOPY nosuch.txt /x\n")])
        .await
        .run()
        .await;
    let failure = outcome.failure();
    assert_eq!(
        failure.reason, "`[2/2] COPY nosuch.txt /x` names a file that is not in the build context",
        "{failure:?}"
    );
}

#[tokio::test]
async fn a_missing_dockerfile_says_what_is_there() {
    let mut story = Story::of(&[("web/Dockerfile", "FROM BASE\n"), ("README", "")]).await;
    story.settings.dockerfile = Some("Dockerfile".to_owned());
    let outcome = story.run().await;
    let failure = outcome.failure();
    assert_eq!(failure.code, FailureCode::NoBuilder);
    assert_eq!(failure.evidence, ["looked for Dockerfile", "found: README, web/"]);
    assert!(failure.next_step.contains("web/Dockerfile"), "{failure:?}");
}

#[tokio::test]
async fn a_procfile_beside_a_dockerfile_gives_the_processes() {
    let story = Story::of(&[
        ("Dockerfile", "FROM BASE\nCMD [\"x\"]\n"),
        ("Procfile", "web: ./web\nworker: ./work\n"),
    ])
    .await;
    let outcome = story.run().await;
    let names: Vec<_> = outcome
        .image()
        .processes
        .iter()
        .map(|spec| spec.process.as_str())
        .collect();
    assert_eq!(names, ["web", "worker"]);
}

#[tokio::test]
async fn hosts_network_and_insecure_steps_are_refused() {
    for flag in ["--network=host", "--security=insecure"] {
        let dockerfile = format!("FROM BASE\nRUN {flag} echo reached\n");
        let outcome = Story::of(&[("Dockerfile", &dockerfile)]).await.run().await;
        assert!(outcome.result.is_err(), "{flag}");
        assert!(!outcome.lines().contains(&"reached"), "{flag}");
    }
}

#[tokio::test]
async fn output_beyond_the_cap_is_dropped_and_the_build_goes_on() {
    let mut story = Story::of(&[(
        "Dockerfile",
        "FROM BASE\nRUN yes windlass | head -n 200000\nRUN echo end > /end\n",
    )])
    .await;
    story.builder = builder_with(BuilderConfig {
        max_log_bytes: 10_000,
        ..BuilderConfig::default()
    })
    .await;
    let outcome = story.run().await;
    outcome.image();
    assert!(outcome.lines().len() < 1200, "{}", outcome.lines().len());
    let warnings = outcome
        .events
        .iter()
        .filter(|event| matches!(event, BuildEvent::Warning { .. }))
        .count();
    assert_eq!(warnings, 1);
}

#[tokio::test]
async fn builds_wait_for_their_turn() {
    let story = Story::of(&[("Dockerfile", "FROM BASE\nRUN echo one\n")]).await;
    let mut other = Story::of(&[("Dockerfile", "FROM BASE\nRUN echo two\n")]).await;
    let builder = builder_with(BuilderConfig {
        max_concurrent: 1,
        ..BuilderConfig::default()
    })
    .await;
    other.builder = builder.clone();
    let story = {
        let mut story = story;
        story.builder = builder;
        story
    };
    let (first, second) = tokio::join!(story.run(), other.run());
    first.image();
    second.image();
}

#[tokio::test]
async fn two_equal_builds_at_once_both_get_their_image_and_lines() {
    let nonce = crate::support::unique();
    let dockerfile = format!("FROM BASE\nRUN echo same {nonce}; sleep 1\n");
    let story = Story::of(&[("Dockerfile", &dockerfile)]).await;
    let other = Story::of(&[("Dockerfile", &dockerfile)]).await;
    let (first, second) = tokio::join!(story.run(), other.run());
    assert_eq!(first.image().exposed_ports, second.image().exposed_ports);
    let line = format!("same {nonce}");
    assert!(first.lines().contains(&line.as_str()) && second.lines().contains(&line.as_str()));
}

#[tokio::test]
async fn a_large_context_is_streamed() {
    let story = Story::of(&[("Dockerfile", "FROM BASE\nCOPY big /big\n")]).await;
    let mut tree = MemoryTree(story.tree.0.clone());
    tree.0.insert("big".to_owned(), (vec![7; 20 << 20], EntryKind::File));
    let story = {
        let mut story = story;
        story.tree = tree;
        story
    };
    assert!(story.run().await.image().size_bytes > 20 << 20);
}

/// Sockets of this process that are open.
fn sockets() -> usize {
    std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter(|entry| {
            let link = std::fs::read_link(entry.as_ref().unwrap().path());
            link.is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
        })
        .count()
}

#[tokio::test]
async fn sessions_and_connections_do_not_leak() {
    let story = Story::of(&[("Dockerfile", "FROM BASE\nRUN echo leak\n")]).await;
    story.run().await.image();
    let before = sockets();
    for _ in 0..5 {
        story.run().await.image();
    }
    wait_until("the end of the connections", || sockets() <= before).await;
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_our_fault() {
    let mut story = Story::of(&[("Dockerfile", "FROM BASE\n")]).await;
    story.builder = builder_with(BuilderConfig {
        engine: windlass_builder::EngineAddress::Unix("/nonexistent/docker.sock".into()),
        ..BuilderConfig::default()
    })
    .await;
    let outcome = story.run().await;
    assert!(
        matches!(outcome.result, Err(BuildError::Engine(_))),
        "{:?}",
        outcome.result
    );
}

#[tokio::test]
async fn the_time_of_a_cached_build_is_close_to_the_engines() {
    let story = Story::of(&[("Dockerfile", "FROM BASE\nCOPY x /x\nRUN echo fast\n"), ("x", "y")]).await;
    story.run().await.image();
    let outcome = story.run().await;
    assert!(
        outcome.image().duration < Duration::from_secs(5),
        "{:?}",
        outcome.image().duration
    );
    println!("cached build: {:?}", outcome.image().duration);
}
