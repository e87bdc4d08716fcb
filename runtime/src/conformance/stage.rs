use std::{collections::BTreeMap, time::Duration};

use windlass_domain::{
    AppId, AppName, DeploymentId, InstanceId, InstanceName, Limits, ProcessType, ReleaseId, ReleaseVersion,
};

use super::{Act, Harness};
use crate::{InstanceSpec, NetworkSpec, Observed, Role, Runtime, Scope, Started};

/// How long the slowest thing may take.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);

/// The app of one case.
pub(super) struct Stage<'a> {
    pub(super) harness: &'a dyn Harness,
    pub(super) app: AppId,
    pub(super) name: AppName,
    pub(super) case: &'static str,
    pub(super) network: NetworkSpec,
}

impl<'a> Stage<'a> {
    pub(super) fn new(harness: &'a dyn Harness, case: &'static str) -> Self {
        let app = AppId::generate();
        let unique = &app.uuid().simple().to_string()[20..];
        let name: AppName = format!("t-{unique}").parse().expect("an app name");
        let network = NetworkSpec {
            app,
            app_name: name.clone(),
            name: format!("windlass-{name}"),
            subnet: harness.free_subnet(),
        };
        Self {
            harness,
            app,
            name,
            case,
            network,
        }
    }

    pub(super) fn runtime(&self) -> &dyn Runtime {
        self.harness.runtime()
    }

    /// The spec of the instance number `n` that does `act`.
    pub(super) fn spec(&self, n: u32, act: &Act) -> InstanceSpec {
        let port = match act {
            Act::Serve(port) | Act::ServeLoopback(port) => Some(*port),
            _ => None,
        };
        let memory_bytes = if *act == Act::TakeMemory { 16 << 20 } else { 64 << 20 };
        InstanceSpec {
            instance: InstanceId::generate(),
            name: InstanceName {
                app: self.name.clone(),
                process: ProcessType::web(),
                release: ReleaseVersion(7),
                n,
            },
            role: Role::Instance,
            app: self.app,
            release: ReleaseId::generate(),
            deployment: Some(DeploymentId::generate()),
            image: self.harness.image(),
            command: Some(self.harness.command(act)),
            env: BTreeMap::from([("GREETING".to_owned(), "hello".into())]),
            port,
            restart_seq: 2,
            limits: Limits {
                memory_bytes,
                ..Limits::default()
            },
            network: self.network.name.clone(),
            extra_labels: BTreeMap::from([("example.label".to_owned(), "value".to_owned())]),
            gate: None,
            stop_grace: Duration::from_secs(1),
        }
    }

    pub(super) async fn ensure_network(&self) {
        self.runtime()
            .ensure_network(&self.network)
            .await
            .expect("the network is made");
    }

    /// Makes the network and starts the first instance.
    pub(super) async fn start(&self, act: &Act) -> (InstanceSpec, Started) {
        self.ensure_network().await;
        let spec = self.spec(1, act);
        let started = self.runtime().start(&spec).await.expect("it starts");
        (spec, started)
    }

    pub(super) async fn observe(&self) -> Vec<Observed> {
        self.runtime()
            .observe(Scope::App(self.app))
            .await
            .expect("it can be observed")
    }

    /// Removes the app and makes sure that nothing of it is left.
    pub(super) async fn clear(&self) {
        let case = self.case;
        self.runtime().remove_app(self.app).await.expect("the app is removed");
        assert_eq!(self.observe().await, [], "{case} left containers behind");
        let images = self.runtime().images(self.app).await.expect("images are listed");
        assert_eq!(images, [], "{case} left images behind");
        self.runtime()
            .remove_app(self.app)
            .await
            .expect("removing twice does no harm");
    }

    /// Fails if `work` takes too long.
    pub(super) async fn soon<T>(&self, what: &str, work: impl Future<Output = T>) -> T {
        match tokio::time::timeout(DEADLINE, work).await {
            Ok(done) => done,
            Err(_) => panic!("{}: {what} took longer than {DEADLINE:?}", self.case),
        }
    }
}
