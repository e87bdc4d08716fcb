//! API tokens. Only their hashes are kept.

use chrono::{DateTime, Utc};
use windlass_domain::{TeamId, TokenId};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The team that everything is scoped by.
    pub team: TeamId,
    /// The token.
    pub token: TokenId,
    /// The token's name.
    pub name: String,
}

/// A token without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Its id.
    pub id: TokenId,
    /// Its team.
    pub team: TeamId,
    /// What its owner calls it.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last used, to the minute; none: never.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}
