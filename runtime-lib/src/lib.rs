//! The runtime library of compiled modules: memories, tables, traps, libcalls and WASI.
//!
//! The core is `no_std` and needs no libc. It is used in two shapes: as a static library inside every executable
//! (feature `standalone`), and as a Rust library by host programs (feature `embed`).
#![no_std]

extern crate alloc;
// Only its symbols are used.
#[cfg(any(feature = "standalone", feature = "library"))]
extern crate aot_mem as _;
#[cfg(any(test, feature = "embed"))]
extern crate std;

pub mod arch;
pub mod call;
pub mod instance;
pub mod libcalls;
pub mod memory;
pub mod message;
pub mod module;
pub mod options;
pub mod signal;
pub mod sys;
pub mod table;
pub mod trap;
pub mod vmctx;
pub mod wasi;

#[cfg(any(feature = "standalone", feature = "library"))]
mod allocator;
#[cfg(any(feature = "standalone", feature = "library", feature = "embed"))]
mod cpu;
#[cfg(all(feature = "standalone", not(test)))]
mod defaults;
#[cfg(feature = "standalone")]
mod drive;
#[cfg(feature = "embed")]
pub mod embed;
#[cfg(feature = "standalone")]
mod invoke;
#[cfg(feature = "library")]
mod library;
#[cfg(feature = "standalone")]
mod profile;
#[cfg(feature = "standalone")]
mod source;
#[cfg(feature = "standalone")]
mod start;
