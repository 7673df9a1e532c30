//! How the host and wasm code call each other through trampolines.

/// The calling convention of wasm code: the one named `tail` of this version of the code generator. Functions of different
/// modules call each other with it.
pub const CONVENTION: &str = "cranelift 0.135 tail";

/// Size in bytes of the slot of one parameter or result. Numbers are little-endian at the slot's start; references
/// are pointers in the machine's own byte order.
pub const VALUE_SIZE: u32 = 16;

/// Offset in an activation, the record of one entry into wasm code, of the frame pointer of the entry trampoline:
/// a trap resumes at the trampoline's landing pad with this frame pointer.
pub const ACTIVATION_FRAME_POINTER: u32 = 0;

/// Offset in the context of a host function of the C function `u32 host(context, *mut [u8; 16] values)`.
pub const HOST_CONTEXT_FUNCTION: u32 = 0;

/// Offset, in pointers, from the cell of the stack limit (`VmOffsets::stack_limit` points to it) of the fuel that is
/// left: a signed 64-bit number in the machine's byte order. Only code that counts fuel uses it.
pub const FUEL_POINTERS: u32 = 1;

/// The stack limit that stops a guest: no stack is above it, so that the next function or loop that looks traps.
pub const INTERRUPT_LIMIT: u64 = u64::MAX;
