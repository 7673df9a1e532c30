//! Every option of a compilation, once.

use crate::code_cache::CodeStore;
use crate::profile::Profile;
use crate::target::Target;
use aot_abi::types::FuncType;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How much the code is optimised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OptLevel {
    /// Compile quickly.
    None,
    /// Make the code fast.
    #[default]
    Speed,
    /// Make the code fast, and small where that costs little.
    SpeedAndSize,
}

/// Where the state of an instance lives, for the code that uses it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Model {
    /// Behind a pointer that every function gets: any number of instances in a process.
    #[default]
    Instance,
    /// At addresses that are fixed when the module is built: one instance in a process, and faster code.
    Static,
}

/// What debuggers are told of the code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DebugInfo {
    /// Names of functions, and how to unwind them.
    None,
    /// Also which line of the source each instruction came from, where the module says so, or else its offset in the module.
    #[default]
    Lines,
    /// All that the module says of its types and variables.
    Full,
}

/// How the module's imports find their definitions.
#[derive(Clone, Default)]
pub enum Imports {
    /// When the module is instantiated: each import is a slot of the instance.
    #[default]
    AtInstantiation,
    /// When the module is built: functions are symbols of the runtime library, found by this function.
    AtBuild {
        resolve: fn(module: &str, name: &str) -> Option<ImportSymbol>,
        /// Give functions that `resolve` does not know a body that traps, instead of refusing the module.
        unknown_trap: bool,
    },
    /// Functions of the runtime library as above; all others are C functions of the host program, which gives their
    /// addresses when it makes an instance.
    Library {
        resolve: fn(module: &str, name: &str) -> Option<ImportSymbol>,
        /// What the names in C start with.
        prefix: String,
    },
}

/// A function of the runtime library that an import is bound to.
pub struct ImportSymbol {
    pub symbol: String,
    /// The type that an import must have, as wasm sees it. In C, a pointer to the VM context comes first.
    pub ty: FuncType,
}

/// A pass of ours around Cranelift's optimiser, which can be turned off: to find a miscompilation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Move operations close to their operands, to use fewer registers.
    Schedule,
    /// Go straight to where a branch would lead, where that is known before.
    Threading,
    /// Put the test of a loop at its end.
    Rotation,
    /// Take what was stored in place of loads, across stores to other places. Static model only.
    Forwarding,
    /// Leave out masks of bits that are zero anyway.
    Masks,
    /// Extend what serves as an address where it is made.
    Widening,
    /// Keep constants that take instructions to make in registers, in loops.
    Constants,
    /// Compute once, before them, what several blocks of one path compute.
    Hoisting,
    /// Compute before a loop what each of its rounds computes from the same values.
    Invariants,
    /// Use what a loop computes for its next round also after it.
    Advances,
    /// Give each case of a switch in a loop its own jump to the next case.
    Dispatch,
    /// Take out of the epilogues of x86-64 code what does nothing.
    Epilogue,
    /// Give the branches of x86-64 code, and other instructions, their shortest forms.
    Relaxation,
    /// Leave out of x86-64 code what moves values to the stack, or from there, that are there already.
    Reloads,
    /// Leave out of x86-64 code tests and extensions of what has been tested or extended by what computed it.
    Effectless,
    /// End the loops of aarch64 code in one branch.
    LoopEnds,
}

/// The passes that run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passes(u32);

impl Passes {
    pub const ALL: Passes = Passes(u32::MAX);

    /// Whether a pass runs.
    pub fn has(self, pass: Pass) -> bool {
        self.0 & 1 << pass as u8 != 0
    }

    /// Lets a pass run, or not.
    pub fn set(&mut self, pass: Pass, on: bool) {
        let bit = 1 << pass as u8;
        self.0 = if on { self.0 | bit } else { self.0 & !bit };
    }
}

/// Options of a compilation. What is not set here is not an input.
#[derive(Clone)]
pub struct Config {
    pub target: Target,
    pub opt_level: OptLevel,
    /// Put the bodies of small functions in place of calls.
    pub inlining: bool,
    pub passes: Passes,
    /// Proposals that modules may use.
    pub features: wasmparser::WasmFeatures,
    pub imports: Imports,
    /// The model to use. A module that does not fit the static model gets the other one.
    pub model: Model,
    /// Check the stack limit of the VM context in every function. Needed where wasm runs on a stack that it shares
    /// with its host; executables have a guard page instead.
    pub stack_check: bool,
    /// Make trampolines by which a host calls exports with C's convention, one per type.
    pub typed_entries: bool,
    /// Let the host stop the guest from outside: each loop looks whether it should (`aot_abi::call::INTERRUPT_LIMIT`).
    /// Needs `stack_check`, which does the same for functions.
    pub interruptible: bool,
    /// Count the instructions that the guest executes, and trap when the fuel that the host gave is used up.
    pub fuel: bool,
    /// Call libcalls by symbol (objects, executables), or through the table of the VM context (images).
    pub libcalls_by_symbol: bool,
    /// Run Cranelift's verifier on every function.
    pub verify_clif: bool,
    pub debug_info: DebugInfo,
    /// Make an executable that counts how often its code runs, and writes that to this file when it ends.
    pub profile_to: Option<String>,
    /// How often the code ran in an executable that counted it.
    pub profile: Option<Arc<Profile>>,
    /// Keep the CLIF of each function as text.
    pub keep_clif: bool,
    /// Keep the assembly of each function as text.
    pub keep_asm: bool,
    /// Where compiled functions are looked up and kept. It changes nothing in what is made.
    pub code_store: Option<Arc<dyn CodeStore>>,
    /// Where it is told how far the compilation is.
    pub progress: Option<Arc<Progress>>,
}

/// How far a compilation is, for those who show it while it goes on.
#[derive(Debug, Default)]
pub struct Progress {
    functions: AtomicUsize,
    compiled: AtomicUsize,
}

impl Progress {
    /// Functions to compile, and those that are.
    pub fn get(&self) -> (usize, usize) {
        (self.functions.load(Ordering::Relaxed), self.compiled.load(Ordering::Relaxed))
    }

    pub(crate) fn begin(&self, functions: usize) {
        self.compiled.store(0, Ordering::Relaxed);
        self.functions.store(functions, Ordering::Relaxed);
    }

    pub(crate) fn step(&self) {
        self.compiled.fetch_add(1, Ordering::Relaxed);
    }
}

/// The proposals that are on by default: WebAssembly 2.0, tail calls and extended constant expressions.
pub fn default_features() -> wasmparser::WasmFeatures {
    use wasmparser::WasmFeatures as F;
    F::WASM2 | F::TAIL_CALL | F::EXTENDED_CONST
}

/// The proposals that can be turned on: the default ones, several memories, and relaxed SIMD.
pub fn supported_features() -> wasmparser::WasmFeatures {
    use wasmparser::WasmFeatures as F;
    default_features() | F::MULTI_MEMORY | F::RELAXED_SIMD
}

impl Config {
    /// For executables of `target`: imports are bound by `resolve`.
    pub fn executable(target: Target, resolve: fn(&str, &str) -> Option<ImportSymbol>) -> Config {
        Config {
            imports: Imports::AtBuild { resolve, unknown_trap: false },
            model: Model::Static,
            stack_check: false,
            typed_entries: false,
            libcalls_by_symbol: true,
            ..Config::image(target)
        }
    }

    /// The same options, for an image that a host program loads.
    pub fn into_image(self) -> Config {
        let Config { imports, model, stack_check, typed_entries, libcalls_by_symbol, .. } =
            Config::image(self.target.clone());
        Config { imports, model, stack_check, typed_entries, libcalls_by_symbol, ..self }
    }

    /// The same options, for an object that is a library of C programs: imports that `resolve` does not know are functions
    /// of the program. Names in C start with `prefix`.
    pub fn into_library(self, resolve: fn(&str, &str) -> Option<ImportSymbol>, prefix: String) -> Config {
        let imports = Imports::Library { resolve, prefix };
        Config { imports, typed_entries: false, ..self.into_image() }
    }

    /// For images of `target` that a host program loads.
    pub fn image(target: Target) -> Config {
        Config {
            target,
            opt_level: OptLevel::default(),
            inlining: true,
            passes: Passes::ALL,
            features: default_features(),
            imports: Imports::AtInstantiation,
            model: Model::Instance,
            stack_check: true,
            typed_entries: true,
            interruptible: false,
            fuel: false,
            libcalls_by_symbol: false,
            verify_clif: cfg!(debug_assertions),
            debug_info: DebugInfo::default(),
            profile_to: None,
            profile: None,
            keep_clif: false,
            keep_asm: false,
            code_store: None,
            progress: None,
        }
    }
}
