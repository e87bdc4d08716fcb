//! What Docker is told about a container: pure, so that the hardening can be read and tested in one place.

use std::{collections::HashMap, time::Duration};

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountType, ResourcesUlimits,
    RestartPolicy, RestartPolicyNameEnum,
};
use windlass_domain::release::ProcessCommand;
use windlass_runtime::{Gate, InstanceSpec};

use crate::labelled::container_labels;

/// What remains of root's powers inside a container. All else is dropped, notably `NET_RAW` (forging packets to neighbours),
/// `MKNOD` (device nodes), `SYS_CHROOT`, `AUDIT_WRITE` and `SETFCAP`.
const CAPABILITIES: [&str; 9] = [
    // Entry points that fix the owner and mode of files they were given, as package managers and database images do.
    "CHOWN",
    "FOWNER",
    "FSETID",
    // Root in the container reads files of other users of the image.
    "DAC_OVERRIDE",
    // Entry points and servers that begin as root and go on as another user (gosu, nginx workers), leaving powers behind.
    "SETGID",
    "SETUID",
    "SETPCAP",
    // A supervisor stops children that run as another user.
    "KILL",
    // Ports below 1024.
    "NET_BIND_SERVICE",
];

/// The period over which CPU time is counted, in microseconds.
const CPU_PERIOD_US: i64 = 100_000;
/// Open files per process: enough for a busy server, and small enough for programs that walk over all possible ones.
const OPEN_FILES: i64 = 65_536;
/// How long after its end the program of a gate is run again.
const GATE_INTERVAL: Duration = Duration::from_millis(500);
/// How long that program may take. Docker counts one that takes longer as unhealthy, so this is far more than it ever waits.
const GATE_TIMEOUT: Duration = Duration::from_secs(300);
/// A host name has 63 characters at most.
const HOSTNAME_MAX: usize = 63;

/// The container for `spec`, as Docker is to create it. `limit_files` is false where Docker may not set limits of its own; see
/// [`crate::DockerRuntime`].
pub(crate) fn create_body(engine: &str, spec: &InstanceSpec, limit_files: bool) -> ContainerCreateBody {
    let (entrypoint, cmd) = entrypoint_and_cmd(spec.command.as_ref());
    ContainerCreateBody {
        hostname: Some(hostname(&spec.name.to_string())),
        image: Some(spec.image.clone()),
        entrypoint,
        cmd,
        env: Some(
            spec.env
                .iter()
                .map(|(key, value)| format!("{key}={}", value.expose()))
                .collect(),
        ),
        labels: Some(container_labels(engine, spec)),
        stop_timeout: Some(whole_seconds(spec.stop_grace)),
        healthcheck: Some(health_config(spec.gate.as_ref())),
        host_config: Some(host_config(spec, limit_files)),
        ..Default::default()
    }
}

/// A Procfile line replaces both the image's entry point and its command: what the user wrote is what runs, in any image. Giving an
/// entry point also makes Docker forget the image's command. Without a command the image's own two are kept.
fn entrypoint_and_cmd(command: Option<&ProcessCommand>) -> (Option<Vec<String>>, Option<Vec<String>>) {
    match command {
        None => (None, None),
        Some(ProcessCommand::Shell(line)) => (
            Some(vec!["/bin/sh".to_owned(), "-c".to_owned()]),
            Some(vec![line.clone()]),
        ),
        Some(ProcessCommand::Exec(argv)) => {
            let mut argv = argv.iter().cloned();
            (argv.next().map(|program| vec![program]), Some(argv.collect()))
        }
    }
}

/// One answer is enough to be believed. Without a gate Docker checks nothing, whatever the image brings: nobody would look at it.
fn health_config(gate: Option<&Gate>) -> HealthConfig {
    let Some(gate) = gate else {
        return HealthConfig {
            test: Some(vec!["NONE".to_owned()]),
            ..HealthConfig::default()
        };
    };
    let nanoseconds = |time: Duration| i64::try_from(time.as_nanos()).ok();
    HealthConfig {
        test: Some(["CMD".to_owned()].into_iter().chain(gate.command.clone()).collect()),
        interval: nanoseconds(GATE_INTERVAL),
        timeout: nanoseconds(GATE_TIMEOUT),
        retries: Some(1),
        ..HealthConfig::default()
    }
}

/// The folder of a gate, as the container sees it.
pub(crate) fn gate_mount(gate: &Gate) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(gate.folder.display().to_string()),
        target: Some(gate.mounted_at.clone()),
        read_only: Some(true),
        ..Mount::default()
    }
}

fn host_config(spec: &InstanceSpec, limit_files: bool) -> HostConfig {
    let memory = i64::try_from(spec.limits.memory_bytes).unwrap_or(i64::MAX);
    HostConfig {
        network_mode: Some(spec.network.clone()),
        mounts: spec.gate.as_ref().map(|gate| vec![gate_mount(gate)]),
        memory: Some(memory),
        // Memory and swap together: no swap beyond the limit, so that a leak ends the app and does not drag the machine down.
        memory_swap: Some(memory),
        // A quota and not `NanoCpus`, which Docker refuses when it is more than the machine has.
        cpu_period: Some(CPU_PERIOD_US),
        cpu_quota: Some(i64::from(spec.limits.cpu_millis) * (CPU_PERIOD_US / 1000)),
        pids_limit: Some(i64::from(spec.limits.pids)),
        // A small init as process 1: it reaps zombies, and SIGTERM ends programs that have no handler for it, which as process 1
        // would ignore it until SIGKILL. Measured: 10 ms at the start, against the whole grace at each stop.
        init: Some(true),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(HashMap::from([
                ("max-size".to_owned(), "10m".to_owned()),
                ("max-file".to_owned(), "3".to_owned()),
            ])),
        }),
        // The converge loop starts what should run; Docker starts nothing by itself, or an old release might come back.
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(CAPABILITIES.map(str::to_owned).to_vec()),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        ulimits: limit_files.then(|| {
            vec![ResourcesUlimits {
                name: Some("nofile".to_owned()),
                soft: Some(OPEN_FILES),
                hard: Some(OPEN_FILES),
            }]
        }),
        ..Default::default()
    }
}

/// The end of the name, where process type, release and number stand, if the whole is too long.
fn hostname(name: &str) -> String {
    let from = name.len().saturating_sub(HOSTNAME_MAX);
    name.get(from..).unwrap_or(name).trim_start_matches('-').to_owned()
}

/// Docker counts graces in whole seconds; a fraction is rounded up.
pub(crate) fn whole_seconds(grace: std::time::Duration) -> i64 {
    let seconds = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use windlass_domain::{
        AppId, DeploymentId, InstanceId, InstanceName, Limits, ProcessType, ReleaseId, ReleaseVersion,
    };
    use windlass_runtime::Role;

    use super::*;

    pub(crate) fn spec() -> InstanceSpec {
        InstanceSpec {
            instance: InstanceId::generate(),
            name: InstanceName {
                app: "shop".parse().unwrap(),
                process: ProcessType::web(),
                release: ReleaseVersion(3),
                n: 2,
            },
            role: Role::Instance,
            app: AppId::generate(),
            release: ReleaseId::generate(),
            deployment: Some(DeploymentId::generate()),
            image: "windlass/shop:x".to_owned(),
            command: Some(ProcessCommand::Shell("exec server".to_owned())),
            env: BTreeMap::from([("PORT".to_owned(), "8080".into())]),
            port: Some(8080),
            restart_seq: 4,
            limits: Limits::default(),
            network: "windlass-shop".to_owned(),
            extra_labels: BTreeMap::new(),
            gate: None,
            stop_grace: Duration::from_millis(1500),
        }
    }

    #[test]
    fn a_container_is_confined() {
        let body = create_body("e1", &spec(), true);
        let host = body.host_config.unwrap();
        assert_eq!(host.cap_drop.unwrap(), ["ALL"]);
        let kept = host.cap_add.unwrap();
        for dropped in ["NET_RAW", "MKNOD", "SYS_ADMIN", "SYS_PTRACE"] {
            assert!(!kept.iter().any(|cap| cap == dropped), "{dropped} is kept");
        }
        assert_eq!(host.security_opt.unwrap(), ["no-new-privileges"]);
        assert_eq!(host.memory, host.memory_swap);
        assert_eq!(host.cpu_quota, Some(100_000));
        assert_eq!(host.pids_limit, Some(512));
        assert_eq!(host.port_bindings, None);
        assert_eq!(host.binds, None);
        assert_eq!(host.privileged, None);
        assert_eq!(host.restart_policy.unwrap().name, Some(RestartPolicyNameEnum::NO));
    }

    #[test]
    fn a_gate_is_mounted_read_only_and_asked_for_the_health() {
        let gate = Gate {
            folder: "/data/gates/one".into(),
            mounted_at: "/.windlass".to_owned(),
            command: vec!["/.windlass/gate".to_owned()],
        };
        let body = create_body(
            "e1",
            &InstanceSpec {
                gate: Some(gate),
                ..spec()
            },
            true,
        );
        let check = body.healthcheck.unwrap();
        assert_eq!(check.test.unwrap(), ["CMD", "/.windlass/gate"]);
        assert_eq!(check.retries, Some(1));
        let mounts = body.host_config.unwrap().mounts.unwrap();
        assert_eq!(mounts.len(), 1);
        assert_eq!(mounts[0].source.as_deref(), Some("/data/gates/one"));
        assert_eq!(mounts[0].read_only, Some(true));
    }

    #[test]
    fn without_a_gate_nothing_is_checked_and_nothing_is_mounted() {
        let body = create_body("e1", &spec(), true);
        assert_eq!(body.healthcheck.unwrap().test.unwrap(), ["NONE"]);
        assert_eq!(body.host_config.unwrap().mounts, None);
    }

    #[test]
    fn a_shell_line_is_one_argument() {
        let line = "echo $PORT; \"x\" 'y'";
        let (entrypoint, cmd) = entrypoint_and_cmd(Some(&ProcessCommand::Shell(line.to_owned())));
        assert_eq!(entrypoint.unwrap(), ["/bin/sh", "-c"]);
        assert_eq!(cmd.unwrap(), [line]);
    }

    #[test]
    fn without_a_command_the_image_decides() {
        assert_eq!(entrypoint_and_cmd(None), (None, None));
    }

    #[test]
    fn a_long_name_keeps_its_end_as_host_name() {
        let name = format!("{}-worker-v12-3", "a".repeat(60));
        let host = hostname(&name);
        assert_eq!(host.len(), 63);
        assert!(host.ends_with("-worker-v12-3"));
        assert_eq!(hostname("shop-web-v1-1"), "shop-web-v1-1");
    }

    #[test]
    fn a_fraction_of_a_second_is_rounded_up() {
        assert_eq!(whole_seconds(Duration::from_millis(1500)), 2);
        assert_eq!(whole_seconds(Duration::ZERO), 0);
    }
}
