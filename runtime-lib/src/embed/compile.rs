//! Compiling and loading in one step, for hosts that carry the compiler.

use super::code::{LoadError, Module};
use alloc::string::String;
use aot_compiler::{Config, Target};

/// Why a module could not be compiled and loaded.
#[derive(Debug)]
pub enum CompileError {
    Compile(aot_compiler::Error),
    Load(LoadError),
    /// The configuration is for another machine, or for another form than an image.
    NotForThisProcess(String),
}

impl core::fmt::Display for CompileError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            CompileError::Compile(error) => error.fmt(f),
            CompileError::Load(error) => error.fmt(f),
            CompileError::NotForThisProcess(target) => {
                write!(f, "code for {target} cannot run in this process")
            }
        }
    }
}

impl core::error::Error for CompileError {}

impl Module {
    /// Compiles a module in the binary format for this process, and loads it.
    ///
    /// # Errors
    /// If the module is invalid or unsupported, there is no memory for it, or `config` is not for images of this
    /// machine.
    pub fn compile(wasm: &[u8], config: &Config) -> Result<Module, CompileError> {
        let host = Target::host().map_err(CompileError::Compile)?;
        // Without checks of the stack a guest could overrun the host's; libcalls by symbol would need a linker.
        let fits =
            host.triple() == config.target.triple() && config.stack_check && !config.libcalls_by_symbol;
        if !fits {
            return Err(CompileError::NotForThisProcess(config.target.name()));
        }
        let compiled = aot_compiler::compile(wasm, config).map_err(CompileError::Compile)?;
        let image = compiled.image().map_err(CompileError::Compile)?;
        // SAFETY: the compiler made the parts together just now, for this machine.
        unsafe { Module::new(&image.text, image.description, image.data) }.map_err(CompileError::Load)
    }
}
