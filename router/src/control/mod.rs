//! How the engine tells the router what to serve: one JSON object per line over a Unix socket, one answer per request.
//!
//! Lines of JSON rather than HTTP: the only speaker is the engine of the same release, a table is one message, and there is
//! nothing to negotiate. Whoever may open the socket rules the router, so its file permissions are the access control.
//!
//! For a while there may be two routers in one folder, one that serves and one that lets its last requests end ([`in_folder`]).
//! Their listening sockets travel as file descriptors beside such a line, so that a new router takes over the old one's queue.

mod client;
mod descriptors;
mod folder;
mod protocol;
mod server;
mod socket;
mod vigil;

pub use client::{ControlClient, ControlError};
pub use folder::in_folder;
pub use protocol::{Ack, Ejected, RouterStatus, Served};
pub(crate) use server::serve;
pub(crate) use socket::bind;
pub use vigil::{Sign, Vigil};
