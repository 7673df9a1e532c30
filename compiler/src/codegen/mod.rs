//! Stage 4: CLIF → machine code.

pub(crate) mod function;
pub(crate) mod symbol;

pub(crate) use function::{CompiledFunction, Options, Scratch, Unwind, compile};
