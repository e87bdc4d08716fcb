//! The installation itself: its identity, its master key's proof and its one-time setup token.

use uuid::Uuid;
use windlass_domain::Secret;

/// What there is of an installation after [`crate::Store::install`].
#[derive(Debug)]
pub struct Installation {
    /// Marks what belongs to this installation, on containers and elsewhere.
    pub engine_id: Uuid,
    /// The setup token, at the very first start only.
    pub setup_token: Option<Secret<String>>,
}
