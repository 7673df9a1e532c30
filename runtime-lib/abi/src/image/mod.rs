//! Images (`.cwasm`): compiled modules as files that a host program maps and calls.
//!
//! `docs/image.md` draws the format. In short: an ELF file of the target, whose sections hold the parts of a module at
//! the offsets where they are to be mapped, and whose note says what the file was made for and what its hash is. The
//! compiler writes it; what is here reads it, and trusts nothing:
//!
//! 1. [`ImageFile::parse`] reads the headers and the note, and finds the parts;
//! 2. [`ImageFile::verify`] compares the hash;
//! 3. [`ImageFile::refusals`] tells why a machine cannot run the code;
//! 4. [`ImageFile::describe`] reads the module description, and checks that nothing in it leads out of the parts.
//!
//! A file that passes all four is whole, and as the compiler would write it; that its code is harmless nobody can tell
//! who did not make it: to load an image is to trust its origin.

mod elf;
mod error;
mod file;
mod mapped;
mod note;

pub use error::{Foreign, ImageError};
pub use file::{ImageFile, Part, section_bytes};
pub use mapped::{at_address, encode_addresses};
pub use note::{HASH_LEN, NOTE_HASH_OFFSET, NOTE_OWNER, NOTE_TYPE, Note, flags};

/// The version of the file format. Files of another one cannot be read.
pub const FORMAT: u32 = 1;

/// The hash of what compiled code and the runtime agree on: of the sources of this crate, without comments and tests.
/// Code runs only where it is the same.
pub const ABI_HASH: u128 = include!(concat!(env!("OUT_DIR"), "/abi_hash.rs"));

/// Names of the sections.
pub mod section {
    pub const NOTE: &str = ".note.aot";
    /// The module description.
    pub const DESCRIPTION: &str = ".aot.info";
    /// Bytes of the data segments.
    pub const DATA: &str = ".aot.data";
    pub const EH_FRAME: &str = ".eh_frame";
    pub const TEXT: &str = ".text";
    /// The initial contents of memory 0.
    pub const MEMORY: &str = ".aot.memory";
    /// Where debug sections have addresses of code. Not mapped.
    pub const ADDRESSES: &str = ".debug_aot_addr";
}

/// A machine that images are made for. All of them run Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Machine {
    X86_64,
    Aarch64,
    Riscv64,
    S390x,
}

impl Machine {
    pub const ALL: [Machine; 4] = [Machine::X86_64, Machine::Aarch64, Machine::Riscv64, Machine::S390x];

    /// The machine that this program was compiled for, if images can be made for it.
    pub const HOST: Option<Machine> = {
        if !cfg!(all(target_os = "linux", target_pointer_width = "64")) {
            None
        } else if cfg!(target_arch = "x86_64") {
            Some(Machine::X86_64)
        } else if cfg!(all(target_arch = "aarch64", target_endian = "little")) {
            Some(Machine::Aarch64)
        } else if cfg!(target_arch = "riscv64") {
            Some(Machine::Riscv64)
        } else if cfg!(target_arch = "s390x") {
            Some(Machine::S390x)
        } else {
            None
        }
    };

    /// `e_machine` of its ELF files.
    pub const fn elf_machine(self) -> u16 {
        match self {
            Machine::X86_64 => 62,
            Machine::Aarch64 => 183,
            Machine::Riscv64 => 243,
            Machine::S390x => 22,
        }
    }

    pub const fn is_big_endian(self) -> bool {
        matches!(self, Machine::S390x)
    }

    /// Bytes of the largest page that Linux has on such machines: what is mapped is aligned to it.
    pub const fn page_size(self) -> u64 {
        match self {
            Machine::Aarch64 => 65536,
            Machine::X86_64 | Machine::Riscv64 | Machine::S390x => 4096,
        }
    }

    /// The target's triple, as in notes.
    pub const fn triple(self) -> &'static str {
        match self {
            Machine::X86_64 => "x86_64-unknown-linux-gnu",
            Machine::Aarch64 => "aarch64-unknown-linux-gnu",
            Machine::Riscv64 => "riscv64gc-unknown-linux-gnu",
            Machine::S390x => "s390x-unknown-linux-gnu",
        }
    }
}
