//! What happened, told to everybody who waits: one `LISTEN` connection, fanned out to many receivers.

use windlass_domain::{AppId, DeploymentId};

/// Something happened; whoever cares looks at the rows. A receiver that lagged treats that as [`Event::Resync`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A deployment was made or changed.
    Deployment {
        /// Its app.
        app: AppId,
        /// The deployment.
        deployment: DeploymentId,
    },
    /// A deployment's log has new lines.
    DeploymentLog(DeploymentId),
    /// What is wanted or what is of an app changed: look whether its instances are as they should be.
    App(AppId),
    /// An app's run log has new lines.
    RunLog(AppId),
    /// Events may have been lost: look at everything.
    Resync,
}
