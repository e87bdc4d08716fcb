//! What bollard's errors mean in the words of the port.

use bollard::errors::Error;
use windlass_runtime::RuntimeError;

/// The HTTP status of Docker's answer, if it answered.
pub(crate) const fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// Docker's words, if it answered.
pub(crate) fn message(error: &Error) -> &str {
    match error {
        Error::DockerResponseServerError { message, .. } => message,
        Error::DockerStreamError { error } => error,
        _ => "",
    }
}

/// Whether Docker answered that the thing does not exist.
pub(crate) fn is_missing(error: &Error) -> bool {
    status(error) == Some(404)
}

/// The error of the port for a request that tried to `action`.
pub(crate) fn runtime_error(action: &'static str, error: Error) -> RuntimeError {
    match error {
        Error::DockerResponseServerError { status_code, message } => {
            if message.contains("no space left on device") {
                RuntimeError::DiskFull(message)
            } else {
                RuntimeError::Refused {
                    action,
                    status: status_code,
                    message,
                }
            }
        }
        Error::DockerStreamError { error } => RuntimeError::Refused {
            action,
            status: 200,
            message: error,
        },
        Error::JsonDataError { .. } | Error::JsonSerdeError { .. } | Error::StrParseError { .. } => {
            RuntimeError::Unreadable {
                action,
                source: Box::new(error),
            }
        }
        other => RuntimeError::Unreachable(Box::new(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_apart() {
        let error = Error::DockerResponseServerError {
            status_code: 500,
            message: "mkdir /var/lib/docker/x: no space left on device".to_owned(),
        };
        assert!(matches!(runtime_error("create", error), RuntimeError::DiskFull(_)));
    }
}
