//! How long a worker waits to hear whether it still holds what it works on.

use std::{io, time::Duration};

use tokio::time::timeout;

use crate::StoreError;

/// After this time without an answer a lease counts as not renewed. It is shorter than any lease, and shorter than the limits of
/// the sessions: those are kept by Postgres, and mean nothing when Postgres or the way to it hangs.
const LEASE_ANSWER: Duration = Duration::from_secs(4);

/// The answer of a statement about a lease, or [`StoreError::Unavailable`] when it takes too long.
pub(super) async fn in_time<T>(statement: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
    let answer = timeout(LEASE_ANSWER, statement).await;
    Ok(answer.map_err(|_| sqlx::Error::Io(io::ErrorKind::TimedOut.into()))??)
}
