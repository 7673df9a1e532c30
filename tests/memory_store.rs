//! A store of compiled code that several tests use.

use aot_compiler::CodeStore;
use std::collections::HashMap;
use std::sync::Mutex;

/// A store in memory.
#[derive(Default)]
pub struct MemoryStore(pub Mutex<HashMap<[u8; 32], Vec<u8>>>);

impl CodeStore for MemoryStore {
    fn load(&self, key: &[u8; 32]) -> Option<Vec<u8>> {
        self.0.lock().unwrap().get(key).cloned()
    }

    fn save(&self, key: &[u8; 32], value: &[u8]) {
        self.0.lock().unwrap().insert(*key, value.to_vec());
    }
}
