//! Setup, accounts and tokens.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Redeems the setup token, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RedeemSetupToken {
    /// The setup token that the first start of the server printed.
    #[schema(example = "wls_4mV7…")]
    pub setup_token: String,
    /// What to call the API token that is made; `setup` if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "ada's laptop")]
    pub name: Option<String>,
}

/// The server is set up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SetUp {
    /// An API token. It is shown this once.
    #[schema(example = "wl_9sKQ…")]
    pub token: String,
    /// The team that the token belongs to.
    #[schema(example = "team_018f3a5e7b7c7d3f9a1b2c3d4e5f6071")]
    pub team: String,
}

/// Who asks, and whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Account {
    /// The team that the token belongs to.
    #[schema(example = "team_018f3a5e7b7c7d3f9a1b2c3d4e5f6071")]
    pub team: String,
    /// The token in use.
    pub token: TokenName,
    /// The server.
    pub server: ServerFacts,
}

/// A token by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenName {
    /// Its id.
    #[schema(example = "token_018f3a5e7b7c7d3f9a1b2c3d4e5f6071")]
    pub id: String,
    /// What its owner calls it.
    #[schema(example = "ada's laptop")]
    pub name: String,
}

/// What a client needs to know of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServerFacts {
    /// The version of Windlass.
    #[schema(example = "0.1.0")]
    pub version: String,
    /// Apps answer at `{app}.{base_domain}`.
    #[schema(example = "apps.example.com")]
    pub base_domain: String,
    /// Where the API answers.
    #[schema(example = "https://windlass.example.com")]
    pub url: String,
}

/// A token to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// What to call it, 1 to 100 characters.
    #[schema(example = "continuous integration", min_length = 1, max_length = 100)]
    pub name: String,
}

/// A token without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// Its id.
    #[schema(example = "token_018f3a5e7b7c7d3f9a1b2c3d4e5f6071")]
    pub id: String,
    /// What its owner calls it.
    #[schema(example = "continuous integration")]
    pub name: String,
    /// When it was made.
    #[schema(example = "2026-11-21T14:00:00Z")]
    pub created_at: DateTime<Utc>,
    /// When it was last used, to the minute; null: never.
    #[schema(example = "2026-11-21T15:30:00Z")]
    pub last_used_at: Option<DateTime<Utc>>,
}

/// A token that was just made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedToken {
    /// Its id.
    #[schema(example = "token_018f3a5e7b7c7d3f9a1b2c3d4e5f6071")]
    pub id: String,
    /// What its owner calls it.
    #[schema(example = "continuous integration")]
    pub name: String,
    /// The token itself. It is shown this once.
    #[schema(example = "wl_9sKQ…")]
    pub token: String,
    /// When it was made.
    #[schema(example = "2026-11-21T14:00:00Z")]
    pub created_at: DateTime<Utc>,
}
