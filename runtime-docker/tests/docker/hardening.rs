//! What a container can and cannot do, seen from inside.

use std::{collections::BTreeMap, time::Duration};

use futures::TryStreamExt;
use windlass_domain::{
    AppId, InstanceId, InstanceName, Limits, ProcessType, ReleaseId, ReleaseVersion, release::ProcessCommand,
};
use windlass_runtime::{InstanceSpec, LogsFrom, NetworkSpec, Role, Runtime, StartError, Started, conformance::Harness};

use windlass_runtime_docker::DockerRuntime;

use crate::harness::DockerHarness;

/// One app with its network.
pub async fn app(harness: &DockerHarness) -> InstanceSpec {
    let app = AppId::generate();
    let name = format!("h-{}", &app.uuid().simple().to_string()[20..]);
    let network = NetworkSpec {
        app,
        app_name: name.parse().unwrap(),
        name: format!("windlass-{name}"),
        subnet: harness.free_subnet(),
    };
    harness.runtime.ensure_network(&network).await.unwrap();
    InstanceSpec {
        instance: InstanceId::generate(),
        name: InstanceName {
            app: name.parse().unwrap(),
            process: ProcessType::web(),
            release: ReleaseVersion(1),
            n: 1,
        },
        role: Role::Release,
        app,
        release: ReleaseId::generate(),
        deployment: None,
        image: harness.image(),
        command: None,
        env: BTreeMap::new(),
        port: None,
        restart_seq: 0,
        limits: Limits::default(),
        network: network.name,
        extra_labels: BTreeMap::new(),
        gate: None,
        stop_grace: Duration::from_secs(1),
    }
}

/// What the container writes until it ends.
pub async fn output(runtime: &DockerRuntime, started: &Started) -> Vec<String> {
    let follow = LogsFrom {
        follow: true,
        ..LogsFrom::default()
    };
    let lines: Vec<_> = runtime.logs(&started.container, follow).try_collect().await.unwrap();
    lines.into_iter().map(|line| line.text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_confined_and_gets_its_environment() {
    let harness = DockerHarness::new(1).await;
    let mut spec = app(&harness).await;
    spec.env = BTreeMap::from([("GREETING".to_owned(), "two words; $(x) 'q'".into())]);
    spec.limits.cpu_millis = 64_000;
    let questions = [
        "echo \"$GREETING\"",
        "while read name value; do case $name in CapBnd:|NoNewPrivs:) echo $value;; esac; done < /proc/self/status",
        "cat /etc/hostname",
        "read name < /proc/1/comm; echo $name",
    ];
    spec.command = Some(ProcessCommand::Shell(questions.join("; ")));
    let started = harness.runtime.start(&spec).await.unwrap();
    let got = output(&harness.runtime, &started).await;
    // CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP and NET_BIND_SERVICE: bits 0, 1, 3 to 8 and 10.
    let expected = [
        "two words; $(x) 'q'",
        "00000000000005fb",
        "1",
        &spec.name.to_string(),
        "docker-init",
    ];
    // The kernel lists CapBnd before NoNewPrivs.
    assert_eq!(got, expected);
    harness.runtime.remove_app(spec.app).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_command_the_image_is_run_and_with_one_its_own_is_replaced() {
    let harness = DockerHarness::new(2).await;
    let mut spec = app(&harness).await;
    harness.runtime.start(&spec).await.unwrap();
    let image_runs = harness
        .runtime
        .observe(windlass_runtime::Scope::App(spec.app))
        .await
        .unwrap();
    assert!(image_runs[0].state.is_running(), "{image_runs:?}");
    spec.instance = InstanceId::generate();
    spec.name.n = 2;
    spec.command = Some(ProcessCommand::Exec(
        ["/bin/echo", "a b", "$HOME"].map(str::to_owned).to_vec(),
    ));
    let started = harness.runtime.start(&spec).await.unwrap();
    assert_eq!(output(&harness.runtime, &started).await, ["a b $HOME"]);
    harness.runtime.remove_app(spec.app).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_executed_ends_with_the_codes_of_a_shell() {
    let harness = DockerHarness::new(3).await;
    let mut spec = app(&harness).await;
    for (n, program, code) in [(1, "/bin/nope", 127), (2, "/bin/not-executable", 126)] {
        spec.instance = InstanceId::generate();
        spec.name.n = n;
        spec.command = Some(ProcessCommand::Exec(vec![program.to_owned()]));
        let exit = match harness.runtime.start(&spec).await {
            Ok(started) => harness.runtime.wait(&started.container).await.unwrap(),
            Err(StartError::CannotExecute { exit, .. }) => exit,
            Err(other) => panic!("{other}"),
        };
        assert_eq!(exit.code, code, "{program}");
    }
    harness.runtime.remove_app(spec.app).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_reaches_its_own_app_by_name_and_no_other_app() {
    let harness = DockerHarness::new(4).await;
    let mut server = app(&harness).await;
    server.command = Some(ProcessCommand::Shell("exec httpd -f -h /www -p 8080".to_owned()));
    let address = harness.runtime.start(&server).await.unwrap().address.unwrap();
    // `-w` is for connecting alone. While Docker makes a network for somebody else, it takes its rules away for an instant: a connection
    // may begin, but nothing comes back on it.
    let ask = format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 10 nc -w 2 {address} 8080");
    let mut neighbour = server.clone();
    neighbour.instance = InstanceId::generate();
    neighbour.name.n = 2;
    // The server may need a moment.
    let line = format!(
        "for n in $(seq 50); do {ask} && break; usleep 100000; done; nslookup {}",
        server.name
    );
    neighbour.command = Some(ProcessCommand::Shell(line));
    let started = harness.runtime.start(&neighbour).await.unwrap();
    let heard = output(&harness.runtime, &started).await;
    assert!(heard.iter().any(|line| line == "hello"), "{heard:?}");
    assert!(
        heard.iter().any(|line| line.ends_with(&address.to_string())),
        "{heard:?}"
    );

    let mut stranger = app(&harness).await;
    stranger.command = Some(ProcessCommand::Shell(format!("{ask} || echo unreachable")));
    let started = harness.runtime.start(&stranger).await.unwrap();
    let heard = output(&harness.runtime, &started).await;
    assert!(heard.iter().any(|line| line == "unreachable"), "{heard:?}");
    assert!(!heard.iter().any(|line| line == "hello"), "{heard:?}");
    for spec in [server, stranger] {
        harness.runtime.remove_app(spec.app).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subnet_that_the_machine_routes_to_is_refused() {
    let harness = DockerHarness::new(5).await;
    let network = NetworkSpec {
        app: AppId::generate(),
        app_name: "routed".parse().unwrap(),
        name: format!("windlass-{}", AppId::generate().uuid().simple()),
        // Docker's own default bridge.
        subnet: "172.17.0.16/28".parse().unwrap(),
    };
    let error = harness.runtime.ensure_network(&network).await.unwrap_err();
    assert!(matches!(error, windlass_runtime::NetworkError::Overlap(_)), "{error}");
}
