//! The floor: one deployment by hand, the shortest ordinary way.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use windlass_testkit::docker::{docker, program, try_docker};

/// A network and a tag of the floor's own; dropping it removes what it made.
#[derive(Debug)]
pub(crate) struct Floor {
    name: String,
}

impl Floor {
    /// Prepares a network, so that making one is not measured.
    pub(crate) fn new() -> Self {
        let name = format!("windlass-floor-{}", std::process::id());
        docker(&["network", "create", "--subnet", "10.255.255.0/26", &name]);
        Self { name }
    }

    /// Clones, builds, runs, and waits for the first 200. Gives the milliseconds.
    pub(crate) fn deploy(&self, bare: &Path) -> f64 {
        let work = tempfile::tempdir().unwrap();
        let source = work.path().join("source");
        let start = Instant::now();
        let url = format!("file://{}", bare.display());
        must(
            Command::new("git")
                .args(["clone", "-q", "--depth", "1", &url])
                .arg(&source),
        );
        must(
            Command::new(program())
                .env("DOCKER_BUILDKIT", "1")
                .args([
                    "build",
                    "-q",
                    "-t",
                    &self.name,
                    "--label",
                    &format!("{LABEL}={}", self.name),
                ])
                .arg(&source),
        );
        let port = format!("PORT={PORT}");
        docker(&[
            "run",
            "-d",
            "--name",
            &self.name,
            "--network",
            &self.name,
            "-e",
            &port,
            &self.name,
        ]);
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let address = docker(&["inspect", "-f", format, &self.name])[0].clone();
        until_200(&format!("{address}:{PORT}"), "floor", None);
        let taken = milliseconds(start);
        docker(&["rm", "-f", &self.name]);
        taken
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = try_docker(&["rm", "-f", &self.name]);
        let _ = try_docker(&["network", "rm", &self.name]);
        // Each build has taken the tag from the one before.
        let mine = format!("label={LABEL}={}", self.name);
        for image in try_docker(&["images", "-aq", "--filter", &mine]).unwrap_or_default() {
            let _ = try_docker(&["rmi", "-f", &image]);
        }
    }
}

const PORT: u16 = 8000;
const LABEL: &str = "windlass-floor";

fn must(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Milliseconds since `start`.
pub(crate) fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}

/// Asks for the name of the instance until one answers with 200 that is not `but`; gives its name.
pub(crate) fn until_200(address: &str, host: &str, but: Option<&str>) -> String {
    let deadline = Instant::now() + Duration::from_secs(120);
    while Instant::now() < deadline {
        if let Some(name) = instance_name(address, host)
            && Some(name.as_str()) != but
        {
            return name;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("no 200 from {address} within two minutes");
}

fn instance_name(address: &str, host: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address.parse().ok()?, Duration::from_millis(500)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(
        stream,
        "GET /cgi-bin/name HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let name = answer.lines().find_map(|line| line.strip_prefix("name="))?;
    answer.lines().next()?.contains(" 200 ").then(|| name.trim().to_owned())
}
