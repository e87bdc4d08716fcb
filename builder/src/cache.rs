//! The Docker Engine's build cache, kept within a budget.
//!
//! The cache is one for all who build with this Docker Engine, and so is the budget: what was used least recently goes first,
//! whoever built it. What running builds or images use is never removed.

use std::time::{Duration, Instant};

use anyhow::Context;
use http_body_util::BodyExt as _;
use serde::Deserialize;

use crate::{
    Builder, Space,
    engine::{Connection, no_body, post},
};

/// The budget, unless it is set: this much, or a tenth of the disk if that is less.
const DEFAULT_BYTES: u64 = 10 << 30;

/// After so long the cache is trimmed even though builds run.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long the Docker Engine may take to remove something: who waits for it holds up a deployment, or the next trimming.
const PRUNED_WITHIN: Duration = Duration::from_secs(300);

/// The answer to `POST /build/prune`.
#[derive(Deserialize)]
struct Pruned {
    #[serde(rename = "SpaceReclaimed", default)]
    reclaimed_bytes: u64,
}

impl Builder {
    /// Bytes that the build cache may have.
    pub async fn cache_budget(&self) -> u64 {
        match self.config.cache_bytes {
            Some(bytes) => bytes,
            None => default_budget(self.disk().await.as_ref()),
        }
    }

    /// Brings the build cache back to its budget; how many bytes that freed. While builds run it waits for a better moment, but
    /// not for ever: on a busy machine there is none.
    pub async fn trim_cache(&self) -> anyhow::Result<u64> {
        // Somebody does it at this moment.
        let Ok(mut trimmed) = self.trimmed.try_lock() else {
            return Ok(0);
        };
        if self.running() > 0 && trimmed.is_some_and(|at| at.elapsed() < PATIENCE) {
            return Ok(0);
        }
        let budget = self.cache_budget().await;
        let freed = self.shrink_cache(budget).await?;
        *trimmed = Some(Instant::now());
        Ok(freed)
    }

    /// Removes at once what of the build cache is beyond this many bytes; how many bytes that freed. What takes longer than five
    /// minutes is broken off: what was removed until then stays so.
    pub async fn shrink_cache(&self, keep_bytes: u64) -> anyhow::Result<u64> {
        tokio::time::timeout(PRUNED_WITHIN, self.prune(keep_bytes))
            .await
            .context("the Docker Engine took too long to cut its build cache")?
    }

    async fn prune(&self, keep_bytes: u64) -> anyhow::Result<u64> {
        let api = self.docker.client_version();
        let mut connection = Connection::open(&self.config.engine).await?;
        let request = post(&prune_path(&api.to_string(), keep_bytes)).body(no_body())?;
        let response = connection.send(request).await?;
        let body = response.into_body().collect().await?.to_bytes();
        let pruned: Pruned = serde_json::from_slice(&body).context("the answer of the Docker Engine cannot be read")?;
        Ok(pruned.reclaimed_bytes)
    }
}

/// Before API 1.48 the bytes to keep are `keep-storage`, from then on `reserved-space`; each engine ignores the other one. Zero
/// would mean everything to both.
fn prune_path(api: &str, keep_bytes: u64) -> String {
    let keep = keep_bytes.max(1);
    format!("/v{api}/build/prune?keep-storage={keep}&reserved-space={keep}")
}

fn default_budget(disk: Option<&Space>) -> u64 {
    disk.map_or(DEFAULT_BYTES, |disk| DEFAULT_BYTES.min(disk.total_bytes / 10))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::{BuilderConfig, EngineAddress};

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_never_answers_does_not_stop_trimming_for_ever() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap().to_string();
        let docker = bollard::Docker::connect_with_http(&address, 1, bollard::API_DEFAULT_VERSION).unwrap();
        let config = BuilderConfig {
            engine: EngineAddress::Tcp(address),
            cache_bytes: Some(1),
            ..BuilderConfig::default()
        };
        let builder = Builder::new(docker, config);
        for _ in 0..2 {
            let error = builder.trim_cache().await.unwrap_err();
            assert!(error.to_string().contains("took too long"), "{error:#}");
        }
    }

    #[test]
    fn both_names_of_the_budget_are_sent_and_never_zero() {
        assert_eq!(
            prune_path("1.41", 5),
            "/v1.41/build/prune?keep-storage=5&reserved-space=5"
        );
        assert!(prune_path("1.53", 0).ends_with("keep-storage=1&reserved-space=1"));
    }

    #[test]
    fn the_budget_is_a_tenth_of_a_small_disk() {
        let disk = |total_bytes| Space {
            path: PathBuf::from("/"),
            free_bytes: 0,
            total_bytes,
            free_inodes: 0,
            total_inodes: 0,
        };
        assert_eq!(default_budget(Some(&disk(20 << 30))), 2 << 30);
        assert_eq!(default_budget(Some(&disk(1 << 40))), 10 << 30);
        assert_eq!(default_budget(None), 10 << 30);
    }
}
