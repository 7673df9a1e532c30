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

/// What a library, an object that C calls, shares with its runtime.
pub mod library {
    /// Offset, in pointers, from the cell of the stack limit of the address on the stack for which the limit was set.
    pub const SET_AT_POINTERS: u32 = 2;

    /// Offset, in pointers, from the cell of the stack limit of a word that is not zero once a function of the host has
    /// failed: the code that called it traps.
    pub const FAILED_POINTERS: u32 = 3;

    /// How far above that address the stack pointer may be for the limit to be good, in bytes.
    pub const TOLERANCE: u32 = 64 * 1024;

    /// `bool enter(vmctx, stack pointer)`: sets the limit for an entry with another stack than before. False if the
    /// instance cannot be entered.
    pub const ENTER: &str = "aot_lib_enter";

    /// `void trapped(vmctx, record, aot_trap **)`: turns what the handler of faults noted, or null for the reason of a
    /// refused entry, into a trap for the caller.
    pub const TRAPPED: &str = "aot_lib_trapped";

    /// What the symbols of the runtime's WASI functions start with, for libraries.
    pub const WASI_PREFIX: &str = "aot_lib_wasi_";

    /// The same for functions that only the older interface has.
    pub const WASI0_PREFIX: &str = "aot_lib_wasi0_";

    /// `bool check_cpu(names, len)`: whether the machine has these features, names ended by NUL.
    pub const CPU_CHECK: &str = "aot_lib_check_cpu";
}
