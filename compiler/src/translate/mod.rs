//! Stage 3: one function body → CLIF.
//!
//! The operators are split by family. None of them knows where an instance's state lives: they ask [`state`].

mod bounds;
pub(crate) mod c_abi;
mod call;
mod control;
mod function;
mod helper;
pub(crate) mod library;
mod memory;
mod metering;
mod numeric;
mod operand;
mod profile;
mod reference;
mod round;
mod simd;
pub(crate) mod state;
mod table;
pub(crate) mod trampoline;
mod trap;
mod types;

pub(crate) use function::{ImportCalls, ModuleContext, Scratch, Translated, translate};
pub(crate) use helper::helper;
pub(crate) use profile::Profiling;
pub(crate) use trap::abi_trap_code;
