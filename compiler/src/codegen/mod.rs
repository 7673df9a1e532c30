//! Stage 4: CLIF → machine code.

mod aarch64;
mod epilogue;
pub(crate) mod function;
mod moved;
pub(crate) mod placement;
pub(crate) mod symbol;
mod x64;

pub(crate) use function::{CompiledFunction, Options, Scratch, Unwind, compile};
pub(crate) use placement::Alignment;
