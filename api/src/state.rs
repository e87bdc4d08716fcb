//! What handlers may ask for. Each takes the part it needs, not the whole.

use std::sync::Arc;

use axum::extract::FromRef;
use tokio_util::sync::CancellationToken;
use windlass_source::Repositories;
use windlass_store::Store;

use crate::{ApiConfig, BuildOutlook, ReadinessChecks, outlook::NoOutlook, push::Tickets};

/// Everything the API works with. Cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    pub(crate) store: Store,
    pub(crate) repositories: Repositories,
    pub(crate) config: Arc<ApiConfig>,
    pub(crate) readiness: Arc<dyn ReadinessChecks>,
    pub(crate) outlook: Arc<dyn BuildOutlook>,
    pub(crate) tickets: Tickets,
    /// Cancelled when the server stops: streams end then.
    pub(crate) shutdown: CancellationToken,
}

impl ApiState {
    /// Puts the parts together. Streams end, and `/readyz` says no, when `shutdown` is cancelled.
    pub fn new(
        store: Store,
        repositories: Repositories,
        config: ApiConfig,
        readiness: Arc<dyn ReadinessChecks>,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            store,
            repositories,
            config: Arc::new(config),
            readiness,
            outlook: Arc::new(NoOutlook),
            tickets: Tickets::default(),
            shutdown,
        }
    }

    /// Plans of deployments then tell what would come of a commit; without it they take what is live.
    #[must_use]
    pub fn with_outlook(mut self, outlook: Arc<dyn BuildOutlook>) -> Self {
        self.outlook = outlook;
        self
    }
}

impl FromRef<ApiState> for Store {
    fn from_ref(state: &ApiState) -> Self {
        state.store.clone()
    }
}

impl FromRef<ApiState> for Repositories {
    fn from_ref(state: &ApiState) -> Self {
        state.repositories.clone()
    }
}

impl FromRef<ApiState> for Arc<ApiConfig> {
    fn from_ref(state: &ApiState) -> Self {
        Self::clone(&state.config)
    }
}

impl FromRef<ApiState> for Arc<dyn ReadinessChecks> {
    fn from_ref(state: &ApiState) -> Self {
        Self::clone(&state.readiness)
    }
}

impl FromRef<ApiState> for Tickets {
    fn from_ref(state: &ApiState) -> Self {
        state.tickets.clone()
    }
}

impl FromRef<ApiState> for CancellationToken {
    fn from_ref(state: &ApiState) -> Self {
        state.shutdown.clone()
    }
}
