//! Compiling in the host program: the part of the library that needs the compiler.

use crate::engine::CompileOptions;
use crate::error;
use crate::vec::{self, ByteVec, CVec};
use aot_runtime::embed::{Error, Module};
use core::ffi::c_char;

#[cfg(not(feature = "compiler"))]
const NO_COMPILER: &str = "this libaot was built without the compiler: build an image with `aot build --emit cwasm` \
     and load it with aot_module_load_file, or build libaot with the feature `compiler`";

/// Compiles a module in the binary format, and loads it.
#[cfg(feature = "compiler")]
pub fn compile(wasm: &[u8], options: CompileOptions) -> Result<Module, Error> {
    use aot_compiler::{Config, Cpu, DebugInfo, OptLevel, Target};

    let mut target = Target::host().map_err(Error::Compile)?;
    if options.native_cpu {
        target = target.with_cpu(Cpu::Native);
    }
    let mut config = Config::image(target);
    config.interruptible = options.interruptible;
    config.fuel = options.fuel;
    if !options.optimise {
        config.opt_level = OptLevel::None;
    }
    if options.debug_info {
        config.debug_info = DebugInfo::Full;
    }
    Module::compile(wasm, &config)
}

#[cfg(feature = "compiler")]
pub fn validate(wasm: &[u8]) -> Result<(), Error> {
    let mut validator = wasmparser::Validator::new_with_features(aot_compiler::default_features());
    match validator.validate_all(wasm) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::Usage(format!("the module is invalid: {error}"))),
    }
}

#[cfg(feature = "compiler")]
fn parse_text(text: &[u8]) -> Result<Vec<u8>, Error> {
    Ok(aot_compiler::parse_text(text, "module").map_err(Error::Compile)?.into_owned())
}

#[cfg(not(feature = "compiler"))]
pub fn compile(_wasm: &[u8], _options: CompileOptions) -> Result<Module, Error> {
    Err(Error::Usage(NO_COMPILER.to_owned()))
}

#[cfg(not(feature = "compiler"))]
pub fn validate(_wasm: &[u8]) -> Result<(), Error> {
    Err(Error::Usage(NO_COMPILER.to_owned()))
}

#[cfg(not(feature = "compiler"))]
fn parse_text(_text: &[u8]) -> Result<Vec<u8>, Error> {
    Err(Error::Usage(NO_COMPILER.to_owned()))
}

#[unsafe(no_mangle)]
extern "C" fn aot_has_compiler() -> bool {
    cfg!(feature = "compiler")
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_wat2wasm(text: *const c_char, size: usize, out: *mut ByteVec) -> bool {
    // SAFETY: C vouches for its pointers.
    let text = unsafe { vec::slice(text.cast::<u8>(), size) };
    let wasm = error::noted(parse_text(text));
    // SAFETY: as above.
    unsafe { out.write(wasm.as_ref().map_or(CVec::empty(), |wasm| CVec::from_iter(wasm.iter().copied()))) };
    wasm.is_some()
}
