//! How an instance ended that is replaced: by itself, which is a crash, or because of what is beneath it.

use windlass_domain::InstanceState;
use windlass_runtime::{ContainerState, Observed};
use windlass_store::InstanceRow;

/// What its row says from now on, and why in words. What Docker ended, or a dead engine did not come to start, is no crash of the app:
/// nobody waits longer for it, and no release is judged by it.
pub(super) fn departure(row: &InstanceRow, seen: Option<&Observed>, with_docker: bool) -> (InstanceState, String) {
    if with_docker {
        return (InstanceState::Stopped, "Docker was restarted".to_owned());
    }
    if !was_started(row, seen) {
        let reason = "the engine ended before it was started";
        return (InstanceState::Stopped, reason.to_owned());
    }
    let reason = match (seen.and_then(|seen| seen.state.exit()), seen) {
        (Some(exit), _) if exit.oom_killed => "out of memory".to_owned(),
        (Some(exit), _) => format!("exited with code {}", exit.code),
        (None, _) if row.state == InstanceState::Unhealthy => "no longer passed its health check".to_owned(),
        (None, Some(seen)) if seen.state.is_running() => "did not become healthy in time".to_owned(),
        (None, _) => "its container was removed".to_owned(),
    };
    (InstanceState::Crashed, reason)
}

/// Whether it ever ran. Its row learns of its container only then, if its engine lives to write it.
fn was_started(row: &InstanceRow, seen: Option<&Observed>) -> bool {
    row.container.is_some() || seen.is_some_and(|seen| seen.state != ContainerState::Created)
}

#[cfg(test)]
mod tests {
    use windlass_runtime::Exit;

    use super::*;
    use crate::converge::look::tests::pair;

    #[test]
    fn only_what_ran_and_ended_by_itself_has_crashed() {
        let (row, seen) = pair();
        let unwritten = InstanceRow {
            container: None,
            state: InstanceState::Starting,
            ..row.clone()
        };
        let in_state = |state| Observed { state, ..seen.clone() };
        let (created, running) = (in_state(ContainerState::Created), in_state(ContainerState::Running));
        let exited = in_state(ContainerState::Exited {
            exit: Exit {
                code: 3,
                oom_killed: false,
            },
            finished_at: None,
        });
        let (crashed, stopped) = (InstanceState::Crashed, InstanceState::Stopped);
        let never = "the engine ended before it was started";
        for (row, seen, with_docker, state, reason) in [
            (&unwritten, None, false, stopped, never),
            (&unwritten, Some(&created), false, stopped, never),
            (&unwritten, Some(&exited), false, crashed, "exited with code 3"),
            (
                &unwritten,
                Some(&running),
                false,
                crashed,
                "did not become healthy in time",
            ),
            (&row, None, false, crashed, "its container was removed"),
            (&row, Some(&exited), true, stopped, "Docker was restarted"),
        ] {
            assert_eq!(departure(row, seen, with_docker), (state, reason.to_owned()));
        }
    }
}
