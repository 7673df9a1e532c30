//! Stage 4: CLIF → machine code.

mod epilogue;
pub(crate) mod function;
pub(crate) mod placement;
pub(crate) mod symbol;

pub(crate) use function::{CompiledFunction, Options, Scratch, Unwind, compile};
pub(crate) use placement::Alignment;
