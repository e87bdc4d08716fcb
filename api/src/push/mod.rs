//! `git push`: git asks through its hook what shall become of the refs, and is answered while the deployment goes on.
//!
//! ```text
//! git client ── HTTP ──► routes::git ── starts ──► git receive-pack ── starts ──► the hook (push_hook)
//!                           │ a ticket, in the environment                            │
//!                           ▼                                                         ▼
//!                        tickets ◄──────── redeemed over the Unix socket ◄──────── session
//! ```
//! What is decided is [`decision`]'s word, and pure; [`session`] records the deployment and tells how it goes. The client may go
//! away at any time: the deployment goes on without it.

mod decision;
mod report;
mod session;
mod socket;
mod ticket;
pub(crate) mod wire;

pub use socket::{bind_hook, serve_hook};
pub(crate) use ticket::{Ticket, Tickets};

/// The variables in which the hook finds its way back; the engine reads them.
pub(crate) const SOCKET_VARIABLE: &str = "WINDLASS_HOOK_SOCKET";
pub(crate) const TICKET_VARIABLE: &str = "WINDLASS_PUSH_TICKET";
