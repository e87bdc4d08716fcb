//! Tickets: the hook is a process of its own, so it shows what the HTTP request that led to it was allowed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rand::RngCore;
use windlass_domain::{AppId, TeamId, TokenId};

/// The hook asks when all objects are in; a large push over a slow line takes its time.
const LIFETIME: Duration = Duration::from_secs(6 * 60 * 60);

/// What a push is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) team: TeamId,
    pub(crate) app: AppId,
    pub(crate) token: TokenId,
}

/// The tickets that were not redeemed yet. They live in memory only: a push does not outlive the process that serves it.
#[derive(Clone, Default)]
pub(crate) struct Tickets(Arc<Mutex<HashMap<String, (Ticket, Instant)>>>);

impl Tickets {
    /// Makes a ticket that is good once.
    pub(crate) fn issue(&self, ticket: Ticket) -> String {
        let mut secret = [0; 32];
        rand::rng().fill_bytes(&mut secret);
        let secret: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let now = Instant::now();
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tickets.retain(|_, (_, expires)| *expires > now);
        tickets.insert(secret.clone(), (ticket, now + LIFETIME));
        secret
    }

    /// What the ticket allows; the second time, nothing.
    pub(crate) fn redeem(&self, secret: &str) -> Option<Ticket> {
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (ticket, expires) = tickets.remove(secret)?;
        (expires > Instant::now()).then_some(ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_good_once_and_cannot_be_guessed() {
        let tickets = Tickets::default();
        let ticket = Ticket {
            team: TeamId::generate(),
            app: AppId::generate(),
            token: TokenId::generate(),
        };
        let (first, second) = (tickets.issue(ticket), tickets.issue(ticket));
        assert_ne!(first, second);
        assert_eq!(first.len(), 64);
        assert_eq!(tickets.redeem(&first), Some(ticket));
        assert_eq!(tickets.redeem(&first), None);
        assert_eq!(tickets.redeem(""), None);
        assert_eq!(tickets.redeem(&second), Some(ticket));
    }
}
