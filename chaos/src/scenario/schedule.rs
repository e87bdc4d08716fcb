//! Which crash points are tried first. The seed decides, by what a trial is and not by its place in a list: enumerations differ a little
//! from run to run, and a trial that is missing in one must not change the others.

use std::collections::BTreeSet;

use super::Run;
use crate::point::{Point, Side};

/// A kind of operation, a point of it, and a side of that.
pub(super) type Trial = (&'static str, Point, Side);

/// Both sides of each point of a kind of operation.
pub(super) fn both_sides(kind: &'static str, points: Vec<Point>) -> impl Iterator<Item = Trial> {
    points
        .into_iter()
        .flat_map(move |point| Side::BOTH.map(|side| (kind, point.clone(), side)))
}

/// This process' share of the trials, in the order of the seed. One of each thing that is done comes first, so that few trials meet each
/// phase of an operation.
pub(super) fn scheduled(run: &Run, name: &str, mut trials: Vec<Trial>) -> Vec<Trial> {
    trials.retain(|(kind, point, side)| run.shard.takes(kind, point, *side));
    trials.sort_by_cached_key(|(kind, point, side)| run.chance(&format!("{name}/{kind}/{point}/{side:?}"), 0).draw());
    let mut met = BTreeSet::new();
    let (mut first, rest): (Vec<Trial>, Vec<Trial>) = trials
        .into_iter()
        .partition(|(kind, point, _)| met.insert((*kind, point.what.clone())));
    first.extend(rest);
    first
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Args;

    fn points() -> Vec<Point> {
        let point = |n: u32| Point {
            what: format!("commit {}", n / 3),
            occurrence: n % 3 + 1,
        };
        (0..12).map(point).collect()
    }

    fn order(seed: u64, points: Vec<Point>) -> Vec<Trial> {
        let run = Args::parse_from(["chaos"]).run(seed);
        scheduled(&run, "kill", both_sides("deploy", points).collect())
    }

    #[test]
    fn the_seed_alone_decides_the_order() {
        let backwards: Vec<Point> = points().into_iter().rev().collect();
        assert_eq!(order(7, points()), order(7, backwards));
        assert_ne!(order(7, points()), order(8, points()));
        assert_eq!(order(7, points()).len(), 24);
    }

    #[test]
    fn each_thing_that_is_done_comes_before_any_comes_again() {
        let first: BTreeSet<String> = order(7, points())
            .into_iter()
            .take(4)
            .map(|(_, point, _)| point.what)
            .collect();
        assert_eq!(first.len(), 4);
    }

    #[test]
    fn a_point_that_is_not_seen_again_leaves_the_others_in_their_order() {
        let whole = order(7, points());
        let is_first = |point: &Point| whole[..4].iter().any(|(_, first, _)| first == point);
        let gone = points().into_iter().find(|point| !is_first(point)).unwrap();
        let without: Vec<Point> = points().into_iter().filter(|point| *point != gone).collect();
        let rest: Vec<Trial> = whole.into_iter().filter(|(_, point, _)| *point != gone).collect();
        assert_eq!(order(7, without), rest);
    }
}
