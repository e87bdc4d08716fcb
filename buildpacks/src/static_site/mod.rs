//! Sites of files only, served by lighttpd.
//!
//! Of the servers that Debian keeps, lighttpd is the one that fits without glue: it reads `PORT` from the environment by itself (nginx
//! needs a template and a shell), compresses, sends ETags and ranges and takes error pages from the site (darkhttpd and busybox do
//! not), runs as a single unprivileged process and finishes its requests on SIGINT.

mod server;
mod staticfile;

pub(crate) use server::{Site, serve};

use crate::{
    BuildPlan, Buildpack, Detection, PROCFILE, PlanError, PlanOptions, RunUser, Step, Tree, plan::variables,
    processes_of, with_default_web,
};
use staticfile::{STATICFILE, Staticfile};

/// Directories that hold a finished site, in order.
const ROOTS: [&str; 6] = ["", "public", "dist", "_site", "build", "site"];

/// The buildpack.
pub(crate) struct StaticSite;

impl Buildpack for StaticSite {
    fn name(&self) -> &'static str {
        "static"
    }

    fn detect(&self, tree: &Tree<'_>) -> Result<Detection, PlanError> {
        let found = if tree.has(STATICFILE) {
            Some(STATICFILE.to_owned())
        } else if tree.has(PROCFILE) {
            // Pages beside a Procfile belong to whatever the Procfile starts.
            None
        } else {
            root_of(tree).map(|root| join(root, "index.html"))
        };
        Ok(match found {
            Some(because) => Detection::Fits { because },
            None => Detection::No {
                looked_for: &[
                    "index.html (also in public/, dist/, _site/, build/ or site/)",
                    STATICFILE,
                ],
            },
        })
    }

    fn plan(&self, tree: &Tree<'_>, options: &PlanOptions) -> Result<BuildPlan, PlanError> {
        let own = Staticfile::read(tree)?;
        let root = own
            .root
            .clone()
            .unwrap_or_else(|| root_of(tree).unwrap_or_default().to_owned());
        let (process, files, packages) = serve(&Site {
            root: &root,
            single_page: own.single_page,
        });
        let place = if root.is_empty() {
            "the root".to_owned()
        } else {
            format!("`{root}`")
        };
        Ok(BuildPlan {
            buildpack: self.name().to_owned(),
            decisions: vec![format!("Static site: the files in {place}, served by lighttpd")],
            base_image: options.images.debian.clone(),
            packages,
            args: vec![],
            workdir: "/app".to_owned(),
            user: RunUser::added(),
            environment: variables(&[]),
            files,
            ignore: vec![],
            steps: vec![Step::new("The site").copying(["."])],
            run_environment: variables(&[("HOME", "/app")]),
            processes: with_default_web(processes_of(tree)?, Some(process)),
            stop_signal: Some("SIGINT".to_owned()),
        })
    }
}

fn root_of(tree: &Tree<'_>) -> Option<&'static str> {
    ROOTS.into_iter().find(|root| tree.has(&join(root, "index.html")))
}

fn join(root: &str, name: &str) -> String {
    if root.is_empty() {
        name.to_owned()
    } else {
        format!("{root}/{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tree::tree;

    fn decision(files: &[(&str, &str)]) -> String {
        let source = tree(files);
        let plan = crate::plan(&Tree::new(&source, "").unwrap(), &PlanOptions::default()).unwrap();
        plan.decisions[0].clone()
    }

    #[test]
    fn the_site_is_where_its_index_is() {
        assert_eq!(
            decision(&[("index.html", "")]),
            "Static site: the files in the root, served by lighttpd"
        );
        assert_eq!(
            decision(&[("dist/index.html", "")]),
            "Static site: the files in `dist`, served by lighttpd"
        );
        assert_eq!(
            decision(&[("Staticfile", "root: www\n"), ("www/a.html", "")]),
            "Static site: the files in `www`, served by lighttpd"
        );
    }

    #[test]
    fn pages_beside_a_procfile_are_not_a_site() {
        assert_eq!(
            decision(&[("index.html", ""), ("Procfile", "web: ./server\n")]),
            "Only a Procfile: the files as they are, over Debian"
        );
    }
}
