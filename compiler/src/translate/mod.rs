//! Stage 3: one function body → CLIF.
//!
//! The operators are split by family. None of them knows where an instance's state lives: they ask [`state`].

mod bounds;
mod call;
mod control;
mod function;
mod helper;
mod memory;
mod metering;
mod numeric;
mod reference;
mod simd;
pub(crate) mod state;
mod table;
pub(crate) mod trampoline;
mod trap;
mod types;

pub(crate) use function::{ModuleContext, Scratch, translate};
pub(crate) use helper::helper;
pub(crate) use trap::abi_trap_code;
