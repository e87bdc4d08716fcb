//! The sample apps: each is the snapshot of a plan, and here it is pushed and visited.

use std::{fs, path::Path, time::Duration};

use windlass_testkit::{Engine, EngineOptions, docker, files::Files, wait_until};

/// Deploys an example as it stands, and visits it.
async fn deploys(name: &str, options: EngineOptions) {
    let engine = Engine::start_with(options).await;
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

#[tokio::test]
async fn the_dockerfile_example() {
    deploys("dockerfile", EngineOptions::default()).await;
}

#[tokio::test]
async fn the_procfile_example() {
    deploys("procfile", EngineOptions::default()).await;
}

#[tokio::test]
async fn the_static_example() {
    deploys("static", EngineOptions::default()).await;
}

#[tokio::test]
async fn the_node_example() {
    let finish = "useradd --uid 1000 --create-home node";
    let image = docker::language_image("node:22-bookworm-slim", "windlass-testkit/node:1", "nodejs", finish);
    deploys("node", EngineOptions::default().with("WINDLASS_BASE_IMAGE_NODE", image)).await;
}

#[tokio::test]
async fn the_python_example() {
    let finish = "ln -s python3 /usr/bin/python";
    let packages = "python3 python3-venv python3-pip";
    let image = docker::language_image(
        "python:3.12-slim-bookworm",
        "windlass-testkit/python:1",
        packages,
        finish,
    );
    deploys(
        "python",
        EngineOptions::default().with("WINDLASS_BASE_IMAGE_PYTHON", image),
    )
    .await;
}
