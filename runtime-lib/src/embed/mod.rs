//! Running compiled modules inside a host program.
//!
//! A [`Module`] is code in memory. A [`Store`] owns instances and all that they share with the host; nothing in it is
//! freed before the store itself, so handles into it stay valid as long as it lives.

mod code;
#[cfg(feature = "compiler")]
mod compile;
mod signals;
mod store;
mod value;

pub use code::{LoadError, Module};
#[cfg(feature = "compiler")]
pub use compile::CompileError;
pub use store::{
    Extern, Func, Global, HostResult, ImportError, InstanceId, InstantiateError, Memory, Store, Table,
};
pub use value::Val;

use crate::trap::TrapSite;

/// Why a call of a wasm function did not return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The arguments do not fit the function's type, or a handle is of another store.
    Arguments,
    /// The function trapped.
    Trap(TrapSite),
    /// A host function failed.
    Host(alloc::string::String),
}

impl core::fmt::Display for CallError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            CallError::Arguments => f.write_str("the arguments do not fit the function's type"),
            CallError::Trap(site) => {
                write!(f, "wasm trap: {}", site.code.message())?;
                match site.wasm_offset {
                    Some(offset) => write!(f, " (wasm offset {offset:#x})"),
                    None => Ok(()),
                }
            }
            CallError::Host(message) => write!(f, "host function failed: {message}"),
        }
    }
}

impl core::error::Error for CallError {}
