//! How linear memory lies in the address space.

/// Address space reserved for a 32-bit memory, without its guard: all that an index can reach.
pub const RESERVATION: u64 = 1 << 32;

/// Inaccessible bytes after the reservation. Accesses whose constant offset and size stay below it need no check.
pub const GUARD_SIZE: u64 = 1 << 31;

/// The most pages of 64 KiB that a 32-bit memory can have.
pub const MAX_PAGES: u64 = 65536;

/// Address of the first memory in the static model: above all segments of the executable, and low enough that x86-64
/// can add it to an index as a displacement of 32 bits.
pub const STATIC_MEMORY: u64 = 0x1000_0000;

/// The most bytes that the VM context can have in the static model.
pub const MAX_STATIC_CONTEXT: u32 = 0x0400_0000;

/// Address of a VM context of `size` bytes in the static model: it ends where the memory starts, so that the globals,
/// which come last in it, are reached by short displacements. `None` if it is too large.
pub fn static_context(size: u32) -> Option<u64> {
    (size <= MAX_STATIC_CONTEXT).then(|| STATIC_MEMORY - u64::from(size.max(1).next_multiple_of(16)))
}
