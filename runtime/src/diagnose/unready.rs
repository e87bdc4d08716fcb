//! The instance runs but did not become ready: what it listens on, and what the last probe found.

use std::net::SocketAddr;

use windlass_domain::{Failure, FailureCode};

use super::{Symptoms, hints, shown_lines};
use crate::NotReady;

pub(super) fn unready(seen: &Symptoms<'_>) -> Failure {
    let Some(port) = seen.port else {
        return without_port(seen);
    };
    let on_port: Vec<&SocketAddr> = seen.listening.iter().filter(|socket| socket.port() == port).collect();
    let failure = if seen.listening.is_empty() {
        not_listening(seen, port)
    } else if on_port.is_empty() {
        wrong_port(seen, port)
    } else if on_port.iter().all(|socket| socket.ip().is_loopback()) {
        loopback_only(seen, port)
    } else if on_port.iter().all(|socket| socket.is_ipv6()) && seen.last_probe == Some(&NotReady::ConnectionRefused) {
        ipv6_only(seen, port)
    } else {
        unhealthy(seen, port)
    };
    failure
        .with_evidence([listening_evidence(seen.listening)])
        .with_evidence(seen.last_probe.map(|why| format!("the last health check {why}")))
        .with_evidence(shown_lines(seen.last_lines))
}

fn listening_evidence(listening: &[SocketAddr]) -> String {
    if listening.is_empty() {
        return "it listens on no TCP port".to_owned();
    }
    format!("it listens on {}", list(listening))
}

fn list(sockets: &[SocketAddr]) -> String {
    let sockets: Vec<String> = sockets.iter().map(ToString::to_string).collect();
    match sockets.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => sockets.concat(),
    }
}

fn not_listening(seen: &Symptoms<'_>, port: u16) -> Failure {
    let waited = seen.waited.as_secs();
    let next_step = hints::find(seen.last_lines).map_or_else(
        || {
            format!(
                "let the server listen on 0.0.0.0 and the port in the environment variable PORT ({port} here); if it only needs \
                 longer to start, raise the health check's deadline; a process type that serves nothing should not be called `web`"
            )
        },
        |hint| hint.next_step.to_owned(),
    );
    Failure::new(
        FailureCode::NotListening,
        format!(
            "`{}` runs, but did not listen on port {port} within {waited} s",
            seen.process
        ),
        next_step,
    )
}

fn wrong_port(seen: &Symptoms<'_>, port: u16) -> Failure {
    let loopback = seen.listening.iter().all(|socket| socket.ip().is_loopback());
    let found = list(seen.listening);
    let address = if loopback {
        " and on 0.0.0.0 instead of 127.0.0.1"
    } else {
        ""
    };
    let instead = seen
        .listening
        .iter()
        .find(|socket| loopback || !socket.ip().is_loopback())
        .map_or(port, SocketAddr::port);
    Failure::new(
        FailureCode::WrongPort,
        format!("`{}` listens on {found}, but not on port {port}", seen.process),
        format!(
            "let the server listen on the port in the environment variable PORT ({port} here){address}, or set the app's port to \
             {instead}"
        ),
    )
}

fn loopback_only(seen: &Symptoms<'_>, port: u16) -> Failure {
    Failure::new(
        FailureCode::LoopbackOnly,
        format!(
            "`{}` listens on port {port}, but only on 127.0.0.1, where nothing outside of its container can reach it",
            seen.process
        ),
        "let the server listen on 0.0.0.0 (all addresses): for instance `--host 0.0.0.0`, `app.listen(port, '0.0.0.0')` or \
         `--bind 0.0.0.0:$PORT`",
    )
}

fn ipv6_only(seen: &Symptoms<'_>, port: u16) -> Failure {
    Failure::new(
        FailureCode::LoopbackOnly,
        format!(
            "`{}` listens on port {port}, but only for IPv6; requests come by IPv4",
            seen.process
        ),
        "let the server listen on 0.0.0.0, or on `::` for both (without the option IPV6_V6ONLY)",
    )
}

fn unhealthy(seen: &Symptoms<'_>, port: u16) -> Failure {
    let waited = seen.waited.as_secs();
    let process = seen.process;
    let path = seen.health.path.as_deref();
    let asked = path.map_or_else(|| format!("port {port}"), |path| format!("`GET {path}` on port {port}"));
    let new = |reason: String, next_step: &str| Failure::new(FailureCode::Unhealthy, reason, next_step);
    match seen.last_probe {
        Some(NotReady::Status(status)) => new(
            format!(
                "`{process}` listens on port {port}, but answered its health check with status {status} for {waited} s"
            ),
            status_next_step(*status),
        ),
        Some(NotReady::AnswerTimeout) => new(
            format!("`{process}` accepts connections on port {port}, but did not answer {asked} in time"),
            "find out what the health check's handler waits for (a database, another service, a blocked main thread), or raise the \
             health check's timeout",
        ),
        Some(NotReady::NotHttp) => new(
            format!("`{process}` listens on port {port}, but does not speak HTTP/1.1 there"),
            "let it serve plain HTTP on this port (TLS ends at the router), or remove the health check's path so that a TCP \
             connection is enough",
        ),
        Some(NotReady::Closed) => new(
            format!("`{process}` closes connections on port {port} without an answer"),
            "look for an error in its log at the time of the health check; a server that expects TLS does this too: serve plain \
             HTTP, TLS ends at the router",
        ),
        _ => new(
            format!("`{process}` listens on port {port}, but was not reachable for {waited} s"),
            "its log may say why; if it needs longer to start, raise the health check's deadline",
        ),
    }
}

const fn status_next_step(status: u16) -> &'static str {
    match status {
        404 | 405 => {
            "set the health check's path to one that the app answers to `GET` with a status from 200 to 399, or remove the path so \
             that a TCP connection is enough"
        }
        401 | 403 => {
            "let the health check's path be reached without signing in, or choose another path; some frameworks refuse host names \
             that they do not know (ALLOWED_HOSTS in Django, hosts in Rails)"
        }
        400 => {
            "some frameworks refuse host names that they do not know: add the app's host name (ALLOWED_HOSTS in Django, hosts in \
             Rails), or choose a path that answers 200 to 399"
        }
        500..=599 => {
            "the app reports an error of its own: its log says which; a missing config var or database is the usual cause"
        }
        _ => "let the health check's path answer with a status from 200 to 399",
    }
}

fn without_port(seen: &Symptoms<'_>) -> Failure {
    Failure::new(
        FailureCode::Unhealthy,
        format!(
            "`{}` did not become ready within {} s",
            seen.process,
            seen.waited.as_secs()
        ),
        "its log may say why; if it needs longer to start, raise the health check's deadline",
    )
    .with_evidence(shown_lines(seen.last_lines))
}
