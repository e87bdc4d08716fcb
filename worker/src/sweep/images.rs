//! Images that nobody needs any more, and images that Docker and the rows do not agree on.

use std::collections::HashSet;

use windlass_domain::DeploymentId;
use windlass_runtime::{AppImage, RuntimeError};
use windlass_store::ImageRow;

use crate::context::Shared;

/// The release before the live one is what a bad release goes back to by itself.
const KEEP_AT_LEAST: u32 = 2;

/// Removes the images of releases that are no longer kept.
pub(crate) async fn images(shared: &Shared) -> anyhow::Result<()> {
    let keep = shared.config.keep_releases.max(KEEP_AT_LEAST);
    for (_, image) in shared.store.removable_images(keep).await? {
        // The row first: a rollback at this moment either keeps the image or knows that it is gone.
        if shared.store.claim_image_removal(image.id, keep).await? {
            remove(shared, &image).await?;
        }
    }
    Ok(())
}

async fn remove(shared: &Shared, image: &ImageRow) -> anyhow::Result<()> {
    let Err(error) = shared.runtime.remove_image(&image.reference).await else {
        return Ok(());
    };
    shared.store.unmark_image_removed(image.id).await?;
    // An old instance may still be draining; anything else must not keep the other images.
    if !matches!(error, RuntimeError::InUse(_)) {
        tracing::warn!(image = image.reference, %error, "an image cannot be removed");
    }
    Ok(())
}

/// Compares rows with what Docker has: an image that somebody removed by hand is built again when it is wanted, and one that a
/// killed worker left without a row goes.
pub(super) async fn reconcile(shared: &Shared) -> anyhow::Result<()> {
    for app in shared.store.kept_apps().await? {
        let before = shared.store.images_of(app).await?;
        let seen = shared.runtime.images(app).await?;
        let here: HashSet<&str> = seen
            .iter()
            .flat_map(|image| &image.references)
            .map(String::as_str)
            .collect();
        for gone in before.iter().filter(|image| !here.contains(image.reference.as_str())) {
            tracing::warn!(
                image = gone.reference,
                "an image is no longer there; it is built again when it is wanted"
            );
            shared.store.mark_image_removed(gone.id).await?;
        }
        // Asked after Docker was: what is built by now is recorded, or its deployment is open.
        let open = shared.store.open_deployments(app).await?;
        let known = shared.store.images_of(app).await?;
        for reference in orphans(&seen, &known, &open) {
            match shared.runtime.remove_image(&reference).await {
                Ok(()) => tracing::info!(image = reference, "removed an image that no row knows"),
                Err(RuntimeError::InUse(_)) => {}
                Err(error) => tracing::warn!(image = reference, %error, "an image cannot be removed"),
            }
        }
    }
    Ok(())
}

/// What can go: tags of no row and of no open deployment, and images that have lost their only tag to a later build.
fn orphans(seen: &[AppImage], known: &[ImageRow], open: &[DeploymentId]) -> Vec<String> {
    let known: HashSet<&str> = known.iter().map(|image| image.reference.as_str()).collect();
    let is_open = |reference: &str| {
        let tag = reference.rsplit(':').next().unwrap_or_default();
        open.iter().any(|deployment| deployment.to_string() == tag)
    };
    let mut orphans = Vec::new();
    for image in seen {
        let wanted = |reference: &&String| !known.contains(reference.as_str()) && !is_open(reference);
        orphans.extend(image.references.iter().filter(wanted).cloned());
        if image.references.is_empty() && image.deployment.is_none_or(|id| !open.contains(&id)) {
            orphans.push(image.id.clone());
        }
    }
    orphans
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use windlass_domain::{AppId, ImageId};

    use super::*;

    fn row(deployment: DeploymentId) -> ImageRow {
        ImageRow {
            id: ImageId::generate(),
            app: AppId::generate(),
            deployment,
            reference: format!("windlass/shop:{deployment}"),
            digest: "sha256:x".to_owned(),
            commit: None,
            processes: vec![],
            exposed_ports: vec![],
            size_bytes: 0,
            created_at: Utc::now(),
            removed_at: None,
        }
    }

    fn image(id: &str, references: &[String], deployment: Option<DeploymentId>) -> AppImage {
        AppImage {
            id: id.to_owned(),
            references: references.to_vec(),
            deployment,
            created_at: None,
            size_bytes: 0,
        }
    }

    #[test]
    fn only_what_no_row_and_no_open_deployment_knows_is_an_orphan() {
        let [kept, open, left, lost] = [(); 4].map(|()| DeploymentId::generate());
        let tag = |deployment: DeploymentId| format!("windlass/shop:{deployment}");
        let seen = [
            image("sha256:1", &[tag(kept), tag(left)], Some(kept)),
            image("sha256:2", &[tag(open)], Some(open)),
            image("sha256:3", &[], Some(open)),
            image("sha256:4", &[], Some(lost)),
        ];
        let found = orphans(&seen, &[row(kept)], &[open]);
        assert_eq!(found, [tag(left), "sha256:4".to_owned()]);
    }
}
