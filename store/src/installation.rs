//! The installation itself: its identity, its master key's proof and its one-time setup token.

use sqlx::PgConnection;
use uuid::Uuid;
use windlass_domain::{Secret, TeamId};

use crate::{
    Store, StoreError, TokenRow,
    seal::Place,
    token::{self, Kind},
    tokens::insert_token,
};

/// The team that everything belongs to until there are accounts.
const DEFAULT_TEAM: &str = "default";
/// What is sealed as the proof of the master key.
const KEY_PROOF: &[u8] = b"windlass";

/// What there is of an installation after [`Store::install`].
#[derive(Debug)]
pub struct Installation {
    /// Marks what belongs to this installation, on containers and elsewhere.
    pub engine_id: Uuid,
    /// The setup token, at the very first start only.
    pub setup_token: Option<Secret<String>>,
}

impl Store {
    /// Makes the installation at the first start; at later ones proves that the master key is still the one that sealed the
    /// secrets ([`StoreError::Sealed`] if not). Of several processes that start at once, one gets the setup token.
    pub async fn install(&self) -> Result<Installation, StoreError> {
        let (engine_id, setup_token) = (Uuid::now_v7(), token::generate(Kind::Setup));
        let mut tx = self.begin().await?;
        let made = sqlx::query!(
            "insert into installation (engine_id, key_check, setup_token_hash) values ($1, $2, $3)
             on conflict (singleton) do nothing",
            engine_id,
            self.inner
                .sealer
                .seal(key_check_place(&engine_id.to_string()), KEY_PROOF),
            hash_of_ours(Kind::Setup, &setup_token),
        )
        .execute(&mut *tx)
        .await?
        .rows_affected()
            == 1;
        if made {
            sqlx::query!(
                "insert into teams (id, name) values ($1, $2)",
                TeamId::generate().uuid(),
                DEFAULT_TEAM
            )
            .execute(&mut *tx)
            .await?;
        }
        let engine_id = self.prove_key(&mut tx).await?;
        tx.commit().await?;
        Ok(Installation {
            engine_id,
            setup_token: made.then_some(setup_token),
        })
    }

    async fn prove_key(&self, connection: &mut PgConnection) -> Result<Uuid, StoreError> {
        let row = sqlx::query!("select engine_id, key_check from installation")
            .fetch_one(connection)
            .await?;
        let place = row.engine_id.to_string();
        self.inner.sealer.open(key_check_place(&place), &row.key_check)?;
        Ok(row.engine_id)
    }

    /// A new setup token in place of any earlier one; for whoever administers the machine.
    pub async fn reset_setup_token(&self) -> Result<Secret<String>, StoreError> {
        let setup_token = token::generate(Kind::Setup);
        let hash = hash_of_ours(Kind::Setup, &setup_token);
        let done = sqlx::query!("update installation set setup_token_hash = $1", hash)
            .execute(self.pool())
            .await?;
        if done.rows_affected() == 0 {
            return Err(sqlx::Error::RowNotFound.into());
        }
        Ok(setup_token)
    }

    /// Whether a setup token waits to be redeemed.
    pub async fn setup_token_waits(&self) -> Result<bool, StoreError> {
        let row = sqlx::query!(r#"select setup_token_hash is not null as "waits!" from installation"#)
            .fetch_one(self.pool())
            .await?;
        Ok(row.waits)
    }

    /// Changes the setup token into an API token of the team `default`; none if it is wrong or was used before.
    pub async fn redeem_setup_token(
        &self,
        token: &Secret<String>,
        token_name: &str,
    ) -> Result<Option<(TokenRow, Secret<String>)>, StoreError> {
        let Some(hash) = token::hash(Kind::Setup, token) else {
            return Ok(None);
        };
        let mut tx = self.begin().await?;
        let used = sqlx::query!(
            "update installation set setup_token_hash = null where setup_token_hash = $1",
            &hash[..]
        )
        .execute(&mut *tx)
        .await?;
        if used.rows_affected() == 0 {
            return Ok(None);
        }
        let team = sqlx::query_scalar!("select id from teams where name = $1", DEFAULT_TEAM)
            .fetch_one(&mut *tx)
            .await?;
        let made = insert_token(&mut tx, TeamId::from_uuid(team), token_name).await?;
        tx.commit().await?;
        Ok(Some(made))
    }
}

fn key_check_place(engine_id: &str) -> Place<'_> {
    Place {
        table: "installation",
        column: "key_check",
        row: engine_id,
    }
}

/// The hash of a token that was made here.
pub(crate) fn hash_of_ours(kind: Kind, made: &Secret<String>) -> Vec<u8> {
    token::hash(kind, made)
        .expect("a token that was made here has the form of its kind")
        .to_vec()
}
