//! Compiled functions that an earlier build made, of this module or one much like it.
//!
//! Each function has a key ([`key`]): a hash of all that its code depends on, and of nothing else. Functions are kept in
//! chunks of some dozens, as a store of files or a server likes entries: a chunk ends at a function whose key says so, as in
//! content-defined chunking (Muthitacharoen et al., A Low-bandwidth Network File System, 2001), so a function that was
//! edited, added or removed changes its own chunk and no other. The key of a chunk is the hash of those of its functions.
//! The other functions of that chunk are found by an [`index`] of the chunks of the last build.

mod entry;
mod index;
mod key;
mod packed;

use crate::bottom_up::Inlining;
use crate::codegen::CompiledFunction;
use crate::scan::Scan;
use crate::translate::ModuleContext;
pub(crate) use entry::Entry;
use entry::Shape;
use index::Key;
use rayon::prelude::*;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// A store of compiled code. The compiler trusts what it gives: it has to come from this user, or someone whom they trust.
pub trait CodeStore: Send + Sync {
    /// Says what will be asked for next, so that a store far away can fetch it all at once.
    fn announce(&self, _keys: &[[u8; 32]]) {}

    /// What was saved under a key, if it is still there.
    fn load(&self, key: &[u8; 32]) -> Option<Vec<u8>>;

    /// Keeps some bytes under a key. What fails is forgotten.
    fn save(&self, key: &[u8; 32], value: &[u8]);
}

/// One of several machines that compile a module together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which one, from 0.
    pub index: u32,
    /// How many there are, at least one.
    pub count: u32,
}

/// What a machine did for the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShareResult {
    /// Functions of the module, and those that were in this share.
    pub functions: usize,
    pub own: usize,
    /// Functions of this share that were compiled now; the others were in the store.
    pub compiled: usize,
}

/// Functions in a chunk, at most.
const MOST: usize = 96;
/// A chunk ends at one key in so many.
const MEAN: u32 = 24;

/// The code of a module's functions that is in a store.
pub(crate) struct CodeCache<'m> {
    store: Arc<dyn CodeStore>,
    shape: Shape<'m>,
    keys: Vec<Option<Key>>,
    index_key: Key,
    chunks: Vec<Chunk>,
    /// By the functions' numbers without imported ones.
    entries: Vec<Option<Entry>>,
    /// The chunks that are this machine's business.
    share: Option<Share>,
}

struct Chunk {
    key: Key,
    functions: Range<usize>,
    /// Whether the store has it.
    is_stored: bool,
}

impl<'m> CodeCache<'m> {
    /// Looks up the functions of a module, or those of a share. `options` is everything else that code depends on.
    pub fn open(
        store: &Arc<dyn CodeStore>,
        context: &ModuleContext<'m>,
        scans: &'m [Scan],
        inlining: Option<&'m Inlining>,
        options: &str,
        share: Option<Share>,
    ) -> Self {
        let shape = Shape {
            imported: context.info.imported_funcs,
            scans,
            bodies: &context.info.debug.bodies,
            inlining,
        };
        let declarations = key::declarations(context, options);
        let keys = key::keys(context, &shape, &declarations);
        let chunks = chunks(&keys);
        let entries = keys.iter().map(|_| None).collect();
        let (store, index_key) = (store.clone(), index::key(&declarations));
        let mut cache = CodeCache { store, shape, entries, keys, index_key, chunks, share };
        cache.load();
        cache
    }

    fn load(&mut self) {
        let CodeCache { store, shape, chunks, share, .. } = self;
        let wanted = chunks.iter().filter(|chunk| chunk.belongs_to(*share)).map(|chunk| chunk.key);
        store.announce(&wanted.collect::<Vec<_>>());
        let loaded: Vec<_> = chunks
            .par_iter_mut()
            .filter(|chunk| chunk.belongs_to(*share))
            .flat_map_iter(|chunk| {
                let functions: Vec<_> =
                    chunk.functions.clone().map(|function| Some(function as u32)).collect();
                let load = || entry::decode(shape, &functions, &store.load(&chunk.key)?);
                let found = load();
                chunk.is_stored = found.is_some();
                found.unwrap_or_default()
            })
            .collect();
        self.add(loaded);
        // A share has nothing to do with what others have made.
        if self.share.is_none() {
            self.load_by_index();
        }
    }

    /// Looks for the functions of chunks that have changed in the chunks of the last build.
    fn load_by_index(&mut self) {
        let CodeCache { store, shape, keys, index_key, chunks, .. } = self;
        let mut missing: HashMap<Key, Vec<u32>> = HashMap::new();
        for function in
            chunks.iter().filter(|chunk| !chunk.is_stored).flat_map(|chunk| chunk.functions.clone())
        {
            if let Some(key) = keys[function] {
                missing.entry(key).or_default().push(function as u32);
            }
        }
        if missing.is_empty() {
            return;
        }
        let Some(index) = store.load(index_key).and_then(|bytes| index::decode(&bytes)) else { return };
        // For each chunk that has some of them, their numbers now.
        let mut wanted: Vec<(Key, Vec<Option<u32>>)> = Vec::new();
        for functions in &index {
            let now = functions.iter().map(|key| missing.get_mut(&(*key)?)?.pop());
            let now: Vec<Option<u32>> = now.collect();
            if now.iter().any(Option::is_some) {
                wanted.push((index::chunk_key(functions), now));
            }
        }
        let load = |(key, functions): &(Key, Vec<_>)| entry::decode(shape, functions, &store.load(key)?);
        let loaded = wanted.par_iter().flat_map_iter(|chunk| load(chunk).unwrap_or_default()).collect();
        self.add(loaded);
    }

    fn add(&mut self, entries: Vec<(u32, Entry)>) {
        for (function, entry) in entries {
            // Without a key it is not known what it is the code of.
            self.entries[function as usize] = self.keys[function as usize].map(|_| entry);
        }
    }

    /// The functions that are this machine's business.
    pub fn members(&self) -> Vec<bool> {
        let mut members = vec![false; self.keys.len()];
        for chunk in self.chunks.iter().filter(|chunk| chunk.belongs_to(self.share)) {
            members[chunk.functions.clone()].fill(true);
        }
        members
    }

    /// Functions that the store had.
    pub fn len(&self) -> usize {
        self.entries.iter().flatten().count()
    }

    pub fn entry(&self, function: u32) -> Option<&Entry> {
        self.entries.get(function as usize)?.as_ref()
    }

    /// Takes the code of a function, if it is there and the function has to have code.
    pub fn take(&mut self, function: u32, is_reachable: bool, is_used: bool) -> Option<CompiledFunction> {
        let entry = self.entries[function as usize].as_mut()?;
        let is_needed = is_used || is_reachable && !entry.made.is_candidate;
        if is_needed { entry.code.take() } else { None }
    }

    /// Saves the chunks that know more now than the store did. `made` are the functions that were translated, `results`
    /// all that have code now.
    pub fn save(&self, results: &[Option<CompiledFunction>], made: &[Option<Made>]) {
        let is_new = |function: usize| match &self.entries[function] {
            None => made[function].is_some(),
            Some(known) => !known.had_code && results[function].is_some(),
        };
        let is_new = |chunk: &Chunk| !chunk.is_stored || chunk.functions.clone().any(is_new);
        let chunks = || self.chunks.iter().filter(|chunk| chunk.belongs_to(self.share));
        // One that is stored has its place in the index already.
        if self.share.is_none() && chunks().any(|chunk| !chunk.is_stored) {
            self.store.save(&self.index_key, &index::encode(&self.chunks, &self.keys));
        }
        let new: Vec<&Chunk> = chunks().filter(|chunk| is_new(chunk)).collect();
        new.into_par_iter().for_each(|chunk| {
            let entries = chunk.functions.clone().map(|function| {
                let known = self.entries[function].as_ref();
                let kept = known.and_then(|entry| entry.code.as_ref());
                let made = known.map(|entry| &entry.made).or(made[function].as_ref());
                self.keys[function]?;
                entry::store(&self.shape, function as u32, made?, results[function].as_ref().or(kept))
            });
            if let Some(bytes) = entry::encode(entries.collect()) {
                self.store.save(&chunk.key, &bytes);
            }
        });
    }
}

/// What became of a function before it was compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Made {
    /// Whether its callers may inline it: it then has code only if something still calls it.
    pub is_candidate: bool,
    /// Defined functions that it still calls, each once.
    pub calls: Vec<u32>,
}

impl Chunk {
    fn belongs_to(&self, share: Option<Share>) -> bool {
        let Some(share) = share else { return true };
        let number = u64::from_le_bytes(self.key[..8].try_into().expect("eight bytes"));
        number % u64::from(share.count.max(1)) == u64::from(share.index)
    }
}

/// Cuts the functions into chunks.
fn chunks(keys: &[Option<Key>]) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut start = 0;
    for (function, key) in keys.iter().enumerate() {
        let number = key.map(|key| u32::from_le_bytes([key[0], key[1], key[2], key[3]]));
        let ends = number.is_some_and(|number| number % MEAN == 0);
        let functions = start..function + 1;
        if ends || functions.len() == MOST || functions.end == keys.len() {
            start = functions.end;
            let key = index::chunk_key(&keys[functions.clone()]);
            chunks.push(Chunk { key, functions, is_stored: false });
        }
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::{MOST, Share, chunks};

    fn keys(numbers: impl Iterator<Item = u32>) -> Vec<Option<[u8; 32]>> {
        numbers.map(|number| Some(*blake3::hash(&number.to_le_bytes()).as_bytes())).collect()
    }

    #[test]
    fn an_edit_changes_its_own_chunk() {
        let before = keys(0..10_000);
        let known: Vec<_> = chunks(&before).iter().map(|chunk| chunk.key).collect();
        assert!((200..1000).contains(&known.len()));
        let new = |keys: &[_]| chunks(keys).iter().filter(|chunk| !known.contains(&chunk.key)).count();
        let mut edited = before.clone();
        edited[5000] = keys(20_000..20_001)[0];
        let mut added = before.clone();
        added.insert(3000, keys(30_000..30_001)[0]);
        let mut removed = before.clone();
        removed.remove(7000);
        for changed in [edited, added, removed] {
            assert!((1..=2).contains(&new(&changed)));
        }
        assert_eq!(new(&before), 0);
    }

    #[test]
    fn chunks_have_all_functions_and_an_end() {
        let same = vec![Some([1; 32]); 1000];
        let mut next = 0;
        for chunk in chunks(&same) {
            assert!(chunk.functions.start == next && chunk.functions.len() <= MOST);
            next = chunk.functions.end;
        }
        assert_eq!(next, 1000);
        assert!(chunks(&[]).is_empty());
    }

    #[test]
    fn shares_are_disjoint_and_whole() {
        let chunks = chunks(&keys(0..5_000));
        for chunk in &chunks {
            let owners = (0..7).filter(|index| chunk.belongs_to(Some(Share { index: *index, count: 7 })));
            assert_eq!(owners.count(), 1);
        }
    }
}
