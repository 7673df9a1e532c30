//! Debug information: what a module says of its source, and what is said of the machine code.
//!
//! - [`input`]: the custom sections of the module → a reader of its DWARF.
//! - [`source`]: that DWARF → [`SourceMap`], plain data: file, line and inlined functions by offset in the wasm file.
//!   Whoever has such an offset (line tables, backtraces, listings) asks it.
//! - [`linked`]: the same of modules that were linked, inside of what they became.
//! - [`mappings`]: a source map in JSON → the same, with less in it.
//! - [`operands`]: the values on operand stacks that it refers to.
//! - [`function`], [`code`]: what code generation says of one function; wasm offsets ↔ its machine code.
//! - [`entries`], [`expr`], [`pointee`]: types, functions and variables of the module's DWARF → the same for the machine.
//! - [`inlined`], [`variables`]: entries for inlined calls: those of the module's compiler, and ours with their variables.
//! - [`record`]: the source positions of machine code, for our own backtraces; [`demangle`]: names for people.
//! - [`build`]: all of that → entries and line tables for the machine code; [`lines`]: rows of those tables → bytes;
//!   [`output`]: the entries → bytes and relocations.
//!
//! The input is hostile. What is damaged costs debug information and is told as a warning; it never fails a build.

pub(crate) mod build;
mod code;
mod demangle;
mod entries;
pub(crate) mod expr;
pub(crate) mod function;
mod inlined;
pub(crate) mod input;
mod lines;
mod linked;
mod mappings;
mod operands;
pub(crate) mod output;
mod pointee;
mod record;
pub(crate) mod source;
mod variables;

pub(crate) use build::{Debug, Parts, Source, build};
pub use demangle::demangle;
pub(crate) use expr::{Base, FrameBase, State};
pub(crate) use function::{
    Caller, FIRST, FunctionDebug, InlinedCall, Line, Tracking, VMCTX, ValuePlace, ValueRange, WIDE,
    frame_and_index, is_operand, local, operand,
};
pub(crate) use input::Input;
pub use input::{SOURCE_MAP_SECTION, URL_SECTION, source_map_url, without_debug_info};
pub(crate) use linked::{Linked, LinkedFunction};
pub(crate) use operands::{Operand, Operands};
pub use source::{Frame, Location, SourceMap};
