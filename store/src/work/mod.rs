//! What the worker asks: over all teams, because it is the machine itself that works. Every write to a deployment names the
//! attempt that was claimed, and does nothing once another worker has taken over.

mod claim;
mod converge;
mod images;
mod instances;
mod lease;
mod progress;
mod rebuild;
mod releases;
mod run_log;
mod sweep;
mod types;
mod watch;

pub use rebuild::Rebuild;
pub(crate) use run_log::RunLogSize;
pub use types::{
    Again, AppWork, CheckedInstance, Claim, Clock, Heartbeat, ImageRow, InstanceEnd, NewImage, NewInstance, NewRelease,
    NewRunLog, Outcome, RunLogBatch, TakenBack, Wanted, WorkerId,
};
pub use watch::{CondemnedRelease, WatchedRelease};
