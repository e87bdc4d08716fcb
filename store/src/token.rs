//! The form of tokens: a prefix that secret scanners know, 256 random bits, and a checksum that tells a mistyped token from a
//! wrong one before the database is asked. Pure.
//!
//! Only the SHA-256 of a token is kept: it has so much entropy that a slow hash would protect nothing, and looking a hash up
//! takes the same time whatever the token is.

use rand::{Rng, distr::Alphanumeric};
use sha2::{Digest, Sha256};
use windlass_domain::Secret;
use zeroize::Zeroize;

/// 43 characters out of 62 are 256 bits.
const RANDOM_CHARS: usize = 43;
const CHECKSUM_CHARS: usize = 6;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The API.
    Api,
    /// The one-time setup.
    Setup,
}

impl Kind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Api => "wl_",
            Self::Setup => "wls_",
        }
    }
}

/// A new token.
pub(crate) fn generate(kind: Kind) -> Secret<String> {
    let mut body: String = rand::rng()
        .sample_iter(Alphanumeric)
        .take(RANDOM_CHARS)
        .map(char::from)
        .collect();
    let token = format!("{}{body}{}", kind.prefix(), checksum(kind, &body));
    body.zeroize();
    Secret::new(token)
}

/// What is kept of a token; none if it has not the form of its kind or its checksum is wrong.
pub(crate) fn hash(kind: Kind, token: &Secret<String>) -> Option<[u8; 32]> {
    let rest = token.expose().strip_prefix(kind.prefix())?;
    let well_formed =
        rest.len() == RANDOM_CHARS + CHECKSUM_CHARS && rest.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !well_formed {
        return None;
    }
    let (body, found) = rest.split_at(RANDOM_CHARS);
    (checksum(kind, body) == found).then(|| Sha256::digest(token.expose()).into())
}

/// The first 32 bits of a SHA-256 as six base62 digits.
fn checksum(kind: Kind, body: &str) -> String {
    let digest = Sha256::new().chain_update(kind.prefix()).chain_update(body).finalize();
    let mut number = digest
        .iter()
        .take(4)
        .fold(0_u32, |number, byte| (number << 8) | u32::from(*byte));
    let mut digits = [b'0'; CHECKSUM_CHARS];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[(number % 62) as usize];
        number /= 62;
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_token_has_the_form_of_its_kind_only() {
        let token = generate(Kind::Api);
        assert!(token.expose().starts_with("wl_"));
        assert_eq!(token.expose().len(), 3 + 43 + 6);
        assert!(hash(Kind::Api, &token).is_some());
        assert!(hash(Kind::Setup, &token).is_none());
    }

    #[test]
    fn every_mistyped_character_is_noticed() {
        let token = generate(Kind::Setup);
        for at in 0..token.expose().len() {
            let mut typed = token.expose().clone().into_bytes();
            typed[at] = if typed[at] == b'x' { b'y' } else { b'x' };
            let typed = Secret::new(String::from_utf8(typed).unwrap());
            assert_eq!(hash(Kind::Setup, &typed), None, "character {at}");
        }
    }

    #[test]
    fn hostile_texts_are_refused() {
        for text in ["", "wl_", "wl_é", &"wl_0".repeat(13), "wl_\0", &"x".repeat(1 << 20)] {
            assert_eq!(hash(Kind::Api, &Secret::from(text)), None);
        }
    }

    #[test]
    fn tokens_differ() {
        assert_ne!(generate(Kind::Api).expose(), generate(Kind::Api).expose());
    }
}
