//! The import rules of the house that cargo-deny's `wrappers` cannot say: what a crate itself may depend on. The table is the one of
//! docs/explanation/architecture.md; `deny.toml` holds the other half.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on should stop"
)]

use std::{collections::BTreeMap, path::Path, process::Command};

/// What a crate may depend on, besides itself in its tests.
enum Rule {
    /// A pure crate: these and nothing else.
    Only(&'static [&'static str]),
    /// Anything but these.
    Never(&'static [&'static str]),
}

use Rule::{Never, Only};

const HOUSE: [(&str, Rule, &str); 19] = [
    (
        "windlass-domain",
        Only(&[
            "chrono",
            "ipnet",
            "serde",
            "serde_json",
            "thiserror",
            "url",
            "uuid",
            "zeroize",
        ]),
        "the vocabulary is pure: no runtime, no database, no HTTP, no clock",
    ),
    (
        "windlass-api-types",
        Only(&[
            "chrono",
            "serde",
            "serde_json",
            "thiserror",
            "utoipa",
            "uuid",
            "windlass-domain",
        ]),
        "the shapes of the API are shared by server and client and do nothing",
    ),
    (
        "windlass-buildpacks",
        Only(&[
            "nodejs-semver",
            "regex",
            "semver",
            "serde",
            "serde_json",
            "thiserror",
            "toml",
            "windlass-domain",
        ]),
        "a plan is a pure function of a file tree",
    ),
    (
        "windlass-converge",
        Only(&["chrono", "serde", "serde_json", "thiserror", "windlass-domain"]),
        "what to do is decided purely and done elsewhere",
    ),
    (
        "windlass-router-labels",
        Only(&["serde", "serde_json", "thiserror", "windlass-domain"]),
        "labels are a pure function of a route, and back",
    ),
    (
        "windlass-gate",
        Only(&[]),
        "half of it runs in images that hold nothing, and both halves are files",
    ),
    (
        "windlass-forge",
        Never(&["axum", "bollard", "git2", "reqwest", "sqlx", "tokio", "windlass-store"]),
        "a delivery is verified and read, never acted upon",
    ),
    (
        "windlass-api",
        Never(&[
            "bollard",
            "sqlx",
            "git2",
            "windlass-builder",
            "windlass-buildpacks",
            "windlass-converge",
            "windlass-router",
            "windlass-runtime",
            "windlass-runtime-docker",
            "windlass-worker",
        ]),
        "api records what is wanted and never changes a container",
    ),
    (
        "windlass-worker",
        Never(&[
            "axum",
            "bollard",
            "git2",
            "sqlx",
            "windlass-api",
            "windlass-api-types",
            "windlass-router",
            "windlass-runtime-docker",
        ]),
        "worker knows ports, rows and plans, not their drivers",
    ),
    (
        "windlass-builder",
        Never(&[
            "axum",
            "git2",
            "sqlx",
            "windlass-router",
            "windlass-source",
            "windlass-store",
            "windlass-worker",
        ]),
        "the builder gets a tree and a plan, and never hears of apps' rows or domains",
    ),
    (
        "windlass-store",
        Never(&[
            "axum",
            "bollard",
            "git2",
            "reqwest",
            "windlass-runtime",
            "windlass-source",
        ]),
        "the store only speaks to Postgres",
    ),
    (
        "windlass-source",
        Never(&[
            "axum",
            "bollard",
            "reqwest",
            "sqlx",
            "windlass-builder",
            "windlass-store",
        ]),
        "source knows git and nothing of what becomes of a tree",
    ),
    (
        "windlass-runtime",
        Never(&["bollard", "sqlx", "windlass-store"]),
        "the port knows no driver",
    ),
    (
        "windlass-runtime-docker",
        Never(&["axum", "sqlx", "windlass-api", "windlass-store", "windlass-worker"]),
        "a driver only drives",
    ),
    (
        "windlass-router",
        Never(&[
            "axum",
            "bollard",
            "sqlx",
            "windlass-runtime",
            "windlass-runtime-docker",
            "windlass-store",
            "windlass-worker",
        ]),
        "the router serves from its table when all else is down",
    ),
    (
        "windlass-engine",
        Never(&["axum", "bollard", "git2", "sqlx", "windlass-cli"]),
        "the composition root wires and holds no rules of its own",
    ),
    (
        "windlass-cli",
        Never(&[
            "axum",
            "bollard",
            "git2",
            "sqlx",
            "windlass-api",
            "windlass-builder",
            "windlass-buildpacks",
            "windlass-converge",
            "windlass-engine",
            "windlass-forge",
            "windlass-router",
            "windlass-router-labels",
            "windlass-runtime",
            "windlass-runtime-docker",
            "windlass-source",
            "windlass-store",
            "windlass-worker",
        ]),
        "the command line uses the public API like any other client",
    ),
    (
        "windlass-chaos",
        Never(&[
            "bollard",
            "sqlx",
            "windlass-engine",
            "windlass-router",
            "windlass-store",
            "windlass-worker",
        ]),
        "the proof judges Windlass from outside, never through its own eyes",
    ),
    (
        "windlass-testkit",
        Never(&[
            "bollard",
            "sqlx",
            "windlass-engine",
            "windlass-store",
            "windlass-worker",
        ]),
        "the stories look at Windlass from outside",
    ),
];

/// Crates that may depend on any other: the stories.
const FREE: [&str; 1] = ["windlass-e2e"];

#[test]
fn every_crate_keeps_to_what_it_may_import() {
    let imports = imports();
    let mut broken = Vec::new();
    for (name, rule, reason) in &HOUSE {
        let Some(found) = imports.get(*name) else {
            broken.push(format!("{name} stands in the table but not in the workspace"));
            continue;
        };
        let forbidden = |import: &&String| match rule {
            Only(allowed) => !allowed.contains(&import.as_str()),
            Never(never) => never.contains(&import.as_str()),
        };
        broken.extend(
            found
                .iter()
                .filter(forbidden)
                .map(|import| format!("{name} imports {import}: {reason}")),
        );
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_crate_stands_in_the_table() {
    let missing: Vec<String> = imports()
        .into_keys()
        .filter(|name| !FREE.contains(&name.as_str()) && HOUSE.iter().all(|(known, ..)| known != name))
        .collect();
    assert!(missing.is_empty(), "say what these must never import: {missing:?}");
}

/// What each crate of the workspace depends on, tests left out.
fn imports() -> BTreeMap<String, Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let of = |package: &serde_json::Value| {
        let all = package["dependencies"].as_array().unwrap();
        all.iter()
            .filter(|import| import["kind"].is_null())
            .map(|import| text(&import["name"]))
            .collect()
    };
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| (text(&package["name"]), of(package)))
        .collect()
}
