//! What the worker asks: over all teams, because it is the machine itself that works. Every write to a deployment names the
//! attempt that was claimed, and does nothing once another worker has taken over.

mod types;

pub use types::{
    AppWork, Claim, Heartbeat, ImageRow, InstanceEnd, NewImage, NewInstance, NewRelease, NewRunLog, Outcome, RunLogBatch,
    WorkerId,
};
