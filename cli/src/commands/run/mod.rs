//! `aot run`: a module → an executable in memory, which takes the place of this process. Images, and modules that are to be
//! stopped, run in this process.

mod image;

use super::build::{self, ExecutableParts};
use crate::args::{self, CapabilityArgs, CompileArgs, CpuArgs};
use crate::cache::{Artifact, Cache, CacheArgs};
use crate::file_kind::FileKind;
use crate::input;
use crate::program::{LibraryArg, Program};
use crate::progress::Shown;
use crate::report::{Failure, Result, nearest};
use aot_compiler::{Config, Strip};
use aot_runtime::embed::ProfilingStrategy;
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

const EXAMPLES: &str = "\
Examples:
  aot run app.wasm one two              arguments after the file are the program's
  aot app.wasm one two                  the same
  aot run --dir . --env LANG=C app.wasm
  aot run --invoke add math.wat 2 3     call an exported function, print its results
  aot run --preload math=math.wasm app.wasm
                                        with a library that app.wasm imports
  aot run -W timeout=10s app.wasm       stop it if it takes longer
  aot run --allow-precompiled app.cwasm

The program is built for this machine and takes the place of `aot`: standard streams, signals and the exit code are \
its own. A trap prints a message with the functions that were running, and exits with 134.";

/// Build a module for this machine, and run it
#[derive(clap::Args)]
#[command(override_usage = "aot run [OPTIONS] <FILE> [ARGS]...", after_help = EXAMPLES)]
pub struct Args {
    /// Module in the binary or text format, `-` is standard input; what follows is for the program
    #[arg(value_name = "FILE", required = true, trailing_var_arg = true)]
    words: Vec<OsString>,

    /// Call this exported function instead of `_start`, with the arguments as its parameters
    #[arg(long, value_name = "NAME")]
    invoke: Option<String>,

    /// Run an image (`.cwasm`): whoever made it is trusted as if it were a program
    #[arg(long)]
    allow_precompiled: bool,

    /// Tell profilers the names of functions: by `/tmp/perf-PID.map` (`perfmap`), or with code and lines by `jit-PID.dump`
    /// (`jitdump`)
    #[arg(long, value_name = "STRATEGY", value_enum)]
    profile: Option<ProfileArg>,

    /// Link another module, from which FILE imports under the name NAME
    #[arg(long, value_name = "NAME=PATH", value_parser = OsStringValueParser::new().try_map(LibraryArg::parse))]
    preload: Vec<LibraryArg>,

    #[command(flatten)]
    compile: CompileArgs,

    #[command(flatten)]
    capabilities: CapabilityArgs,

    #[command(flatten)]
    cache: CacheArgs,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ProfileArg {
    #[value(name = "perfmap")]
    PerfMap,
    #[value(name = "jitdump")]
    JitDump,
}

pub fn run(mut args: Args) -> Result<()> {
    let program_args = args.words.split_off(1);
    let words = args.capabilities.words(&args.compile);
    let file = PathBuf::from(args.words.remove(0));
    let bytes = input::read(&file).map_err(|failure| perhaps_a_command(failure, &file))?;
    let options = image::Options {
        name: &file,
        args: program_args,
        words,
        invoke: args.invoke,
        stops: args.compile.stops(),
        has_wasi: args.compile.has_wasi(),
        unknown_imports_trap: args.compile.unknown_imports_trap(),
        debugger: args.compile.has_debug_info(),
        profiling: match args.profile {
            None => ProfilingStrategy::None,
            Some(ProfileArg::PerfMap) => ProfilingStrategy::PerfMap,
            Some(ProfileArg::JitDump) => ProfilingStrategy::JitDump,
        },
    };
    if FileKind::of(&bytes) == FileKind::Image {
        if !args.allow_precompiled {
            return Err(Failure::new(format!("`{}` is an image, which is run unchecked", file.display()))
                .with_help(
                    "`--allow-precompiled` runs it, if whoever made it is to be trusted as its author",
                ));
        }
        if !args.preload.is_empty() {
            return Err(Failure::new(format!(
                "nothing can be linked to `{}`, which is an image",
                file.display()
            ))
            .with_help("link the modules that it was made of: `aot link`"));
        }
        return image::run(&image::load(&bytes, &file)?, &options);
    }
    let program = Program::new(&file, input::module(&file, bytes)?, &args.preload, &[])?;
    // For this machine only: so for what its CPU has.
    let target = args::target(None, &CpuArgs { cpu: Some(String::from("native")), ..CpuArgs::default() })?;
    let mut config = args.compile.config(target);
    // What is built here is thrown away after one run; `aot build` and the tests verify.
    config.verify_clif = false;
    let cache = Cache::open(&args.cache, args.compile.cache());
    config.code_store = cache.code_store();
    // Profilers know no names of a program without a file.
    if config.interruptible || config.fuel || args.profile.is_some() {
        return run_here(&cache, &file, &program, config.into_image(), &options);
    }
    build::has_runtime(&config.target)?;
    let parts = ExecutableParts {
        words: options.words,
        sealed: false,
        pie: false,
        strip: Strip::None,
        invoke: options.invoke,
    };
    let key = parts.key(&cache, &program.key(), &config);
    let executable = match cache.get(&key) {
        Some(executable) => executable,
        None => {
            let shown = Shown::begin(&mut config);
            let module = program.compile(&config)?;
            drop(shown);
            let executable = build::link(&module, &config.target, &parts, &file)?;
            cache.put(&key, &executable);
            Artifact::Memory(executable)
        }
    };
    cache.finish(false);
    Err(execute(executable, &file, options.args))
}

/// Runs a module in this process, which can stop it, and describe it to profilers.
fn run_here(
    cache: &Cache,
    file: &Path,
    program: &Program,
    config: Config,
    options: &image::Options<'_>,
) -> Result<()> {
    let in_file = |error: aot_compiler::Error| Failure::compiler(&error, file);
    let key = cache.key("cwasm", &program.key(), &config, &[]);
    let unreadable = |error: io::Error| Failure::new(format!("cannot read an entry of the cache: {error}"));
    let bytes = match cache.get(&key) {
        Some(artifact) => artifact.into_bytes().map_err(unreadable)?,
        None => {
            let image = program.compile(&config)?.cwasm().map_err(in_file)?;
            cache.put(&key, &image);
            image
        }
    };
    cache.finish(false);
    image::run(&image::load(&bytes, file)?, options)
}

/// A misspelt command looks like a file that is not there.
fn perhaps_a_command(failure: Failure, file: &Path) -> Failure {
    let names = super::names();
    match file.to_str().and_then(|name| nearest(name, names.iter().map(String::as_str))) {
        Some(name) if !file.exists() => failure.with_help(format!("did you mean the command `aot {name}`?")),
        _ => failure,
    }
}

/// Replaces this process by the program; returns only if that fails.
fn execute(executable: Artifact, name: &Path, args: Vec<OsString>) -> Failure {
    let failure =
        |what: &str, error: &io::Error| Failure::new(format!("cannot start the program: {what}: {error}"));
    if let Artifact::Stored(found) = &executable {
        // It was checked, and this descriptor shows the same bytes. Where it cannot be executed, a copy can.
        start(found.file(), name, &args);
    }
    let executable = match executable.into_bytes() {
        Ok(executable) => executable,
        Err(error) => return failure("its code cannot be read", &error),
    };
    let file = match file_in_memory(&executable).or_else(|_| file_without_name(&executable)) {
        Ok(file) => file,
        Err(error) => return failure("no place for its code", &error),
    };
    failure("its file cannot be executed", &start(&file, name, &args))
        .with_help("`aot build` makes an executable that needs no /proc")
}

/// Replaces this process by the program of a file; returns only if that fails.
fn start(file: &File, name: &Path, args: &[OsString]) -> io::Error {
    // The descriptor closes when the program has started. The standard library gives it the default disposition of
    // SIGPIPE back, so that it starts like any program that a shell starts.
    Command::new(format!("/proc/self/fd/{}", file.as_raw_fd())).arg0(name).args(args).exec()
}

/// An executable file that is only in memory.
fn file_in_memory(bytes: &[u8]) -> io::Result<File> {
    let create = |flags| rustix::fs::memfd_create("aot", flags);
    let descriptor = match create(MemfdFlags::CLOEXEC | MemfdFlags::EXEC) {
        // Before Linux 6.3 every such file could be executed, and the flag was unknown.
        Err(Errno::INVAL) => create(MemfdFlags::CLOEXEC),
        result => result,
    }?;
    let mut file = File::from(descriptor);
    file.write_all(bytes)?;
    Ok(file)
}

/// An executable file that has lost its name already, for systems that forbid those in memory.
fn file_without_name(bytes: &[u8]) -> io::Result<File> {
    let path = std::env::temp_dir().join(format!(".aot-run-{}", process::id()));
    let mut writer = OpenOptions::new().write(true).create_new(true).mode(0o700).open(&path)?;
    // What is open for writing cannot be executed.
    let reader = writer.write_all(bytes).and_then(|()| File::open(&path));
    fs::remove_file(&path)?;
    reader
}
