//! What a deployment would change: the facts come from the store, [`windlass_domain::preview`] judges them, and nothing is recorded.

use std::{collections::BTreeMap, sync::Arc};

use axum::extract::FromRef;
use windlass_api_types as wire;
use windlass_domain::{
    AppSettings, ConfigKey, DeploymentKind, DeploymentStatus, Hostname, ProcessSpec, ProcessType, ReleaseVersion,
    Secret, Strategy,
    preview::{ConfigDifference, Expected, LiveRelease, NextRelease, Preview, Surroundings, preview},
};
use windlass_store::{AppRow, DeploymentRow, Page, ReleaseRow, Store};

use crate::{ApiConfig, ApiState, BuildOutlook, Foreseen, problem::Problem};

/// How many of the last starts a forecast looks at.
const LAST_STARTS: u32 = 5;

/// Looks ahead.
#[derive(Clone)]
pub(crate) struct Planner {
    store: Store,
    config: Arc<ApiConfig>,
    outlook: Arc<dyn BuildOutlook>,
}

impl FromRef<ApiState> for Planner {
    fn from_ref(state: &ApiState) -> Self {
        Self {
            store: state.store.clone(),
            config: Arc::clone(&state.config),
            outlook: Arc::clone(&state.outlook),
        }
    }
}

/// How many of the newest deployments are looked through for one that is not over: a newer one may be over before it.
const NEWEST: u32 = 5;

/// What is thought of.
struct Wanted {
    kind: DeploymentKind,
    reference: Option<String>,
    /// The newest config vars, if they were other than they are.
    config: Option<BTreeMap<ConfigKey, Secret>>,
}

/// The release that would be made.
struct Next {
    settings: AppSettings,
    config: BTreeMap<ConfigKey, Secret>,
    processes: Option<Vec<ProcessSpec>>,
    image: wire::PlannedImage,
}

/// What is to be seen of it.
struct Outlook {
    live: Option<ReleaseVersion>,
    version: ReleaseVersion,
    last_starts_ms: Vec<u64>,
    preview: Preview,
}

impl Planner {
    pub(crate) fn config(&self) -> &ApiConfig {
        &self.config
    }

    /// What a deployment of this kind would change.
    pub(crate) async fn plan(
        &self,
        app: &AppRow,
        kind: DeploymentKind,
        reference: Option<String>,
    ) -> Result<wire::DeploymentPlan, Problem> {
        let wanted = Wanted {
            kind,
            reference,
            config: None,
        };
        self.plan_of(app, wanted).await
    }

    /// What a change of the config vars would do. None removes one.
    pub(crate) async fn config_plan(
        &self,
        app: &AppRow,
        changes: &BTreeMap<ConfigKey, Option<Secret>>,
    ) -> Result<wire::ConfigPlan, Problem> {
        let now = self.store.config(app.team, app.id).await?;
        let vars = now.patched(changes);
        let difference = ConfigDifference::between(&now.vars, &vars);
        let changed = !difference.is_empty();
        let deploys = changed && (app.live.is_some() || self.deploys_now(app).await?);
        let wanted = Wanted {
            kind: DeploymentKind::Config,
            reference: None,
            config: Some(vars),
        };
        Ok(wire::ConfigPlan {
            app: app.name.to_string(),
            changed,
            config: difference.into(),
            deployment: if deploys {
                Some(self.plan_of(app, wanted).await?)
            } else {
                None
            },
        })
    }

    async fn plan_of(&self, app: &AppRow, wanted: Wanted) -> Result<wire::DeploymentPlan, Problem> {
        let live = self.live(app).await?;
        let kind = wanted.kind.clone();
        let mut next = self.next(app, live.as_ref(), wanted).await?;
        let refusal = self.foresee(app, &kind, &mut next).await;
        let image = next.image.clone();
        let outlook = self.look(app, live, next).await?;
        let mut plan = document(outlook, (app, kind), image);
        plan.warnings.extend(refusal);
        plan.warnings.extend(self.under_way(app).await?);
        Ok(plan)
    }

    /// What to know before a deployment of this kind begins: the downtime that its strategy brings.
    pub(crate) async fn warnings(&self, app: &AppRow, kind: &DeploymentKind) -> Result<Vec<String>, Problem> {
        let may_warn = matches!(kind, DeploymentKind::Rollback { .. }) || app.settings.strategy == Strategy::Recreate;
        let live = if may_warn { self.live(app).await? } else { None };
        if live.is_none() {
            return Ok(Vec::new());
        }
        let wanted = Wanted {
            kind: kind.clone(),
            reference: None,
            config: None,
        };
        let next = self.next(app, live.as_ref(), wanted).await?;
        let recreates = next.settings.strategy == Strategy::Recreate;
        let downtime = self.look(app, live, next).await?.preview.downtime;
        let tells = recreates && downtime.expected == Expected::Yes;
        Ok(tells.then_some(downtime.reason).into_iter().collect())
    }

    async fn live(&self, app: &AppRow) -> Result<Option<ReleaseRow>, Problem> {
        match app.live {
            Some(version) => Ok(self.store.release(app.team, app.id, version).await?),
            None => Ok(None),
        }
    }

    async fn next(&self, app: &AppRow, live: Option<&ReleaseRow>, wanted: Wanted) -> Result<Next, Problem> {
        let Wanted {
            kind,
            reference,
            config,
        } = wanted;
        let newest = match config {
            Some(vars) => vars,
            None => self.store.config(app.team, app.id).await?.vars,
        };
        let built = |commit: Option<String>| Next {
            settings: app
                .settings
                .with_port_of(live.map_or(&[], |live| live.image_ports.as_slice())),
            config: newest.clone(),
            processes: None,
            image: wire::PlannedImage::Build { commit, reference },
        };
        match kind {
            DeploymentKind::Push { commit } => Ok(built(Some(commit.to_string()))),
            DeploymentKind::Fetch { commit, .. } => Ok(built(commit.as_ref().map(ToString::to_string))),
            DeploymentKind::Config => Ok(match live {
                Some(live) => Next {
                    settings: app.settings.with_port_of(&live.image_ports),
                    config: newest,
                    processes: Some(live.processes.clone()),
                    image: reuse(live),
                },
                None => built(None),
            }),
            DeploymentKind::Rollback { to } => {
                let target = self.store.release(app.team, app.id, to).await?;
                let target = target.ok_or_else(|| Problem::not_found(format!("there is no release {to}")))?;
                Ok(Next {
                    config: self.store.config_at(app.id, target.config_version).await?.vars,
                    image: reuse(&target),
                    settings: target.settings,
                    processes: Some(target.processes),
                })
            }
        }
    }

    /// Looks at a commit that was pushed before; says so if it cannot be built.
    async fn foresee(&self, app: &AppRow, kind: &DeploymentKind, next: &mut Next) -> Option<String> {
        let DeploymentKind::Push { commit } = kind else {
            return None;
        };
        match self.outlook.foresee(app.id, commit, &app.settings.build).await {
            Foreseen::Processes(processes) => next.processes = Some(processes),
            Foreseen::Refused(failure) => {
                return Some(format!(
                    "{} cannot be built: {}; {}",
                    commit.short(),
                    failure.reason,
                    failure.next_step
                ));
            }
            Foreseen::Unknown => {}
        }
        None
    }

    async fn look(&self, app: &AppRow, live: Option<ReleaseRow>, next: Next) -> Result<Outlook, Problem> {
        let store = &self.store;
        let live_config = match &live {
            Some(live) => store.config_at(app.id, live.config_version).await?.vars,
            None => BTreeMap::new(),
        };
        let last_starts = store
            .last_starts(app.team, app.id, &ProcessType::web(), LAST_STARTS)
            .await?;
        let version = store.next_release(app.team, app.id).await?;
        let live_side = live.as_ref().map(|live| LiveRelease {
            version: live.version,
            settings: &live.settings,
            config: &live_config,
            processes: &live.processes,
        });
        let next_side = NextRelease {
            version,
            settings: &next.settings,
            config: &next.config,
            processes: next.processes.as_deref(),
        };
        let around = Surroundings {
            quantities: &store.quantities(app.team, app.id).await?,
            host: &self.host(app)?,
            last_starts: &last_starts,
        };
        Ok(Outlook {
            preview: preview(live_side.as_ref(), &next_side, &around),
            live: live.map(|live| live.version),
            version,
            last_starts_ms: last_starts
                .iter()
                .map(|start| u64::try_from(start.as_millis()).unwrap_or(u64::MAX))
                .collect(),
        })
    }

    fn host(&self, app: &AppRow) -> Result<Hostname, Problem> {
        let host = format!("{}.{}", app.name, self.config.base_domain);
        host.parse().map_err(|error| Problem::field("/name", error))
    }

    /// Whether a deployment runs, which the change would be deployed after.
    async fn deploys_now(&self, app: &AppRow) -> Result<bool, Problem> {
        let newest = self.newest(app).await?;
        Ok(newest.iter().any(|row| row.status == DeploymentStatus::Running))
    }

    /// A deployment that is not over yet, which this one would wait for and which may change what it is compared with.
    async fn under_way(&self, app: &AppRow) -> Result<Option<String>, Problem> {
        let newest = self.newest(app).await?;
        let under_way = newest.into_iter().find(|row| !row.status.is_terminal());
        Ok(under_way.map(|row| {
            format!(
                "{} is {}: this compares with what is live before it ends",
                row.id,
                row.status.as_str()
            )
        }))
    }

    async fn newest(&self, app: &AppRow) -> Result<Vec<DeploymentRow>, Problem> {
        let page = Page {
            after: None,
            limit: NEWEST,
        };
        Ok(self.store.list_deployments(app.team, app.id, page).await?.items)
    }
}

/// The image of an earlier release; one that is gone is built again.
fn reuse(release: &ReleaseRow) -> wire::PlannedImage {
    let commit = release.commit.as_ref().map(ToString::to_string);
    if release.image_available {
        wire::PlannedImage::Reuse {
            release: release.version.to_string(),
            commit,
        }
    } else {
        wire::PlannedImage::Build {
            commit,
            reference: None,
        }
    }
}

fn document(
    outlook: Outlook,
    (app, kind): (&AppRow, DeploymentKind),
    image: wire::PlannedImage,
) -> wire::DeploymentPlan {
    let preview = outlook.preview;
    wire::DeploymentPlan {
        app: app.name.to_string(),
        kind: kind.into(),
        release: outlook.version.to_string(),
        live: outlook.live.map(|version| version.to_string()),
        image,
        config: preview.config.into(),
        settings: preview.settings.into_iter().map(Into::into).collect(),
        processes: preview.processes.into_iter().map(Into::into).collect(),
        processes_assumed: preview.processes_assumed,
        routes: preview.routes.into_iter().map(Into::into).collect(),
        downtime: wire::PlannedDowntime {
            expected: preview.downtime.expected.into(),
            reason: preview.downtime.reason,
            seconds: preview.downtime.seconds,
            last_starts_ms: outlook.last_starts_ms,
        },
        warnings: preview.warnings,
    }
}
