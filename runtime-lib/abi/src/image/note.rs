//! The note: what an image was made for.
//!
//! ```text
//! 0    u32       FORMAT, little-endian
//! 4    32 bytes  BLAKE3 of the whole file without these 32 bytes
//! 36   stream    16 bytes ABI hash; triple; list of CPU features; list of wasm features; version of the compiler; flags
//! ```

use super::error::ImageError;
use super::{FORMAT, Machine};
use crate::cursor::{Reader, Writer};
use alloc::vec::Vec;

/// Name in the note's header, without the NUL at its end.
pub const NOTE_OWNER: &str = "aot";

/// Type in the note's header: small ones have a meaning for every owner to those who print notes.
pub const NOTE_TYPE: u32 = 0x414f_5400;

/// Bytes of the hash.
pub const HASH_LEN: usize = 32;

/// Where the hash is in the note's description.
pub const NOTE_HASH_OFFSET: usize = 4;

/// What the loader must know of how the code was made.
pub mod flags {
    /// Functions compare the stack pointer with the limit in the VM context.
    pub const STACK_CHECKED: u64 = 1 << 0;
    /// Loops and functions look whether they are to stop.
    pub const INTERRUPTIBLE: u64 = 1 << 1;
    /// Executed instructions are counted.
    pub const FUEL: u64 = 1 << 2;

    /// The flags and their names.
    pub const ALL: [(u64, &str); 3] =
        [(STACK_CHECKED, "stack-checked"), (INTERRUPTIBLE, "interruptible"), (FUEL, "fuel")];

    /// The flags that have no name: whoever sets one knows something that this reader does not.
    pub fn unknown(flags: u64) -> u64 {
        ALL.iter().fold(flags, |rest, (flag, _)| rest & !flag)
    }
}

/// What an image was made for, and by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note<'a> {
    /// See [`ABI_HASH`](super::ABI_HASH).
    pub abi_hash: u128,
    /// The target's triple.
    pub triple: &'a str,
    /// CPU features that the code uses beyond the baseline of the architecture, by the names of `aot settings`.
    pub cpu_features: Vec<&'a str>,
    /// Features of WebAssembly that were on when the module was compiled.
    pub wasm_features: Vec<&'a str>,
    /// Version of the compiler, to tell people.
    pub compiler: &'a str,
    /// See [`flags`].
    pub flags: u64,
}

impl<'a> Note<'a> {
    /// The note's description, with zeros in place of the hash.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::default();
        w.fixed_u32(FORMAT);
        w.raw(&[0; HASH_LEN]);
        w.raw(&self.abi_hash.to_le_bytes());
        w.str(self.triple);
        w.list(&self.cpu_features, |w, name| w.str(name));
        w.list(&self.wasm_features, |w, name| w.str(name));
        w.str(self.compiler);
        w.u64(self.flags);
        w.bytes
    }

    /// Reads a note's description, which is at `offset` in the file: the note, and the hash.
    pub(super) fn decode(bytes: &'a [u8], offset: u64) -> Result<(Self, [u8; HASH_LEN]), ImageError> {
        let mut r = Reader::new(bytes);
        let format = r.fixed_u32();
        if format != FORMAT {
            return Err(ImageError::Format { offset, found: format });
        }
        let hash = r.raw(HASH_LEN).try_into().unwrap_or([0; HASH_LEN]);
        let abi_hash = u128::from_le_bytes(r.raw(16).try_into().unwrap_or([0; 16]));
        let note = Note {
            abi_hash,
            triple: r.str_ref(),
            cpu_features: r.list(Reader::str_ref),
            wasm_features: r.list(Reader::str_ref),
            compiler: r.str_ref(),
            flags: r.u64(),
        };
        let end = r.finish("end of the note");
        end.map_err(|error| ImageError::Malformed {
            offset: offset + error.offset as u64,
            expected: error.expected,
        })?;
        if flags::unknown(note.flags) != 0 {
            return Err(ImageError::Flags { offset, found: note.flags });
        }
        Ok((note, hash))
    }

    /// The machine that the code is for, if its triple is known here.
    pub fn machine(&self) -> Option<Machine> {
        Machine::ALL.into_iter().find(|machine| machine.triple() == self.triple)
    }
}
