//! Formation: how many instances of each process type are wanted.

use windlass_domain::{ProcessType, release::ProcessCommand};

use crate::StoreError;

/// What is wanted of one process type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormationRow {
    /// The process type.
    pub process: ProcessType,
    /// How many instances.
    pub quantity: u32,
    /// Instances of an older generation are replaced.
    pub restart_seq: i32,
    /// How the live release starts it; none: the image's own way, or nothing is live.
    pub command: Option<ProcessCommand>,
}

/// Why the formation was left as it is.
#[derive(Debug, thiserror::Error)]
pub enum ScaleError {
    /// There is no such app, or it is being deleted.
    #[error("there is no such app")]
    NoSuchApp,
    /// The live release has no such process type.
    #[error("the live release has no process type `{process}`")]
    NoSuchProcess {
        /// The process type that was asked for.
        process: ProcessType,
        /// Those that there are.
        known: Vec<ProcessType>,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
