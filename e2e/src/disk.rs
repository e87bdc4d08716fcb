//! What many deployments leave on the disk.

use std::{fs, os::unix::fs::MetadataExt, path::Path, time::Duration};

use serde_json::json;
use windlass_testkit::{Engine, docker::try_docker, eventually, files};

use crate::table::Row;

const DEPLOYS: usize = 50;
/// A file that changes with each deployment, so that each has a layer of its own.
const LAYER_BYTES: usize = 1 << 20;
/// The sweep comes once a minute.
const SWEPT: Duration = Duration::from_secs(200);
/// Releases whose images are kept, as configured by default.
const KEPT: usize = 5;

/// Images and data after fifty deployments of one app, each with a layer of 1 MB of its own.
pub(crate) async fn measure() -> Vec<Row> {
    let engine = Engine::start().await;
    let app = engine.app_with(json!({ "name": "disk", "drain_seconds": 0 })).await;
    app.push(&version(0)).await.must_succeed();
    let before = megabytes(engine.data_dir());
    for n in 1..=DEPLOYS {
        app.push(&version(n)).await.must_succeed();
    }
    let label = format!("label=windlass.engine={}", engine.id());
    let images = || {
        try_docker(&["images", "-q", "--filter", &label])
            .unwrap_or_default()
            .len()
    };
    let least = eventually("images are swept", SWEPT * 2, || async {
        (images() <= KEPT + 1).then(images)
    })
    .await;
    let after = megabytes(engine.data_dir());
    app.destroy().await;
    let row = |what: &str, value: f64, target: f64| Row {
        what: what.to_owned(),
        values: vec![value],
        floor: Vec::new(),
        target,
    };
    #[expect(clippy::cast_precision_loss, reason = "a handful of images")]
    let kept = least as f64;
    #[expect(clippy::cast_precision_loss, reason = "a handful of images")]
    let most = (KEPT + 1) as f64;
    vec![
        row(&format!("images kept after {DEPLOYS} deploys of 1 MB"), kept, most),
        row(
            &format!("data directory grown by {DEPLOYS} deploys of 1 MB, MB"),
            after - before,
            120.0,
        ),
    ]
}

fn version(n: usize) -> files::Files {
    let layer = format!("{n} ").repeat(LAYER_BYTES / format!("{n} ").len());
    files::saying("hello").with("www/layer", layer)
}

/// What a folder takes on the disk.
fn megabytes(folder: &Path) -> f64 {
    fn blocks(path: &Path) -> u64 {
        let Ok(meta) = fs::symlink_metadata(path) else { return 0 };
        let inside = if meta.is_dir() { fs::read_dir(path).ok() } else { None };
        let below: u64 = inside
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| blocks(&entry.path()))
            .sum();
        meta.blocks() + below
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let bytes = (blocks(folder) * 512) as f64;
    bytes / 1_048_576.0
}
