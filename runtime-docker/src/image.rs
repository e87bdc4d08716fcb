//! Images of ours: listed and removed by label.

use bollard::{
    models::ImageSummary,
    query_parameters::{ListImagesOptionsBuilder, RemoveImageOptions},
};
use chrono::DateTime;
use windlass_domain::{AppId, labels};
use windlass_runtime::{AppImage, RuntimeError};

use crate::{
    DockerRuntime,
    fault::{is_missing, runtime_error, status},
    labelled::{filter, is_own, read},
};

impl DockerRuntime {
    pub(crate) async fn images_of(&self, app: AppId) -> Result<Vec<AppImage>, RuntimeError> {
        let options = ListImagesOptionsBuilder::new()
            .filters(&filter(&self.engine, Some(app)))
            .build();
        let found = self
            .docker
            .list_images(Some(options))
            .await
            .map_err(|error| runtime_error("list images", error))?;
        let mut images: Vec<AppImage> = found.into_iter().map(app_image).collect();
        images.sort_by_key(|image| std::cmp::Reverse(image.created_at));
        Ok(images)
    }

    pub(crate) async fn remove_own_image(&self, reference: &str) -> Result<(), RuntimeError> {
        let found = match self.docker.inspect_image(reference).await {
            Ok(found) => found,
            Err(error) if is_missing(&error) => return Ok(()),
            Err(error) => return Err(runtime_error("inspect an image", error)),
        };
        let labels = found.config.and_then(|config| config.labels);
        if !is_own(&self.engine, labels.as_ref()) {
            return Ok(());
        }
        match self
            .docker
            .remove_image(reference, None::<RemoveImageOptions>, None)
            .await
        {
            Ok(_) => Ok(()),
            Err(error) if is_missing(&error) => Ok(()),
            Err(error) if status(&error) == Some(409) => Err(RuntimeError::InUse(reference.to_owned())),
            Err(error) => Err(runtime_error("remove an image", error)),
        }
    }

    /// All images of an app: tag by tag, and by id what has none.
    pub(crate) async fn remove_images_of(&self, app: AppId) -> Result<(), RuntimeError> {
        for image in self.images_of(app).await? {
            for reference in &image.references {
                self.remove_own_image(reference).await?;
            }
            if image.references.is_empty() {
                self.remove_own_image(&image.id).await?;
            }
        }
        Ok(())
    }
}

fn app_image(image: ImageSummary) -> AppImage {
    AppImage {
        references: image
            .repo_tags
            .into_iter()
            .filter(|tag| !tag.contains("<none>"))
            .collect(),
        deployment: read(&image.labels, labels::DEPLOYMENT),
        created_at: DateTime::from_timestamp(image.created, 0),
        size_bytes: u64::try_from(image.size).unwrap_or(0),
        id: image.id,
    }
}
