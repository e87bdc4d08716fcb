//! Apps that are only a Procfile: their files over plain Debian, started as the Procfile says.

use crate::{
    BuildPlan, Buildpack, Detection, InvalidFile, PROCFILE, PlanError, PlanOptions, RunUser, Step, Tree,
    plan::variables, processes_of,
};

/// The buildpack of last resort.
pub(crate) struct Bare;

impl Buildpack for Bare {
    fn name(&self) -> &'static str {
        "procfile"
    }

    fn detect(&self, tree: &Tree<'_>) -> Result<Detection, PlanError> {
        Ok(if tree.has(PROCFILE) {
            Detection::Fits {
                because: PROCFILE.to_owned(),
            }
        } else {
            Detection::No {
                looked_for: &[PROCFILE],
            }
        })
    }

    fn plan(&self, tree: &Tree<'_>, options: &PlanOptions) -> Result<BuildPlan, PlanError> {
        let missing = || InvalidFile::new(PROCFILE, None, "is missing", "add a Procfile such as `web: ./start`");
        let processes = processes_of(tree)?.ok_or_else(missing)?;
        Ok(BuildPlan {
            buildpack: self.name().to_owned(),
            decisions: vec!["Only a Procfile: the files as they are, over Debian".to_owned()],
            base_image: options.images.debian.clone(),
            packages: vec![],
            args: options.args.clone(),
            workdir: "/app".to_owned(),
            user: RunUser::added(),
            environment: variables(&[]),
            files: vec![],
            ignore: vec![],
            steps: vec![Step::new("The app").copying(["."])],
            run_environment: variables(&[("HOME", "/app")]),
            processes,
            stop_signal: None,
        })
    }
}
