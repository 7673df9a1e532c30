//! The index of a module: the keys of the functions in each chunk of its last build.
//!
//! The key of a chunk is no longer known once one of its functions was edited; the index tells where its other functions
//! are. It says nothing that has to be true: a function is taken by its own key, from a chunk that the store knows.
//!
//! For each chunk a byte, the number of its functions, and their keys of 32 bytes; zeros where there is none.

use super::{Chunk, MOST};

/// A hash; of a function what its code depends on.
pub(super) type Key = [u8; 32];

const KEY: usize = size_of::<Key>();

/// The key of the chunk of some functions.
pub(super) fn chunk_key(functions: &[Option<Key>]) -> Key {
    let mut hasher = blake3::Hasher::new();
    for key in functions {
        hasher.update(&key.unwrap_or_default());
    }
    *hasher.finalize().as_bytes()
}

/// The key of the index of modules with some declarations, which few edits change.
pub(super) fn key(declarations: &blake3::Hash) -> Key {
    // The keys of functions are hashes of more bytes.
    *blake3::Hasher::new().update(b"index").update(declarations.as_bytes()).finalize().as_bytes()
}

pub(super) fn encode(chunks: &[Chunk], keys: &[Option<Key>]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(chunks.len() + keys.len() * KEY);
    for Chunk { functions, .. } in chunks {
        bytes.push(u8::try_from(functions.len()).expect("a chunk has few functions"));
        bytes.extend(keys[functions.clone()].iter().flat_map(|key| key.unwrap_or_default()));
    }
    bytes
}

/// The keys of the functions of each chunk. Nothing if the bytes are no index.
pub(super) fn decode(mut bytes: &[u8]) -> Option<Vec<Vec<Option<Key>>>> {
    let mut chunks = Vec::new();
    while let Some((len, rest)) = bytes.split_first() {
        let (keys, rest) = rest.split_at_checked(usize::from(*len) * KEY)?;
        if !(1..=MOST).contains(&usize::from(*len)) {
            return None;
        }
        let (keys, _) = keys.as_chunks::<KEY>();
        chunks.push(keys.iter().map(|key| Some(*key).filter(|key| *key != Key::default())).collect());
        bytes = rest;
    }
    Some(chunks)
}

#[cfg(test)]
mod tests {
    use super::super::chunks;
    use super::{Key, decode, encode};

    #[test]
    fn chunks_survive() {
        let hash = |number: u32| *blake3::hash(&number.to_le_bytes()).as_bytes();
        let keys: Vec<Option<Key>> =
            (0..1000).map(|number| (number % 50 > 0).then(|| hash(number))).collect();
        let chunks = chunks(&keys);
        let bytes = encode(&chunks, &keys);
        let back = decode(&bytes).unwrap();
        assert_eq!(back.len(), chunks.len());
        assert!(back.iter().zip(&chunks).all(|(keys, chunk)| super::chunk_key(keys) == chunk.key));
        assert_eq!(back.concat(), keys);
        assert!(decode(&bytes[..bytes.len() - 1]).is_none());
        assert!(decode(&[&bytes[..], &[0]].concat()).is_none());
        assert!(decode(&[255; 9000]).is_none());
    }
}
