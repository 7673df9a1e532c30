//! What is known of the machine code of one function: plain data, from code generation.

use serde::{Deserialize, Serialize};

/// Where the code of a function came from, and where its values are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FunctionDebug {
    /// Offset in the code, and offset in the wasm file of what the code from there on does. Ascending.
    pub lines: Vec<(u32, u32)>,
    /// Where values are; nothing unless debug information was asked for.
    pub values: Vec<ValueRange>,
}

/// Where a value is while a range of the code runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct ValueRange {
    /// The index of a wasm local, or [`VMCTX`].
    pub value: u32,
    /// Offsets in the code.
    pub start: u32,
    pub end: u32,
    pub place: ValuePlace,
}

/// In place of the index of a local: the pointer to the VM context.
pub(crate) const VMCTX: u32 = u32::MAX - 1;

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
