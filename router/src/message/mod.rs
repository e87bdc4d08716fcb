//! What is read from, checked in and written into the heads of requests and responses. Pure: no socket, no clock.

mod forwarded;
mod hop_by_hop;
mod host;
mod request;
mod request_id;

pub(crate) use forwarded::{ClientNames, set_forwarded};
pub(crate) use hop_by_hop::{clean_request, clean_response};
pub(crate) use request::{check, merge_cookies, stripped_path, wanted_upgrade};
pub(crate) use request_id::ensure as ensure_request_id;
