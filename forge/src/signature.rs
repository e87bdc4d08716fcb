//! HMAC-SHA256 over the raw body (RFC 2104), compared in constant time.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use windlass_domain::Secret;

/// A signature as a request carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature([u8; 32]);

/// Why a request is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// It carries no signature.
    #[error("the request is not signed; give the webhook a secret, so that `{header}` is sent")]
    Missing {
        /// The header that is expected.
        header: &'static str,
    },
    /// It carries a signature that is no longer safe.
    #[error("the request is signed with SHA-1 only, which is no longer safe; `{header}` is expected")]
    TooWeak {
        /// The header that is expected.
        header: &'static str,
    },
    /// What it carries is no signature.
    #[error("the signature in `{header}` is malformed")]
    Malformed {
        /// The header.
        header: &'static str,
    },
    /// The signature is another one, or there is no secret to compare with.
    #[error("the signature does not fit")]
    Wrong,
}

impl Signature {
    /// Reads 64 hexadecimal digits.
    pub(crate) fn from_hex(hex: &str) -> Option<Self> {
        let digits = hex.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = (value(pair[0])? << 4) | value(pair[1])?;
        }
        Some(Self(bytes))
    }

    /// Whether the holder of `secret` signed exactly `body`. Takes the same time whatever the difference is. An empty secret
    /// fits nothing: everybody knows it.
    ///
    /// # Errors
    /// [`SignatureError::Wrong`].
    pub fn verify(&self, secret: &Secret<String>, body: &[u8]) -> Result<(), SignatureError> {
        if secret.expose().is_empty() {
            return Err(SignatureError::Wrong);
        }
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).map_err(|_| SignatureError::Wrong)?;
        mac.update(body);
        mac.verify_slice(&self.0).map_err(|_| SignatureError::Wrong)
    }
}

const fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs.github.com, "Validating webhook deliveries".
    const PUBLISHED: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn verify(secret: &str, body: &str) -> Result<(), SignatureError> {
        let signature = Signature::from_hex(PUBLISHED).unwrap();
        signature.verify(&Secret::from(secret), body.as_bytes())
    }

    #[test]
    fn the_published_vector_verifies() {
        assert_eq!(verify("It's a Secret to Everybody", "Hello, World!"), Ok(()));
    }

    #[test]
    fn another_body_or_secret_does_not() {
        assert_eq!(
            verify("It's a Secret to Everybody", "Hello, World"),
            Err(SignatureError::Wrong)
        );
        assert_eq!(verify("another secret", "Hello, World!"), Err(SignatureError::Wrong));
    }

    #[test]
    fn an_empty_secret_fits_nothing() {
        let mac = Hmac::<Sha256>::new_from_slice(b"")
            .unwrap()
            .chain_update(b"x")
            .finalize();
        let signature = Signature(mac.into_bytes().into());
        assert_eq!(signature.verify(&Secret::from(""), b"x"), Err(SignatureError::Wrong));
    }

    #[test]
    fn a_signature_has_sixty_four_hexadecimal_digits() {
        assert_eq!(
            Signature::from_hex(&PUBLISHED.to_uppercase()),
            Signature::from_hex(PUBLISHED)
        );
        for wrong in [
            "",
            "75",
            &PUBLISHED[1..],
            &format!("{PUBLISHED}0"),
            &"g".repeat(64),
            &"é".repeat(32),
        ] {
            assert_eq!(Signature::from_hex(wrong), None, "{wrong}");
        }
    }
}
