//! Deletes an app: out of the routes, then containers, network and images, then the repository, then the rows. Each part may be
//! done twice; the rows go last, so that a killed worker's deletion is taken up again.

use std::{sync::Arc, time::Duration};

use windlass_store::AppWork;

use crate::context::Shared;

pub(super) async fn run(shared: &Arc<Shared>, work: &AppWork) -> anyhow::Result<Option<Duration>> {
    let app = work.app.id;
    shared.routes.publish().await?;
    if shared.store.has_running_deployment(app).await? {
        // It has been asked to cancel; its build must be dead before its image can be removed.
        return Ok(Some(Duration::from_millis(200)));
    }
    shared.runtime.remove_app(app).await?;
    shared.repositories.remove(app).await?;
    shared.store.purge_app(app).await?;
    tracing::info!(app = %work.app.name, "deleted");
    Ok(None)
}
