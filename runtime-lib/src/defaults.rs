//! What an object means that the user's own linker makes a program of: no options, and `_start` runs.
//!
//! The symbols are weak. In executables that `aot build` links, the objects of the compiler's `link::options` and
//! `link::entry` define them.

core::arch::global_asm!(
    ".section .rodata.aot_defaults, \"a\"",
    ".p2align 3",
    ".weak aot_entry",
    "aot_entry: .8byte 0, 0",
    ".weak aot_options_len",
    "aot_options_len: .8byte 0",
    ".weak aot_options",
    "aot_options: .byte 0",
    ".weak aot_sealed",
    "aot_sealed: .byte 0",
    ".weak aot_invoke_name",
    "aot_invoke_name: .byte 0",
    ".previous",
);
