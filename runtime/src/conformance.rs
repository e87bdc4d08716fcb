//! What every runtime must do, as a suite that each driver runs against its own runtime. The fake runs it too: that is why the
//! tests built on the fake can be believed.
//!
//! A case makes an app of its own and removes all of it at the end.

mod gates;
mod images;
mod lifecycle;
mod logs;
mod names;
mod networks;
mod observing;
mod stage;

use async_trait::async_trait;
use futures::{StreamExt, future::BoxFuture, stream};
use ipnet::Ipv4Net;
use windlass_domain::{AppId, release::ProcessCommand};

use crate::{ContainerId, InstanceSpec, Runtime};
use stage::Stage;

/// What a container of the suite does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Runs until SIGTERM.
    Sleep,
    /// Runs, and does not end at SIGTERM.
    IgnoreSigterm,
    /// Ends at once with this code.
    Exit(u8),
    /// Listens on this port on all addresses (and answers 200 to `GET /`), until SIGTERM.
    Serve(u16),
    /// Listens on this port on 127.0.0.1 only.
    ServeLoopback(u16),
    /// Writes `out 1` and `out 2` to standard output and `err 1` to standard error, and ends with 0.
    Speak,
    /// Writes the numbers from 1 to this to standard output, at least 10 ms apart, and ends with 0.
    Count(u32),
    /// Writes the numbers from 1 to this to standard output as fast as it can, then a line of 40,000 `x`, and ends with 0.
    Chatter(u32),
    /// Uses more memory than its limit of 16 MiB, and ends with 137.
    TakeMemory,
}

/// How the suite gets at one runtime.
#[async_trait]
pub trait Harness: Send + Sync {
    /// The runtime under test.
    fn runtime(&self) -> &dyn Runtime;
    /// A subnet that nothing uses; another one at each call.
    fn free_subnet(&self) -> Ipv4Net;
    /// A reference of an image in which all acts can be run; not labelled.
    fn image(&self) -> String;
    /// The command that does an act in this image.
    fn command(&self, act: &Act) -> ProcessCommand;
    /// Makes an image with the labels of this app; gives its reference.
    async fn make_app_image(&self, app: AppId) -> String;
    /// Makes a container, without starting it, as a worker leaves it that is killed in between.
    async fn create_only(&self, spec: &InstanceSpec);
    /// Starts a container that has none of Windlass's labels.
    async fn run_foreign(&self, name: &str) -> ContainerId;
    /// Whether that container still runs.
    async fn foreign_runs(&self, container: &ContainerId) -> bool;
}

type Case = for<'a> fn(&'a Stage<'a>) -> BoxFuture<'a, ()>;

macro_rules! cases {
    ($($module:ident :: $case:ident),* $(,)?) => {
        [$((stringify!($case), (|stage| Box::pin($module::$case(stage))) as Case)),*]
    };
}

/// Runs the whole suite, some cases at the same time. Panics at the first thing that is not as it must be.
pub async fn run(harness: &dyn Harness) {
    let cases = cases![
        lifecycle::an_instance_starts_serves_and_stops,
        lifecycle::starting_twice_makes_one_container,
        lifecycle::a_created_container_is_adopted_and_started,
        lifecycle::exit_codes_are_reported,
        lifecycle::want_of_memory_is_reported,
        lifecycle::a_deaf_container_is_killed_after_the_grace,
        lifecycle::what_is_gone_is_no_error,
        gates::health_is_what_the_program_says,
        gates::without_a_gate_there_is_no_health,
        gates::waking_a_gate_does_no_harm,
        gates::a_stopped_container_has_no_health,
        names::a_name_of_another_instance_is_taken,
        names::a_foreign_container_keeps_its_name_and_its_life,
        names::a_missing_image_and_network_are_told_apart,
        observing::sockets_are_listed_with_their_addresses,
        observing::only_the_app_that_is_asked_for_is_seen,
        observing::a_glance_tells_who_runs,
        observing::events_tell_what_happens,
        logs::both_streams_are_read,
        logs::a_reader_that_comes_back_loses_and_doubles_nothing,
        logs::many_and_long_lines_are_whole,
        logs::the_tail_is_the_end,
        networks::a_network_is_made_once,
        networks::an_overlapping_subnet_is_refused,
        networks::a_network_with_instances_can_be_removed,
        networks::whoever_has_a_network_or_an_image_has_something_here,
        images::images_are_listed_and_removed_by_app,
        images::an_image_in_use_stays,
    ];
    stream::iter(cases)
        .for_each_concurrent(4, |(name, case)| async move {
            let stage = Stage::new(harness, name);
            case(&stage).await;
            stage.clear().await;
        })
        .await;
}

#[cfg(test)]
mod tests;
