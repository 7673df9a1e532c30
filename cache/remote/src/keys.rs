//! Who may make entries: ed25519 keys (RFC 8032), and the seals that they put on values.
//!
//! ```text
//! entry    magic "aot-1\r\n\0": 8 bytes, public key: 32, signature: 64; then the value
//! signed   "aot cache entry 1" and a zero, key of the entry: 32, BLAKE3 hash of the value: 32
//! ```

use aot_cache::Key;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use std::fmt::{self, Write as _};
use std::str::FromStr;

const MAGIC: &[u8; 8] = b"aot-1\r\n\0";
const PUBLIC: usize = 32;
const SIGNATURE: usize = 64;

/// Bytes before the value.
pub(crate) const SEAL: usize = MAGIC.len() + PUBLIC + SIGNATURE;

/// What stands before the digits of a key in text.
const PUBLIC_PREFIX: &str = "aot-public-";
const SECRET_PREFIX: &str = "aot-secret-";

/// A text is no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadKey(&'static str);

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it is no key: `{}` and 64 hexadecimal digits", self.0)
    }
}

impl std::error::Error for BadKey {}

/// Whose entries can be trusted. As text `aot-public-` and 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; PUBLIC]);

impl FromStr for PublicKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<PublicKey, BadKey> {
        parse(text, PUBLIC_PREFIX).map(PublicKey)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC_PREFIX}{}", hex(&self.0))
    }
}

/// Who has it can make entries that others trust. As text `aot-secret-` and 64 hexadecimal digits.
#[derive(Clone)]
pub struct SecretKey([u8; 32]);

impl SecretKey {
    /// A new key, of the system's random bytes.
    ///
    /// # Errors
    /// If the system has none.
    pub fn generate() -> std::io::Result<SecretKey> {
        let mut seed = [0; 32];
        match rustix::rand::getrandom(&mut seed[..], rustix::rand::GetRandomFlags::empty())? {
            32 => Ok(SecretKey(seed)),
            _ => Err(std::io::Error::other("the system has no random bytes")),
        }
    }

    pub fn public(&self) -> PublicKey {
        let public = *self.pair().public_key();
        PublicKey(public.as_ref().try_into().expect("32 bytes (RFC 8032, 5.1.5)"))
    }

    /// The key as text, to be kept where nobody else reads it.
    pub fn reveal(&self) -> String {
        format!("{SECRET_PREFIX}{}", hex(&self.0))
    }

    fn pair(&self) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&self.0).expect("every 32 bytes are a key (RFC 8032, 5.1.5)")
    }
}

impl FromStr for SecretKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<SecretKey, BadKey> {
        parse(text, SECRET_PREFIX).map(SecretKey)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", self.public())
    }
}

/// What stands before a value.
pub(crate) struct Seal([u8; SEAL]);

impl Seal {
    pub fn new(secret: &SecretKey, key: &Key, value: &[u8]) -> Seal {
        let pair = secret.pair();
        let signature = pair.sign(&signed(key, value));
        let bytes = [MAGIC, pair.public_key().as_ref(), signature.as_ref()].concat();
        Seal(bytes.try_into().expect("the parts have these lengths"))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The value of an entry, if one of the trusted keys has signed it for this key.
pub(crate) fn open(mut entry: Vec<u8>, key: &Key, trust: &[PublicKey]) -> Option<Vec<u8>> {
    let (seal, value) = entry.split_first_chunk::<SEAL>()?;
    let (public, signature) = seal.strip_prefix(MAGIC)?.split_first_chunk::<PUBLIC>()?;
    let trusted = trust.iter().find(|trusted| trusted.0 == *public)?;
    let verifier = UnparsedPublicKey::new(&ED25519, &trusted.0);
    verifier.verify(&signed(key, value), signature).ok()?;
    entry.drain(..SEAL);
    Some(entry)
}

fn signed(key: &Key, value: &[u8]) -> Vec<u8> {
    [&b"aot cache entry 1\0"[..], key.as_bytes(), blake3::hash(value).as_bytes()].concat()
}

fn parse(text: &str, prefix: &'static str) -> Result<[u8; 32], BadKey> {
    let digits = text.trim().strip_prefix(prefix).ok_or(BadKey(prefix))?.as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 64 {
        return Err(BadKey(prefix));
    }
    for (byte, digits) in bytes.iter_mut().zip(digits.chunks(2)) {
        let digit = |at: usize| char::from(digits[at]).to_digit(16).ok_or(BadKey(prefix));
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).expect("two digits");
    }
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("strings take all text");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::of(&[("name", name.as_bytes())])
    }

    #[test]
    fn only_what_was_signed_is_opened() {
        let (secret, other) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
        let trust = [secret.public()];
        let entry = [Seal::new(&secret, &key("a"), b"value").as_bytes(), b"value"].concat();
        assert_eq!(open(entry.clone(), &key("a"), &trust), Some(b"value".to_vec()));
        assert_eq!(open(entry.clone(), &key("b"), &trust), None);
        assert_eq!(open(entry.clone(), &key("a"), &[other.public()]), None);
        assert_eq!(open(entry.clone(), &key("a"), &[]), None);
        for bit in 0..entry.len() * 8 {
            let mut changed = entry.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(changed, &key("a"), &trust), None, "bit {bit}");
        }
        for len in 0..entry.len() {
            assert_eq!(open(entry[..len].to_vec(), &key("a"), &trust), None);
        }
        // Someone else's signature under the name of the trusted key.
        let mut forged = [Seal::new(&other, &key("a"), b"value").as_bytes(), b"value"].concat();
        forged[8..40].copy_from_slice(&secret.public().0);
        assert_eq!(open(forged, &key("a"), &trust), None);
    }

    #[test]
    fn keys_are_text() {
        // RFC 8032, 7.1, test 1.
        let secret = "aot-secret-9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let public = "aot-public-d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let key: SecretKey = format!("{secret}\n").parse().unwrap();
        assert_eq!((key.public().to_string(), key.reveal()), (public.into(), secret.into()));
        assert_eq!(public.parse(), Ok(key.public()));
        assert!(!format!("{key:?}").contains(&secret[11..]));
        for text in ["", "aot-public-", &secret[..70], &public[11..], "aot-public-é", &format!("{public}0")]
        {
            assert!(text.parse::<PublicKey>().is_err(), "{text}");
        }
        assert!(secret.parse::<PublicKey>().is_err() && public.parse::<SecretKey>().is_err());
    }
}
