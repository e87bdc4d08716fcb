//! How the engine tells the router what to serve: one JSON object per line over a Unix socket, one answer per request.
//!
//! Lines of JSON rather than HTTP: the only speaker is the engine of the same release, a table is one message, and there is
//! nothing to negotiate. Whoever may open the socket rules the router, so its file permissions are the access control.

mod client;
mod protocol;
mod server;

pub use client::{ControlClient, ControlError};
pub use protocol::{Ack, Ejected, RouterStatus};
pub(crate) use server::{bind, serve};
