//! Engines and their options.

use crate::handle::Handle;
use aot_runtime::embed::{Engine, EngineConfig, ProfilingStrategy};

/// Options of an engine, and of what it compiles.
#[derive(Clone, Debug, Default)]
pub struct ConfigObject {
    pub engine: EngineConfig,
    pub compile: CompileOptions,
}

/// Options of compilation. Only the library with the compiler looks at them.
#[derive(Clone, Copy, Debug)]
pub struct CompileOptions {
    pub interruptible: bool,
    pub fuel: bool,
    pub optimise: bool,
    pub native_cpu: bool,
    /// As the engine's `debugger`.
    pub debug_info: bool,
}

impl Default for CompileOptions {
    fn default() -> Self {
        CompileOptions {
            interruptible: false,
            fuel: false,
            optimise: true,
            native_cpu: true,
            debug_info: false,
        }
    }
}

#[derive(Clone)]
pub struct EngineObject {
    pub engine: Engine,
    pub compile: CompileOptions,
}

class! {
    ConfigObject, "wasm_config_t";
    EngineObject, "wasm_engine_t";
}

delete! {
    wasm_config_delete(ConfigObject);
    wasm_engine_delete(EngineObject);
}

impl EngineObject {
    fn new(config: &ConfigObject) -> EngineObject {
        let compile = CompileOptions { debug_info: config.engine.debugger, ..config.compile };
        EngineObject { engine: Engine::new(&config.engine), compile }
    }
}

#[unsafe(no_mangle)]
extern "C" fn wasm_config_new() -> *mut Handle<ConfigObject> {
    Handle::give(ConfigObject::default())
}

#[unsafe(no_mangle)]
extern "C" fn wasm_engine_new() -> *mut Handle<EngineObject> {
    Handle::give(EngineObject::new(&ConfigObject::default()))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_engine_new_with_config(
    config: *mut Handle<ConfigObject>,
) -> *mut Handle<EngineObject> {
    Handle::give(EngineObject::new(&take!(config)))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_engine_tick(engine: *const Handle<EngineObject>) {
    get!(engine).engine.increment_epoch();
}

/// `aot_profiling_t`; a number that is none of them counts as none.
#[unsafe(no_mangle)]
unsafe extern "C" fn aot_config_set_profiling(config: *mut Handle<ConfigObject>, strategy: core::ffi::c_int) {
    get_mut!(config).engine.profiling = match strategy {
        1 => ProfilingStrategy::PerfMap,
        2 => ProfilingStrategy::JitDump,
        _ => ProfilingStrategy::None,
    };
}

/// Defines functions that set an option.
macro_rules! options {
    ($($function:ident($ty:ty) => $($field:ident).+;)*) => {
        $(#[unsafe(no_mangle)]
        unsafe extern "C" fn $function(config: *mut Handle<ConfigObject>, value: $ty) {
            get_mut!(config).$($field).+ = value;
        })*
    };
}

options! {
    aot_config_set_max_wasm_stack(usize) => engine.max_wasm_stack;
    aot_config_set_pooled_memories(usize) => engine.pooled_memories;
    aot_config_set_debugger(bool) => engine.debugger;
    aot_config_set_interruptible(bool) => compile.interruptible;
    aot_config_set_fuel(bool) => compile.fuel;
    aot_config_set_optimise(bool) => compile.optimise;
    aot_config_set_native_cpu(bool) => compile.native_cpu;
}
