//! Tokens, and who is asking.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

/// A token.
#[derive(Debug, Clone, Deserialize)]
pub struct Token {
    /// Its id.
    pub id: String,
    /// What it is for.
    #[serde(default)]
    pub name: String,
    /// The token itself, once.
    pub token: Option<String>,
    /// When it was made.
    pub created_at: Option<DateTime<Utc>>,
    /// When it was used last.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// Who is asking.
#[derive(Debug, Clone, Deserialize)]
pub struct Account {
    /// The team: a name, or an object with one.
    #[serde(default)]
    pub team: Value,
    /// The token.
    pub token: Option<TokenName>,
    /// The server.
    pub server: Option<ServerFacts>,
}

impl Account {
    /// The team's name.
    pub fn team_name(&self) -> String {
        let name = self.team.get("name").or(Some(&self.team)).and_then(Value::as_str);
        name.unwrap_or("-").to_owned()
    }
}

/// A token without itself.
#[derive(Debug, Clone, Deserialize)]
pub struct TokenName {
    /// Its id.
    #[serde(default)]
    pub id: String,
    /// What it is for.
    #[serde(default)]
    pub name: String,
}

/// A server.
#[derive(Debug, Clone, Deserialize)]
pub struct ServerFacts {
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// The domain of its apps.
    #[serde(default)]
    pub base_domain: String,
}
