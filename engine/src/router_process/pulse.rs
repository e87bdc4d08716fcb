//! Noticing a router that lives and does nothing any more. Its end is told by the kernel (see [`windlass_router::control::Vigil`]);
//! that it hangs is not, so it is asked again and again.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use windlass_router::control::{ControlClient, ControlError};

/// The pause between an answer and the next question.
const EVERY: Duration = Duration::from_secs(5);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// A question that took longer than [`PATIENCE`] by this was late on this side: the engine itself did not run.
const OWN_DELAY: Duration = Duration::from_secs(1);
/// So many questions in a row stay without an answer before a router is thought to hang.
const STRIKES: u32 = 3;

/// Returns when the router has not answered several times in a row.
pub(super) async fn until_it_hangs(client: &ControlClient) {
    let client = client.clone().with_deadline(PATIENCE);
    let mut strikes = Strikes::default();
    loop {
        if strikes.0 == 0 {
            sleep(EVERY).await;
        }
        let asked = Instant::now();
        let answered = answers(client.status().await);
        if strikes.are_enough_after(answered, asked.elapsed()) {
            return;
        }
        // One whose queue of questions is full refuses at once.
        if !answered {
            sleep_until(asked + PATIENCE).await;
        }
    }
}

/// Whether a router is silent as often as it takes to think that it hangs, asked right now.
pub(super) async fn is_silent(client: &ControlClient) -> bool {
    let client = client.clone().with_deadline(PATIENCE);
    for _ in 0..STRIKES {
        if answers(client.status().await) {
            return false;
        }
    }
    true
}

/// Whatever it says, it says something. That it is gone is noticed elsewhere.
fn answers<T>(asked: Result<T, ControlError>) -> bool {
    match asked {
        Err(ControlError::Timeout(_)) => false,
        Err(error @ (ControlError::Unreachable(_) | ControlError::Broken(_))) => error.says_gone(),
        _ => true,
    }
}

/// Questions in a row that stayed without an answer.
#[derive(Debug, Default)]
struct Strikes(u32);

impl Strikes {
    /// Counts a question that took so long. One that was late on this side says nothing about the router, nor do those before it.
    fn are_enough_after(&mut self, answered: bool, took: Duration) -> bool {
        let own_fault = took > PATIENCE + OWN_DELAY;
        self.0 = if answered || own_fault { 0 } else { self.0 + 1 };
        self.0 >= STRIKES
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn only_silence_in_a_row_is_a_hang() {
        let mut strikes = Strikes::default();
        let silent = [false, false, true, false, false, false];
        let judged = silent.map(|answered| strikes.are_enough_after(answered, PATIENCE));
        assert_eq!(judged, [false, false, false, false, false, true]);
    }

    #[test]
    fn an_engine_that_was_stopped_itself_blames_nobody() {
        let mut strikes = Strikes::default();
        strikes.are_enough_after(false, PATIENCE);
        strikes.are_enough_after(false, PATIENCE);
        assert!(!strikes.are_enough_after(false, PATIENCE * 3));
        assert!(!strikes.are_enough_after(false, PATIENCE), "it counts from the start");
    }

    #[test]
    fn a_router_that_is_gone_or_of_another_release_does_not_hang() {
        let failed = |error| answers::<()>(Err(error));
        let unreachable = |kind: io::ErrorKind| failed(ControlError::Unreachable(kind.into()));
        assert!(unreachable(io::ErrorKind::ConnectionRefused) && unreachable(io::ErrorKind::NotFound));
        assert!(failed(ControlError::Protocol { reason: String::new() }));
        assert!(!failed(ControlError::Timeout(PATIENCE)));
        assert!(!unreachable(io::ErrorKind::WouldBlock), "its queue is full");
    }
}
