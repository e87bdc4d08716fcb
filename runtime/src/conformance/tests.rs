//! The fake is held to the suite.

use std::{
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use windlass_domain::DeploymentId;

use super::*;
use crate::{
    Exit, LogStream,
    fake::{Behaviour, FakeRuntime, Listen},
};

struct FakeHarness {
    fake: FakeRuntime,
    subnets: AtomicU8,
}

impl FakeHarness {
    fn new() -> Self {
        let fake = FakeRuntime::new();
        fake.add_image("base:1", None, None, Behaviour::sleeps());
        Self {
            fake,
            subnets: AtomicU8::new(0),
        }
    }
}

fn behaviour(act: &Act) -> Behaviour {
    let numbers = |to: u32| (1..=to).map(|n| n.to_string());
    match act {
        Act::Sleep => Behaviour::sleeps(),
        Act::IgnoreSigterm => Behaviour {
            ignores_sigterm: true,
            ..Behaviour::sleeps().saying(["deaf"])
        },
        Act::Exit(code) => Behaviour::exits((*code).into()),
        Act::Serve(_) => Behaviour::web(),
        Act::ServeLoopback(port) => Behaviour {
            listens: vec![Listen::Loopback(*port)],
            ..Behaviour::default()
        },
        Act::Speak => Behaviour {
            says: [
                (LogStream::Stdout, "out 1"),
                (LogStream::Stderr, "err 1"),
                (LogStream::Stdout, "out 2"),
            ]
            .map(|(stream, text)| (stream, text.to_owned()))
            .to_vec(),
            ..Behaviour::exits(0)
        },
        Act::Count(to) => Behaviour {
            goes_on: Some((Duration::from_millis(10), numbers(*to).collect())),
            ..Behaviour::exits(0)
        },
        Act::Chatter(to) => {
            let lines: Vec<String> = numbers(*to).chain(["x".repeat(40_000)]).collect();
            Behaviour::exits(0).saying(lines.iter().map(String::as_str))
        }
        Act::TakeMemory => Behaviour {
            ends: Some((
                Duration::ZERO,
                Exit {
                    code: 137,
                    oom_killed: true,
                },
            )),
            ..Behaviour::default()
        },
    }
}

#[async_trait]
impl Harness for FakeHarness {
    fn runtime(&self) -> &dyn Runtime {
        &self.fake
    }

    fn free_subnet(&self) -> Ipv4Net {
        let n = self.subnets.fetch_add(1, Ordering::Relaxed);
        format!("10.213.{n}.0/24").parse().unwrap()
    }

    fn image(&self) -> String {
        "base:1".to_owned()
    }

    fn command(&self, act: &Act) -> ProcessCommand {
        let line = format!("{act:?}");
        self.fake.add_line(&line, behaviour(act));
        ProcessCommand::Shell(line)
    }

    async fn make_app_image(&self, app: AppId) -> String {
        let reference = format!("windlass/test:{}", DeploymentId::generate());
        self.fake.add_image(&reference, Some(app), None, Behaviour::sleeps());
        reference
    }

    async fn create_only(&self, spec: &InstanceSpec) {
        self.fake.create_only(spec);
    }

    async fn run_foreign(&self, name: &str) -> ContainerId {
        self.fake.add_foreign(name)
    }

    async fn foreign_runs(&self, container: &ContainerId) -> bool {
        self.fake.has_foreign(container)
    }
}

#[tokio::test]
async fn the_fake_behaves_as_a_runtime_must() {
    run(&FakeHarness::new()).await;
}
