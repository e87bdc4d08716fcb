//! API tokens. Only their hashes are kept.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;
use windlass_domain::{Secret, TeamId, TokenId};

use crate::{
    Store, StoreError,
    installation::hash_of_ours,
    text::storable,
    token::{self, Kind},
};

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

struct RawToken {
    id: Uuid,
    team_id: Uuid,
    name: String,
    created_at: DateTime<Utc>,
    last_used_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
}

impl From<RawToken> for TokenRow {
    fn from(raw: RawToken) -> Self {
        Self {
            id: TokenId::from_uuid(raw.id),
            team: TeamId::from_uuid(raw.team_id),
            name: raw.name,
            created_at: raw.created_at,
            last_used_at: raw.last_used_at,
            revoked_at: raw.revoked_at,
        }
    }
}

impl Store {
    /// Whose token it is; none if it is malformed (the database is not asked then), unknown or revoked.
    pub async fn authenticate(&self, token: &Secret<String>) -> Result<Option<Actor>, StoreError> {
        let Some(hash) = token::hash(Kind::Api, token) else {
            return Ok(None);
        };
        let found = sqlx::query!(
            r#"select id, team_id, name,
                      coalesce(last_used_at < now() - interval '1 minute', true) as "stale!"
               from tokens where hash = $1 and revoked_at is null"#,
            &hash[..]
        )
        .fetch_optional(self.pool())
        .await?;
        let Some(row) = found else { return Ok(None) };
        if row.stale {
            self.note_use(row.id).await?;
        }
        Ok(Some(Actor {
            team: TeamId::from_uuid(row.team_id),
            token: TokenId::from_uuid(row.id),
            name: row.name,
        }))
    }

    /// Once a minute, so that reading does not become writing.
    async fn note_use(&self, token: Uuid) -> Result<(), StoreError> {
        sqlx::query!(
            "update tokens set last_used_at = now()
             where id = $1 and coalesce(last_used_at < now() - interval '1 minute', true)",
            token
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// A new token of the team. The plaintext is returned this once.
    pub async fn create_token(&self, team: TeamId, name: &str) -> Result<(TokenRow, Secret<String>), StoreError> {
        let mut connection = self.pool().acquire().await?;
        insert_token(&mut connection, team, name).await
    }

    /// The team's tokens, oldest first, the revoked ones too.
    pub async fn list_tokens(&self, team: TeamId) -> Result<Vec<TokenRow>, StoreError> {
        let rows = sqlx::query_as!(
            RawToken,
            "select id, team_id, name, created_at, last_used_at, revoked_at from tokens where team_id = $1 order by id",
            team.uuid()
        )
        .fetch_all(self.pool())
        .await?;
        Ok(rows.into_iter().map(TokenRow::from).collect())
    }

    /// Makes a token useless from now on; false if the team has no such token that is still good.
    pub async fn revoke_token(&self, team: TeamId, token: TokenId) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "update tokens set revoked_at = now() where id = $1 and team_id = $2 and revoked_at is null",
            token.uuid(),
            team.uuid()
        )
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected() == 1)
    }
}

pub(crate) async fn insert_token(
    connection: &mut PgConnection,
    team: TeamId,
    name: &str,
) -> Result<(TokenRow, Secret<String>), StoreError> {
    let plaintext = token::generate(Kind::Api);
    let row = sqlx::query_as!(
        RawToken,
        "insert into tokens (id, team_id, name, hash) values ($1, $2, $3, $4)
         returning id, team_id, name, created_at, last_used_at, revoked_at",
        TokenId::generate().uuid(),
        team.uuid(),
        storable(name),
        hash_of_ours(Kind::Api, &plaintext),
    )
    .fetch_one(connection)
    .await?;
    Ok((row.into(), plaintext))
}
