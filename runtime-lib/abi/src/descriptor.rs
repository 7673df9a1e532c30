//! The descriptor of a module in an object file: where the runtime finds its sections.
//!
//! Eight words of the machine's pointer size: address and length in bytes of the text section, the module description
//! and the data segments; then, in the static model, the addresses where the VM context and the first memory have to
//! be, else zero.

/// Name of the descriptor's symbol.
pub const SYMBOL: &str = "aot_module";
