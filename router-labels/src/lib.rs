//! [`Route`] as the labels of a container, for a Traefik with the Docker provider, and back without loss.
//!
//! The labels are written on every routed container, whichever router serves: they are also what a route can be rebuilt from. Pure; this
//! crate knows the vocabulary and nothing else. A rule text can only be made of a [`Hostname`] and of a path that was checked
//! here, so no name can break out of it.
//!
//! Source: Traefik v3, "Docker & Traefik" (routing configuration by labels), "Rules & Priority", and the middlewares StripPrefix, RedirectScheme
//! and Headers.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on should stop"))]

mod read;
mod rule;
mod write;

use windlass_domain::Hostname;

pub use read::from_labels;
pub use write::to_labels;

/// How a Traefik reaches the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraefikTarget {
    /// The port that the container listens on.
    pub port: u16,
    /// The Docker network to reach it through; none when it has only one.
    pub network: Option<String>,
    /// The entry points that requests come in by; empty: all of Traefik's defaults.
    pub entrypoints: Vec<String>,
}

/// Why a route cannot be written, or labels cannot be read back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// The path could break out of a rule, or is none.
    #[error(
        "the path `{0}` must begin with `/`, not end with it, and have no empty, `.` or `..` segment, and hold only letters, digits and -._~/!$&+;=:@"
    )]
    Path(String),
    /// A header name or value could break out of a label; or the value is empty, which tells Traefik to remove the header.
    #[error(
        "the header `{0}` must be a token of lower-case letters, digits and hyphens with a printable value that is not empty"
    )]
    Header(String),
    /// No container listens on port 0.
    #[error("the port of a Traefik target cannot be 0")]
    Port,
    /// A name of a network or an entry point could break out of a label.
    #[error("`{0}` must be letters, digits, `-`, `_` and `.`")]
    Name(String),
    /// Labels that belong to a route and are not there.
    #[error("the label `{0}` is missing")]
    Missing(String),
    /// A label that was not written by [`to_labels`].
    #[error("the label `{label}` has the value `{value}`, which cannot be read")]
    Unreadable {
        /// Its name.
        label: String,
        /// Its value.
        value: String,
    },
}

/// The name of a route's service. App, process, host and path make it unique: what could collide once joined (`a-b` + `c`,
/// `a` + `b-c`) is kept apart by `_`, which no name can contain.
fn service_name(app: &str, process: &str, host: &Hostname, path: &str) -> String {
    let mut name = format!("windlass_{app}_{process}_{}", host.as_str().replace('.', "_d"));
    if path != "/" {
        name.push('_');
        for byte in path.bytes() {
            name.push_str(&format!("{byte:02x}"));
        }
    }
    name
}

/// The name of a route's router, and the stem of its middlewares' names: the service's name and a fingerprint of all else that
/// the router says. Traefik drops a router or a middleware that two containers define differently, and answers 404; while a
/// change of middlewares or entry points is rolled out, old and new containers therefore use different names. Both routers
/// lead to the same service, which has all containers.
fn router_name<'a>(service: &str, settings: impl Iterator<Item = &'a str>) -> String {
    format!("{service}_{:016x}", fingerprint(settings))
}

/// FNV-1a over parts that end in a byte no text has. Not for security: definitions that share it only share a name.
fn fingerprint<'a>(parts: impl Iterator<Item = &'a str>) -> u64 {
    let bytes = parts.flat_map(|part| part.bytes().chain([0xff]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
