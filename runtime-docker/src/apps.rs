//! Which apps have something here.

use std::collections::BTreeSet;

use bollard::query_parameters::{ListContainersOptionsBuilder, ListImagesOptionsBuilder, ListNetworksOptionsBuilder};
use windlass_domain::{AppId, labels};
use windlass_runtime::RuntimeError;

use crate::{
    DockerRuntime,
    fault::runtime_error,
    labelled::{Labels, filter, read},
};

impl DockerRuntime {
    pub(crate) async fn apps_with_something(&self) -> Result<Vec<AppId>, RuntimeError> {
        let own = filter(&self.engine, None);
        let containers = ListContainersOptionsBuilder::new().all(true).filters(&own).build();
        let containers = self.docker.list_containers(Some(containers)).await;
        let containers = containers.map_err(|error| runtime_error("list containers", error))?;
        let networks = ListNetworksOptionsBuilder::new().filters(&own).build();
        let networks = self.docker.list_networks(Some(networks)).await;
        let networks = networks.map_err(|error| runtime_error("list networks", error))?;
        let images = ListImagesOptionsBuilder::new().filters(&own).build();
        let images = self.docker.list_images(Some(images)).await;
        let images = images.map_err(|error| runtime_error("list images", error))?;

        let containers = containers.into_iter().filter_map(|container| container.labels);
        let networks = networks.into_iter().filter_map(|network| network.labels);
        let images = images.into_iter().map(|image| image.labels);
        let app = |labels: Labels| read::<AppId>(&labels, labels::APP_ID);
        let apps: BTreeSet<AppId> = containers.chain(networks).chain(images).filter_map(app).collect();
        Ok(apps.into_iter().collect())
    }
}
