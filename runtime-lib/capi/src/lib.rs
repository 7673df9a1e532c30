//! The C API: the standard interface of WebAssembly engines (`include/wasm.h`), and what it lacks (`include/aot.h`).
//!
//! Built as `libaot.a` and `libaot.so`. It is a layer over `aot_runtime::embed`, one file for each section of the
//! headers; the guide is `docs/c-api.md`.
//!
//! Every object that C sees is a [`handle::Handle`], which knows its class and whether it was deleted. Handles of what a
//! store owns keep the store alive. A store notices when two threads use it at a time.
#![deny(unsafe_op_in_unsafe_fn)]

#[macro_use]
mod handle;
#[macro_use]
mod vec;
#[macro_use]
mod reference;

mod caller;
mod compile;
mod engine;
mod error;
mod func;
mod instance;
mod items;
mod limits;
mod linker;
mod module;
mod raw;
mod store;
mod trap;
mod types;
mod value;
mod wasi;
