//! What is known of the machine code of one function: plain data, from code generation.

use serde::{Deserialize, Serialize};

/// Where the code of a function came from, and where its values are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FunctionDebug {
    /// Ascending by code.
    pub lines: Vec<Line>,
    /// The calls that this compiler has inlined, if there is code of theirs. A call comes after the one that it is part of.
    pub calls: Vec<InlinedCall>,
    /// Where values are; nothing unless debug information was asked for.
    pub values: Vec<ValueRange>,
}

/// Where code starts that another instruction became.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    /// Offset in the code.
    pub code: u32,
    /// Offset in the wasm file of the instruction.
    pub wasm: u32,
    /// The function that the instruction is of: 0 for the one that has the code, or 1 more than the place of an inlined call,
    /// for its callee.
    pub frame: u32,
}

/// A call with the body of the callee in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InlinedCall {
    /// The function that is called, numbered without imported ones.
    pub callee: u32,
    /// Nothing for a tail call: its caller is gone, and nothing but the callee is left of the function that has the code.
    pub caller: Option<Caller>,
}

/// The instruction that an inlined call was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// As in [`Line`]; of the calls, one that comes before.
    pub frame: u32,
    /// Offset in the wasm file.
    pub wasm: u32,
}

/// Where a value is while a range of the code runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct ValueRange {
    /// A wasm local or an operand, as [`local`] numbers it, or [`VMCTX`].
    pub value: u32,
    /// Offsets in the code.
    pub start: u32,
    pub end: u32,
    pub place: ValuePlace,
    /// Where in the source it is no longer the value: bytes from the start of the body of the function that has it; 0 if it
    /// always is. For an operand, the end of the instruction that takes it from the stack.
    pub until: u32,
}

/// Bits of the index of a wasm local or an operand.
const LOCAL_BITS: u32 = 16;

/// The number of the first operand that locations refer to. Locals have those below: a function has 50,000 at most.
const FIRST_OPERAND: u32 = 50_000;

/// Operands of a function that have numbers.
pub(crate) const MAX_OPERANDS: usize = (1 << LOCAL_BITS) - FIRST_OPERAND as usize;

/// What is in place of the index of a local for an operand, by its position among those of the function. Nothing if there are
/// too many.
pub(crate) fn operand(position: usize) -> Option<u32> {
    (position < MAX_OPERANDS).then_some(FIRST_OPERAND + position as u32)
}

/// Whether that is what is in place of the index of a local.
pub(crate) fn is_operand(index: u32) -> bool {
    (FIRST_OPERAND..1 << LOCAL_BITS).contains(&index)
}

/// A wasm local of a frame, or an operand in its place. The frame is 0 for the function that has the code, or an inlined
/// call. Nothing if there are too many.
pub(crate) fn local(frame: u32, index: u32) -> Option<u32> {
    (frame < WIDE >> LOCAL_BITS && index < 1 << LOCAL_BITS).then_some(frame << LOCAL_BITS | index)
}

/// The frame and the index of what has a number.
pub(crate) fn frame_and_index(local: u32) -> (u32, u32) {
    (local >> LOCAL_BITS, local & ((1 << LOCAL_BITS) - 1))
}

/// In place of a local: the pointer to the VM context.
pub(crate) const VMCTX: u32 = u32::MAX - 1;

/// What a label has more if its value is that of a local with 32 bits, zero-extended to an address. It has a bit of its own,
/// because the code generator takes a label for the end of what had it before, and the value itself may be needed for longer.
pub(crate) const WIDE: u32 = 1 << 30;

/// What a label has more, with [`WIDE`], if the value is what the function got for a parameter, whose local gets others later:
/// it is that of the local up to a place in the source ([`ValueRange::until`]).
pub(crate) const FIRST: u32 = 1 << 31;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum ValuePlace {
    /// A register, as DWARF numbers those of the machine.
    Register(u16),
    /// In the frame: bytes from the canonical frame address.
    Frame(i64),
}

/// How a function keeps values where debuggers find them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tracking {
    /// It does not care.
    #[default]
    None,
    /// It says where they are while they are somewhere.
    Follow,
    /// Each local has a place of its own in the frame.
    Slots,
}
