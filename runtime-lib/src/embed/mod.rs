//! Running compiled modules inside a host program.
//!
//! A [`Module`] is code, mapped from an image (`aot build --emit cwasm`) or, with the feature `compiler`, compiled on the
//! spot. A [`Store`] owns instances and data of the host; a [`Linker`] binds the imports of modules to host functions,
//! other instances and [`wasi`].
//!
//! The shapes are those of wasmtime's API where that fits; `docs/embedding.md` has a table of what corresponds to what.
#![doc = include_str!("example.md")]

mod activation;
mod code;
#[cfg(feature = "compiler")]
mod compile;
mod convert;
mod debugger;
mod engine;
mod error;
mod func;
mod host;
mod instance;
mod items;
mod linker;
mod pool;
mod profiler;
mod registry;
mod store;
mod types;
mod value;
pub mod wasi;

/// The guide, whose code is tested.
#[cfg(all(doctest, feature = "compiler"))]
#[doc = include_str!("../../../docs/embedding.md")]
mod guide {}

pub use aot_abi::trap::TrapCode;
pub use aot_abi::types::{FuncType, GlobalType, Limits, MemoryType, TableType, ValType};
pub use code::{ExportType, ImportType, LoadError, Module};
pub use convert::{WasmParams, WasmResults, WasmTy};
pub use engine::{Engine, EngineConfig};
pub use error::{Error, Frame, FrameSymbol, HostError, ImportError, Trap};
pub use func::{Func, TypedFunc};
pub use host::{Caller, HostResults, IntoFunc};
pub use instance::{Extern, Instance};
pub use items::{Global, Memory, Table};
pub use linker::{InstancePre, Linker};
pub use profiler::ProfilingStrategy;
pub use registry::Registry;
pub use store::{
    AsContext, AsContextMut, InterruptHandle, Store, StoreContext, StoreContextMut, StoreLimits,
};
pub use types::ExternType;
pub use value::{V128, Val};
