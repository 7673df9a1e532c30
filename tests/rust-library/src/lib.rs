//! Modules that `aot-build` made part of this library, for the tests of it.
//!
//! They are used as programs do: with no lint off, and in a library that others link.
#![deny(warnings, missing_docs)]

include!(concat!(env!("OUT_DIR"), "/calls.rs"));
include!(concat!(env!("OUT_DIR"), "/stoppable.rs"));
include!(concat!(env!("OUT_DIR"), "/imports.rs"));
include!(concat!(env!("OUT_DIR"), "/program.rs"));
include!(concat!(env!("OUT_DIR"), "/own_wasi.rs"));
include!(concat!(env!("OUT_DIR"), "/starts.rs"));
