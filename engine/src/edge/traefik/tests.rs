//! Over the runtime in memory, whose containers run the real program of their gates.

use std::{collections::BTreeMap, net::Ipv4Addr};

use tempfile::TempDir;
use windlass_domain::{
    AppId, InstanceName, Limits, ProcessType, ReleaseId, ReleaseVersion, Route, Upstream, release::ProcessCommand,
};
use windlass_runtime::{
    InstanceSpec, NetworkSpec, Role,
    fake::{Behaviour, FakeRuntime},
};

use super::*;
use crate::edge::gates::ORPHANED;

/// Short enough for a test, long enough to be seen.
const THROTTLE: Duration = Duration::from_millis(300);

struct Stage {
    folder: TempDir,
    fake: FakeRuntime,
    app: AppId,
    edge: TraefikEdge,
}

impl Stage {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fake = FakeRuntime::new();
        fake.add_image("shop:1", None, None, Behaviour::sleeps());
        let app = AppId::generate();
        let network = NetworkSpec {
            app,
            app_name: "shop".parse().unwrap(),
            name: "shop".to_owned(),
            subnet: "10.213.0.0/28".parse().unwrap(),
        };
        fake.ensure_network(&network).await.unwrap();
        let edge = edge(&folder, &fake);
        Self {
            folder,
            fake,
            app,
            edge,
        }
    }

    /// Starts an instance as the converge loop does.
    async fn start(&self, n: u32) -> InstanceId {
        let instance = InstanceId::generate();
        let gate = self.edge.gate(instance).unwrap();
        self.start_with(n, instance, gate).await
    }

    async fn start_with(&self, n: u32, instance: InstanceId, gate: Option<Gate>) -> InstanceId {
        self.start_of("shop", n, (instance, gate)).await
    }

    /// Starts an instance of an app with this name.
    async fn start_of(&self, app: &str, n: u32, (instance, gate): (InstanceId, Option<Gate>)) -> InstanceId {
        let spec = InstanceSpec {
            instance,
            name: InstanceName {
                app: app.parse().unwrap(),
                process: ProcessType::web(),
                release: ReleaseVersion(1),
                n,
            },
            role: Role::Instance,
            app: self.app,
            release: ReleaseId::generate(),
            deployment: None,
            image: "shop:1".to_owned(),
            command: None::<ProcessCommand>,
            env: BTreeMap::new(),
            port: Some(8080),
            restart_seq: 0,
            limits: Limits::default(),
            network: "shop".to_owned(),
            extra_labels: BTreeMap::new(),
            gate,
            stop_grace: Duration::from_secs(1),
        };
        self.fake.start(&spec).await.unwrap();
        instance
    }

    /// A gate whose program says no, whatever is written there.
    fn broken(&self) -> Gate {
        Gate {
            folder: self.folder.path().to_owned(),
            mounted_at: "/.windlass".to_owned(),
            command: vec!["/bin/false".to_owned()],
        }
    }

    /// Those that a Traefik would show, sorted.
    async fn shown(&self) -> Vec<InstanceId> {
        let seen = self.fake.observe(Scope::All).await.unwrap();
        let running = seen.into_iter().filter(|one| one.state.is_running());
        let mut shown: Vec<_> = running.filter(|one| says(one, true)).map(|one| one.instance).collect();
        shown.sort();
        shown
    }

    async fn kill(&self, instance: InstanceId) {
        let seen = self.fake.observe(Scope::All).await.unwrap();
        let one = seen.iter().find(|one| one.instance == instance).unwrap();
        self.fake.stop(&one.container, Duration::ZERO).await.unwrap();
    }
}

fn edge(folder: &TempDir, fake: &FakeRuntime) -> TraefikEdge {
    let gates = Gates::at(folder.path().join("gates")).unwrap();
    TraefikEdge {
        throttle: THROTTLE,
        ..TraefikEdge::new(vec!["web".to_owned()], gates, Arc::new(fake.clone()))
    }
}

/// Applies a table, to which there is no exception.
async fn apply(edge: &TraefikEdge, table: &RouteTable) {
    assert_eq!(edge.apply(table).await.unwrap(), []);
}

fn table(generation: u64, instances: &[InstanceId]) -> RouteTable {
    let upstreams = instances.iter().map(|instance| Upstream {
        instance: *instance,
        address: (Ipv4Addr::LOCALHOST, 8080).into(),
    });
    RouteTable {
        generation,
        routes: vec![Route {
            app: "shop".parse().unwrap(),
            process: ProcessType::web(),
            host: "shop.localhost".parse().unwrap(),
            path: "/".to_owned(),
            middlewares: Vec::new(),
            upstreams: upstreams.collect(),
        }],
    }
}

#[tokio::test]
async fn only_instances_of_the_table_are_shown() {
    let stage = Stage::new().await;
    let (one, _two) = (stage.start(1).await, stage.start(2).await);
    assert_eq!(stage.shown().await, []);
    apply(&stage.edge, &table(1, &[one])).await;
    assert_eq!(stage.shown().await, [one]);
    assert_eq!(stage.edge.generation().await.unwrap(), Some(1));
}

#[tokio::test]
async fn there_is_no_moment_without_an_instance_that_is_shown() {
    let stage = Stage::new().await;
    let (old, new) = (stage.start(1).await, stage.start(2).await);
    apply(&stage.edge, &table(1, &[old])).await;
    let next = table(2, &[new]);
    let mut applied = stage.edge.apply(&next);
    let began = Instant::now();
    let mut both = None;
    loop {
        tokio::select! {
            done = &mut applied => break assert_eq!(done.unwrap(), []),
            () = sleep(Duration::from_millis(5)) => {
                let shown = stage.shown().await;
                assert!(!shown.is_empty(), "nobody is shown after {:?}", began.elapsed());
                if shown.len() == 2 {
                    both.get_or_insert_with(Instant::now);
                } else if shown == [new] {
                    let together = both.expect("both were shown").elapsed();
                    assert!(together >= THROTTLE, "Traefik had only {together:?} to see the new one");
                }
            }
        }
    }
    assert_eq!(stage.shown().await, [new]);
}

#[tokio::test]
async fn a_table_that_changes_nothing_takes_no_time() {
    let stage = Stage::new().await;
    let one = stage.start(1).await;
    apply(&stage.edge, &table(1, &[one])).await;
    // Another engine comes, when Traefik has long noticed.
    sleep(THROTTLE).await;
    let next = edge(&stage.folder, &stage.fake);
    let began = Instant::now();
    apply(&next, &table(2, &[one])).await;
    assert!(began.elapsed() < THROTTLE, "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_engine_that_follows_a_killed_one_gives_traefik_its_time() {
    let stage = Stage::new().await;
    let one = stage.start(1).await;
    let cut_short = tokio::time::timeout(THROTTLE / 2, async {
        let first = table(1, &[one]);
        let applied = stage.edge.apply(&first);
        tokio::pin!(applied);
        while stage.shown().await.is_empty() {
            let _ = tokio::time::timeout(Duration::from_millis(5), &mut applied).await;
        }
    });
    let _ = cut_short.await;
    let next = edge(&stage.folder, &stage.fake);
    let began = Instant::now();
    apply(&next, &table(2, &[one])).await;
    assert!(began.elapsed() > THROTTLE / 3, "{:?}", began.elapsed());
    assert_eq!(stage.shown().await, [one]);
}

#[tokio::test]
async fn a_new_instance_that_stays_hidden_keeps_the_old_one_shown() {
    let stage = Stage::new().await;
    let old = stage.start(1).await;
    apply(&stage.edge, &table(1, &[old])).await;
    let new = stage.start_with(2, InstanceId::generate(), Some(stage.broken())).await;
    let exceptions = stage.edge.apply(&table(2, &[new])).await.unwrap();
    assert_eq!(
        exceptions.iter().map(|one| one.instance).collect::<Vec<_>>(),
        [new, old],
        "the old one must not be stopped"
    );
    let said = exceptions[0].to_string();
    assert!(said.contains("does not see shop-web-v1-2"), "{said}");
    assert!(said.contains("docker inspect"), "it says what to do: {said}");
    assert_eq!(stage.shown().await, [old]);
    assert_ne!(stage.edge.generation().await.unwrap(), Some(2), "it is tried again");
    // It has been waited for; others are not held up again.
    let began = Instant::now();
    assert_eq!(stage.edge.apply(&table(3, &[new])).await.unwrap(), exceptions);
    assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_instance_that_stays_hidden_is_no_trouble_of_another_app() {
    let stage = Stage::new().await;
    let (old, new) = (stage.start(1).await, stage.start(2).await);
    apply(&stage.edge, &table(1, &[old])).await;
    let hidden = InstanceId::generate();
    stage.start_of("blog", 1, (hidden, Some(stage.broken()))).await;
    let with_blog = |generation, shop| {
        let mut table = table(generation, &[shop]);
        let mut blog = table.routes[0].clone();
        blog.app = "blog".parse().unwrap();
        blog.upstreams[0].instance = hidden;
        table.routes.push(blog);
        table
    };
    let of = |exceptions: Vec<Exception>| {
        exceptions
            .into_iter()
            .map(|one| one.app.to_string())
            .collect::<Vec<_>>()
    };
    let exceptions = stage.edge.apply(&with_blog(2, old)).await.unwrap();
    assert_eq!(of(exceptions), ["blog"]);

    let exceptions = stage.edge.apply(&with_blog(3, new)).await.unwrap();
    assert_eq!(of(exceptions), ["blog"]);
    assert_eq!(
        stage.shown().await,
        [new],
        "the shop's old one is closed, and may be stopped"
    );
}

#[tokio::test]
async fn an_instance_whose_gate_cannot_be_written_is_no_trouble_of_others() {
    let stage = Stage::new().await;
    let (one, two) = (stage.start(1).await, stage.start(2).await);
    let state = stage.folder.path().join("gates").join(one.to_string()).join("state");
    std::fs::remove_file(&state).unwrap();
    std::fs::create_dir(&state).unwrap();
    let exceptions = stage.edge.apply(&table(1, &[one, two])).await.unwrap();
    assert_eq!(exceptions.iter().map(|one| one.instance).collect::<Vec<_>>(), [one]);
    assert_eq!(stage.shown().await, [two]);
}

#[tokio::test]
async fn an_instance_that_was_late_is_waited_for_when_it_is_late_again() {
    let stage = Stage::new().await;
    let one = stage.start(1).await;
    stage.fake.forget_gates();
    apply(&stage.edge, &table(1, &[one])).await;
    assert_eq!(stage.shown().await, [one]);
    stage.fake.forget_gates();
    assert_eq!(stage.edge.apply(&table(2, &[])).await.unwrap(), []);
    assert_eq!(stage.shown().await, []);
}

#[tokio::test]
async fn who_ended_is_not_waited_for() {
    let stage = Stage::new().await;
    let (one, two) = (stage.start(1).await, stage.start(2).await);
    apply(&stage.edge, &table(1, &[one, two])).await;
    stage.kill(one).await;
    let began = Instant::now();
    apply(&stage.edge, &table(2, &[one, two])).await;
    apply(&stage.edge, &table(3, &[two])).await;
    assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
    assert_eq!(stage.shown().await, [two]);
}

#[tokio::test]
async fn an_instance_from_before_there_were_gates_goes_on() {
    let stage = Stage::new().await;
    let old = stage.start_with(1, InstanceId::generate(), None).await;
    apply(&stage.edge, &table(1, &[old])).await;
    assert_eq!(stage.shown().await, [old]);
    let new = stage.start(2).await;
    apply(&stage.edge, &table(2, &[new])).await;
    assert!(stage.shown().await.contains(&new));
}

#[tokio::test]
async fn what_docker_says_against_the_table_is_noticed_and_put_right() {
    let stage = Stage::new().await;
    let one = stage.start(1).await;
    apply(&stage.edge, &table(1, &[one])).await;
    // As if a check had failed: the gate is closed behind the edge's back.
    let gates = Gates::at(stage.folder.path().join("gates")).unwrap();
    let closed = State {
        open: false,
        told: false,
    };
    gates.set(&one.to_string(), closed).unwrap();
    while !stage.shown().await.is_empty() {
        sleep(Duration::from_millis(10)).await;
    }
    assert_ne!(stage.edge.generation().await.unwrap(), Some(1));
    apply(&stage.edge, &table(2, &[one])).await;
    assert_eq!(stage.shown().await, [one]);
    assert_eq!(stage.edge.generation().await.unwrap(), Some(2));
}

#[tokio::test]
async fn a_docker_that_forgot_its_checks_is_reminded() {
    let stage = Stage::new().await;
    let (old, new) = (stage.start(1).await, stage.start(2).await);
    apply(&stage.edge, &table(1, &[old])).await;
    stage.fake.forget_gates();
    apply(&stage.edge, &table(2, &[new])).await;
    assert_eq!(stage.shown().await, [new]);
}

#[tokio::test]
async fn an_older_table_is_refused_whoever_brings_it() {
    let stage = Stage::new().await;
    let one = stage.start(1).await;
    apply(&stage.edge, &table(5, &[one])).await;
    let other = edge(&stage.folder, &stage.fake);
    assert_eq!(other.generation().await.unwrap(), Some(5));
    other.apply(&table(4, &[])).await.unwrap_err();
    assert_eq!(stage.shown().await, [one]);
}

#[tokio::test]
async fn gates_without_containers_go_when_they_are_old() {
    let stage = Stage::new().await;
    let one = stage.start(1).await;
    let gates = Gates::at(stage.folder.path().join("gates")).unwrap();
    gates.make("young").unwrap();
    gates.make("old").unwrap();
    let state = std::fs::File::open(stage.folder.path().join("gates/old/state")).unwrap();
    state.set_modified(SystemTime::now() - ORPHANED * 2).unwrap();
    stage.edge.generation().await.unwrap();
    let mut left = gates.names().unwrap();
    left.sort();
    let mut expected = [one.to_string(), "young".to_owned()];
    expected.sort();
    assert_eq!(left, expected);
}
