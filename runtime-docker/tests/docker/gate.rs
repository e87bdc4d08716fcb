//! Whether gates work is known before anything depends on them.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use windlass_runtime::Gate;
use windlass_runtime_docker::GateError;

use crate::harness::DockerHarness;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("windlass-gate-{name}-{}", uuid::Uuid::new_v4().simple()));
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }

    /// The static busybox under the name of one of its commands.
    fn with(self, command: &str, mode: u32) -> Self {
        let program = self.0.join(command);
        fs::copy("/bin/busybox", &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    fn gate(&self, command: &str) -> Gate {
        Gate {
            folder: self.0.clone(),
            mounted_at: "/.windlass".to_owned(),
            command: vec![format!("/.windlass/{command}")],
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_is_tried_out_and_nothing_is_left() {
    let harness = DockerHarness::new(8).await;
    let folder = Folder::new("works").with("true", 0o555);
    harness.runtime.try_gate(&folder.gate("true")).await.unwrap();
    harness.runtime.try_gate(&folder.gate("true")).await.unwrap();
    let name = format!("windlass-gate-check-{}", harness.runtime.engine_id());
    assert!(harness.docker().inspect_container(&name, None).await.is_err());
    let image = format!("windlass/gate-check:{}", harness.runtime.engine_id());
    assert!(harness.docker().inspect_image(&image).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_docker_cannot_use_says_why() {
    let harness = DockerHarness::new(9).await;
    let folder = Folder::new("fails").with("false", 0o555).with("true", 0o444);
    let missing = Gate {
        folder: folder.0.join("elsewhere"),
        ..folder.gate("true")
    };
    let cases = [
        (missing, "bind source path does not exist"),
        (folder.gate("none"), "no such file"),
        (folder.gate("true"), "permission denied"),
        (folder.gate("false"), "code 1"),
    ];
    for (gate, expected) in cases {
        let error = harness.runtime.try_gate(&gate).await.unwrap_err();
        assert!(matches!(error, GateError::Unusable { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}
