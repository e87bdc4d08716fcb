use std::{fs, path::PathBuf, time::Duration};

use super::{Act, Stage};
use crate::{Gate, Health, InstanceSpec};

/// A folder of the machine, removed at the end; a container is healthy as long as it holds a file `open`.
struct Folder(PathBuf);

impl Folder {
    fn of(stage: &Stage<'_>) -> Self {
        let folder = std::env::temp_dir().join(format!("windlass-gate-{}", stage.name));
        fs::create_dir_all(&folder).expect("the temporary directory is writable");
        Self(folder)
    }

    fn gate(&self) -> Gate {
        Gate {
            folder: self.0.clone(),
            mounted_at: "/gate".to_owned(),
            command: ["/bin/cat", "/gate/open"].map(str::to_owned).to_vec(),
        }
    }

    fn open(&self) {
        fs::write(self.0.join("open"), "").expect("the folder is writable");
    }

    fn close(&self) {
        fs::remove_file(self.0.join("open")).expect("it is open");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing of it matters any more.
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn gated(stage: &Stage<'_>, folder: &Folder) -> InstanceSpec {
    stage.ensure_network().await;
    InstanceSpec {
        gate: Some(folder.gate()),
        ..stage.spec(1, &Act::Sleep)
    }
}

async fn becomes(stage: &Stage<'_>, health: Health) {
    stage
        .soon("becoming what its gate says", async {
            while stage.observe().await[0].health != Some(health) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
}

pub(super) async fn health_is_what_the_program_says(stage: &Stage<'_>) {
    let folder = Folder::of(stage);
    let spec = gated(stage, &folder).await;
    stage.runtime().start(&spec).await.expect("it starts");
    assert!(matches!(
        stage.observe().await[0].health,
        Some(Health::Starting | Health::Unhealthy)
    ));
    becomes(stage, Health::Unhealthy).await;
    folder.open();
    becomes(stage, Health::Healthy).await;
    folder.close();
    becomes(stage, Health::Unhealthy).await;
    assert!(stage.observe().await[0].state.is_running());
}

pub(super) async fn without_a_gate_there_is_no_health(stage: &Stage<'_>) {
    stage.start(&Act::Sleep).await;
    assert_eq!(stage.observe().await[0].health, None);
}

pub(super) async fn waking_a_gate_does_no_harm(stage: &Stage<'_>) {
    let folder = Folder::of(stage);
    folder.open();
    let spec = gated(stage, &folder).await;
    let started = stage.runtime().start(&spec).await.expect("it starts");
    becomes(stage, Health::Healthy).await;
    for _ in 0..2 {
        stage
            .runtime()
            .wake_gate(&started.container)
            .await
            .expect("it is woken");
    }
    becomes(stage, Health::Healthy).await;
    folder.close();
    becomes(stage, Health::Unhealthy).await;
    stage.runtime().remove(&started.container).await.expect("it is removed");
    stage.runtime().wake_gate(&started.container).await.expect("it is gone");
    let (_, without) = stage.start(&Act::Sleep).await;
    stage
        .runtime()
        .wake_gate(&without.container)
        .await
        .expect("it has none");
    assert!(stage.observe().await[0].state.is_running());
}

pub(super) async fn a_stopped_container_has_no_health(stage: &Stage<'_>) {
    let folder = Folder::of(stage);
    folder.open();
    let spec = gated(stage, &folder).await;
    let started = stage.runtime().start(&spec).await.expect("it starts");
    becomes(stage, Health::Healthy).await;
    let stopped = stage.runtime().stop(&started.container, Duration::from_secs(10)).await;
    stopped.expect("it stops");
    assert_eq!(stage.observe().await[0].health, None);
}
