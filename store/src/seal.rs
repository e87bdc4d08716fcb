//! Seals secrets before they go to Postgres: XChaCha20-Poly1305 with a random 24-byte nonce (draft-irtf-cfrg-xchacha).
//!
//! A sealed value is `version | nonce | ciphertext and tag`. It is bound to the place where it is kept, so that who can write
//! to the database but has no key cannot move one app's secret into another's row. Pure: this module never sees the database.

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use rand::Rng;
use windlass_domain::Secret;

use crate::{ConnectError, error::SealError};

/// The only version of key and format so far.
const VERSION: u8 = 1;
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// Where a sealed value is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) table: &'static str,
    pub(crate) column: &'static str,
    /// The primary key.
    pub(crate) row: &'a str,
}

impl Place<'_> {
    /// What the seal is bound to. No part but the last holds a slash.
    fn bound(self, version: u8) -> String {
        format!("{}/{}/{version}/{}", self.table, self.column, self.row)
    }
}

/// Holds the master key.
pub(crate) struct Sealer {
    cipher: XChaCha20Poly1305,
}

impl Sealer {
    pub(crate) fn new(master_key: &Secret<Vec<u8>>) -> Result<Self, ConnectError> {
        let found = master_key.expose().len();
        match XChaCha20Poly1305::new_from_slice(master_key.expose()) {
            Ok(cipher) if found == KEY_BYTES => Ok(Self { cipher }),
            _ => Err(ConnectError::MasterKey { found }),
        }
    }

    /// Seals a value for its place.
    pub(crate) fn seal(&self, place: Place<'_>, plaintext: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_BYTES] = rand::rng().random();
        let aad = place.bound(VERSION);
        let payload = Payload {
            msg: plaintext,
            aad: aad.as_bytes(),
        };
        let ciphertext = self
            .cipher
            .encrypt(&XNonce::from(nonce), payload)
            .expect("a secret is shorter than the 256 GiB that the cipher can take");
        let mut sealed = Vec::with_capacity(1 + NONCE_BYTES + ciphertext.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&ciphertext);
        sealed
    }

    /// Opens a value that was sealed for this very place.
    pub(crate) fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Secret<Vec<u8>>, SealError> {
        let (&version, rest) = sealed.split_first().ok_or(SealError::Broken)?;
        if version != VERSION {
            return Err(SealError::UnknownVersion(version));
        }
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::Broken)?;
        let aad = place.bound(version);
        let payload = Payload {
            msg: ciphertext,
            aad: aad.as_bytes(),
        };
        let plaintext = self.cipher.decrypt(&XNonce::from(*nonce), payload);
        plaintext.map(Secret::new).map_err(|_| SealError::Broken)
    }

    /// Opens a text.
    pub(crate) fn open_text(&self, place: Place<'_>, sealed: &[u8]) -> Result<Secret<String>, SealError> {
        let plaintext = self.open(place, sealed)?;
        let text = std::str::from_utf8(plaintext.expose()).map_err(|_| SealError::Broken)?;
        Ok(Secret::new(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'static> = Place {
        table: "apps",
        column: "webhook_secret",
        row: "1",
    };

    fn sealer(byte: u8) -> Sealer {
        Sealer::new(&Secret::new(vec![byte; 32])).unwrap()
    }

    #[test]
    fn a_sealed_value_opens_at_its_place() {
        let sealed = sealer(1).seal(PLACE, b"hunter22");
        assert!(!sealed.windows(8).any(|window| window == b"hunter22"));
        assert_eq!(sealer(1).open(PLACE, &sealed).unwrap().expose(), b"hunter22");
    }

    #[test]
    fn a_sealed_value_that_was_moved_is_refused() {
        let sealed = sealer(1).seal(PLACE, b"hunter22");
        for place in [
            Place { row: "2", ..PLACE },
            Place {
                column: "deploy_key_private",
                ..PLACE
            },
            Place {
                table: "tokens",
                ..PLACE
            },
        ] {
            assert_eq!(
                sealer(1).open(place, &sealed).unwrap_err(),
                SealError::Broken,
                "{place:?}"
            );
        }
    }

    #[test]
    fn another_key_is_refused() {
        let sealed = sealer(1).seal(PLACE, b"hunter22");
        assert_eq!(sealer(2).open(PLACE, &sealed).unwrap_err(), SealError::Broken);
    }

    #[test]
    fn every_changed_or_missing_byte_is_noticed() {
        let sealed = sealer(1).seal(PLACE, b"hunter22");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            sealer(1).open(PLACE, &changed).unwrap_err();
            sealer(1).open(PLACE, &sealed[..at]).unwrap_err();
        }
    }

    #[test]
    fn equal_values_are_sealed_differently() {
        assert_ne!(sealer(1).seal(PLACE, b"x"), sealer(1).seal(PLACE, b"x"));
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        let error = Sealer::new(&Secret::new(vec![0; 31])).err().unwrap();
        assert!(matches!(error, ConnectError::MasterKey { found: 31 }));
    }
}
