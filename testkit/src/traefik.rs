//! A real Traefik that reads containers' labels from Docker.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::Duration,
};

use crate::wait_until;

/// A running Traefik with one entry point, `web`.
#[derive(Debug)]
pub struct Traefik {
    process: Child,
    port: u16,
}

impl Traefik {
    /// Starts it at this port of 127.0.0.1. It sees only the containers of one engine.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub async fn start(port: u16, engine_id: &str, log: &Path) -> Self {
        let out = File::create(log).unwrap();
        let process = Command::new(program())
            .arg(format!("--entrypoints.web.address=127.0.0.1:{port}"))
            .args([
                "--providers.docker.endpoint=unix:///var/run/docker.sock",
                "--providers.docker.exposedbydefault=false",
            ])
            .arg(format!(
                "--providers.docker.constraints=Label(`windlass.engine`,`{engine_id}`)"
            ))
            .args([
                "--global.checknewversion=false",
                "--global.sendanonymoususage=false",
                "--log.level=DEBUG",
            ])
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .expect("Traefik can be started");
        let traefik = Self { process, port };
        wait_until("Traefik listens", Duration::from_secs(30), || async {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
        })
        .await;
        traefik
    }

    /// Where it answers, as `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

fn program() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("there is a home directory")).join(".cache"),
        PathBuf::from,
    );
    let own = cache.join("windlass/bin/traefik");
    if own.exists() { own } else { PathBuf::from("traefik") }
}

impl Drop for Traefik {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
