//! The tour of README.md, typed as it stands.

use std::{fs, path::Path, process::Stdio};

use tokio::{io::AsyncWriteExt, process::Command};
use windlass_testkit::{Engine, program};

/// A block of the tour: what is typed, and what the README says comes of it.
#[derive(Debug)]
struct Block {
    typed: String,
    shown: String,
}

/// The blocks of the section "A five-minute tour".
fn blocks() -> Vec<Block> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    let tour = readme
        .split("## A five-minute tour")
        .nth(1)
        .expect("the README has a tour");
    let tour = tour.split("\n## ").next().unwrap();
    let mut blocks: Vec<Block> = Vec::new();
    for fence in tour.split("\n```").skip(1) {
        if let Some(typed) = fence.strip_prefix("sh\n") {
            blocks.push(Block {
                typed: typed.to_owned(),
                shown: String::new(),
            });
        } else if let Some(shown) = fence.strip_prefix("text\n") {
            blocks.last_mut().expect("an output follows what was typed").shown = shown.to_owned();
        }
    }
    blocks
}

/// Whether `output` holds the lines of `shown` in their order, where `…` stands for anything.
fn shows(output: &str, shown: &str) -> Result<(), String> {
    let mut lines = output.lines();
    for wanted in shown.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if !lines.any(|line| fits(line, wanted)) {
            return Err(wanted.to_owned());
        }
    }
    Ok(())
}

fn fits(line: &str, wanted: &str) -> bool {
    let mut rest = line;
    wanted.split('…').map(str::trim).all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

/// What the tour types, fitted to an engine with other ports; a live tail is ended after a while, as Ctrl-C would.
fn script(engine: &Engine, blocks: &[Block]) -> String {
    let api_port = engine.url().rsplit(':').next().unwrap().to_owned();
    let router_port = engine.router().rsplit(':').next().unwrap().to_owned();
    let mut script = String::from("exec 2>&1\n");
    for (n, block) in blocks.iter().enumerate() {
        let mut typed = block.typed.replace("localhost:8700", &format!("localhost:{api_port}"));
        typed = typed.replace("localhost:8080", &format!("localhost:{router_port}"));
        for line in typed
            .lines()
            .filter(|line| !line.starts_with("make ") && !line.starts_with("export PATH="))
        {
            let line = if line.ends_with(" -t") {
                format!("timeout -s INT 5 {line}")
            } else {
                line.to_owned()
            };
            script.push_str(&line);
            script.push('\n');
        }
        script.push_str(&format!("echo '--- block {n} ends'\n"));
    }
    script
}

#[tokio::test]
async fn the_readmes_tour_works_as_it_stands() {
    let engine = Engine::start().await;
    let mut blocks = blocks();
    // All engines share one Docker, and containers are named after their apps.
    for block in &mut blocks {
        let name = format!("shop-{}", engine.number());
        block.typed = block.typed.replace("shop", &name);
        block.shown = block.shown.replace("shop", &name);
    }
    assert!(blocks.len() >= 8, "the tour has its blocks: {blocks:#?}");
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".windlass")).unwrap();
    let token = engine.windlassd(&["setup-token"]).await.must_succeed();
    let token = token
        .split_whitespace()
        .find(|word| word.starts_with("wls_"))
        .expect("a setup token");
    fs::write(home.path().join(".windlass/setup-token"), token).unwrap();

    let output = type_in(home.path(), &script(&engine, &blocks)).await;

    let mut rest = output.as_str();
    for (n, block) in blocks.iter().enumerate() {
        let (said, after) = rest.split_once(&format!("--- block {n} ends\n")).unwrap_or((rest, ""));
        if let Err(missing) = shows(said, &block.shown) {
            panic!(
                "the tour says {missing:?} after\n{}\nbut this came:\n{said}",
                block.typed
            );
        }
        rest = after;
    }
    engine.assert_clean();
}

/// Types a script into a shell whose home is this folder.
async fn type_in(home: &Path, script: &str) -> String {
    let programs = program("windlass").parent().unwrap().display().to_string();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command
        .current_dir(home)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command.env("PATH", path).env("HOME", home).env("LANG", "C.UTF-8");
    let mut shell = command.spawn().unwrap();
    shell.stdin.take().unwrap().write_all(script.as_bytes()).await.unwrap();
    let output = shell.wait_with_output().await.unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}
