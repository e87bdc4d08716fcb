//! Waiting for conditions, never for time.

use std::{future::Future, time::Duration};

use tokio::time::{Instant, sleep};

/// Asks `probe` again and again until it gives a value.
///
/// # Panics
/// When there is none within `deadline`; the message is `what`.
pub async fn eventually<T, F>(what: &str, deadline: Duration, mut probe: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let start = Instant::now();
    let mut pause = Duration::from_millis(10);
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(start.elapsed() < deadline, "not within {deadline:?}: {what}");
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}

/// Asks `condition` again and again until it holds.
///
/// # Panics
/// When it does not hold within `deadline`; the message is `what`.
pub async fn wait_until<F>(what: &str, deadline: Duration, mut condition: impl FnMut() -> F)
where
    F: Future<Output = bool>,
{
    eventually(what, deadline, || {
        let holds = condition();
        async move { holds.await.then_some(()) }
    })
    .await;
}
