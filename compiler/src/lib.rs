//! The compiler: wasm bytes become native code.
//!
//! Stages, each a function from one value to the next:
//!
//! 1. [`module`]: validate the bytes → `ModuleInfo`.
//! 2. [`plan`]: facts about the whole module that make code faster.
//! 3. [`translate`]: one function body → CLIF, in parallel.
//! 4. [`codegen`]: CLIF → machine code with relocations and traps, in parallel.
//! 5. [`emit`]: all functions, in index order → an object file or an image.
//! 6. [`link`]: an object and the runtime library → a static executable.
//!
//! [`merge`](mod@merge) comes before all of them where modules are linked: several modules → one.
//!
//! [`pipeline`] is the only place that knows the order.
#![forbid(unsafe_code)]

mod bottom_up;
mod code_cache;
mod codegen;
mod config;
mod cpu;
pub mod debug;
mod emit;
mod error;
mod graph;
mod link;
mod merge;
mod module;
mod passes;
mod pipeline;
mod plan;
mod profile;
mod scan;
mod target;
mod translate;
pub mod wasi;

pub use code_cache::{CodeStore, Share, ShareResult};
pub use config::{
    Config, DebugInfo, ImportSymbol, Imports, Model, OptLevel, Pass, Passes, Progress, default_features,
    supported_features,
};
pub use cpu::{Cpu, CpuFeature, CpuSetting, cpu_settings, used_cpu_features};
pub use emit::image::Image;
/// What programs see of a module that is a library.
pub mod interface {
    pub use crate::emit::interface::{Function, Global, Import, Interface, Memory};
    pub use crate::translate::c_abi::results_by_address;
}
pub use error::{Error, ErrorKind, Result};
pub use link::entry::{Entry, entry_object};
pub use link::exe::{LinkOptions, Strip, link_executable};
pub use link::library::{shared_library, static_library};
pub use link::options::options_object;
pub use link::position::run_time_addresses;
pub use link::split::{Split, link_split};
pub use merge::{FEATURES as LINK_FEATURES, Library, Merged, Source, merge};
pub use pipeline::{CodeLine, CompiledModule, FunctionCode, compile, compile_share, parse_text};
pub use profile::{Profile, ProfileFit};
pub use target::{System, Target};

/// A hash of the compiler's sources and of what it is built on: another compiler may make other code of a module.
pub const IDENTITY: &str = env!("AOT_COMPILER_IDENTITY");
