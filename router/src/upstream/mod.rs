//! Connections to instances: HTTP/1.1, driven inside the task of the request that uses them.

mod io;
mod link;

pub(crate) use link::{ConnectError, Link, Patience, SendError, is_timeout};
