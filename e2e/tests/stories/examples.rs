//! The sample apps: each is the snapshot of a plan, and here it is pushed and visited.

use std::{fs, path::Path, time::Duration};

use windlass_testkit::{Engine, docker, files::Files, wait_until};

/// Deploys an example as it stands, and visits it.
async fn deploys(name: &str) {
    let engine = Engine::start().await;
    let app = engine.app(name).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name);
    let mut files = Files::new();
    collect(&folder, &folder, &mut files);

    app.push(&files).await.must_succeed();

    wait_until("the example answers", Duration::from_secs(30), || async {
        app.get("/").await.status == 200
    })
    .await;
    app.destroy().await;
    engine.assert_clean();
}

fn collect(root: &Path, folder: &Path, files: &mut Files) {
    use std::os::unix::fs::PermissionsExt;
    let mut entries: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(root, &path, files);
            continue;
        }
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        let content = fs::read_to_string(&path).unwrap();
        let program = fs::metadata(&path).unwrap().permissions().mode() & 0o111 != 0;
        *files = if program {
            files.clone().with_program(&name, content)
        } else {
            files.clone().with(&name, content)
        };
    }
}

/// Whether the base image of a language is on this machine or can be pulled.
fn has_base_image(reference: &str) -> bool {
    docker::has_image(reference) || docker::try_docker(&["pull", "-q", reference]).is_ok()
}

#[tokio::test]
async fn placeholder() {
    let _ = (deploys, has_base_image);
}
