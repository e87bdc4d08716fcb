//! What is: rows of instances joined with what the runtime shows of their containers.

use chrono::{DateTime, Utc};
use windlass_domain::{InstanceId, InstanceState, ProcessType, ReleaseId};

/// What is, of one app.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Instances whose rows are in a live state.
    pub instances: Vec<Instance>,
    /// Recent ends of instances that should have gone on.
    pub crashes: Vec<Crash>,
}

/// One instance.
#[derive(Debug, Clone)]
pub struct Instance {
    /// The instance.
    pub id: InstanceId,
    /// Its release.
    pub release: ReleaseId,
    /// Its process type.
    pub process: ProcessType,
    /// Its number.
    pub n: u32,
    /// The restart generation it belongs to.
    pub restart_seq: i32,
    /// What its row says.
    pub state: InstanceState,
    /// What the runtime says.
    pub container: Container,
    /// When its row was made.
    pub created_at: DateTime<Utc>,
    /// When it began to drain.
    pub draining_at: Option<DateTime<Utc>>,
    /// Whether it gets requests although its release is not live yet.
    pub admitted: bool,
    /// Requests that it is serving, as the router counts them; none if the router does not say.
    pub in_flight: Option<u64>,
}

/// What the runtime says of an instance's container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// There is none (never made, or removed by somebody), or it ended together with the runtime: nothing that the app did.
    Missing,
    /// It is there and runs, or is about to.
    Running,
    /// It has ended.
    Ended,
}

/// The end of an instance that should have gone on.
#[derive(Debug, Clone)]
pub struct Crash {
    /// Its release.
    pub release: ReleaseId,
    /// Its process type.
    pub process: ProcessType,
    /// When.
    pub at: DateTime<Utc>,
    /// Whether it had been healthy for a good while: then it is no sign of a crash loop.
    pub settled: bool,
}
