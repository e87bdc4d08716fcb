//! Deploy keys: an SSH key of an app's own, whose public half a forge lets read one private repository.

use rand::RngCore;
use ssh_key::{
    LineEnding, PrivateKey,
    private::{Ed25519Keypair, KeypairData},
};
use windlass_domain::Secret;

/// A new ed25519 key: the private half in OpenSSH's format (PROTOCOL.key), and the public half as one line of
/// `authorized_keys` that ends with `comment`.
pub fn generate(comment: &str) -> (Secret<String>, String) {
    let mut seed = [0; 32];
    rand::rng().fill_bytes(&mut seed);
    let pair = Ed25519Keypair::from_seed(&seed);
    let comment: String = comment.chars().filter(|c| !c.is_control()).collect();
    let key = PrivateKey::new(KeypairData::from(pair), comment).expect("an ed25519 pair is a private key");
    let private = key
        .to_openssh(LineEnding::LF)
        .expect("an unencrypted key can be written");
    let public = key.public_key().to_openssh().expect("a public key can be written");
    (Secret::new(String::clone(&private)), public)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_and_is_never_the_same() {
        let (private, public) = generate("windlass shop");
        assert!(
            public.starts_with("ssh-ed25519 AAAA") && public.ends_with(" windlass shop"),
            "{public}"
        );
        let read = PrivateKey::from_openssh(private.expose().as_bytes()).unwrap();
        assert_eq!(read.public_key().to_openssh().unwrap(), public);
        assert_ne!(generate("windlass shop").1, public);
    }
}
