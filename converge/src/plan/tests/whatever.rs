//! What never happens, whatever the case.

use proptest::{prelude::*, strategy::Strategy as _};
use windlass_domain::Strategy;

use super::*;

fn any_instance(releases: [ReleaseId; 2]) -> impl proptest::strategy::Strategy<Value = Instance> {
    let states = prop::sample::select(vec![
        InstanceState::Starting,
        InstanceState::Healthy,
        InstanceState::Draining,
    ]);
    let containers = prop::sample::select(vec![Container::Missing, Container::Running, Container::Ended]);
    (
        0..2_usize,
        1..4_u32,
        states,
        containers,
        0..2_i32,
        prop::option::of(0..2_u64),
    )
        .prop_map(move |(which, n, state, container, restart_seq, in_flight)| Instance {
            container,
            restart_seq,
            in_flight,
            ..instance(releases[which], n, state)
        })
}

proptest! {
    #[test]
    fn a_healthy_instance_of_the_live_release_is_never_stopped_without_being_drained(
        instances in prop::collection::vec(any_instance([ReleaseId::from_uuid(UUIDS[0]), ReleaseId::from_uuid(UUIDS[1])]), 0..8),
        quantity in 0..4_u32,
        has_candidate: bool,
        strategy in prop::sample::select(Strategy::ALL.to_vec()),
        second in 0..90_i64,
    ) {
        let [live, candidate] = UUIDS.map(ReleaseId::from_uuid);
        let desired = Desired {
            live: Some(wanted(live, quantity)),
            candidate: has_candidate.then(|| wanted(candidate, quantity)),
            strategy,
        };
        let observed = seen(instances);
        for step in plan(&desired, &observed, at(second)).steps {
            let id = match step {
                Step::Stop(id) | Step::Replace(id) => id,
                Step::Promote(_) => {
                    let healthy = observed.instances.iter().filter(|i| i.release == candidate
                        && i.state == InstanceState::Healthy && i.container == Container::Running).count();
                    prop_assert!(healthy >= quantity as usize);
                    continue;
                }
                _ => continue,
            };
            let instance = observed.instances.iter().find(|i| i.id == id).unwrap();
            let serving = instance.state == InstanceState::Healthy && instance.container == Container::Running;
            prop_assert!(!serving, "{instance:?}");
        }
    }
}

const UUIDS: [uuid::Uuid; 2] = [uuid::Uuid::from_u128(1), uuid::Uuid::from_u128(2)];
