//! How often the code of a module ran: counted by an executable that was built for it, used by a later build.
//!
//! A profile counts at points of the wasm code, not of what it was compiled to (`scan::points`): at the start of each function, at
//! each round of a loop, at each way out of a branch. It knows functions by their bodies, or else by names, so it can be of another
//! version of the module: what is not found is compiled as without a profile. Nothing that it says is taken for true: it decides
//! what is inlined, what is laid out of the way, and which target of an indirect call is compared first.
//!
//! `layout` is the side of the build that counts, `file` reads what it wrote, `matching` finds the functions in the module of now.

mod file;
mod layout;
mod matching;

pub use file::Profile;
pub(crate) use layout::Layout;
pub use matching::ProfileFit;
pub(crate) use matching::{FunctionProfile, ModuleProfile, Promotion};

use serde::{Deserialize, Serialize};

/// What the file of a profile says of the module that was profiled.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Description {
    functions: Vec<Described>,
    /// Tables whose contents are known: the index, and the function of each element, by its number in `functions` plus 1.
    tables: Vec<(u32, Vec<u32>)>,
}

/// A defined function of that module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Described {
    /// Of the body.
    hash: [u8; 16],
    /// A hash of the name; 0 without one.
    name: u64,
    points: u32,
    sites: u32,
}

/// A number for a name.
fn name_hash(name: Option<&str>) -> u64 {
    let Some(name) = name.filter(|name| !name.is_empty()) else { return 0 };
    let hash = blake3::hash(name.as_bytes());
    u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("eight bytes")).max(1)
}
