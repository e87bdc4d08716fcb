//! Node.js apps: `package.json`.

mod install;
mod manager;
mod package_json;
mod start;
mod version;

use manager::Manager;
use package_json::PackageJson;
use start::Start;

use crate::{
    BuildPlan, Buildpack, Detection, PlanError, PlanOptions, RunUser, Tree,
    images::image_for,
    plan::variables,
    processes_of,
    static_site::{Site, serve},
    with_default_web,
};

pub(crate) const PACKAGE_JSON: &str = "package.json";

/// The buildpack.
pub(crate) struct Node;

impl Buildpack for Node {
    fn name(&self) -> &'static str {
        "node"
    }

    fn detect(&self, tree: &Tree<'_>) -> Result<Detection, PlanError> {
        Ok(if tree.has(PACKAGE_JSON) {
            Detection::Fits {
                because: PACKAGE_JSON.to_owned(),
            }
        } else {
            Detection::No {
                looked_for: &[PACKAGE_JSON],
            }
        })
    }

    fn plan(&self, tree: &Tree<'_>, options: &PlanOptions) -> Result<BuildPlan, PlanError> {
        let package = PackageJson::read(tree)?;
        let (major, why) = version::major(tree, &package)?;
        let manager = Manager::of(tree, &package)?;
        let declared = processes_of(tree)?;
        let start = start::find(tree, &package, declared.is_some())?;
        let mut decisions = vec![format!("Node.js {major} ({why})")];
        decisions.extend(manager.decision(&package));
        decisions.push(start.decision());
        let (web, files, packages) = match &start {
            Start::Process(process) => (Some(process.clone()), vec![], vec![]),
            Start::Pages { root, single_page } => {
                let (process, files, packages) = serve(&Site {
                    root,
                    single_page: *single_page,
                });
                (Some(process), files, packages)
            }
            Start::Procfile => (None, vec![], vec![]),
        };
        let pages = matches!(start, Start::Pages { .. });
        Ok(BuildPlan {
            buildpack: self.name().to_owned(),
            decisions,
            base_image: image_for(&options.images.node, &major.to_string()),
            packages: install::packages(&package, packages),
            args: options.args.clone(),
            workdir: "/app".to_owned(),
            // The official images bring a user `node` with this id.
            user: RunUser { id: 1000, add_as: None },
            environment: variables(&manager.environment()),
            files,
            ignore: if package.has_dependencies() {
                vec!["node_modules".to_owned()]
            } else {
                vec![]
            },
            steps: install::steps(tree, &package, &manager, pages),
            run_environment: variables(&[("NODE_ENV", "production")]),
            processes: with_default_web(declared, web),
            stop_signal: pages.then(|| "SIGINT".to_owned()),
        })
    }
}

#[cfg(test)]
mod tests;
