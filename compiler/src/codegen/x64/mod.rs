//! Machine code of x86-64, made denser after Cranelift is done with it.
//!
//! Cranelift takes the long form for each branch, and for constants of additions. Here the code of a function is read again, its
//! branches get the shortest form that reaches (what assemblers call relaxation), and what refers to places in the code
//! follows them. Where code is and where data, jump tables and constants, is known by the basic blocks, by branches and by
//! references; a function with anything that is not understood stays as it is.
//!
//! Processors fetch code, and keep what they have decoded, by lines of 64 bytes: a small loop that crosses into one line more than
//! it has to takes up to half as long again (docs/speed.md). So such loops start at a line, if they would cross otherwise.

mod decode;
mod effectless;
mod jumps;
mod layout;
mod slots;

use super::moved::Moved;
use crate::config::{Pass, Passes};
use cranelift_codegen::CompiledCode;

/// Code that took the place of other code, and where its bytes went.
pub(super) struct Rewritten {
    pub code: Vec<u8>,
    pub moved: Moved,
    /// What the start has to be a multiple of.
    pub alignment: u32,
}

/// Something in the code that changes, or refers to a place in the code. Everything between two of them is copied.
struct Item {
    /// Offset in the code.
    at: u32,
    /// Bytes of it there.
    len: u32,
    what: What,
}

enum What {
    /// A branch to an offset in the code, on a condition as it is encoded.
    Branch { target: u32, condition: Option<u8> },
    /// An instruction that has the distance to an offset in the code at `field`, in four bytes.
    Reference { target: u32, field: u32 },
    /// An entry of the jump table at `table`: the distance from there to the block at `target`.
    Entry { table: u32, target: u32 },
    /// An instruction in another form.
    Form(Form),
    /// An instruction that is left out.
    Nothing,
    /// A copy from one general register to another, by their numbers, in place of a load.
    Copy { from: u8, to: u8 },
    /// A loop starts that ends at an offset, with no other loop in it; or other code that is entered and left as often.
    Loop { end: u32 },
    /// Data starts. It stays as aligned as it is.
    Data,
}

/// A shorter form of an instruction: it differs in the opcode, and in the size of the constant at the end.
struct Form {
    /// The opcode, and its distance from the start.
    opcode: u8,
    position: u32,
}

/// Bytes of a constant, and of that of a shorter form.
const LONG: u32 = 4;
const SHORT: u32 = 1;

/// Rewrites the code of a function, without the instructions at some offsets, ascending. Nothing if there is something in it that
/// is not known here.
pub(super) fn rewrite(compiled: &CompiledCode, idle: &[u32], passes: Passes) -> Option<Rewritten> {
    let buffer = &compiled.buffer;
    // Landing pads have other tables. Entry trampolines have them, which are few.
    if buffer.call_sites().any(|site| !site.exception_handlers.is_empty()) {
        return None;
    }
    let code = buffer.data();
    let mut relocs: Vec<u32> = buffer.relocs().iter().map(|reloc| reloc.offset).collect();
    relocs.sort_unstable();
    // Unwind information counts the bytes of the prologue.
    let prologue = buffer.unwind_info.iter().map(|(offset, _)| *offset).max().unwrap_or(0);
    let items = decode::decode(
        code,
        &relocs,
        &compiled.bb_starts,
        prologue,
        idle,
        passes.has(Pass::Effectless).then(effectless::Effectless::default),
        passes.has(Pass::Reloads).then(slots::Slots::new),
    )?;
    layout::lay_out(code, items, buffer.alignment.max(1), prologue)
}

#[cfg(test)]
mod tests;
