//! What can go wrong with the store, and the one place where names of constraints become meanings.

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Postgres does not answer, or has no connection free: try again soon. The API answers 503.
    #[error("the database does not answer")]
    Unavailable(#[source] sqlx::Error),
    /// A secret cannot be opened: another master key sealed it, or its row was tampered with.
    #[error("a secret in the database cannot be opened with the master key at hand")]
    Sealed(#[source] SealError),
    /// A fault of Windlass, or a row that makes no sense.
    #[error("the database refused a statement or returned what cannot be read")]
    Internal(#[source] sqlx::Error),
}

/// Why the store cannot be set up at all.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL is not one of Postgres.
    #[error("the database URL cannot be read; use one such as postgres://user@host:5432/windlass")]
    Url(#[source] sqlx::Error),
    /// The master key has another length.
    #[error("the master key has {found} bytes instead of 32")]
    MasterKey {
        /// Its length in bytes.
        found: usize,
    },
}

/// Why the schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
#[error("the database schema could not be brought up to date")]
pub struct MigrateError(#[source] pub(crate) sqlx::migrate::MigrateError);

/// Why a secret cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Another key sealed it, or it was moved or changed.
    #[error("the seal does not fit the key and the place")]
    Broken,
    /// It was sealed by a newer Windlass.
    #[error("the seal is of version {0}, which this Windlass does not know")]
    UnknownVersion(u8),
}

/// A constraint of the schema whose violation means something to a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Constraint {
    /// An app of this name exists.
    AppName,
    /// A deployment of the app is running already.
    OneRunning,
    /// Another app has the subnet.
    Subnet,
}

impl Constraint {
    /// The constraint that an error says was violated.
    pub(crate) fn violated(error: &sqlx::Error) -> Option<Self> {
        match error.as_database_error()?.constraint()? {
            "apps_name_key" => Some(Self::AppName),
            "deployments_one_running" => Some(Self::OneRunning),
            "app_states_subnet_key" => Some(Self::Subnet),
            _ => None,
        }
    }
}

impl From<SealError> for StoreError {
    fn from(error: SealError) -> Self {
        Self::Sealed(error)
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if is_unavailable(&error) {
            Self::Unavailable(error)
        } else {
            Self::Internal(error)
        }
    }
}

/// Whether Postgres was out of reach, or about to be. Codes: Postgres documentation, appendix A.
fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => true,
        sqlx::Error::Database(database) => database.code().is_some_and(|code| {
            // 08: connection; 40: a deadlock was broken; 53: no memory, disk or connections; 57P: shutting down or starting; 25006: read-only (a standby);
            // 57014, 55P03: it took too long.
            ["08", "40", "53", "57P", "25006", "57014", "55P03"]
                .iter()
                .any(|prefix| code.starts_with(prefix))
        }),
        _ => false,
    }
}

/// A row that breaks the rules of the domain.
pub(crate) fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Internal(sqlx::Error::Decode(Box::new(error)))
}

/// A word that no version of Windlass writes.
#[derive(Debug, thiserror::Error)]
#[error("`{word}` is no {what}")]
pub(crate) struct UnknownWord {
    pub(crate) what: &'static str,
    pub(crate) word: String,
}

/// Reads a word of the database with its domain type's `parse`.
pub(crate) fn word<T>(what: &'static str, word: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, StoreError> {
    parse(word).ok_or_else(|| {
        unreadable(UnknownWord {
            what,
            word: word.to_owned(),
        })
    })
}

/// Reads a number that is never negative.
pub(crate) fn count(number: i32) -> Result<u32, StoreError> {
    u32::try_from(number).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_connection_is_unavailable_and_a_bad_row_is_internal() {
        let lost = sqlx::Error::Io(std::io::Error::other("gone"));
        assert!(matches!(StoreError::from(lost), StoreError::Unavailable(_)));
        assert!(matches!(
            StoreError::from(sqlx::Error::PoolTimedOut),
            StoreError::Unavailable(_)
        ));
        assert!(matches!(
            StoreError::from(sqlx::Error::RowNotFound),
            StoreError::Internal(_)
        ));
    }
}
