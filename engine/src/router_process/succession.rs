//! Which router serves, and how one takes over from another.

use std::{net::TcpListener, time::Duration};

use anyhow::{Context, ensure};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use windlass_router::control::{self, ControlClient, ControlError, RouterStatus, Sign, Vigil};

use super::{
    DRAIN, bind,
    child::{self, client_of},
    kill, listens_where_wanted, make_room, pulse,
};
use crate::config::Config;

/// How long a router that died may still hold the port.
const DYING: Duration = Duration::from_secs(5);
/// One that lives less long is not started again at once.
const SETTLED: Duration = Duration::from_secs(1);
/// The pause before the next attempt to start a router.
const PAUSE: Duration = Duration::from_millis(100);

/// The router that the engine looks after.
pub struct Router {
    /// A duplicate of the socket that it listens on: the queue of connections lives as long as either of the two processes.
    listener: TcpListener,
    client: ControlClient,
    vigil: Vigil,
    pid: u32,
    /// Its process as the kernel knows it: what an unprivileged router says of itself is no reason to end a process.
    process: Option<u32>,
    since: Instant,
}

/// Why another router is to serve.
#[derive(Debug, Clone, Copy)]
enum Cause {
    /// What was said of this one.
    Told(Sign),
    /// It says nothing any more.
    Hangs,
}

/// Makes sure that a router of this version runs on the configured address: adopts the one that does, has a new one take over from
/// one that does not fit, or starts one.
pub async fn ensure(config: &Config) -> anyhow::Result<Router> {
    let common = ControlClient::new(config.router_socket());
    let router = match common.status().await {
        Ok(status) if !status.closing => take_over(config, &common, status).await?,
        Ok(_) | Err(ControlError::Unreachable(_) | ControlError::Broken(_)) => {
            let listener = bind(config, Instant::now() + DYING).await?;
            Router::start(config, listener).await?
        }
        Err(ControlError::Timeout(_)) if pulse::is_silent(&common).await => replace_silent(config, &common).await?,
        Err(_) => replace_stranger(config, &common).await?,
    };
    router.retire_others(config).await;
    Ok(router)
}

async fn take_over(config: &Config, common: &ControlClient, status: RouterStatus) -> anyhow::Result<Router> {
    let client = client_of(config, status.pid);
    let Ok(listeners) = client.listeners().await else {
        return replace_stranger(config, common).await;
    };
    let ours = status.version == env!("CARGO_PKG_VERSION");
    let listener = listeners
        .into_iter()
        .find(|listener| listens_where_wanted(listener, config.router_http));
    if let Some(listener) = &listener {
        make_room(listener)?;
    }
    match listener {
        Some(listener) if ours => {
            let (pid, generation) = (status.pid, status.generation);
            tracing::info!(pid, generation, "router runs already");
            match Router::adopt(listener.try_clone()?, client, pid).await {
                Ok(router) => Ok(router),
                // It has ended since.
                Err(_) => Router::start(config, listener).await,
            }
        }
        listener => {
            tracing::info!(
                version = status.version,
                same_address = listener.is_some(),
                "a new router takes over"
            );
            let listener = match listener {
                Some(listener) => listener,
                None => bind(config, Instant::now() + DYING).await?,
            };
            succeed(config, &client, listener).await
        }
    }
}

/// For a router that cannot hand over its socket: it is asked to end, and clients that connect while it does are refused.
async fn replace_stranger(config: &Config, common: &ControlClient) -> anyhow::Result<Router> {
    tracing::info!("replacing a router that cannot hand over its socket");
    common.shutdown().await.context("the old router does not end")?;
    let deadline = Instant::now() + DRAIN;
    let listener = bind(config, deadline).await?;
    // One that drains goes on answering, and takes the control socket with it when it has ended.
    while matches!(common.status().await, Ok(_) | Err(ControlError::Protocol { .. })) {
        ensure!(Instant::now() < deadline, "the old router does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Router::start(config, listener).await
}

/// For a router that hangs, whose socket nobody else holds: clients are refused until the next one has it.
async fn replace_silent(config: &Config, common: &ControlClient) -> anyhow::Result<Router> {
    let process = common.process().await.ok().flatten();
    tracing::warn!(process, "the router does not answer; ending it and starting another");
    kill_if_known(config, process);
    let listener = bind(config, Instant::now() + DYING).await?;
    Router::start(config, listener).await
}

fn kill_if_known(config: &Config, process: Option<u32>) {
    if let Some(process) = process
        && let Err(error) = kill(process, &config.router_dir())
    {
        let error = format!("{error:#}");
        tracing::warn!(error, "the router that hangs cannot be ended");
    }
}

/// Both accept from one queue until the new router has everything; only then the old one is told to end.
async fn succeed(config: &Config, old: &ControlClient, listener: TcpListener) -> anyhow::Result<Router> {
    let new = Router::start(config, listener).await?;
    new.take_table_of(old).await;
    if let Err(error) = old.shutdown().await
        && !error.says_gone()
    {
        tracing::warn!(%error, "the old router does not end; both serve");
    }
    Ok(new)
}

impl Router {
    async fn start(config: &Config, listener: TcpListener) -> anyhow::Result<Self> {
        let pid = child::start(config, listener.try_clone()?).await?;
        Self::adopt(listener, client_of(config, pid), pid).await
    }

    async fn adopt(listener: TcpListener, client: ControlClient, pid: u32) -> anyhow::Result<Self> {
        let vigil = client.watch().await.context("the router cannot be watched")?;
        let process = client.process().await.context("the router's process cannot be told")?;
        Ok(Self {
            listener,
            client,
            vigil,
            pid,
            process,
            since: Instant::now(),
        })
    }

    /// The successor read the last table from disk; the old router may have a newer one that did not get there.
    async fn take_table_of(&self, old: &ControlClient) {
        let taken = async {
            let (theirs, ours) = (old.status().await?.generation, self.client.status().await?.generation);
            if theirs > ours {
                self.client.apply(old.table().await?).await?;
            }
            Ok::<_, ControlError>(())
        };
        match taken.await {
            Err(error) if !error.says_gone() => tracing::warn!(%error, "the old router's table cannot be taken over"),
            _ => {}
        }
    }

    /// One that was only slow ends in order. One that hangs would hold its requests for ever, and delay every table.
    async fn take_over_from_silent(&self, old: &Self, config: &Config) {
        self.take_table_of(&old.client).await;
        match old.client.shutdown().await {
            Err(error) if !error.says_gone() => {
                tracing::warn!(pid = old.pid, %error, "ending the router that hangs");
                kill_if_known(config, old.process);
            }
            _ => {}
        }
    }

    /// Ends routers that an engine which died in the middle of a succession has left serving.
    async fn retire_others(&self, config: &Config) {
        for other in control::in_folder(&config.router_dir()).unwrap_or_default() {
            match other.status().await {
                Ok(status) if status.pid != self.pid && !status.closing => {
                    tracing::info!(pid = status.pid, "ending a router whose successor serves");
                    self.take_table_of(&other).await;
                    let _ = other.shutdown().await;
                }
                _ => {}
            }
        }
    }

    /// Waits for a reason to have another router serve.
    async fn until_replaced(&mut self) -> Cause {
        tokio::select! {
            sign = self.vigil.next() => Cause::Told(sign),
            () = pulse::until_it_hangs(&self.client) => Cause::Hangs,
        }
    }

    /// After what has happened to this router: the next one.
    async fn successor(&self, config: &Config, cause: Cause) -> anyhow::Result<Self> {
        let listener = self.listener.try_clone()?;
        match cause {
            Cause::Told(Sign::Replace) => succeed(config, &self.client, listener).await,
            Cause::Hangs => {
                tracing::warn!(pid = self.pid, "the router does not answer any more; starting another");
                let new = Self::start(config, listener).await?;
                new.take_over_from_silent(self, config).await;
                Ok(new)
            }
            Cause::Told(sign @ (Sign::Stopping | Sign::Gone)) => {
                tracing::warn!(pid = self.pid, ?sign, "the router ends; starting another");
                if self.since.elapsed() < SETTLED {
                    tokio::time::sleep(PAUSE).await;
                }
                let new = Self::start(config, listener).await?;
                new.take_table_of(&self.client).await;
                Ok(new)
            }
        }
    }
}

/// Has another router take over whenever the router ends, is killed, hangs, or is to be replaced, until shutdown. The router itself is left
/// running.
pub async fn supervise(mut router: Router, config: Config, shutdown: CancellationToken) {
    loop {
        // A succession that has begun is brought to its end.
        let cause = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            cause = router.until_replaced() => cause,
        };
        match router.successor(&config, cause).await {
            Ok(new) => router = new,
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(error, "the router cannot be started; trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
