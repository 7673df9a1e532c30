//! What can go wrong.

use super::code::LoadError;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use aot_abi::trap::TrapCode;
use aot_abi::types::EntityKind;
use core::fmt;

/// An error of the host that travels through wasm code.
pub type HostError = Box<dyn core::error::Error + Send + Sync>;

/// Why something did not work.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The guest did something that the specification forbids, or ran into a limit.
    Trap(Trap),
    /// A host function failed with this error.
    Host(HostError),
    /// The guest ended itself with this status (`proc_exit`).
    Exit(u32),
    /// An import cannot be bound.
    Import(ImportError),
    /// There is not enough memory or address space, or a limit of the store is too low, for a memory or table.
    OutOfMemory(EntityKind),
    /// The store has as many of these as its limits allow.
    Limit(&'static str),
    /// The arguments, types or handles of a call do not fit.
    Usage(String),
    /// A module cannot be loaded.
    Load(LoadError),
    /// A module cannot be compiled.
    #[cfg(feature = "compiler")]
    Compile(aot_compiler::Error),
}

/// A guest that was stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    code: TrapCode,
    wasm_offset: Option<u32>,
    frames: Vec<Frame>,
}

/// A wasm function on the stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Function index in its module.
    pub func: u32,
    /// The function's name, if the module has one for it: demangled, if it is one of C++ or Rust.
    pub name: Option<String>,
    /// Where in the source it was, if the module said so when it was compiled and the image was not stripped: the function
    /// itself comes last, and before it those that the module's compiler had inlined there, the innermost first.
    pub symbols: Vec<FrameSymbol>,
}

/// A function of the source, and a position in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameSymbol {
    /// Demangled.
    pub name: Option<String>,
    /// As the module's compiler knew it: mostly an absolute path of the machine where that ran.
    pub file: Option<String>,
    /// Counts from 1.
    pub line: Option<u32>,
    /// In bytes, counts from 1.
    pub column: Option<u32>,
}

/// The most frames that a trap keeps.
pub(super) const MAX_FRAMES: usize = 64;

impl Trap {
    pub(super) fn new(code: TrapCode, wasm_offset: Option<u32>, frames: Vec<Frame>) -> Trap {
        Trap { code, wasm_offset, frames }
    }

    /// What happened.
    pub fn code(&self) -> TrapCode {
        self.code
    }

    /// Offset in the wasm file of the instruction that trapped, if it is known.
    pub fn wasm_offset(&self) -> Option<u32> {
        self.wasm_offset
    }

    /// The wasm functions on the stack, the innermost first; 64 at most, of the innermost entry into wasm code.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }
}

impl fmt::Display for Trap {
    /// One line; with `{:#}` a line for each function on the stack too, and its source position. Functions that are
    /// inlined into others come before them and have the same number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wasm trap: {}", self.code.message())?;
        if let Some(offset) = self.wasm_offset {
            write!(f, " (wasm offset {offset:#x})")?;
        }
        if f.alternate() {
            for (number, frame) in self.frames.iter().enumerate() {
                write!(f, "\n   {number}: {frame}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Frame {
    /// A line for each function of the source, and one for its position: what follows the number of the frame.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |f: &mut fmt::Formatter<'_>, name: &Option<String>| match name {
            Some(name) => f.write_str(name),
            None => write!(f, "wasm-function[{}]", self.func),
        };
        if self.symbols.is_empty() {
            return name(f, &self.name);
        }
        for (index, symbol) in self.symbols.iter().enumerate() {
            if index > 0 {
                f.write_str("\n      ")?;
            }
            name(f, &symbol.name)?;
            if let Some(file) = &symbol.file {
                write!(f, "\n             at {file}")?;
                for number in [symbol.line, symbol.column].into_iter().map_while(|number| number) {
                    write!(f, ":{number}")?;
                }
            }
        }
        Ok(())
    }
}

/// An import that cannot be bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportError {
    /// Nothing of this name.
    Unknown { module: String, name: String, expected: String },
    /// Something of another type.
    Incompatible { module: String, name: String, expected: String, found: String },
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImportError::Unknown { module, name, expected } => {
                write!(f, "unknown import: `{module}` `{name}`, a {expected}")
            }
            ImportError::Incompatible { module, name, expected, found } => write!(
                f,
                "incompatible import type: `{module}` `{name}` has to be a {expected}, and is a {found}"
            ),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Trap(trap) => trap.fmt(f),
            Error::Host(error) => write!(f, "host function failed: {error}"),
            Error::Exit(status) => write!(f, "the guest exited with status {status}"),
            Error::Import(error) => error.fmt(f),
            Error::OutOfMemory(kind) => {
                write!(f, "not enough memory for a {}, or a limit is below its size", kind.name())
            }
            Error::Limit(what) => write!(f, "the store may have no more {what}"),
            Error::Usage(message) => f.write_str(message),
            Error::Load(error) => error.fmt(f),
            #[cfg(feature = "compiler")]
            Error::Compile(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Error::Host(error) => Some(&**error),
            Error::Load(error) => Some(error),
            _ => None,
        }
    }
}

impl Error {
    /// The trap, if it is one.
    pub fn trap(&self) -> Option<&Trap> {
        match self {
            Error::Trap(trap) => Some(trap),
            _ => None,
        }
    }

    /// What a host function returned. An error of this library, from a nested call, stays what it is.
    pub(super) fn from_host(error: HostError) -> Error {
        match error.downcast::<Error>() {
            Ok(error) => *error,
            Err(error) => Error::Host(error),
        }
    }

    pub(super) fn usage(message: impl Into<String>) -> Error {
        Error::Usage(message.into())
    }
}

impl From<LoadError> for Error {
    fn from(error: LoadError) -> Error {
        Error::Load(error)
    }
}
