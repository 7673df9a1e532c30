//! The descriptor of a module in an object file: where the runtime finds its sections.
//!
//! Twelve words of the machine's pointer size: address and length in bytes of the text section, the module description
//! and the data segments; then, in the static model, the addresses where the VM context and the first memory have to
//! be, else zero; then, if the code uses CPU features beyond the baseline, the address of [`CPU_CHECK`], address and
//! length in bytes of the names of the features, each ended by NUL; then, if there are source positions, the address of
//! [`source::PRINTER`](crate::source::PRINTER).
//!
//! The descriptor of a library has another name, which the C header knows, and three more words: the low half of
//! `image::ABI_HASH`, the number of the interface, which the header has too, and whether functions of WASI are bound to
//! the runtime's. The CPU is checked by `call::library::CPU_CHECK`.

/// Name of the descriptor's symbol.
pub const SYMBOL: &str = "aot_module";

/// Name of the runtime's function that checks the CPU before any other code of the module runs.
pub const CPU_CHECK: &str = "aot_check_cpu";
