//! Looks: rows and runtime become the values that the plan is made from.

use std::{collections::HashMap, sync::Arc};

use chrono::{Duration, Utc};
use windlass_converge::{Container, Desired, Instance, Observed, Wanted, WantedProcess};
use windlass_domain::{InstanceId, InstanceState, Step, Strategy};
use windlass_runtime::{ContainerState, Observed as Seen, Role, RuntimeError, Scope};
use windlass_store::{AppWork, InstanceRow, ReleaseRow};

use super::{publish, stopping::Stopping};
use crate::{Traffic, context::Shared, outage::Outage};

/// What was seen of an app at one moment.
pub(super) struct Look {
    /// The containers of its instances.
    pub(super) containers: HashMap<InstanceId, Seen>,
    /// What is in flight to them, if the edge can say and any of them drains.
    in_flight: Option<HashMap<InstanceId, Traffic>>,
}

impl Look {
    /// What was seen, beside what the rows say: that is what a plan is made from.
    pub(super) fn observed(&self, work: &AppWork, outage: &Outage) -> Observed {
        let in_flight = self.in_flight.as_ref();
        let live = work.instances.iter().filter(|row| row.state.is_live());
        let crashed = work.instances.iter().filter(|row| row.state == InstanceState::Crashed);
        Observed {
            instances: live
                .map(|row| {
                    let seen = self.containers.get(&row.id);
                    let container = seen.map_or(Container::Missing, |seen| container(seen.state, outage));
                    instance(row, container, in_flight)
                })
                .collect(),
            crashes: crashed
                .filter_map(|row| Some(instance(row, Container::Ended, None).crash(row.finished_at?)))
                .collect(),
        }
    }
}

fn container(state: ContainerState, outage: &Outage) -> Container {
    match state {
        ContainerState::Running | ContainerState::Restarting => Container::Running,
        state if outage.ended(state) => Container::Missing,
        ContainerState::Exited { .. } | ContainerState::Dead => Container::Ended,
        // That is what a killed worker leaves behind.
        ContainerState::Created => Container::Missing,
    }
}

/// What the rows want of an app.
pub(super) fn desired(work: &AppWork) -> Desired {
    let candidate = work.candidate.as_ref().filter(|_| work.candidate_failure.is_none());
    Desired {
        live: work.live.as_ref().map(|release| wanted(work, release)),
        candidate: candidate.map(|release| wanted(work, release)),
        strategy: candidate.map_or_else(Strategy::default, |release| release.settings.strategy),
    }
}

fn wanted(work: &AppWork, release: &ReleaseRow) -> Wanted {
    let processes = release
        .processes
        .iter()
        .map(|spec| &spec.process)
        .filter(|process| !process.is_release())
        .map(|process| {
            let row = work.formation.iter().find(|(of, _, _)| of == process);
            let (quantity, restart_seq) = row.map_or((u32::from(process.is_web()), 0), |row| (row.1, row.2));
            let want = WantedProcess {
                quantity,
                restart_seq,
                ready_within: Duration::seconds(release.settings.ready_seconds(process).into()),
            };
            (process.clone(), want)
        })
        .collect();
    Wanted {
        release: release.id,
        processes,
        drain_within: Duration::seconds(release.settings.drain_seconds.into()),
    }
}

/// Whether the instances of the releases before the live one have got through `drain` (none of them has requests any more) or
/// `retire` (none of them is left).
pub(super) fn has_departed(work: &AppWork, step: Step, is_stopping: impl Fn(InstanceId) -> bool) -> bool {
    let stays = |release| {
        let kept = work.live.iter().chain(&work.candidate);
        kept.map(|kept| kept.id).any(|id| id == release)
    };
    let mut old = work
        .instances
        .iter()
        .filter(|row| row.state.is_live() && !stays(row.release));
    match step {
        Step::Drain => old.all(|row| is_stopping(row.id)),
        _ => old.next().is_none(),
    }
}

/// Looks at an app's containers and at what is in flight to them.
pub(super) async fn at(shared: &Arc<Shared>, work: &AppWork) -> anyhow::Result<Look> {
    let asked = Utc::now();
    let seen = shared.runtime.observe(Scope::App(work.app.id)).await;
    match &seen {
        Ok(_) => shared.outage.answers(asked, Utc::now()),
        Err(RuntimeError::Unreachable(_)) => shared.outage.begins(Utc::now()),
        Err(_) => {}
    }
    let seen = seen?;
    let containers: HashMap<InstanceId, Seen> = seen
        .into_iter()
        .filter(|c| c.role == Role::Instance)
        .map(|c| (c.instance, c))
        .collect();
    adopt(shared, work, &containers).await?;
    let draining = work.instances.iter().any(|row| row.state == InstanceState::Draining);
    let in_flight = if draining {
        shared.edge.traffic().await.unwrap_or(None)
    } else {
        None
    };
    Ok(Look { containers, in_flight })
}

/// Makes rows and containers agree: a row learns where its container is, a running container's log is followed, and a container that
/// no live row knows is removed. Only the holder of the app's lease gets here.
async fn adopt(shared: &Arc<Shared>, work: &AppWork, containers: &HashMap<InstanceId, Seen>) -> anyhow::Result<()> {
    for (instance, seen) in containers {
        let row = work
            .instances
            .iter()
            .find(|row| row.id == *instance && row.state.is_live());
        match row {
            Some(row) if seen.state.is_running() => {
                if is_elsewhere(row, seen) {
                    locate(shared, row, seen).await?;
                }
                shared.logs.follow(&InstanceRow {
                    container: Some(seen.container.to_string()),
                    ..row.clone()
                });
            }
            Some(_) => {}
            None if shared.converger.is_stopping(*instance) => {}
            None => remove_unknown(shared, work, seen).await?,
        }
    }
    Ok(())
}

/// Whether a row does not say where its container is: a killed worker may not have come to write it, and one that somebody restarted
/// while no engine ran may have got another address.
fn is_elsewhere(row: &InstanceRow, seen: &Seen) -> bool {
    row.container.is_none() || seen.socket().is_some_and(|address| row.address != Some(address))
}

async fn locate(shared: &Shared, row: &InstanceRow, seen: &Seen) -> anyhow::Result<()> {
    let container = seen.container.as_str();
    shared
        .store
        .set_instance_container(row.id, container, seen.socket())
        .await?;
    if row.state == InstanceState::Healthy && row.process.is_web() {
        publish(shared).await;
    }
    Ok(())
}

/// Stops and removes a container without a live row: the engine that was at it ended meanwhile, or somebody made it. The row is read
/// once more before: this worker may have stood still since it read them all, and another one may have started that container.
async fn remove_unknown(shared: &Arc<Shared>, work: &AppWork, seen: &Seen) -> anyhow::Result<()> {
    let ours = shared.store.lease_app(work.app.id, shared.id, super::APP_LEASE).await?;
    let row = shared.store.instance(seen.instance).await?;
    if !ours || row.as_ref().is_some_and(|row| row.state.is_live()) {
        return Ok(());
    }
    tracing::warn!(app = %work.app.name, name = %seen.name, "removing a container that no live row knows");
    if let Some(stopping) = Stopping::begin(shared, (work.app.id, seen.instance)) {
        let container = seen.container.clone();
        match row {
            Some(row) if seen.state.is_running() => stopping.stop(row, Some(container), grace(work)),
            row => stopping.remove(container, row.filter(|_| seen.state.exit().is_some())),
        }
    }
    Ok(())
}

/// How long an instance that is asked to end may take.
pub(super) fn grace(work: &AppWork) -> std::time::Duration {
    std::time::Duration::from_secs(u64::from(work.app.settings.drain_seconds).max(1))
}

fn instance(row: &InstanceRow, container: Container, in_flight: Option<&HashMap<InstanceId, Traffic>>) -> Instance {
    Instance {
        id: row.id,
        release: row.release,
        process: row.process.clone(),
        n: row.n,
        restart_seq: row.restart_seq,
        state: row.state,
        container,
        created_at: row.created_at,
        healthy_at: row.healthy_at,
        draining_at: row.draining_at,
        admitted: row.admitted,
        in_flight: in_flight.map(|counts| counts.get(&row.id).copied().unwrap_or_default().in_flight),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use windlass_domain::{AppId, InstanceName, ProcessType, ReleaseId, ReleaseVersion};
    use windlass_runtime::{ContainerId, Exit};

    use super::*;

    /// A healthy instance that runs where its row says.
    pub(in crate::converge) fn pair() -> (InstanceRow, Seen) {
        let (id, app, release, process) = (
            InstanceId::generate(),
            AppId::generate(),
            ReleaseId::generate(),
            ProcessType::web(),
        );
        let row = InstanceRow {
            id,
            app,
            release,
            version: ReleaseVersion(1),
            process: process.clone(),
            n: 1,
            restart_seq: 0,
            state: InstanceState::Healthy,
            container: Some("c1".to_owned()),
            address: Some(([10, 0, 0, 2], 8080).into()),
            exit_code: None,
            reason: None,
            admitted: false,
            created_at: Utc::now(),
            healthy_at: None,
            draining_at: None,
            finished_at: None,
            log_cursor_ns: 0,
        };
        let name = InstanceName {
            app: "shop".parse().unwrap(),
            process,
            release: ReleaseVersion(1),
            n: 1,
        };
        let seen = Seen {
            container: ContainerId::new("c1".to_owned()),
            instance: id,
            name,
            role: Role::Instance,
            app,
            release,
            deployment: None,
            restart_seq: 0,
            state: ContainerState::Running,
            health: None,
            address: Some([10, 0, 0, 2].into()),
            port: Some(8080),
            created_at: None,
            started_at: None,
            image: String::new(),
        };
        (row, seen)
    }

    #[test]
    fn a_row_learns_where_its_container_is_when_that_has_changed() {
        let (row, mut seen) = pair();
        assert!(!is_elsewhere(&row, &seen));
        let unwritten = InstanceRow {
            container: None,
            ..row.clone()
        };
        assert!(is_elsewhere(&unwritten, &seen));
        seen.address = Some([10, 0, 0, 3].into());
        assert!(is_elsewhere(&row, &seen), "it was restarted");
        seen.address = None;
        assert!(!is_elsewhere(&row, &seen), "where it is now is not known");
    }

    #[test]
    fn what_ended_with_the_runtime_is_only_missing() {
        let (outage, now) = (Outage::default(), Utc::now());
        let before = now - Duration::minutes(1);
        outage.answers(before, before);
        let exited = ContainerState::Exited {
            exit: Exit {
                code: 137,
                oom_killed: false,
            },
            finished_at: Some(now),
        };
        let all = [
            ContainerState::Created,
            ContainerState::Running,
            ContainerState::Restarting,
            exited,
            ContainerState::Dead,
        ];
        let seen = |outage: &Outage| all.map(|state| container(state, outage));
        let (missing, running, ended) = (Container::Missing, Container::Running, Container::Ended);
        assert_eq!(seen(&outage), [missing, running, running, ended, ended]);
        outage.begins(now);
        assert_eq!(seen(&outage), [missing, running, running, missing, ended]);
    }
}
