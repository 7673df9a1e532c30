//! Compiling and loading in one step, for hosts that carry the compiler.

use super::code::Module;
use super::error::Error;
use aot_compiler::{Config, Target};

impl Module {
    /// Compiles a module in the binary format for this process, and loads it.
    ///
    /// # Errors
    /// If the module is invalid or unsupported, there is no memory for it, or `config` is not for images of this
    /// machine.
    pub fn compile(wasm: &[u8], config: &Config) -> Result<Module, Error> {
        let host = Target::host().map_err(Error::Compile)?;
        if host.triple() != config.target.triple() {
            let message = alloc::format!("code for {} cannot run in this process", config.target.name());
            return Err(Error::usage(message));
        }
        let compiled = aot_compiler::compile(wasm, config).map_err(Error::Compile)?;
        let image = compiled.cwasm().map_err(Error::Compile)?;
        // SAFETY: the compiler made it just now.
        Ok(unsafe { Module::deserialize(&image)? })
    }

    /// As [`Module::compile`], for this machine's CPU, from the binary or the text format.
    ///
    /// # Errors
    /// As [`Module::compile`].
    pub fn new(wasm: &[u8]) -> Result<Module, Error> {
        let host = Target::host().map_err(Error::Compile)?;
        let config = Config::image(host.with_cpu(aot_compiler::Cpu::Native));
        let wasm = aot_compiler::parse_text(wasm, "module").map_err(Error::Compile)?;
        Module::compile(&wasm, &config)
    }
}
