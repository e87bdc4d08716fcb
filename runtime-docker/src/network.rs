//! One bridge network for each app, with a subnet that the engine chose.

use bollard::{
    models::{Ipam, IpamConfig, Network, NetworkCreateRequest, NetworkDisconnectRequest},
    query_parameters::{ListContainersOptionsBuilder, ListNetworksOptionsBuilder},
};
use windlass_domain::AppId;
use windlass_runtime::{NetworkError, NetworkSpec, RuntimeError};

use crate::{
    DockerRuntime,
    fault::{is_missing, message, runtime_error},
    labelled::{filter, is_of_app, network_labels},
    proc_net::host_routes,
};

const LIST: &str = "list networks";

impl DockerRuntime {
    pub(crate) async fn make_network(&self, spec: &NetworkSpec) -> Result<(), NetworkError> {
        if self.has_network(spec).await? {
            return Ok(());
        }
        // Docker checks its own networks but not where the machine itself routes to: a VPN, another bridge, the local network.
        if host_routes().iter().any(|route| overlap(route, &spec.subnet)) {
            return self.overlapped(spec).await;
        }
        match self.docker.create_network(self.request(spec)).await {
            Ok(_) => Ok(()),
            Err(error) if message(&error).contains("overlap") => self.overlapped(spec).await,
            Err(error) if message(&error).contains("already exists") => {
                if self.has_network(spec).await? {
                    Ok(())
                } else {
                    Err(NetworkError::NameTaken(spec.name.clone()))
                }
            }
            Err(error) => Err(runtime_error("create a network", error).into()),
        }
    }

    fn request(&self, spec: &NetworkSpec) -> NetworkCreateRequest {
        NetworkCreateRequest {
            name: spec.name.clone(),
            driver: Some("bridge".to_owned()),
            ipam: Some(Ipam {
                config: Some(vec![IpamConfig {
                    subnet: Some(spec.subnet.trunc().to_string()),
                    ..Default::default()
                }]),
                ..Default::default()
            }),
            labels: Some(network_labels(&self.engine, spec)),
            ..Default::default()
        }
    }

    /// The subnet is taken: by ourselves, if another worker has made the same network meanwhile.
    async fn overlapped(&self, spec: &NetworkSpec) -> Result<(), NetworkError> {
        if self.has_network(spec).await? {
            Ok(())
        } else {
            Err(NetworkError::Overlap(spec.subnet))
        }
    }

    /// Whether the app's network is there. [`NetworkError::NameTaken`] if the name is somebody else's: with API 1.41 Docker would
    /// make a second network of that name.
    async fn has_network(&self, spec: &NetworkSpec) -> Result<bool, NetworkError> {
        let by_name = std::collections::HashMap::from([("name".to_owned(), vec![spec.name.clone()])]);
        let options = ListNetworksOptionsBuilder::new().filters(&by_name).build();
        let found: Vec<Network> = self
            .docker
            .list_networks(Some(options))
            .await
            .map_err(|error| runtime_error(LIST, error))?
            .into_iter()
            // The filter also finds names that only contain this one.
            .filter(|network| network.name.as_ref() == Some(&spec.name))
            .collect();
        let (own, others): (Vec<Network>, Vec<Network>) = found
            .into_iter()
            .partition(|network| is_of_app(&self.engine, spec.app, network.labels.as_ref()));
        if !own.is_empty() {
            self.keep_one(spec, own).await?;
            return Ok(true);
        }
        if others.is_empty() {
            Ok(false)
        } else {
            Err(NetworkError::NameTaken(spec.name.clone()))
        }
    }

    /// Removes all but one of the app's networks of one name. There may be two where an engine was killed while Docker was making the
    /// first: the next engine did not see it yet. Docker starts no container in a network whose name is ambiguous.
    async fn keep_one(&self, spec: &NetworkSpec, own: Vec<Network>) -> Result<(), NetworkError> {
        if own.len() < 2 {
            return Ok(());
        }
        let mut ranked = Vec::new();
        for id in own.into_iter().filter_map(|network| network.id) {
            let inspected = match self.docker.inspect_network(&id, None).await {
                Ok(inspected) => inspected,
                Err(error) if is_missing(&error) => continue,
                Err(error) => return Err(runtime_error("inspect a network", error).into()),
            };
            let is_used = inspected.containers.is_some_and(|containers| !containers.is_empty());
            let as_asked = inspected.ipam.as_ref().is_some_and(|ipam| has_subnet(ipam, spec));
            ranked.push((!is_used, !as_asked, id));
        }
        // Whoever else finds them keeps the same one.
        ranked.sort();
        for (_, _, id) in ranked.into_iter().skip(1) {
            tracing::warn!(network = spec.name, id, "removing the second network of this name");
            match self.docker.remove_network(&id).await {
                Ok(()) => {}
                Err(error) if is_missing(&error) => {}
                Err(error) => return Err(runtime_error("remove a network", error).into()),
            }
        }
        Ok(())
    }

    pub(crate) async fn remove_networks_of(&self, app: AppId) -> Result<(), RuntimeError> {
        let options = ListNetworksOptionsBuilder::new()
            .filters(&filter(&self.engine, Some(app)))
            .build();
        let found = self
            .docker
            .list_networks(Some(options))
            .await
            .map_err(|error| runtime_error(LIST, error))?;
        for id in found.into_iter().filter_map(|network| network.id) {
            self.disconnect_own(&id).await?;
            match self.docker.remove_network(&id).await {
                Ok(()) => {}
                Err(error) if is_missing(&error) => {}
                Err(error) => return Err(runtime_error("remove a network", error)),
            }
        }
        Ok(())
    }

    async fn disconnect_own(&self, network: &str) -> Result<(), RuntimeError> {
        let mut filters = filter(&self.engine, None);
        filters.insert("network".to_owned(), vec![network.to_owned()]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let members = self
            .docker
            .list_containers(Some(options))
            .await
            .map_err(|error| runtime_error("list containers", error))?;
        for container in members.into_iter().filter_map(|member| member.id) {
            let request = NetworkDisconnectRequest {
                container,
                force: Some(true),
            };
            match self.docker.disconnect_network(network, request).await {
                Ok(()) => {}
                Err(error) if is_missing(&error) || message(&error).contains("not connected") => {}
                Err(error) => return Err(runtime_error("disconnect a container", error)),
            }
        }
        Ok(())
    }
}

fn has_subnet(ipam: &Ipam, spec: &NetworkSpec) -> bool {
    let wanted = spec.subnet.trunc().to_string();
    let mut configs = ipam.config.iter().flatten();
    configs.any(|config| config.subnet.as_ref() == Some(&wanted))
}

fn overlap(a: &ipnet::Ipv4Net, b: &ipnet::Ipv4Net) -> bool {
    a.contains(b) || b.contains(a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_overlap_in_both_directions() {
        let net = |text: &str| text.parse::<ipnet::Ipv4Net>().unwrap();
        assert!(overlap(&net("10.0.0.0/8"), &net("10.1.2.0/28")));
        assert!(overlap(&net("10.1.2.0/28"), &net("10.0.0.0/8")));
        assert!(!overlap(&net("10.1.2.0/28"), &net("10.1.2.16/28")));
    }
}
