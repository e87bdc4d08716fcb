//! Builds under limits: one that wants more memory than it may have fails with that reason, and hurts nobody else.

use windlass_builder::{BuildEvent, BuildLimits, Builder, BuilderConfig, EngineAddress, Unlimited};
use windlass_domain::FailureCode;

use crate::support::{Container, Story, builder_with, wait_until};

/// More than the small builds of other tests need, which run at the same time and are limited by this as well.
const LIMIT: u64 = 384 << 20;

async fn limited() -> Builder {
    builder_with(BuilderConfig {
        limits: BuildLimits {
            memory_bytes: Some(LIMIT),
            cpu_millis: Some(1500),
        },
        ..BuilderConfig::default()
    })
    .await
}

/// A line without an end, which `grep` keeps in memory until it has all of it.
const HOG: &str = "head -c 1000m /dev/zero | grep -c windlass";

async fn hog(step: &str) -> Story {
    let mut story = Story::of(&[("Dockerfile", &format!("FROM BASE\nRUN {step}\n"))]).await;
    story.builder = limited().await;
    story
}

#[tokio::test]
async fn a_build_that_wants_too_much_memory_says_so_and_hurts_nobody_else() {
    let story = hog(&format!("echo begun; {HOG}")).await;
    assert_eq!(story.builder.limits().await, Ok(LIMIT));
    // An app, which is there all the time, and another build of the same builder.
    let app = Story::of(&[("Dockerfile", "FROM BASE\nCMD [\"sleep\", \"1000\"]\n")]).await;
    let app = app.run().await;
    let app = Container::of(&app);
    let mut other = Story::of(&[("Dockerfile", "FROM BASE\nRUN sleep 3; echo through\n")]).await;
    other.builder = story.builder.clone();
    let (killed, other) = tokio::join!(story.run(), other.run());

    let failure = killed.failure();
    assert_eq!(failure.code, FailureCode::OutOfMemory, "{failure:?}");
    assert!(
        failure.reason.contains("ran out of memory: a build may use 384 MiB"),
        "{failure:?}"
    );
    assert!(failure.next_step.contains("`build.memory`"), "{failure:?}");
    assert!(
        failure.evidence.iter().any(|line| line == "the kernel killed `grep`"),
        "{failure:?}"
    );
    assert!(failure.evidence.iter().any(|line| line == "begun"), "{failure:?}");
    other.image();
    assert!(other.lines().contains(&"through"));
    assert!(app.is_running());
}

#[tokio::test]
async fn a_step_whose_child_was_killed_and_that_goes_on_to_fail_says_so_too() {
    let story = hog(&format!("({HOG}) || exit 2")).await;
    let outcome = story.run().await;
    let failure = outcome.failure();
    assert_eq!(failure.code, FailureCode::OutOfMemory, "{failure:?}");
}

#[tokio::test]
async fn a_step_has_its_limits_and_less_weight_than_an_app() {
    let mark = crate::support::unique();
    let story = hog(&format!(": {mark}; sleep 4; :")).await;
    let mut seen = None;
    let look = wait_until("the limits", || {
        seen = limits_of(&mark);
        seen.as_ref()
            .is_some_and(|seen| seen.memory == LIMIT.to_string() && seen.place == "500")
    });
    let (outcome, ()) = tokio::join!(story.run(), look);
    outcome.image();
    let seen = seen.unwrap();
    let expected = if seen.v2 {
        ("25", "150000 100000")
    } else {
        ("256", "150000")
    };
    assert_eq!((seen.weight.as_str(), seen.quota.as_str()), expected);
}

#[tokio::test]
async fn where_builds_cannot_be_limited_they_run_all_the_same() {
    let builder = builder_with(BuilderConfig {
        engine: EngineAddress::Tcp("127.0.0.1:1".to_owned()),
        ..BuilderConfig::default()
    })
    .await;
    assert_eq!(builder.limits().await, Err(Unlimited::Remote));
    assert_eq!(builder.disk().await, None);
}

#[tokio::test]
async fn a_build_cache_within_its_budget_is_left_alone() {
    let story = Story::of(&[("Dockerfile", "FROM BASE\nRUN echo kept\n")]).await;
    let builder = builder_with(BuilderConfig {
        cache_bytes: Some(1 << 50),
        ..BuilderConfig::default()
    })
    .await;
    story.run().await.image();
    assert_eq!(builder.trim_cache().await.unwrap(), 0);
    let again = story.run().await;
    let cached = |event: &BuildEvent| matches!(event, BuildEvent::StepFinished { cached: true, name, .. } if name.contains("RUN"));
    assert!(again.events.iter().any(cached), "{:#?}", again.events);
    let disk = builder.disk().await.unwrap();
    assert!(disk.total_bytes > disk.free_bytes && disk.free_bytes > 0);
}

/// What a process is limited to.
struct Limits {
    v2: bool,
    memory: String,
    weight: String,
    quota: String,
    /// In the order in which the kernel kills.
    place: String,
}

/// The limits of the step with this word in its command line.
fn limits_of(word: &str) -> Option<Limits> {
    let read = |path: String| Some(std::fs::read_to_string(path).ok()?.trim().to_owned());
    let process = std::fs::read_dir("/proc").unwrap().find_map(|entry| {
        let path = entry.ok()?.path();
        let line = std::fs::read(path.join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line);
        (line.starts_with("/bin/sh") && line.contains(word)).then_some(path)
    })?;
    let groups = read(format!("{}/cgroup", process.display()))?;
    let group = |controller: &str| {
        groups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let found = fields.next()?.split(',').any(|name| name == controller);
            fields.next().filter(|_| found)
        })
    };
    let v2 = group("memory").is_none();
    let file = |v1_name: &str, v2_name: &str| {
        let controller = v1_name.split('.').next()?;
        match group(controller) {
            Some(group) => read(format!("/sys/fs/cgroup/{controller}{group}/{v1_name}")),
            None => read(format!("/sys/fs/cgroup{}/{v2_name}", group("")?)),
        }
    };
    Some(Limits {
        v2,
        memory: file("memory.limit_in_bytes", "memory.max")?,
        weight: file("cpu.shares", "cpu.weight")?,
        quota: file("cpu.cfs_quota_us", "cpu.max")?,
        place: read(format!("{}/oom_score_adj", process.display()))?,
    })
}
