//! What is asked for.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use ipnet::Ipv4Net;
use windlass_domain::{
    AppId, AppName, DeploymentId, InstanceId, InstanceName, Limits, ReleaseId, Secret, release::ProcessCommand,
};

/// The runtime's own id of a container. Changes when an instance is made anew; the identity of an instance is its
/// [`InstanceId`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(String);

impl ContainerId {
    /// Wraps an id as the runtime gave it (or as it was kept in a row).
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id as the runtime writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve characters, as `docker ps` shows them.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a container is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// An instance of a process type.
    Instance,
    /// The release command of a deployment.
    Release,
}

impl Role {
    /// The word in the label [`windlass_domain::labels::ROLE`].
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::Release => "release",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Instance, Self::Release]
            .into_iter()
            .find(|role| role.as_str() == word)
    }
}

/// The network of one app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSpec {
    /// The app.
    pub app: AppId,
    /// Its name, for the labels.
    pub app_name: AppName,
    /// The network's name in the runtime; unique there.
    pub name: String,
    /// The addresses of its instances.
    pub subnet: Ipv4Net,
}

/// A program that the runtime runs in the container again and again; by its end the runtime says how the container's health is: see
/// [`crate::Health`]. A router that asks the runtime sends requests only to what is healthy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// A folder of the machine that the container sees read-only; the program may be in it. Must be there before the start.
    pub folder: PathBuf,
    /// Where the container sees it.
    pub mounted_at: String,
    /// The program and its arguments: 0 is healthy, all else is not. It may take up to two minutes to answer, so that it can wait
    /// for something new to say; after an answer it is run again within a second.
    pub command: Vec<String>,
}

/// One container that shall run.
#[derive(Debug, Clone)]
pub struct InstanceSpec {
    /// Its identity: asking twice for one id makes one container.
    pub instance: InstanceId,
    /// The container's name and its host name.
    pub name: InstanceName,
    /// What it is for.
    pub role: Role,
    /// The app.
    pub app: AppId,
    /// The release.
    pub release: ReleaseId,
    /// The deployment that starts it; none when the converge loop does.
    pub deployment: Option<DeploymentId>,
    /// A reference of an image that is there; nothing is pulled.
    pub image: String,
    /// How the process is started; none: the image's own entry point and command.
    pub command: Option<ProcessCommand>,
    /// Its environment, `PORT` included: the runtime adds nothing.
    pub env: BTreeMap<String, Secret<String>>,
    /// The port that it is expected to listen on; none for process types that serve nothing.
    pub port: Option<u16>,
    /// The restart generation that it belongs to.
    pub restart_seq: i32,
    /// What it may use.
    pub limits: Limits,
    /// The name of the network it joins; see [`NetworkSpec::name`].
    pub network: String,
    /// Labels beside Windlass's own, such as those of Traefik. A key that begins with `windlass.` is ignored.
    pub extra_labels: BTreeMap<String, String>,
    /// By what the runtime tells its health; none: it has none, also if its image brings a check of its own.
    pub gate: Option<Gate>,
    /// What the container gets between SIGTERM and SIGKILL when somebody else than Windlass stops it.
    pub stop_grace: Duration,
}
