//! Instances as rows: one container each.

use std::net::SocketAddr;

use chrono::{DateTime, Utc};
use windlass_domain::{AppId, InstanceId, InstanceState, ProcessType, ReleaseId, ReleaseVersion};

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceRow {
    /// Its id.
    pub id: InstanceId,
    /// Its app.
    pub app: AppId,
    /// Its release.
    pub release: ReleaseId,
    /// The release's number.
    pub version: ReleaseVersion,
    /// Its process type.
    pub process: ProcessType,
    /// Its number, from 1 within app, process type and release.
    pub n: u32,
    /// The restart generation it belongs to.
    pub restart_seq: i32,
    /// Where it stands.
    pub state: InstanceState,
    /// Its container's id.
    pub container: Option<String>,
    /// Where it listens.
    pub address: Option<SocketAddr>,
    /// The exit code of an ended one.
    pub exit_code: Option<i64>,
    /// Why it ended, in a sentence.
    pub reason: Option<String>,
    /// When its row was made.
    pub created_at: DateTime<Utc>,
    /// When it first was healthy.
    pub healthy_at: Option<DateTime<Utc>>,
    /// When it began to drain.
    pub draining_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// How far its log was collected, in nanoseconds since 1970.
    pub log_cursor_ns: i64,
}
