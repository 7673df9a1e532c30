//! The peer: compiles a module with wasmtime, and runs what it compiled as a WASI preview 1 command.
//!
//! It does what the command `wasmtime` does with `compile`, `run --allow-precompiled`, and `run -C cache=y`, with the
//! same defaults, and nothing that the measurement doesn't need.

use std::path::Path;
use std::process::ExitCode;

use wasmtime::error::{Context as _, bail, format_err};
use wasmtime::{Cache, CacheConfig, Config, Engine, Linker, Module, Result, Store};
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtxBuilder};

const USAGE: &str = "\
wasmtime-peer compile baseline|native IN.wasm OUT.cwasm
wasmtime-peer run [--dir HOST::GUEST]… [--env NAME=VALUE]… FILE.cwasm [ARGS…]
wasmtime-peer run-cached CACHE [--dir HOST::GUEST]… [--env NAME=VALUE]… FILE.wasm [ARGS…]
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args.as_slice() {
        ["compile", cpu, input, output] => {
            compile(cpu, Path::new(input), Path::new(output)).map(|()| ExitCode::SUCCESS)
        }
        ["run", rest @ ..] => run(rest, None),
        ["run-cached", cache, rest @ ..] => run(rest, Some(Path::new(cache))),
        _ => Err(format_err!("usage:\n{USAGE}")),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:?}");
        ExitCode::from(134)
    })
}

/// Reads a module, writes the image for [`run`].
fn compile(cpu: &str, input: &Path, output: &Path) -> Result<()> {
    let mut config = Config::new();
    match cpu {
        // A target that is named gets no feature of the machine that it is compiled on.
        "baseline" => drop(config.target(&format!("{}-unknown-linux-gnu", std::env::consts::ARCH))?),
        "native" => {}
        other => bail!("unknown CPU `{other}`"),
    }
    let engine = Engine::new(&config)?;
    let wasm = std::fs::read(input).with_context(|| format!("can't read {}", input.display()))?;
    let image = engine.precompile_module(&wasm)?;
    std::fs::write(output, image).with_context(|| format!("can't write {}", output.display()))?;
    Ok(())
}

/// Maps an image and runs it to its end; or a module, whose image is looked for in a directory. Gives the program's exit
/// code.
fn run(args: &[&str], cache: Option<&Path>) -> Result<ExitCode> {
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

    let mut config = Config::new();
    if let Some(directory) = cache {
        let mut settings = CacheConfig::new();
        settings.with_directory(directory);
        config.cache(Some(Cache::new(settings)?));
    }
    let engine = Engine::new(&config)?;
    let module = match cache {
        Some(_) => Module::from_file(&engine, image)?,
        // SAFETY: `compile` above has written the file, and nobody else writes to the harness's directory.
        None => unsafe { Module::deserialize_file(&engine, image) }?,
    };
    let mut linker: Linker<WasiP1Ctx> = Linker::new(&engine);
    p1::add_to_linker_sync(&mut linker, |wasi| wasi)?;
    let mut store = Store::new(&engine, wasi.build_p1());
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
