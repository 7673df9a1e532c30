//! A store of artifacts on the local disk: bounded, authenticated, safe to share between processes. It knows no wasm.
//!
//! ```text
//! DIRECTORY/         owned by the user, closed to others
//!   key              32 random bytes: who has them can make entries
//!   v1/ab/cdef…      an entry, named by its key in hexadecimal: the value, then the tag
//!   v1/ledger        how many bytes the entries have; locked by who adds or removes some
//!   v1/tmp/…         entries that are being written, each locked by who does
//! ```
//! An entry appears by a rename, so readers see all of it or nothing; one that is removed stays readable for who has it
//! open. The tag is the BLAKE3 hash of key and value under the user's key: an entry that was damaged, cut off, renamed or
//! made by someone else is a miss, and is removed. No failure of the store is a failure of the caller.
#![forbid(unsafe_code)]

mod collect;
mod directory;
mod key;
mod ledger;
mod store;

pub use collect::{Entry, Stats, Verified};
pub use key::Key;
pub use store::{Found, Lookup, Store};

use std::time::Duration;

/// What a store is bounded by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all entries together.
    pub size: u64,
    /// Time since an entry was last used.
    pub age: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { size: 2 << 30, age: Duration::from_secs(60 * 24 * 3600) }
    }
}
