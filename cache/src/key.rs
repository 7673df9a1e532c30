//! Keys: hashes of everything that an artifact depends on.

use std::fmt;

/// A key: equal inputs in equal order have the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(pub(crate) [u8; 32]);

/// Adds bytes to what is hashed; many of them by all threads.
pub(crate) fn update(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    const MANY: usize = 1 << 20;
    match bytes.len() {
        0..MANY => hasher.update(bytes),
        _ => hasher.update_rayon(bytes),
    };
}

impl Key {
    /// The key of named inputs. Each is hashed with its length, so that no two lists run together.
    pub fn of(inputs: &[(&str, &[u8])]) -> Key {
        let mut hasher = blake3::Hasher::new();
        for (name, bytes) in inputs {
            for part in [name.as_bytes(), bytes] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                update(&mut hasher, part);
            }
        }
        Key(*hasher.finalize().as_bytes())
    }

    /// The key of an entry's name: 64 hexadecimal digits.
    pub(crate) fn parse(text: &str) -> Option<Key> {
        let mut bytes = [0; 32];
        let is_name = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !is_name {
            return None;
        }
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Key(bytes))
    }
}

impl Key {
    /// A hash that somebody else has made, and that is as good.
    pub fn from_bytes(bytes: [u8; 32]) -> Key {
        Key(bytes)
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::Key;

    #[test]
    fn inputs_do_not_run_together() {
        let keys = [
            Key::of(&[("a", b"bc")]),
            Key::of(&[("ab", b"c")]),
            Key::of(&[("a", b"b"), ("", b"c")]),
            Key::of(&[("a", b"bc"), ("", b"")]),
            Key::of(&[]),
        ];
        assert!((0..keys.len()).all(|i| keys[..i].iter().all(|key| *key != keys[i])));
        assert_eq!(Key::parse(&keys[0].to_string()), Some(keys[0]));
        assert!(
            ["", "xy", &"0".repeat(63), &"G".repeat(64), &"A".repeat(64)]
                .iter()
                .all(|text| Key::parse(text).is_none())
        );
    }
}
