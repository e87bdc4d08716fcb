//! Gives each app a small subnet of the engine's own pool. Docker's own pools end after 31 networks.

use anyhow::{Context, bail};
use ipnet::Ipv4Net;
use windlass_domain::{AppId, AppName};
use windlass_runtime::{NetworkError, NetworkSpec};

use crate::context::Shared;

/// Room for 62 instances.
const PREFIX: u8 = 26;

/// Makes the app's network unless it is there, and returns its name.
pub(crate) async fn ensure(
    shared: &Shared,
    app: AppId,
    app_name: &AppName,
    subnet: Option<Ipv4Net>,
) -> anyhow::Result<String> {
    // The end of the engine's id keeps two engines on one machine apart; its beginning is only the time of its making.
    let id = &shared.config.engine_id;
    let name = format!("windlass-{}-{app_name}", &id[id.len().saturating_sub(8)..]);
    if let Some(subnet) = subnet {
        match make(shared, app, app_name, (&name, subnet)).await {
            Ok(()) => return Ok(name),
            // Somebody else's network took the addresses while ours was away: move on to others.
            Err(NetworkError::Overlap(_)) => shared.store.clear_subnet(app).await?,
            Err(error) => return Err(error).context("cannot make the app's network"),
        }
    }
    let used = shared.store.used_subnets().await?;
    for candidate in shared
        .config
        .network_pool
        .subnets(PREFIX)?
        .filter(|subnet| !used.contains(subnet))
    {
        if !shared.store.set_subnet(app, candidate).await? {
            continue;
        }
        match make(shared, app, app_name, (&name, candidate)).await {
            Ok(()) => return Ok(name),
            // Taken by another network of this machine: the next one.
            Err(NetworkError::Overlap(_)) => shared.store.clear_subnet(app).await?,
            Err(error) => return Err(error).context("cannot make the app's network"),
        }
    }
    bail!(
        "the network pool {} is used up or overlaps with the machine's networks; set worker.network_pool to a free range",
        shared.config.network_pool
    )
}

async fn make(
    shared: &Shared,
    app: AppId,
    app_name: &AppName,
    (name, subnet): (&str, Ipv4Net),
) -> Result<(), NetworkError> {
    let spec = NetworkSpec {
        app,
        app_name: app_name.clone(),
        name: name.to_owned(),
        subnet,
    };
    shared.runtime.ensure_network(&spec).await
}
