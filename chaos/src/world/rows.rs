//! What the database says, in one statement, so that it is of one moment.

use serde::Deserialize;
use windlass_testkit::Engine;

/// All rows that are judged. Ids are plain hexadecimal.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Rows {
    /// Apps.
    pub apps: Vec<AppRow>,
    /// Deployments, oldest first.
    pub deployments: Vec<DeploymentRow>,
    /// Steps of deployments, in the order in which they began.
    pub steps: Vec<StepRow>,
    /// Releases.
    pub releases: Vec<ReleaseRow>,
    /// Instances that are said to run.
    pub instances: Vec<InstanceRow>,
    /// What is wanted of process types.
    pub formation: Vec<FormationRow>,
    /// Images, the removed ones among them.
    pub images: Vec<ImageRow>,
}

/// An app.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct AppRow {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether its deletion was asked for.
    pub deleting: bool,
    /// The release that is live.
    pub live: Option<String>,
    /// The release that shall become live.
    pub candidate: Option<String>,
    /// The newest version of its config.
    pub config_version: i32,
}

/// A deployment.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct DeploymentRow {
    /// Its id.
    pub id: String,
    /// Its app.
    pub app: String,
    /// Where it stands.
    pub status: String,
    /// What began it.
    pub trigger: String,
    /// How often it was claimed.
    pub attempt: i32,
    /// Its commit.
    pub commit: Option<String>,
    /// Why it failed.
    pub failure: Option<String>,
    /// How many seconds ago it was made.
    pub age: f64,
    /// When it was made, started and finished, in seconds since 1970.
    pub created: f64,
    /// See `created`.
    pub started: Option<f64>,
    /// See `created`.
    pub finished: Option<f64>,
}

/// A step of a deployment in one attempt.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct StepRow {
    /// Its deployment.
    pub deployment: String,
    /// Which step.
    pub step: String,
    /// Which attempt.
    pub attempt: i32,
    /// When it began, in seconds since 1970.
    pub started: f64,
    /// When it ended.
    pub finished: Option<f64>,
    /// How it ended.
    pub outcome: Option<String>,
}

/// A release.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct ReleaseRow {
    /// Its id.
    pub id: String,
    /// Its app.
    pub app: String,
    /// Its number.
    pub version: i32,
    /// The deployment that made it.
    pub deployment: String,
    /// The commit of its image.
    pub commit: Option<String>,
    /// The version of the config that it has.
    pub config_version: i32,
}

/// An instance that is said to run.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct InstanceRow {
    /// Its id.
    pub id: String,
    /// Its app.
    pub app: String,
    /// Its release.
    pub release: String,
    /// Its process type.
    pub process: String,
    /// starting, healthy, unhealthy or draining.
    pub state: String,
    /// Its container.
    pub container: Option<String>,
    /// Its address.
    pub address: Option<String>,
    /// When it became healthy, in seconds since 1970.
    pub healthy: Option<f64>,
    /// How often its process type had been restarted when it was made.
    pub restarts: u32,
}

/// How many instances of a process type are wanted.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct FormationRow {
    /// The app.
    pub app: String,
    /// The process type.
    pub process: String,
    /// How many.
    pub quantity: u32,
    /// How often it was restarted by order.
    pub restarts: u32,
}

/// An image.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct ImageRow {
    /// Its name and tag.
    pub reference: String,
    /// The deployment that built it.
    pub deployment: String,
    /// Whether it was removed.
    pub removed: bool,
}

const SQL: &str = "select json_build_object(
  'apps', (select coalesce(json_agg(json_build_object('id', replace(a.id::text, '-', ''), 'name', a.name,
     'deleting', a.deleting_at is not null, 'live', replace(s.live_release_id::text, '-', ''),
     'candidate', replace(s.candidate_release_id::text, '-', ''),
     'config_version', (select coalesce(max(version), 0) from config_versions c where c.app_id = a.id)) order by a.id), '[]')
     from apps a left join app_states s on s.app_id = a.id),
  'deployments', (select coalesce(json_agg(json_build_object('id', replace(id::text, '-', ''), 'app', replace(app_id::text, '-', ''),
     'status', status, 'trigger', trigger, 'attempt', attempt, 'commit', commit_id, 'failure', failure ->> 'reason',
     'age', extract(epoch from now() - created_at), 'created', extract(epoch from created_at),
     'started', extract(epoch from started_at), 'finished', extract(epoch from finished_at)) order by id), '[]') from deployments),
  'steps', (select coalesce(json_agg(json_build_object('deployment', replace(deployment_id::text, '-', ''), 'step', step,
     'attempt', attempt, 'started', extract(epoch from started_at), 'finished', extract(epoch from finished_at),
     'outcome', outcome) order by started_at), '[]') from deployment_steps),
  'releases', (select coalesce(json_agg(json_build_object('id', replace(r.id::text, '-', ''), 'app', replace(r.app_id::text, '-', ''),
     'version', r.version, 'deployment', replace(r.deployment_id::text, '-', ''), 'commit', i.commit_id,
     'config_version', r.config_version) order by r.id), '[]') from releases r join images i on i.id = r.image_id),
  'instances', (select coalesce(json_agg(json_build_object('id', replace(id::text, '-', ''), 'app', replace(app_id::text, '-', ''),
     'release', replace(release_id::text, '-', ''), 'process', process, 'state', state, 'container', container_id,
     'address', address, 'healthy', extract(epoch from healthy_at), 'restarts', restart_seq) order by id), '[]') from instances
     where state in ('starting', 'healthy', 'unhealthy', 'draining')),
  'formation', (select coalesce(json_agg(json_build_object('app', replace(app_id::text, '-', ''), 'process', process,
     'quantity', quantity, 'restarts', restart_seq)), '[]') from formation),
  'images', (select coalesce(json_agg(json_build_object('reference', reference,
     'deployment', replace(deployment_id::text, '-', ''), 'removed', removed_at is not null)), '[]') from images))";

impl Rows {
    /// Reads all rows past the engine.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn read(engine: &Engine) -> anyhow::Result<Self> {
        let text = engine.try_database(SQL).await.map_err(anyhow::Error::msg)?;
        Ok(serde_json::from_str(&text)?)
    }

    /// An app by its name.
    pub fn app(&self, name: &str) -> Option<&AppRow> {
        self.apps.iter().find(|app| app.name == name)
    }

    /// A deployment by its id, with or without its kind in front.
    pub fn deployment(&self, id: &str) -> Option<&DeploymentRow> {
        let id = super::plain(id);
        self.deployments.iter().find(|deployment| deployment.id == id)
    }

    /// A release by its id.
    pub fn release(&self, id: &str) -> Option<&ReleaseRow> {
        self.releases.iter().find(|release| release.id == id)
    }

    /// How many instances of a process type are wanted; without a row one of `web`, none of others.
    pub fn wanted(&self, app: &str, process: &str) -> u32 {
        let row = self
            .formation
            .iter()
            .find(|row| row.app == app && row.process == process);
        row.map_or(u32::from(process == "web"), |row| row.quantity)
    }

    /// How often a process type was restarted by order.
    pub fn restarts(&self, app: &str, process: &str) -> u32 {
        let row = self
            .formation
            .iter()
            .find(|row| row.app == app && row.process == process);
        row.map_or(0, |row| row.restarts)
    }
}

impl DeploymentRow {
    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        !matches!(self.status.as_str(), "pending" | "running")
    }
}
