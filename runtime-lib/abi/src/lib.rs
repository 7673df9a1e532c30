//! Plain data that the compiler and the runtime library agree on.
//!
//! The compiler writes these layouts, the runtime library reads them, and neither knows the other. Everything
//! is stated in terms of the target's pointer width; nothing depends on the machine that compiles.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod call;
mod cursor;
pub mod descriptor;
pub mod image;
pub mod libcall;
pub mod memory;
pub mod module;
pub mod profile;
pub mod source;
pub mod trap;
pub mod types;
pub mod validate;
pub mod vmctx;
pub mod wasi;

pub use cursor::DecodeError;
