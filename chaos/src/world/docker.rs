//! What Docker says, by its own command line.

use anyhow::Context;
use windlass_testkit::docker::program;

use super::plain;

/// Which Docker is looked at.
#[derive(Debug, Clone, Default)]
pub struct DockerEye {
    /// Its address; none: the machine's own.
    pub host: Option<String>,
}

/// What an engine has in Docker.
#[derive(Debug, Clone, Default)]
pub struct Docker {
    /// Containers, the ended ones too.
    pub containers: Vec<Container>,
    /// Networks, by the id of their app.
    pub networks: Vec<(String, String)>,
    /// Names and tags of images.
    pub images: Vec<String>,
}

/// A container. Ids of Windlass are plain hexadecimal.
#[derive(Debug, Clone, Default)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Docker's word: running, exited, created…
    pub state: String,
    /// instance, release or run.
    pub role: String,
    /// Its app.
    pub app: String,
    /// Its release.
    pub release: String,
    /// Its instance.
    pub instance: String,
    /// Its process type.
    pub process: String,
}

const CONTAINER: &str = "{{.ID}}\t{{.Names}}\t{{.State}}\t{{.Label \"windlass.role\"}}\t{{.Label \"windlass.app.id\"}}\t\
    {{.Label \"windlass.release.id\"}}\t{{.Label \"windlass.instance\"}}\t{{.Label \"windlass.process\"}}";
const NETWORK: &str = "{{.Name}}\t{{.Label \"windlass.app.id\"}}";
const IMAGE: &str = "{{.Repository}}:{{.Tag}}";

impl DockerEye {
    /// Runs Docker's command line.
    ///
    /// # Errors
    /// What Docker said when it refused.
    pub fn run(&self, args: &[&str]) -> anyhow::Result<Vec<String>> {
        let mut command = std::process::Command::new(program());
        if let Some(host) = &self.host {
            command.args(["-H", host]);
        }
        // Visitors must not wait for it.
        let output = tokio::task::block_in_place(|| command.args(args).output()).context("docker cannot be run")?;
        anyhow::ensure!(
            output.status.success(),
            "docker {args:?}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(str::to_owned)
            .collect())
    }

    /// What an engine has made.
    ///
    /// # Errors
    /// When Docker does not answer.
    pub fn look(&self, engine: &str) -> anyhow::Result<Docker> {
        let label = format!("label=windlass.engine={engine}");
        let containers = self.run(&["ps", "-a", "--no-trunc", "--filter", &label, "--format", CONTAINER])?;
        let networks = self.run(&["network", "ls", "--filter", &label, "--format", NETWORK])?;
        let images = self.run(&["images", "--filter", &label, "--format", IMAGE])?;
        Ok(Docker {
            containers: containers.iter().map(|line| container(line)).collect(),
            networks: networks
                .iter()
                .filter_map(|line| line.split_once('\t'))
                .map(|(name, app)| (name.to_owned(), plain(app)))
                .collect(),
            // One that lost its tag to a later build goes too, but only once in a quarter of an hour: nobody waits for that here.
            images: images.into_iter().filter(|name| !name.contains("<none>")).collect(),
        })
    }
}

fn container(line: &str) -> Container {
    let mut fields = line.split('\t');
    let mut next = || fields.next().unwrap_or_default();
    Container {
        id: next().to_owned(),
        name: next().to_owned(),
        state: next().to_owned(),
        role: next().to_owned(),
        app: plain(next()),
        release: plain(next()),
        instance: plain(next()),
        process: next().to_owned(),
    }
}

impl Docker {
    /// The running containers of instances of an app.
    pub fn instances_of<'a>(&'a self, app: &'a str) -> impl Iterator<Item = &'a Container> {
        self.containers.iter().filter(move |container| {
            container.app == app && container.role == "instance" && container.state == "running"
        })
    }
}
