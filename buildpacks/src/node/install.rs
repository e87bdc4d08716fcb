//! The steps of a Node.js build.

use super::{PACKAGE_JSON, manager::Manager, package_json::PackageJson};
use crate::{Step, Tree};

/// Files besides package.json that an installation reads, where they exist.
const CONFIG_FILES: [&str; 6] = [
    ".npmrc",
    ".yarnrc",
    ".yarnrc.yml",
    "pnpm-workspace.yaml",
    ".pnpmfile.cjs",
    "bunfig.toml",
];
/// Scripts that an installation runs, which may need the source.
const INSTALL_SCRIPTS: [&str; 4] = ["preinstall", "install", "postinstall", "prepare"];

/// Debian packages: those of the server, and git for dependencies that come from repositories.
pub(crate) fn packages(package: &PackageJson, mut packages: Vec<String>) -> Vec<String> {
    let from_git =
        |source: &String| source.starts_with("git") || source.starts_with("github:") || source.contains(".git#");
    let all = [
        &package.dependencies,
        &package.dev_dependencies,
        &package.optional_dependencies,
    ];
    if all
        .into_iter()
        .flat_map(|dependencies| dependencies.values())
        .any(from_git)
    {
        packages.extend(["ca-certificates", "git"].map(str::to_owned));
    }
    packages
}

/// Install, copy, build, prune. `pages`: only files are served, so what was installed for the build need not go.
pub(crate) fn steps(tree: &Tree<'_>, package: &PackageJson, manager: &Manager, pages: bool) -> Vec<Step> {
    let builds = package.has_script("build");
    let development = builds || INSTALL_SCRIPTS.iter().any(|script| package.has_script(script));
    let mut steps = Vec::new();
    if package.has_dependencies() {
        if let Some(command) = manager.own_installation() {
            let mut step = Step::new("The package manager").run_by_root();
            step.run.push(command);
            steps.push(step);
        }
        let (id, target) = manager.cache();
        let copied = inputs(tree, package, manager);
        let mut step = Step::new("Dependencies")
            .copying(copied.iter().map(String::as_str))
            .cached(id, &target);
        step.run.push(manager.install(development));
        steps.push(step);
    }
    steps.push(Step::new("The app").copying(["."]));
    if builds {
        let (id, target) = manager.cache();
        let mut step = Step::new("Build").cached(id, &target);
        step.run.push(manager.run("build"));
        if let Some(prune) = manager
            .prune()
            .filter(|_| !pages && !package.dev_dependencies.is_empty())
        {
            step.run.push(prune);
        }
        steps.push(step);
    }
    steps
}

/// What is copied before the installation. With workspaces or install scripts everything may matter, so everything is copied.
fn inputs(tree: &Tree<'_>, package: &PackageJson, manager: &Manager) -> Vec<String> {
    let local = |source: &String| {
        ["file:", "link:", "workspace:", "portal:"]
            .iter()
            .any(|kind| source.starts_with(kind))
    };
    let all = [
        &package.dependencies,
        &package.dev_dependencies,
        &package.optional_dependencies,
    ];
    let needs_source = package.workspaces.is_some()
        || tree.has("pnpm-workspace.yaml")
        || INSTALL_SCRIPTS.iter().any(|script| package.has_script(script))
        || all
            .into_iter()
            .flat_map(|dependencies| dependencies.values())
            .any(local);
    if needs_source {
        return vec![".".to_owned()];
    }
    let mut inputs = vec![PACKAGE_JSON.to_owned()];
    inputs.extend(manager.lock.map(str::to_owned));
    inputs.extend(
        CONFIG_FILES
            .into_iter()
            .filter(|file| tree.has(file))
            .map(str::to_owned),
    );
    inputs.extend(
        [".yarn", "patches"]
            .into_iter()
            .filter(|folder| tree.has_folder(folder))
            .map(str::to_owned),
    );
    inputs
}
