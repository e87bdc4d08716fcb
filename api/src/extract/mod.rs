//! What handlers begin with: facts. Whoever is not allowed, does not exist or cannot be read is refused here.

mod accept;
mod app;
mod body;
mod caller;
mod deployment;
mod listing;
mod parameters;
mod planning;

pub(crate) use accept::{Accept, LastEventId};
pub(crate) use app::{AppPath, OwnApp, UsableApp, find as find_app};
pub(crate) use body::{Body, OptionalBody, RawBody, max_body};
pub(crate) use caller::{Caller, GitCaller};
pub(crate) use deployment::{DeploymentPath, OwnDeployment};
pub(crate) use listing::{Cursor, Listing, page};
pub(crate) use parameters::Parameters;
pub(crate) use planning::{DryRun, LookAhead, Planning};
