//! What can go wrong, by operation.

use ipnet::Ipv4Net;

use crate::Exit;

/// A request to the runtime that failed for a reason that lies with the runtime or with us, never with the app.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The runtime does not answer. Worth trying again.
    #[error("the container runtime does not answer; is it running, and may this user reach its socket?")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is no container of our own with that id.
    #[error("there is no container `{0}` of this engine")]
    NoSuchContainer(String),
    /// An image is still used by a container.
    #[error("the image `{0}` is still in use")]
    InUse(String),
    /// The disk under the runtime is full.
    #[error("the disk under the container runtime is full: {0}")]
    DiskFull(String),
    /// The runtime answered with an error.
    #[error("the container runtime refused to {action}: {message}")]
    Refused {
        /// What was asked, such as `remove a container`.
        action: &'static str,
        /// The HTTP status of its answer.
        status: u16,
        /// The answer.
        message: String,
    },
    /// The runtime answered with something that could not be read.
    #[error("the container runtime gave an answer to `{action}` that cannot be read")]
    Unreadable {
        /// What was asked.
        action: &'static str,
        /// Why it cannot be read.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Why a container could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another container holds the name: somebody else's, or one of ours that is another instance.
    #[error("the name `{name}` is taken by the container {holder}")]
    NameTaken {
        /// The name.
        name: String,
        /// Who holds it: the id of the container, and its instance if it is one of ours.
        holder: String,
    },
    /// The image is not there.
    #[error("there is no image `{0}` on this machine")]
    ImageMissing(String),
    /// The network is not there.
    #[error("there is no network `{0}`")]
    NetworkMissing(String),
    /// The command cannot be executed in the image: no such program, no permission, no such working directory. The app's fault;
    /// [`crate::diagnose`] words it. The container has been removed again.
    #[error("the command cannot be executed: {message}")]
    CannotExecute {
        /// What a shell would have ended with: 126 (not executable) or 127 (not found).
        exit: Exit,
        /// The runtime's words.
        message: String,
    },
    /// The runtime failed.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

/// Why a network could not be made.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The subnet overlaps with another network of the runtime or with an address of the machine. Try the next one.
    #[error("the subnet {0} overlaps with another network")]
    Overlap(Ipv4Net),
    /// The name is taken by a network that is not this app's.
    #[error("the network name `{0}` is taken by a network that is not this app's")]
    NameTaken(String),
    /// The runtime failed.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}
