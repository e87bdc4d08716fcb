//! The labels of Windlass: written on what is made, asked for when something is looked up, read back into identities.

use std::collections::HashMap;

use windlass_domain::{AppId, DeploymentId, InstanceId, InstanceName, ReleaseId, ReleaseVersion, labels};
use windlass_runtime::{InstanceSpec, NetworkSpec, Role};

/// Labels as Docker has them.
pub(crate) type Labels = HashMap<String, String>;

/// The prefix of labels that only Windlass itself sets.
const OWN_PREFIX: &str = "windlass.";

fn engine_labels(engine: &str) -> Labels {
    Labels::from([
        (labels::MANAGED.to_owned(), "true".to_owned()),
        (labels::ENGINE.to_owned(), engine.to_owned()),
    ])
}

/// The labels of an app's network.
pub(crate) fn network_labels(engine: &str, network: &NetworkSpec) -> Labels {
    let mut labels = engine_labels(engine);
    labels.insert(labels::APP_ID.to_owned(), network.app.to_string());
    labels.insert(labels::APP.to_owned(), network.app_name.to_string());
    labels
}

/// The labels of a container. Extra labels cannot replace Windlass's own.
pub(crate) fn container_labels(engine: &str, spec: &InstanceSpec) -> Labels {
    let mut labels: Labels = spec
        .extra_labels
        .iter()
        .filter(|(key, _)| !key.starts_with(OWN_PREFIX))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    labels.extend(engine_labels(engine));
    let own = [
        (labels::APP_ID, spec.app.to_string()),
        (labels::APP, spec.name.app.to_string()),
        (labels::RELEASE, spec.name.release.0.to_string()),
        (labels::RELEASE_ID, spec.release.to_string()),
        (labels::PROCESS, spec.name.process.to_string()),
        (labels::INSTANCE, spec.instance.to_string()),
        (labels::INSTANCE_N, spec.name.n.to_string()),
        (labels::RESTART, spec.restart_seq.to_string()),
        (labels::ROLE, spec.role.as_str().to_owned()),
    ];
    labels.extend(own.map(|(key, value)| (key.to_owned(), value)));
    if let Some(port) = spec.port {
        labels.insert(labels::PORT.to_owned(), port.to_string());
    }
    if let Some(deployment) = spec.deployment {
        labels.insert(labels::DEPLOYMENT.to_owned(), deployment.to_string());
    }
    labels
}

/// Docker's filter for what is this engine's, and of one app if one is given.
pub(crate) fn filter(engine: &str, app: Option<AppId>) -> HashMap<String, Vec<String>> {
    let mut wanted = vec![
        format!("{}=true", labels::MANAGED),
        format!("{}={engine}", labels::ENGINE),
    ];
    wanted.extend(app.map(|app| format!("{}={app}", labels::APP_ID)));
    HashMap::from([("label".to_owned(), wanted)])
}

/// Whether something with these labels is this engine's.
pub(crate) fn is_own(engine: &str, labels: Option<&Labels>) -> bool {
    labels.is_some_and(|labels| {
        labels.get(labels::MANAGED).is_some_and(|value| value == "true")
            && labels.get(labels::ENGINE).is_some_and(|value| value == engine)
    })
}

/// Whether something with these labels is this engine's and this app's.
pub(crate) fn is_of_app(engine: &str, app: AppId, labels: Option<&Labels>) -> bool {
    is_own(engine, labels) && labels.and_then(|labels| read(labels, labels::APP_ID)) == Some(app)
}

/// A label's value, if it is there and can be read.
pub(crate) fn read<T: std::str::FromStr>(labels: &Labels, key: &str) -> Option<T> {
    labels.get(key)?.parse().ok()
}

/// Who a container is, by its labels.
pub(crate) struct Identity {
    pub(crate) instance: InstanceId,
    pub(crate) name: InstanceName,
    pub(crate) role: Role,
    pub(crate) app: AppId,
    pub(crate) release: ReleaseId,
    pub(crate) deployment: Option<DeploymentId>,
    pub(crate) restart_seq: i32,
    pub(crate) port: Option<u16>,
}

/// Reads the identity back; none if a label is missing or cannot be read.
pub(crate) fn identity(labels: &Labels) -> Option<Identity> {
    Some(Identity {
        instance: read(labels, labels::INSTANCE)?,
        name: InstanceName {
            app: read(labels, labels::APP)?,
            process: read(labels, labels::PROCESS)?,
            release: read::<ReleaseVersion>(labels, labels::RELEASE)?,
            n: read(labels, labels::INSTANCE_N)?,
        },
        role: Role::parse(labels.get(labels::ROLE)?)?,
        app: read(labels, labels::APP_ID)?,
        release: read(labels, labels::RELEASE_ID)?,
        deployment: read(labels, labels::DEPLOYMENT),
        restart_seq: read(labels, labels::RESTART)?,
        port: read(labels, labels::PORT),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::tests::spec;

    #[test]
    fn an_identity_is_read_back_from_its_labels() {
        let spec = spec();
        let identity = identity(&container_labels("e1", &spec)).unwrap();
        assert_eq!(identity.instance, spec.instance);
        assert_eq!(identity.name, spec.name);
        assert_eq!(identity.deployment, spec.deployment);
        assert_eq!(identity.port, spec.port);
        assert_eq!(identity.restart_seq, spec.restart_seq);
    }

    #[test]
    fn extra_labels_cannot_pose_as_windlass() {
        let mut spec = spec();
        spec.extra_labels.insert(labels::ENGINE.to_owned(), "other".to_owned());
        spec.extra_labels.insert("traefik.enable".to_owned(), "true".to_owned());
        let labels = container_labels("e1", &spec);
        assert!(is_own("e1", Some(&labels)));
        assert!(!is_own("other", Some(&labels)));
        assert_eq!(labels["traefik.enable"], "true");
    }

    #[test]
    fn what_has_no_labels_is_not_ours() {
        assert!(!is_own("e1", None));
        assert!(!is_own("e1", Some(&Labels::new())));
    }
}
