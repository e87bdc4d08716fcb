//! Formation: how many instances of each process type are wanted.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{PgConnection, types::Json};
use windlass_domain::{AppId, ProcessSpec, ProcessType, TeamId, release::ProcessCommand};

use crate::{
    Event, Store, StoreError,
    apps::lock_app,
    error::{count, unreadable},
    events::notify,
};

/// The most instances of one process type that can be asked for; the schema says the same.
pub const MAX_QUANTITY: u32 = 1000;

/// What is wanted of one process type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormationRow {
    /// The process type.
    pub process: ProcessType,
    /// How many instances.
    pub quantity: u32,
    /// Instances of an older generation are replaced.
    pub restart_seq: i32,
    /// How the live release starts it; none: the image's own way, or nothing is live.
    pub command: Option<ProcessCommand>,
}

/// Why the formation was left as it is.
#[derive(Debug, thiserror::Error)]
pub enum ScaleError {
    /// There is no such app, or it is being deleted.
    #[error("there is no such app")]
    NoSuchApp,
    /// The live release has no such process type.
    #[error("the live release has no process type `{process}`")]
    NoSuchProcess {
        /// The process type that was asked for.
        process: ProcessType,
        /// Those that there are.
        known: Vec<ProcessType>,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for ScaleError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// How many instances of a process type are wanted when nobody said.
fn default_quantity(process: &ProcessType) -> u32 {
    u32::from(process.is_web())
}

impl Store {
    /// What is wanted of each process type of the live release (before the first: of `web` and of those that were scaled);
    /// `release` is none of them. Nothing for an app that the team does not have.
    pub async fn formation(&self, team: TeamId, app: AppId) -> Result<Vec<FormationRow>, StoreError> {
        let mut connection = self.pool().acquire().await?;
        if !has_app(&mut connection, team, app).await? {
            return Ok(Vec::new());
        }
        Ok(Formation::load(&mut connection, app).await?.rows())
    }

    /// How many instances of which process types were asked for, whether a release has them or not. A process type that is absent
    /// was left at its default: 1 for `web`, 0 for others.
    pub async fn quantities(&self, team: TeamId, app: AppId) -> Result<BTreeMap<ProcessType, u32>, StoreError> {
        let mut connection = self.pool().acquire().await?;
        if !has_app(&mut connection, team, app).await? {
            return Ok(BTreeMap::new());
        }
        let set = formation_set(&mut connection, app).await?.into_iter();
        Ok(set.map(|(process, quantity, _)| (process, quantity)).collect())
    }

    /// Sets how many instances of some process types are wanted: all of them or, upon an error, none. Before the first release
    /// any process type may be set. Ask for [`MAX_QUANTITY`] at most.
    pub async fn scale(
        &self,
        team: TeamId,
        app: AppId,
        quantities: &BTreeMap<ProcessType, u32>,
    ) -> Result<Vec<FormationRow>, ScaleError> {
        let mut tx = self.begin().await?;
        if !lock_app(&mut tx, team, app).await? {
            return Err(ScaleError::NoSuchApp);
        }
        let formation = Formation::load(&mut tx, app).await?;
        quantities.keys().try_for_each(|process| formation.check(process))?;
        for (process, &quantity) in quantities {
            sqlx::query!(
                "insert into formation (app_id, team_id, process, quantity) values ($1, $2, $3, $4)
                 on conflict (app_id, process) do update set quantity = excluded.quantity, updated_at = now()",
                app.uuid(),
                team.uuid(),
                process.as_str(),
                i32::try_from(quantity).unwrap_or(i32::MAX)
            )
            .execute(&mut *tx)
            .await?;
        }
        notify(&mut tx, Event::App(app)).await?;
        let rows = Formation::load(&mut tx, app).await?.rows();
        tx.commit().await?;
        Ok(rows)
    }

    /// The formation as it is, if [`Store::scale`] would take these quantities; otherwise why not.
    pub async fn check_scale(
        &self,
        team: TeamId,
        app: AppId,
        quantities: &BTreeMap<ProcessType, u32>,
    ) -> Result<Vec<FormationRow>, ScaleError> {
        let mut connection = self.pool().acquire().await?;
        if !has_app(&mut connection, team, app).await? {
            return Err(ScaleError::NoSuchApp);
        }
        let formation = Formation::load(&mut connection, app).await?;
        quantities.keys().try_for_each(|process| formation.check(process))?;
        Ok(formation.rows())
    }

    /// Asks for new instances in place of those of one process type, or of all.
    pub async fn restart(&self, team: TeamId, app: AppId, process: Option<&ProcessType>) -> Result<(), ScaleError> {
        let mut tx = self.begin().await?;
        if !lock_app(&mut tx, team, app).await? {
            return Err(ScaleError::NoSuchApp);
        }
        let formation = Formation::load(&mut tx, app).await?;
        process.map_or(Ok(()), |process| formation.check(process))?;
        let wanted = |row: &FormationRow| process.is_none_or(|process| row.process == *process);
        for row in formation.rows().into_iter().filter(wanted) {
            sqlx::query!(
                "insert into formation (app_id, team_id, process, quantity, restart_seq) values ($1, $2, $3, $4, 1)
                 on conflict (app_id, process)
                 do update set restart_seq = formation.restart_seq + 1, updated_at = now()",
                app.uuid(),
                team.uuid(),
                row.process.as_str(),
                i32::try_from(row.quantity).unwrap_or(i32::MAX)
            )
            .execute(&mut *tx)
            .await?;
        }
        notify(&mut tx, Event::App(app)).await?;
        tx.commit().await?;
        Ok(())
    }
}

pub(crate) async fn has_app(connection: &mut PgConnection, team: TeamId, app: AppId) -> Result<bool, sqlx::Error> {
    let found = sqlx::query!(
        "select id from apps where id = $1 and team_id = $2",
        app.uuid(),
        team.uuid()
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.is_some())
}

/// The formation as it was set, and the process types that the live release has.
struct Formation {
    set: BTreeMap<ProcessType, (u32, i32)>,
    live: Option<Vec<ProcessSpec>>,
}

impl Formation {
    async fn load(connection: &mut PgConnection, app: AppId) -> Result<Self, StoreError> {
        let live = sqlx::query_scalar!(
            r#"select r.processes as "processes: Json<Vec<ProcessSpec>>"
               from app_states s join releases r on r.id = s.live_release_id where s.app_id = $1"#,
            app.uuid()
        )
        .fetch_optional(&mut *connection)
        .await?;
        Ok(Self {
            set: formation_set(connection, app)
                .await?
                .into_iter()
                .map(|(process, quantity, seq)| (process, (quantity, seq)))
                .collect(),
            live: live.map(|live| live.0),
        })
    }

    /// The process types that can be scaled: none when anything can be.
    fn known(&self) -> Option<Vec<ProcessType>> {
        let live = self.live.as_ref()?.iter().map(|spec| spec.process.clone());
        Some(live.filter(|process| !process.is_release()).collect())
    }

    fn check(&self, process: &ProcessType) -> Result<(), ScaleError> {
        let known = self.known();
        let allowed = !process.is_release() && known.as_ref().is_none_or(|known| known.contains(process));
        if allowed {
            return Ok(());
        }
        Err(ScaleError::NoSuchProcess {
            process: process.clone(),
            known: known.unwrap_or_default(),
        })
    }

    /// One row for each process type of the live release; before the first release for `web` and for those that were set.
    fn rows(&self) -> Vec<FormationRow> {
        let before_release = || self.set.keys().cloned().chain([ProcessType::web()]).collect();
        let processes: BTreeSet<ProcessType> = self.known().map_or_else(before_release, BTreeSet::from_iter);
        processes.into_iter().map(|process| self.row(process)).collect()
    }

    fn row(&self, process: ProcessType) -> FormationRow {
        let set = self.set.get(&process).copied();
        let (quantity, restart_seq) = set.unwrap_or_else(|| (default_quantity(&process), 0));
        let spec = self.live.iter().flatten().find(|spec| spec.process == process);
        FormationRow {
            command: spec.and_then(|spec| spec.command.clone()),
            process,
            quantity,
            restart_seq,
        }
    }
}

/// The formation as it was set.
pub(crate) async fn formation_set(
    connection: &mut PgConnection,
    app: AppId,
) -> Result<Vec<(ProcessType, u32, i32)>, StoreError> {
    let rows = sqlx::query!(
        "select process, quantity, restart_seq from formation where app_id = $1 order by process",
        app.uuid()
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok((
                row.process.parse().map_err(unreadable)?,
                count(row.quantity)?,
                row.restart_seq,
            ))
        })
        .collect()
}
