//! Running an image in this process: the module of a file that was compiled already, or one that is to be stopped.

use crate::args::Stops;
use crate::report::{Failure, Result};
use aot_runtime::embed::wasi::{self, WasiCtx};
use aot_runtime::embed::{
    Engine, EngineConfig, Error, Func, FuncType, InterruptHandle, Linker, Module, ProfilingStrategy, Store,
    StoreLimits, Val, ValType,
};
use aot_runtime::options::{self, RunOptions};
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::ffi::{OsStrExt, OsStringExt as _};
use std::path::Path;
use std::process::exit;
use std::time::Duration;

/// Exit code after a trap: that of a process that aborts.
const TRAP: i32 = 134;

/// How an image is run.
pub struct Options<'a> {
    /// The program's name, its first argument.
    pub name: &'a Path,
    pub args: Vec<OsString>,
    /// Directories, environment and limits (`aot_runtime::options`).
    pub words: Vec<String>,
    /// The export to call in place of `_start`.
    pub invoke: Option<String>,
    pub stops: Stops,
    pub has_wasi: bool,
    pub unknown_imports_trap: bool,
    /// Whether debuggers are told of the module.
    pub debugger: bool,
    pub profiling: ProfilingStrategy,
}

/// Loads an image that is trusted: the user said so, it was compiled just now, or it is from the cache, which knows its
/// entries by a MAC of this user.
///
/// # Errors
/// If it is not whole, or not for this machine and version.
#[expect(unsafe_code, reason = "to load an image is to trust it")]
pub fn load(image: &[u8], name: &Path) -> Result<Module> {
    // SAFETY: the caller vouches for the image.
    let loaded = unsafe { Module::deserialize(image) };
    loaded.map_err(|error| Failure::new(error.of_file(name).to_string()))
}

/// Runs a module to its end, and ends the process with its exit code; returns only if it cannot be run.
///
/// # Errors
/// If the module cannot be instantiated, or has no such export.
pub fn run(module: &Module, options: &Options<'_>) -> Result<()> {
    let mut store = store(options)?;
    if let Some(timeout) = options.stops.timeout {
        interrupt_after(store.interrupt_handle(), timeout);
    }
    if let Some(fuel) = options.stops.fuel {
        if !module.counts_fuel() {
            return Err(Failure::new("the image was not built to count fuel")
                .with_help("build it with `-W fuel=N --emit cwasm`"));
        }
        store.set_fuel(fuel);
    }
    let mut linker = Linker::new();
    if options.has_wasi {
        wasi::add_to_linker(&mut linker, |ctx| ctx).map_err(|error| Failure::new(error.to_string()))?;
    }
    if options.unknown_imports_trap {
        let defined = linker.define_unknown_imports_as_traps(module);
        defined.map_err(|error| Failure::new(error.to_string()))?;
    }
    let instance = linker.instantiate(&mut store, module).or_else(end)?;
    let name = match &options.invoke {
        Some(name) => name,
        None => {
            if let Some(initialize) = instance.get_func(&store, "_initialize") {
                initialize.call(&mut store, &[], &mut []).or_else(end)?;
                exit(0);
            }
            "_start"
        }
    };
    let func = instance.get_func(&store, name).ok_or_else(|| {
        let failure = Failure::new(format!("the module exports no function `{name}`"));
        match options.invoke {
            Some(_) => failure,
            None => failure.with_help("`--invoke NAME` calls another one"),
        }
    })?;
    let ty = func.ty(&store).map_err(|error| Failure::new(error.to_string()))?;
    if options.invoke.is_none() && *ty != FuncType::default() {
        return Err(Failure::new("the export `_start` cannot be run: it has parameters or results"));
    }
    let args = match options.invoke {
        Some(_) => arguments(name, ty, &options.args)?,
        None => Vec::new(),
    };
    let results = call(&mut store, func, &args).or_else(end)?;
    if options.invoke.is_some() {
        let mut out = io::stdout().lock();
        for result in results {
            if writeln!(out, "{}", text(&result)).is_err() {
                return Err(Failure::new("cannot write the results to standard output"));
            }
        }
    }
    exit(0);
}

fn call(store: &mut Store<WasiCtx>, func: Func, args: &[Val]) -> Result<Vec<Val>, Error> {
    func.call_vec(store, args)
}

/// The store with its guest's capabilities and limits.
fn store(options: &Options<'_>) -> Result<Store<WasiCtx>> {
    let words: Vec<&[u8]> = options.words.iter().map(|word| word.as_bytes()).collect();
    let parsed = options::parse(words.iter().copied());
    let RunOptions { max_memory_size, max_wasm_stack, .. } =
        parsed.as_ref().map_err(|error| Failure::usage(String::from_utf8_lossy(&error.message())))?;
    let (debugger, profiling) = (options.debugger, options.profiling);
    let mut config = EngineConfig { debugger, profiling, ..EngineConfig::default() };
    if let Some(stack) = max_wasm_stack {
        config.max_wasm_stack = usize::try_from(*stack).unwrap_or(usize::MAX);
    }
    let limits = StoreLimits { memory_bytes: *max_memory_size, ..StoreLimits::default() };
    let name = options.name.as_os_str();
    let args: Vec<&[u8]> =
        std::iter::once(name).chain(options.args.iter().map(|arg| &**arg)).map(OsStrExt::as_bytes).collect();
    let environ: Vec<Vec<u8>> =
        std::env::vars_os().map(|(name, value)| [name.into_vec(), value.into_vec()].join(&b'=')).collect();
    let environ: Vec<&[u8]> = environ.iter().map(Vec::as_slice).collect();
    let run_options = parsed.as_ref().expect("looked at above");
    let ctx = aot_runtime::wasi::context_from_options(run_options, &args, &environ);
    let ctx = ctx.map_err(|error| Failure::new(String::from_utf8_lossy(&error.message())))?;
    let mut store = Store::new(&Engine::new(&config), ctx);
    store.set_limits(limits);
    Ok(store)
}

fn interrupt_after(handle: InterruptHandle, timeout: Duration) {
    std::thread::spawn(move || {
        std::thread::sleep(timeout);
        handle.interrupt();
    });
}

/// What the end of a guest that did not return is for the process.
fn end<T>(error: Error) -> Result<T> {
    match error {
        Error::Exit(status) => exit(status.cast_signed()),
        Error::Trap(trap) => {
            let mut text = format!("error: wasm trap: {}\n", trap.code().message());
            for (number, frame) in trap.frames().iter().enumerate() {
                let offset = match trap.wasm_offset() {
                    Some(offset) if number == 0 => format!(" (wasm offset {offset:#x})"),
                    _ => String::new(),
                };
                let mut lines = frame.to_string();
                lines.insert_str(lines.find('\n').unwrap_or(lines.len()), &offset);
                text += &format!("   {number}: {lines}\n");
            }
            // A closed standard error is no reason to end otherwise.
            drop(io::stderr().write_all(text.as_bytes()));
            exit(TRAP);
        }
        Error::Host(error) => {
            drop(writeln!(io::stderr(), "error: {error}"));
            exit(TRAP);
        }
        other => Err(Failure::new(other.to_string())),
    }
}

/// The arguments of a call, from words.
fn arguments(name: &str, ty: &FuncType, words: &[OsString]) -> Result<Vec<Val>> {
    if words.len() != ty.params.len() {
        return Err(Failure::new(format!(
            "`{name}` takes {} arguments, and {} were given",
            ty.params.len(),
            words.len()
        )));
    }
    let parse = |(word, ty): (&OsString, &ValType)| {
        let value = word.to_str().and_then(|word| value(word, *ty));
        value.ok_or_else(|| {
            Failure::new(format!("`{}` is not a value of type {}", word.to_string_lossy(), ty.name()))
        })
    };
    words.iter().zip(&ty.params).map(parse).collect()
}

fn value(word: &str, ty: ValType) -> Option<Val> {
    let integer = || {
        let (sign, digits) = match word.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, word),
        };
        let magnitude = match digits.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => digits.parse(),
        };
        Some(i128::from(magnitude.ok()?) * sign)
    };
    match ty {
        ValType::I32 => {
            let value = integer().filter(|value| (i128::from(i32::MIN)..1 << 32).contains(value))?;
            Some(Val::I32(value as i32))
        }
        ValType::I64 => {
            let value = integer().filter(|value| (i128::from(i64::MIN)..1 << 64).contains(value))?;
            Some(Val::I64(value as i64))
        }
        ValType::F32 => word.parse::<f32>().ok().map(Val::from),
        ValType::F64 => word.parse::<f64>().ok().map(Val::from),
        ValType::V128 | ValType::FuncRef | ValType::ExternRef => None,
    }
}

/// A result as executables print it.
fn text(value: &Val) -> String {
    match value {
        Val::I32(value) => value.to_string(),
        Val::I64(value) => value.to_string(),
        Val::F32(bits) => f32::from_bits(*bits).to_string(),
        Val::F64(bits) => f64::from_bits(*bits).to_string(),
        Val::V128(vector) => format!("{:#034x}", u128::from_le_bytes(vector.0)),
        Val::FuncRef(_) => String::from("<funcref>"),
        Val::ExternRef(_) => String::from("<externref>"),
    }
}
