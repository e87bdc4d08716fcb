//! Webhooks of forges: is it really from the forge, and what was pushed?
//!
//! Everything here is pure: headers and a raw body go in, a [`Delivery`] comes out. This crate must never know of the store or of
//! git, and must never act on a payload: whoever calls it verifies the signature first, over the very bytes that arrived, because a
//! body that was parsed and written again is another body.
//!
//! A forge is added as a variant of [`Forge`] with a module beside [`github`].
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on should stop"))]

mod delivery;
mod github;
mod signature;

use http::HeaderMap;

pub use delivery::{Content, Delivery, PayloadError, PushEvent, PushedRef};
pub use signature::{Signature, SignatureError};

/// A forge that sends webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Forge {
    /// github.com and GitHub Enterprise.
    GitHub,
}

impl Forge {
    /// All forges.
    pub const ALL: [Self; 1] = [Self::GitHub];

    /// The word in addresses and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::GitHub => "github",
        }
    }

    /// The signature that a request carries, yet to be verified.
    ///
    /// # Errors
    /// When there is none of the strong kind, or it is malformed.
    pub fn signature(self, headers: &HeaderMap) -> Result<Signature, SignatureError> {
        match self {
            Self::GitHub => github::signature(headers),
        }
    }

    /// Reads what the forge says. Nothing of it is to be believed before [`Signature::verify`] said yes.
    ///
    /// # Errors
    /// When it is not what this forge sends.
    pub fn parse(self, headers: &HeaderMap, body: &[u8]) -> Result<Delivery, PayloadError> {
        match self {
            Self::GitHub => github::parse(headers, body),
        }
    }
}
