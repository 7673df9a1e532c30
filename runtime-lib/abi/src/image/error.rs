//! Why a file is not an image that can be loaded.

use super::{ABI_HASH, FORMAT};
use crate::DecodeError;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// What a file is that is not an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    Empty,
    /// A module in the binary format.
    Module,
    /// A component in the binary format.
    Component,
    /// A module in the text format.
    Text,
    /// A precompiled module of Wasmtime.
    WasmtimeImage,
    /// An executable that `aot build` made.
    Executable,
    /// An object that `aot build` made.
    Object,
    /// Another ELF file.
    Elf,
    Unknown,
}

/// Why a file is not an image that can be loaded. Offsets are those in the file, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageError {
    /// It is something else.
    Foreign(Foreign),
    /// The file ends at `len`, before the end of something that starts at `offset`.
    Truncated { offset: u64, len: u64, what: &'static str },
    /// What was expected is not there.
    Malformed { offset: u64, expected: &'static str },
    /// Two parts share bytes, or pages that are to be mapped differently.
    Overlap { offset: u64, parts: [&'static str; 2] },
    /// A part that is to be mapped does not start at a page.
    Misaligned { offset: u64, what: &'static str, alignment: u64 },
    /// The file format has another version.
    Format { offset: u64, found: u32 },
    /// The code was built in a way that is not known here.
    Flags { offset: u64, found: u64 },
    /// The hash of the content is another one: the file was damaged or changed.
    Hash { offset: u64 },
    /// The code is for another machine.
    Machine { found: String, wanted: Option<&'static str> },
    /// Compiled code and this runtime do not agree on layouts and calls.
    Abi { found: u128 },
    /// The CPU lacks features that the code uses.
    Cpu { missing: Vec<String> },
    /// The module description cannot be read.
    Description { offset: u64, error: DecodeError },
    /// The module description contradicts itself, or the file.
    Invalid { offset: u64, invalid: crate::validate::Invalid },
}

impl ImageError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            ImageError::Foreign(foreign) => match foreign {
                Foreign::Module | Foreign::Text => "make an image of it: `aot build --emit cwasm`",
                Foreign::Component => "only core modules can be made into images",
                Foreign::WasmtimeImage => {
                    "only Wasmtime can load it: make an image of the `.wasm` file with `aot build --emit cwasm`"
                }
                Foreign::Executable => {
                    "start it as a program, or make an image with `aot build --emit cwasm`"
                }
                Foreign::Object => "link it, or make an image with `aot build --emit cwasm`",
                Foreign::Empty | Foreign::Elf | Foreign::Unknown => {
                    "images are made of `.wasm` files by `aot build --emit cwasm`"
                }
            },
            ImageError::Truncated { .. }
            | ImageError::Malformed { .. }
            | ImageError::Overlap { .. }
            | ImageError::Misaligned { .. }
            | ImageError::Hash { .. }
            | ImageError::Description { .. }
            | ImageError::Invalid { .. } => "copy the file again, or build it again",
            ImageError::Format { .. } | ImageError::Flags { .. } | ImageError::Abi { .. } => {
                "build the image with the `aot` of the version that loads it"
            }
            ImageError::Machine { .. } => "build it with `--target` for this machine",
            ImageError::Cpu { .. } => "build it with `--cpu baseline` or another `--cpu`",
        }
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Foreign::Empty => "an empty file",
            Foreign::Module => "a WebAssembly module that has not been compiled",
            Foreign::Component => "a WebAssembly component that has not been compiled",
            Foreign::Text => "a WebAssembly module in the text format",
            Foreign::WasmtimeImage => "a precompiled module of Wasmtime",
            Foreign::Executable => "an executable made by aot",
            Foreign::Object => "an object made by aot",
            Foreign::Elf => "an ELF file that aot did not make",
            Foreign::Unknown => "an unknown kind of file",
        })
    }
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImageError::Foreign(foreign) => write!(f, "not an image of aot, but {foreign}"),
            ImageError::Truncated { offset, len, what } => {
                write!(f, "the file was cut off: it ends at {len:#x}, inside of {what} (from {offset:#x} on)")
            }
            ImageError::Malformed { offset, expected } => write!(f, "damaged: no {expected} at {offset:#x}"),
            ImageError::Overlap { offset, parts: [a, b] } => {
                write!(f, "damaged: {a} and {b} overlap at {offset:#x}")
            }
            ImageError::Misaligned { offset, what, alignment } => {
                write!(f, "damaged: {what} at {offset:#x} is not aligned to {alignment} bytes")
            }
            ImageError::Format { offset, found } => {
                write!(
                    f,
                    "version {found} of the image format at {offset:#x}, and only {FORMAT} is known here"
                )
            }
            ImageError::Flags { offset, found } => {
                write!(
                    f,
                    "the code was built in a way that is not known here (flags {found:#x} at {offset:#x})"
                )
            }
            ImageError::Hash { offset } => {
                write!(f, "damaged: the content does not have the hash that stands at {offset:#x}")
            }
            ImageError::Machine { found, wanted: Some(wanted) } => {
                write!(f, "built for {found}, and this machine is {wanted}")
            }
            ImageError::Machine { found, wanted: None } => {
                write!(f, "built for {found}, and no image can run on this machine")
            }
            ImageError::Abi { found } => {
                write!(f, "built for a runtime with ABI {found:032x}, and this one has {ABI_HASH:032x}")
            }
            ImageError::Cpu { missing } => {
                f.write_str("built for a CPU with features that this machine lacks:")?;
                missing.iter().try_for_each(|name| write!(f, " {name}"))
            }
            ImageError::Description { offset, error } => {
                write!(f, "{error} (the description is at {offset:#x})")
            }
            ImageError::Invalid { offset, invalid } => {
                write!(f, "damaged module description at {offset:#x}: {invalid}")
            }
        }
    }
}

impl core::error::Error for ImageError {}
