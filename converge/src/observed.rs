//! What is: rows of instances joined with what the runtime shows of their containers.

use chrono::{DateTime, Duration, Utc};
use windlass_domain::{InstanceId, InstanceState, ProcessType, ReleaseId};

/// What is, of one app.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Instances whose rows are in a live state.
    pub instances: Vec<Instance>,
    /// Ends of instances that should have gone on, of as long ago as they may hold up the next start.
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
    /// When it first was healthy.
    pub healthy_at: Option<DateTime<Utc>>,
    /// When it began to drain.
    pub draining_at: Option<DateTime<Utc>>,
    /// Whether it gets requests although its release is not live yet.
    pub admitted: bool,
    /// Requests that it is serving, as the router counts them; none if the router does not say.
    pub in_flight: Option<u64>,
}

impl Instance {
    /// What it means for the next start that this one ended then, though it should have gone on.
    pub fn crash(&self, at: DateTime<Utc>) -> Crash {
        Crash {
            release: self.release,
            process: self.process.clone(),
            restart_seq: self.restart_seq,
            at,
            ran: at - self.created_at,
            healthy_for: self.healthy_at.map_or(Duration::zero(), |since| at - since),
        }
    }
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
    /// The restart generation it belonged to.
    pub restart_seq: i32,
    /// When.
    pub at: DateTime<Utc>,
    /// How long it had been there by then.
    pub ran: Duration,
    /// How long ago it had first been healthy by then; zero: it never was.
    pub healthy_for: Duration,
}
