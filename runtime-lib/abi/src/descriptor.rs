//! The descriptor of a module in an object file: where the runtime finds its sections.
//!
//! Sixteen words of the machine's pointer size: address and length in bytes of the text section, the module description
//! and the data segments; then, in the static model, the addresses where the VM context and the first memory have to
//! be, else zero; then, if the code uses CPU features beyond the baseline, the address of [`CPU_CHECK`], address and
//! length in bytes of the names of the features, each ended by NUL; then the address of [`INSTANTIATE`], or zero in a library
//! and where the initial state says all that there is to do; then the address of the initial state, or zero;
//! then, if there are source positions, the address of [`source::PRINTER`](crate::source::PRINTER), else zero; then, in a build for
//! profiling, the addresses of [`profile::WRITER`](crate::profile::WRITER) and of the profile, else zeros.
//!
//! The *initial state* is that of the static model as far as the compiler knows it. Words too:
//!
//! ```text
//! 0  address of the definition of the memory in the VM context; zero if there is no memory
//! 1  pages of the memory at first
//! 2  pages of the memory at most
//! 3  address and length in bytes of what the kernel has mapped of the memory, from the file; or zeros
//! 5  number of defined functions
//! 6  number of imported functions
//! 7  number of calls
//! 8  number of copies
//! 9  calls, in their order: entry trampoline of the type without parameters and results, code
//!    copies: address to copy to, in the VM context or memory, address to copy from, length in bytes
//! ```
//!
//! The descriptor of a library has another name, which the C header knows, and three more words: the low half of
//! `image::ABI_HASH`, the number of the interface, which the header has too, and whether functions of WASI are bound to
//! the runtime's. The CPU is checked by `call::library::CPU_CHECK`.

/// Name of the descriptor's symbol.
pub const SYMBOL: &str = "aot_module";

/// Name of the runtime's function that makes an instance from the module description.
pub const INSTANTIATE: &str = "aot_instantiate";

/// Words of the initial state before its calls and copies.
pub const INITIAL_WORDS: usize = 9;

/// Name of the symbol at the part of the memory that the kernel maps, and of its section in an object and executable.
pub const MEMORY_IMAGE: &str = "aot_memory_image";

/// See [`MEMORY_IMAGE`].
pub const MEMORY_SECTION: &str = ".aot.memory";

/// Name of the runtime's function that checks the CPU before any other code of the module runs.
pub const CPU_CHECK: &str = "aot_check_cpu";
