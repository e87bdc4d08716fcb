//! Slots keep engines that run at once out of each other's way.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use windlass_testkit::Slot;

#[test]
fn two_slots_share_neither_ports_nor_networks() {
    let (one, two) = (Slot::take(), Slot::take());
    assert_ne!(one.port(0), two.port(0));
    assert!(one.port(9) < two.port(0) || two.port(9) < one.port(0));
    assert_ne!(one.network_pool(), two.network_pool());
}

#[test]
fn a_slot_that_was_given_back_can_be_taken_again() {
    let first = Slot::take();
    let port = first.port(0);
    drop(first);
    let taken: Vec<Slot> = std::iter::repeat_with(Slot::take).take(8).collect();
    assert!(taken.iter().any(|slot| slot.port(0) == port));
}
