//! How linear memory lies in the address space.

/// Address space reserved for a 32-bit memory, without its guard: all that an index can reach.
pub const RESERVATION: u64 = 1 << 32;

/// Inaccessible bytes after the reservation. Accesses whose constant offset and size stay below it need no check.
pub const GUARD_SIZE: u64 = 1 << 31;

/// The most pages of 64 KiB that a 32-bit memory can have.
pub const MAX_PAGES: u64 = 65536;
