//! The connection to the Docker Engine.

use windlass_builder::{BaseImages, BuildLimits, BuilderConfig, EngineAddress};
use windlass_runtime_docker::DockerRuntime;
use windlass_worker::DiskLimits;

use crate::config::Config;

/// Connects and agrees on an API version.
pub async fn connect(config: &Config, engine_id: &str) -> anyhow::Result<DockerRuntime> {
    let docker = windlass_runtime_docker::connect(Some(&config.docker_host)).await?;
    Ok(DockerRuntime::new(docker, engine_id))
}

/// What the builder is set up with.
pub fn builder_config(config: &Config) -> anyhow::Result<BuilderConfig> {
    let base_images = BaseImages {
        debian: config.base_image_debian.clone(),
        node: config.base_image_node.clone(),
        python: config.base_image_python.clone(),
    };
    Ok(BuilderConfig {
        engine: config.docker_host.parse::<EngineAddress>()?,
        base_images,
        max_log_bytes: config.max_build_log_bytes,
        max_concurrent: config.concurrent_builds as usize,
        limits: BuildLimits {
            memory_bytes: config.build_memory,
            cpu_millis: config.build_cpu_millis,
        },
        cache_bytes: config.build_cache_bytes,
        ..BuilderConfig::default()
    })
}

/// What must be free for a build to begin.
pub fn disk_limits(config: &Config) -> DiskLimits {
    DiskLimits {
        data_dir: config.data_dir.clone(),
        min_free_bytes: config.disk_min_free_bytes,
        min_free_percent: config.disk_min_free_percent,
    }
}
