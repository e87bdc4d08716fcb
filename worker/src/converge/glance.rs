//! Sees at a glance which apps are not as their rows say. Nobody should have to trust that every event and notification arrives, but
//! a close look at every app every few seconds would keep Docker and Postgres busy for nothing.

use std::collections::{BTreeSet, HashMap};

use chrono::Utc;
use windlass_domain::{AppId, InstanceId, InstanceState};
use windlass_runtime::{Glimpse, Role};
use windlass_store::InstanceRow;

use crate::context::Shared;

/// The apps that want a closer look.
pub(super) async fn suspects(shared: &Shared) -> anyhow::Result<BTreeSet<AppId>> {
    // The rows first: an instance that is started in between is in neither.
    let rows = shared.store.live_instances().await?;
    let asked = Utc::now();
    let glimpses = shared.runtime.glance().await?;
    shared.outage.answers(asked, Utc::now());
    let rows: Vec<InstanceRow> = rows.into_iter().map(|(row, _)| row).collect();
    Ok(differing(&rows, &glimpses))
}

fn differing(rows: &[InstanceRow], glimpses: &[Glimpse]) -> BTreeSet<AppId> {
    let mut running: HashMap<InstanceId, bool> = HashMap::new();
    let mut known: HashMap<InstanceId, AppId> = HashMap::new();
    for glimpse in glimpses.iter().filter(|glimpse| glimpse.role == Role::Instance) {
        running.insert(glimpse.instance, glimpse.running);
        known.insert(glimpse.instance, glimpse.app);
    }
    let mut suspects = BTreeSet::new();
    for row in rows {
        known.remove(&row.id);
        let settled = row.state == InstanceState::Healthy && running.get(&row.id) == Some(&true);
        if !settled {
            suspects.insert(row.app);
        }
    }
    // Containers that no live row knows.
    suspects.extend(known.into_values());
    suspects
}

#[cfg(test)]
mod tests {
    use windlass_domain::{ProcessType, ReleaseId, ReleaseVersion};

    use super::*;

    fn row(app: AppId, state: InstanceState) -> InstanceRow {
        InstanceRow {
            id: InstanceId::generate(),
            app,
            release: ReleaseId::generate(),
            version: ReleaseVersion(1),
            process: ProcessType::web(),
            n: 1,
            restart_seq: 0,
            state,
            container: None,
            address: None,
            exit_code: None,
            reason: None,
            admitted: false,
            created_at: chrono::Utc::now(),
            healthy_at: None,
            draining_at: None,
            finished_at: None,
            log_cursor_ns: 0,
        }
    }

    fn glimpse(row: &InstanceRow, running: bool) -> Glimpse {
        Glimpse {
            instance: row.id,
            role: Role::Instance,
            app: row.app,
            running,
        }
    }

    #[test]
    fn an_app_that_is_as_its_rows_say_is_left_alone() {
        let healthy = row(AppId::generate(), InstanceState::Healthy);
        assert!(differing(std::slice::from_ref(&healthy), &[glimpse(&healthy, true)]).is_empty());
    }

    #[test]
    fn whoever_differs_is_looked_at() {
        let all = [
            row(AppId::generate(), InstanceState::Healthy),
            row(AppId::generate(), InstanceState::Healthy),
            row(AppId::generate(), InstanceState::Draining),
        ];
        let stranger = row(AppId::generate(), InstanceState::Healthy);
        // Ended, gone, on its way, and one that no row knows.
        let glimpses = [
            glimpse(&all[0], false),
            glimpse(&all[2], true),
            glimpse(&stranger, true),
        ];
        let expected: BTreeSet<AppId> = all.iter().chain([&stranger]).map(|row| row.app).collect();
        assert_eq!(differing(&all, &glimpses), expected);
    }

    #[test]
    fn a_release_command_is_no_instance() {
        let command = Glimpse {
            role: Role::Release,
            ..glimpse(&row(AppId::generate(), InstanceState::Healthy), true)
        };
        assert!(differing(&[], &[command]).is_empty());
    }
}
