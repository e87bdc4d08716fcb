//! Python apps: requirements.txt, pyproject.toml, Pipfile, or a lock file of uv, Poetry or PDM.

mod installer;
mod start;
mod version;

use installer::Installer;
use start::Start;

use crate::{
    BuildPlan, Buildpack, Detection, InvalidFile, PlanError, PlanOptions, RunUser, Step, Tree, images::image_for,
    plan::variables, processes_of, with_default_web,
};

/// Files that show a Python app.
const SIGNS: &[&str] = &[
    "requirements.txt",
    "pyproject.toml",
    "Pipfile",
    "setup.py",
    "uv.lock",
    "poetry.lock",
    "pdm.lock",
    "main.py",
    "app.py",
    "manage.py",
];
/// Where the app's packages are: outside of its directory, so that no file of the revision can lie over them.
const VENV: &str = "/opt/venv";
/// Where the cache of every installer is mounted.
const CACHE: &str = "/cache";
const PATH: &str = "/opt/venv/bin:/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The buildpack.
pub(crate) struct Python;

impl Buildpack for Python {
    fn name(&self) -> &'static str {
        "python"
    }

    fn detect(&self, tree: &Tree<'_>) -> Result<Detection, PlanError> {
        Ok(match tree.first_of(SIGNS) {
            Some(found) => Detection::Fits {
                because: found.to_owned(),
            },
            None => Detection::No { looked_for: SIGNS },
        })
    }

    fn plan(&self, tree: &Tree<'_>, options: &PlanOptions) -> Result<BuildPlan, PlanError> {
        let (version, why) = version::choose(tree)?;
        let installer = Installer::of(tree)?;
        let declared = processes_of(tree)?;
        let start = start::find(tree, &installer)?;
        if start.is_none() && declared.is_none() {
            return Err(cannot_start(tree).into());
        }
        let mut decisions = vec![format!("Python {version} ({why})")];
        decisions.push(installer.decision());
        decisions.extend(start.as_ref().map(|start| start.decision.clone()));
        Ok(BuildPlan {
            buildpack: self.name().to_owned(),
            decisions,
            base_image: image_for(&options.images.python, &version),
            packages: installer.debian_packages(),
            args: options.args.clone(),
            workdir: "/app".to_owned(),
            user: RunUser::added(),
            environment: variables(&[
                ("HOME", "/app"),
                ("PATH", PATH),
                ("VIRTUAL_ENV", VENV),
                ("PIP_CACHE_DIR", CACHE),
                ("UV_CACHE_DIR", CACHE),
                ("POETRY_CACHE_DIR", CACHE),
                ("PDM_CACHE_DIR", CACHE),
                ("PIPENV_CACHE_DIR", CACHE),
                ("PYTHONUNBUFFERED", "1"),
                ("PYTHONDONTWRITEBYTECODE", "1"),
            ]),
            files: vec![],
            ignore: ["**/__pycache__", ".venv", "venv"].map(str::to_owned).to_vec(),
            steps: steps(tree, &installer, start.as_ref()),
            run_environment: variables(&[]),
            processes: with_default_web(declared, start.map(|start| start.process)),
            stop_signal: None,
        })
    }
}

fn steps(tree: &Tree<'_>, installer: &Installer, start: Option<&Start>) -> Vec<Step> {
    let mut steps = Vec::new();
    if installer.is_needed() {
        let make_room = ["install", "--directory", "--owner", "1000", "--group", "1000", VENV];
        let mut tools = Step::new("Tools").run_by_root().running(&make_room);
        tools.run.extend(installer.own_installation());
        steps.push(tools);
        let copied = installer.inputs(tree);
        let mut step = Step::new("Dependencies")
            .copying(copied.iter().map(String::as_str))
            .cached(installer.cache(), CACHE)
            .running(&["python3", "-m", "venv", VENV]);
        step.run.push(installer.install());
        steps.push(step);
    }
    steps.push(Step::new("The app").copying(["."]));
    if start.is_some_and(|start| start.collects_static) {
        // A site without a place for its static files, or without its config vars at hand, is deployed all the same.
        let script =
            "python manage.py collectstatic --noinput || echo 'collectstatic failed; the build goes on without it'";
        steps.push(Step::new("Static files").running(&["/bin/sh", "-c", script]));
    }
    steps
}

fn cannot_start(tree: &Tree<'_>) -> InvalidFile {
    let file = tree.first_of(SIGNS).unwrap_or("the app");
    InvalidFile::new(
        file,
        None,
        "shows a Python app, but not how it is started: there is no Procfile, no manage.py, no Flask or FastAPI app and no main.py or app.py",
        "add a Procfile such as `web: gunicorn myapp:app` or `web: python server.py`",
    )
}

#[cfg(test)]
mod tests;
