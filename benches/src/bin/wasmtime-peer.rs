//! The peer: compiles a module with wasmtime, and runs what it compiled as a WASI preview 1 command.
//!
//! It does what the command `wasmtime` does with `compile`, `run --allow-precompiled`, and `run -C cache=y`, with the
//! same defaults, and nothing that the measurement doesn't need. Without the feature `peer` it only runs.

#[cfg(feature = "peer")]
use std::path::Path;
use std::process::ExitCode;

use wasmtime::error::{Context as _, bail, format_err};
use wasmtime::{Engine, Linker, Module, Result, Store};
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtxBuilder};

const USAGE: &str = "\
wasmtime-peer compile baseline|native|TRIPLE IN.wasm OUT.cwasm
wasmtime-peer run [--dir HOST::GUEST]… [--env NAME=VALUE]… FILE.cwasm [ARGS…]
wasmtime-peer run-cached CACHE [--dir HOST::GUEST]… [--env NAME=VALUE]… FILE.wasm [ARGS…]
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args.as_slice() {
        #[cfg(feature = "peer")]
        ["compile", cpu, input, output] => {
            compiler::compile(cpu, Path::new(input), Path::new(output)).map(|()| ExitCode::SUCCESS)
        }
        ["run", rest @ ..] => run(rest, |image| {
            // SAFETY: `compile` has written the file, and nobody else writes to the harness's directory.
            unsafe { Module::deserialize_file(&Engine::default(), image) }
        }),
        #[cfg(feature = "peer")]
        ["run-cached", cache, rest @ ..] => {
            run(rest, |module| compiler::load_or_compile(module, Path::new(cache)))
        }
        _ => Err(format_err!("usage:\n{USAGE}")),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:?}");
        ExitCode::from(134)
    })
}

#[cfg(feature = "peer")]
mod compiler {
    use std::path::Path;

    use wasmtime::error::Context as _;
    use wasmtime::{Cache, CacheConfig, Config, Engine, Module, Result};

    /// Reads a module, writes the image for [`run`](super::run).
    pub fn compile(cpu: &str, input: &Path, output: &Path) -> Result<()> {
        let mut config = Config::new();
        // A target that is named gets no feature of the machine that it is compiled on.
        match cpu {
            "baseline" => drop(config.target(&format!("{}-unknown-linux-gnu", std::env::consts::ARCH))?),
            "native" => {}
            triple => drop(config.target(triple)?),
        }
        let engine = Engine::new(&config)?;
        let wasm = std::fs::read(input).with_context(|| format!("can't read {}", input.display()))?;
        let image = engine.precompile_module(&wasm)?;
        std::fs::write(output, image).with_context(|| format!("can't write {}", output.display()))?;
        Ok(())
    }

    /// Looks for a module's image in a directory, and compiles the module if it isn't there.
    pub fn load_or_compile(module: &str, cache: &Path) -> Result<Module> {
        let mut settings = CacheConfig::new();
        settings.with_directory(cache);
        let mut config = Config::new();
        config.cache(Some(Cache::new(settings)?));
        Module::from_file(&Engine::new(&config)?, module)
    }
}

/// Loads a program and runs it to its end. Gives its exit code.
fn run(args: &[&str], load: impl FnOnce(&str) -> Result<Module>) -> Result<ExitCode> {
    let mut wasi = WasiCtxBuilder::new();
    wasi.inherit_stdio().allow_blocking_current_thread(true);
    let mut rest = args;
    let (image, arguments) = loop {
        match rest {
            ["--dir", dir, after @ ..] => {
                let (host, guest) = dir.split_once("::").context("write HOST::GUEST")?;
                wasi.preopened_dir(host, guest, FsPerms::ReadWrite)?;
                rest = after;
            }
            ["--env", variable, after @ ..] => {
                let (name, value) = variable.split_once('=').context("write NAME=VALUE")?;
                wasi.env(name, value);
                rest = after;
            }
            [image, arguments @ ..] => break (*image, arguments),
            [] => bail!("usage:\n{USAGE}"),
        }
    };
    wasi.arg(image).args(arguments);

    let module = load(image)?;
    let engine = module.engine();
    let mut linker: Linker<WasiP1Ctx> = Linker::new(engine);
    p1::add_to_linker_sync(&mut linker, |wasi| wasi)?;
    let mut store = Store::new(engine, wasi.build_p1());
    let instance = linker.instantiate(&mut store, &module)?;
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
    match start.call(&mut store, ()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => match error.downcast_ref::<I32Exit>() {
            Some(exit) => Ok(ExitCode::from(u8::try_from(exit.0).unwrap_or(1))),
            None => Err(error),
        },
    }
}
