//! What an instance's container is made from: its image and command, its environment, its labels.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use anyhow::Context;
use windlass_domain::{InstanceName, ProcessType, Secret, Upstream};
use windlass_router_labels::TraefikTarget;
use windlass_runtime::{InstanceSpec, Role};
use windlass_store::{AppWork, InstanceRow, ReleaseRow};

use crate::{
    context::{Shared, platform_env},
    routes,
};

/// The container that an instance of a release runs in.
pub(super) async fn instance_spec(
    shared: &Shared,
    (work, release): (&AppWork, &ReleaseRow),
    row: &InstanceRow,
    network: String,
) -> anyhow::Result<InstanceSpec> {
    let port = release.settings.port_of(&row.process);
    let command = release
        .processes
        .iter()
        .find(|spec| spec.process == row.process)
        .and_then(|spec| spec.command.clone());
    let name = InstanceName {
        app: work.app.name.clone(),
        process: row.process.clone(),
        release: release.version,
        n: row.n,
    };
    let mut env = environment(shared, work, release, &row.process).await?;
    env.insert(
        "WINDLASS_INSTANCE".to_owned(),
        Secret::new(format!("{}.{}", row.process, row.n)),
    );
    if let Some(port) = port {
        env.insert("PORT".to_owned(), Secret::new(port.to_string()));
    }
    let routed = port.is_some() && row.process.is_web();
    let gate = if routed { shared.edge.gate(row.id)? } else { None };
    Ok(InstanceSpec {
        instance: row.id,
        role: Role::Instance,
        app: work.app.id,
        release: release.id,
        deployment: Some(release.deployment),
        image: release.image_reference.clone(),
        command,
        env,
        port,
        restart_seq: row.restart_seq,
        limits: release.settings.limits.clone(),
        extra_labels: traefik_labels(shared, work, row, (port.filter(|_| row.process.is_web()), &network))?,
        network,
        name,
        gate,
        stop_grace: Duration::from_secs(release.settings.drain_seconds.into()),
    })
}

/// Config vars of the release's version, and what Windlass itself tells an app about it.
pub(crate) async fn environment(
    shared: &Shared,
    work: &AppWork,
    release: &ReleaseRow,
    process: &ProcessType,
) -> anyhow::Result<BTreeMap<String, Secret<String>>> {
    let config = shared.store.config_at(work.app.id, release.config_version).await?;
    let mut env = platform_env([
        ("WINDLASS_APP", work.app.name.to_string()),
        ("WINDLASS_PROCESS", process.to_string()),
        ("WINDLASS_RELEASE", release.version.to_string()),
        (
            "WINDLASS_COMMIT",
            release.commit.as_ref().map(ToString::to_string).unwrap_or_default(),
        ),
        ("WINDLASS_URL", shared.config.app_url(&work.app.name)),
    ]);
    env.extend(config.vars.into_iter().map(|(key, value)| (key.to_string(), value)));
    Ok(env)
}

/// The labels by which a Traefik routes to this container, and by which its route can be rebuilt.
fn traefik_labels(
    shared: &Shared,
    work: &AppWork,
    row: &InstanceRow,
    (port, network): (Option<u16>, &str),
) -> anyhow::Result<BTreeMap<String, String>> {
    let Some(port) = port else { return Ok(BTreeMap::new()) };
    let upstream = Upstream {
        instance: row.id,
        address: SocketAddr::from(([0, 0, 0, 0], port)),
    };
    let route = routes::route(&shared.config, work.app.name.clone(), vec![upstream])?;
    let target = TraefikTarget {
        port,
        network: Some(network.to_owned()),
        entrypoints: shared.edge.entrypoints(),
    };
    windlass_router_labels::to_labels(&route, &target).context("the route cannot be written as labels")
}
