//! The world as it is, seen from outside: rows by SQL, containers by Docker's own command line, the router by its table and its
//! status, and the apps by HTTP. The checker judges nothing else.

mod docker;
mod router;
mod rows;

use std::{collections::BTreeMap, path::Path};

use windlass_testkit::{Answer, Engine};

pub use docker::{Container, Docker, DockerEye};
pub use router::{Router, gap_probe, router_pid, until_heard};
pub use rows::{AppRow, DeploymentRow, FormationRow, ImageRow, InstanceRow, ReleaseRow, Rows, StepRow};

/// Everything at one moment.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// What the database says.
    pub rows: Rows,
    /// What Docker says.
    pub docker: Docker,
    /// What the router says; none: it does not answer.
    pub router: Option<Router>,
    /// What each app with a live release answers, by its name.
    pub answers: BTreeMap<String, Vec<Answer>>,
    /// Ids of the apps whose repositories are on disk.
    pub repositories: Vec<String>,
}

/// How often each app is asked.
const QUESTIONS: usize = 2;

impl World {
    /// Looks at everything; visitors come in at `address`, and the built-in router, if it is one, has its folder in `router`.
    ///
    /// # Errors
    /// When a part cannot be looked at; it may be down on purpose.
    pub async fn look(engine: &Engine, address: &str, router: Option<&Path>, eye: &DockerEye) -> anyhow::Result<Self> {
        let rows = Rows::read(engine).await?;
        let docker = eye.look(engine.id())?;
        let router = match router {
            Some(data_dir) => Router::ask(data_dir).await.ok(),
            None => None,
        };
        let mut answers = BTreeMap::new();
        for app in rows.apps.iter().filter(|app| app.live.is_some() && !app.deleting) {
            let host = format!("{}.localhost", app.name);
            let mut said = Vec::new();
            for _ in 0..QUESTIONS {
                said.push(windlass_testkit::get(address, &host, "/").await);
            }
            answers.insert(app.name.clone(), said);
        }
        let repositories = repositories(engine);
        Ok(Self {
            rows,
            docker,
            router,
            answers,
            repositories,
        })
    }
}

/// The names of bare repositories, `{app id}.git`, as plain hexadecimal.
fn repositories(engine: &Engine) -> Vec<String> {
    let entries = std::fs::read_dir(engine.data_dir().join("repositories"));
    let names = entries
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter_map(|name| Some(plain(name.strip_suffix(".git")?)))
        .collect()
}

/// An id without its kind and its dashes, as rows and labels can be compared.
fn plain(id: &str) -> String {
    id.rsplit('_').next().unwrap_or(id).replace('-', "")
}
