//! Reaching Docker and agreeing on an API version.

use std::{error::Error as _, io};

use bollard::{API_DEFAULT_VERSION, ClientVersion, Docker, errors::Error};

/// Where Docker listens when nobody says otherwise.
const DEFAULT_SOCKET: &str = "unix:///var/run/docker.sock";
/// Seconds that Docker may take to begin an answer.
const TIMEOUT_SECONDS: u64 = 120;
/// The oldest API that Windlass knows: Docker 20.10.
const OLDEST: (usize, usize) = (1, 41);

/// Why Docker cannot be used. The message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// An address of a kind that is not supported.
    #[error("`{0}` is not an address of Docker; use unix:///path/to/docker.sock or tcp://host:port")]
    BadAddress(String),
    /// The socket is not there.
    #[error(
        "there is no Docker socket at {0}: install Docker Engine 20.10 or newer, start it (systemctl start docker), or set the \
         address of its socket"
    )]
    NoSocket(String),
    /// The socket is there but this user may not use it.
    #[error(
        "this user may not use Docker at {0}: add the user to the group of the socket (usermod -aG docker USER) and start \
         Windlass again"
    )]
    PermissionDenied(String),
    /// Nobody answers.
    #[error("Docker does not answer at {address}: is dockerd running? (systemctl status docker)")]
    NoAnswer {
        /// Where it was asked.
        address: String,
        /// What happened.
        #[source]
        source: Error,
    },
    /// It is older than 20.10.
    #[error(
        "Docker at {address} speaks API {found}, which is older than 1.41; upgrade to Docker Engine 20.10 or newer"
    )]
    TooOld {
        /// Where it was asked.
        address: String,
        /// What it speaks.
        found: String,
    },
}

/// Connects to Docker at `host` (`unix:///…`, a path, `tcp://host:port`; none: the default socket) and agrees on the newest API
/// version that both sides know. Call it again after a reconnect: Docker may have been upgraded meanwhile.
pub async fn connect(host: Option<&str>) -> Result<Docker, ConnectError> {
    let address = host.unwrap_or(DEFAULT_SOCKET);
    let docker = open(address)?;
    let docker = docker
        .negotiate_version()
        .await
        .map_err(|source| unreachable(address, source))?;
    let ClientVersion {
        major_version: major,
        minor_version: minor,
    } = docker.client_version();
    if (major, minor) < OLDEST {
        return Err(ConnectError::TooOld {
            address: address.to_owned(),
            found: format!("{major}.{minor}"),
        });
    }
    Ok(docker)
}

fn open(address: &str) -> Result<Docker, ConnectError> {
    let bad = || ConnectError::BadAddress(address.to_owned());
    let opened = if let Some(path) = address.strip_prefix("unix://") {
        Docker::connect_with_unix(path, TIMEOUT_SECONDS, API_DEFAULT_VERSION)
    } else if address.starts_with('/') {
        Docker::connect_with_unix(address, TIMEOUT_SECONDS, API_DEFAULT_VERSION)
    } else if address.starts_with("tcp://") || address.starts_with("http://") {
        Docker::connect_with_http(address, TIMEOUT_SECONDS, API_DEFAULT_VERSION)
    } else {
        return Err(bad());
    };
    opened.map_err(|error| match error {
        Error::SocketNotFoundError(path) => ConnectError::NoSocket(path),
        _ => bad(),
    })
}

fn unreachable(address: &str, source: Error) -> ConnectError {
    if is_permission_denied(&source) {
        ConnectError::PermissionDenied(address.to_owned())
    } else {
        ConnectError::NoAnswer {
            address: address.to_owned(),
            source,
        }
    }
}

fn is_permission_denied(error: &Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = match error {
        Error::HyperLegacyError { err } => err.source(),
        Error::IOError { err } => Some(err),
        other => other.source(),
    };
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>()
            && io.kind() == io::ErrorKind::PermissionDenied
        {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_socket_says_what_to_do() {
        let error = connect(Some("unix:///nonexistent/docker.sock")).await.unwrap_err();
        assert!(matches!(error, ConnectError::NoSocket(_)), "{error}");
        assert!(error.to_string().contains("start it"), "{error}");
    }

    #[tokio::test]
    async fn an_address_of_another_kind_is_refused() {
        let error = connect(Some("ssh://host")).await.unwrap_err();
        assert!(matches!(error, ConnectError::BadAddress(_)), "{error}");
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_asks_whether_docker_runs() {
        let free = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let error = connect(Some(&format!("tcp://{free}"))).await.unwrap_err();
        assert!(matches!(error, ConnectError::NoAnswer { .. }), "{error}");
        assert!(error.to_string().contains("is dockerd running?"), "{error}");
    }
}
