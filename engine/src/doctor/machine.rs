//! Docker and the machine around it: its version, its memory, its disks, and whether builds can be limited.

use windlass_builder::{Builder, Space, human_bytes};
use windlass_runtime::{Runtime, RuntimeInfo};
use windlass_runtime_docker::DockerRuntime;

use super::{Finding, Verdict, versions};
use crate::{config::Config, docker};

/// Windlass, its database and its router take little; a build of anything real does not.
const LITTLE_MEMORY_BYTES: u64 = 1 << 30;

/// Everything that Docker has to be asked about.
pub(super) async fn findings(config: &Config) -> Vec<Finding> {
    const REMEDY: &str =
        "install Docker Engine 20.10 or later, start it, and run windlassd as root or in the group `docker`";
    let connected = match docker::connect(config, "doctor").await {
        Ok(runtime) => runtime
            .info()
            .await
            .map(|info| (runtime, info))
            .map_err(anyhow::Error::from),
        Err(error) => Err(error),
    };
    match connected {
        Ok((runtime, info)) => {
            let mut findings = vec![engine(&info), live_restore(&info), memory(&info)];
            findings.extend(builds(config, &runtime).await);
            findings
        }
        Err(error) => vec![
            Finding::bad("docker", Verdict::Failed, format!("{error:#}"), REMEDY),
            own_disk(config),
        ],
    }
}

fn engine(info: &RuntimeInfo) -> Finding {
    let cgroup = info
        .cgroup_version
        .map_or_else(|| "?".to_owned(), |version| version.to_string());
    let detail = format!(
        "{} {}, API {}, cgroup v{cgroup}",
        info.name, info.version, info.api_version
    );
    versions::docker(detail, &info.api_version)
}

fn live_restore(info: &RuntimeInfo) -> Finding {
    if info.live_restore {
        return Finding::ok("restarts", "apps live on while Docker is restarted (live-restore)");
    }
    Finding::bad(
        "restarts",
        Verdict::Warning,
        "apps end when Docker is restarted, and are started again after it",
        "set `\"live-restore\": true` in /etc/docker/daemon.json and reload Docker",
    )
}

fn memory(info: &RuntimeInfo) -> Finding {
    let detail = format!("{} and {} cores", human_bytes(info.memory_bytes), info.cpus);
    if info.memory_bytes >= LITTLE_MEMORY_BYTES {
        return Finding::ok("memory", detail);
    }
    Finding::bad(
        "memory",
        Verdict::Warning,
        detail,
        "give the machine 1 GiB or more; builds need it",
    )
}

async fn builds(config: &Config, runtime: &DockerRuntime) -> Vec<Finding> {
    let builder = match docker::builder_config(config) {
        Ok(built) => Builder::new(runtime.docker().clone(), built),
        Err(error) => {
            let remedy = "correct docker_host";
            return vec![
                Finding::bad("builds", Verdict::Failed, format!("{error:#}"), remedy),
                own_disk(config),
            ];
        }
    };
    let limits = match builder.limits().await {
        Ok(bytes) => Finding::ok("builds", format!("one may use {} of memory", human_bytes(bytes))),
        Err(why) => Finding::bad(
            "builds",
            Verdict::Warning,
            format!("run without limits of memory and CPU: {why}"),
            "run windlassd as root beside the Docker Engine; a build can take the whole machine otherwise",
        ),
    };
    let docker_disk = match builder.disk().await {
        Some(space) => disk("disk", config, &space),
        None => Finding::bad(
            "disk",
            Verdict::Warning,
            "Docker's disk cannot be seen from here",
            "see to its free space yourself; builds begin however full it is",
        ),
    };
    let mut findings = vec![limits, docker_disk];
    let own = own_disk(config);
    if findings.iter().all(|finding| finding.detail != own.detail) {
        findings.push(own);
    }
    findings
}

fn own_disk(config: &Config) -> Finding {
    match Space::measure(&config.data_dir) {
        Ok(space) => disk("data_dir", config, &space),
        Err(error) => Finding::bad(
            "data_dir",
            Verdict::Warning,
            format!("cannot be measured: {error}"),
            "check data_dir",
        ),
    }
}

fn disk(id: &'static str, config: &Config, space: &Space) -> Finding {
    let detail = format!("{} free at {}", human_bytes(space.free_bytes), space.path.display());
    match docker::disk_limits(config).lack(space) {
        None => Finding::ok(id, detail),
        Some(lack) => Finding::bad(
            id,
            Verdict::Failed,
            format!("no build can begin: {lack}"),
            "free space (`docker system df` shows what Docker uses), or lower `disk.min_free_bytes` and `disk.min_free_percent`",
        ),
    }
}
