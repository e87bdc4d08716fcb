//! The edge that the worker talks to: the built-in router over its control socket, or a Traefik that reads container labels.

mod builtin;
mod gates;
mod traefik;

pub use builtin::BuiltinEdge;
pub use gates::{clear_away, gates};
pub use traefik::TraefikEdge;
