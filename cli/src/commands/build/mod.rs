//! `aot build`: a module → executable, object, image, CLIF or assembly.

mod outputs;

use self::outputs::{Emit, Kind, outputs};
use crate::args::{self, CapabilityArgs, CompileArgs, CpuArgs, ProfileArgs};
use crate::cache::{Artifact, Cache, CacheArgs};
use crate::output;
use crate::program::{LibraryArg, Program};
use crate::progress::Shown;
use crate::report::{self, Failure, Result};
use aot_cache::Key;
use aot_compiler::{
    CompiledModule, Config, DebugInfo, Entry, LinkOptions, Model, ProfileFit, Share, Split, Strip, Target,
};
use clap::ValueEnum;
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

/// A profile of which less is of the program, in percent, is of another one, or of one that has changed much.
const MIN_FIT: u8 = 50;

const EXAMPLES: &str = "\
Examples:
  aot build app.wasm                          ./app, a static executable
  aot build app.wat -o bin/app --strip all    a small one, elsewhere
  aot build app.wasm --dir data::/data --sealed
                                              with a directory, and no other way to get one
  aot build app.wasm --emit obj               ./app.o, for a linker
  aot build lib.wasm --emit obj,header        ./lib.o and ./lib.h, for a C program
  aot build app.wasm --emit cwasm             ./app.cwasm, an image for a host program to load
  aot build app.wasm --emit exe --emit asm=-  the executable, and its assembly on standard output

An executable is started like any program; all its arguments are the program's. \
What it may use is fixed when it is built (`--dir`, `--env`, `-W`, `-S`). When it starts, the environment variable \
AOT_RUN can hold more of the same flags, unless it was built with `--sealed`.";

/// Make a native executable, object or image of a module
#[derive(clap::Args)]
#[command(visible_alias = "compile", after_help = EXAMPLES)]
pub struct Args {
    /// Module in the binary or text format; `-` is standard input
    #[arg(value_name = "IN")]
    input: PathBuf,

    #[command(flatten)]
    options: Options,
}

/// What to make, and how: the same for one module and for several that are linked.
#[derive(clap::Args)]
pub struct Options {
    /// Where the result goes; `-` is standard output [default: the name of IN, with the extension of the result, in
    /// the current directory]
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,

    /// What to make, separated by commas or given several times: `exe`, `obj`, `cwasm`, `header`, `lib`, `shared`, `clif`,
    /// `asm`, or `wasm` (`aot link`). With one of `header`, `lib` and `shared`, all are for C programs that call the
    /// module [default: exe]
    #[arg(
        long,
        value_name = "KIND[=PATH]",
        value_delimiter = ',',
        value_parser = OsStringValueParser::new().try_map(Emit::parse)
    )]
    emit: Vec<Emit>,

    /// What names in C start with [default: the name of IN]
    #[arg(long, value_name = "NAME")]
    prefix: Option<String>,

    /// What to leave out of executables, objects and images
    #[arg(long, value_enum, default_value_t = StripArg::None)]
    strip: StripArg,

    /// Put the executable's debug information into a file of its own, where debuggers find it by the name and a
    /// build id
    #[arg(long, value_name = "FILE")]
    split_debug: Option<PathBuf>,

    /// Make an executable that the system maps at another address each time. Its code is of the instance model, which is
    /// slower
    #[arg(long)]
    pie: bool,

    /// Say what is done, and how long it takes
    #[arg(short, long)]
    verbose: bool,

    /// Machine that the code is for; `aot targets` lists them [default: this one]
    #[arg(long, value_name = "TARGET", help_heading = "Compilation")]
    target: Option<String>,

    #[command(flatten)]
    cpu: CpuArgs,

    #[command(flatten)]
    compile: CompileArgs,

    #[command(flatten)]
    profile: ProfileArgs,

    #[command(flatten)]
    capabilities: CapabilityArgs,

    #[command(flatten)]
    cache: CacheArgs,

    /// Make nothing, but compile the K-th of N shares of the functions into the cache, for a build that finds them there
    #[arg(long, value_name = "K/N", help_heading = "Cache", value_parser = share)]
    shard: Option<Share>,

    /// Ignore AOT_RUN when the executable starts, and AOT_PROFILE_FILE when it ends
    #[arg(long, help_heading = "Capabilities")]
    sealed: bool,
}

/// What `--strip` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StripArg {
    /// Keep symbols and debug information
    None,
    /// Drop debug information
    Debug,
    /// Drop the symbols of executables too; traps still name functions
    All,
}

/// One of several shares of a module: `1/4` to `4/4`.
fn share(text: &str) -> Result<Share, String> {
    let parts =
        text.split_once('/').and_then(|(k, n)| Some((k.parse::<u32>().ok()?, n.parse::<u32>().ok()?)));
    match parts {
        Some((k, n)) if (1..=n).contains(&k) => Ok(Share { index: k - 1, count: n }),
        _ => Err(String::from("write K/N, from 1/N to N/N")),
    }
}

/// What code is made for: each has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// The one program of a process.
    Program,
    /// To be linked to other code, at any address.
    Object,
    /// To be linked to a C program that calls it.
    Library,
    /// To be mapped by a host program that gives it its imports.
    Image,
}

impl Form {
    /// The options for code of this form.
    fn config(self, config: &Config, prefix: &str) -> Config {
        let config = config.clone();
        match self {
            Form::Library => args::library(config, prefix.to_owned()),
            Form::Program => config,
            Form::Object => Config { model: Model::Instance, ..config },
            Form::Image => config.into_image(),
        }
    }
}

/// Tells on standard error what is done, if asked for.
struct Progress {
    verbose: bool,
    since: Instant,
}

impl Progress {
    fn done(&mut self, what: &str) {
        self.note(&format!("{what} in {:.1} ms", self.since.elapsed().as_secs_f64() * 1000.0));
        self.since = Instant::now();
    }

    fn note(&self, text: &str) {
        if self.verbose {
            // Nobody listens: nothing is lost.
            drop(io::stderr().write_all(report::printable(&format!("{text}\n")).as_bytes()));
        }
    }
}

pub fn run(args: &Args) -> Result<()> {
    make(&args.input, &[], &[], &args.options)
}

/// Makes all that was asked for of a module and the libraries that are linked to it.
pub fn make(input: &Path, libraries: &[LibraryArg], reexport: &[String], args: &Options) -> Result<()> {
    let target = args::target(args.target.as_deref(), &args.cpu)?;
    let inputs: Vec<&Path> = [input].into_iter().chain(libraries.iter().map(LibraryArg::path)).collect();
    let outputs = outputs(&inputs, args.output.as_deref(), &args.emit)?;
    let has = |kind| outputs.iter().any(|(other, _)| *other == kind);
    if has(Kind::Module) && libraries.is_empty() {
        return Err(Failure::usage(
            "`--emit wasm` is the module that `aot link` makes, and here is only one",
        ));
    }
    if let Some(file) = &args.split_debug
        && (file.file_name().is_none() || outputs.iter().any(|(_, path)| path == file))
    {
        return Err(Failure::usage(format!("debug information cannot go to `{}`", file.display()))
            .with_help("`--split-debug` names a file of its own, such as `app.debug`"));
    }
    if !has(Kind::Executable) {
        for (given, flag) in [
            (args.sealed, "--sealed"),
            (args.split_debug.is_some(), "--split-debug"),
            (!args.capabilities.is_empty(), "--dir and --env"),
            (args.pie, "--pie"),
        ] {
            if given {
                return Err(Failure::usage(format!("only executables know {flag}, and none is made"))
                    .with_help("add `--emit exe`"));
            }
        }
    }
    if has(Kind::Executable) {
        has_runtime(&target)?;
    }
    let executable_parts = match has(Kind::Executable) {
        true => Some(ExecutableParts {
            words: args.capabilities.words(&args.compile),
            invoke: None,
            sealed: args.sealed,
            pie: args.pie,
            strip: match args.strip {
                StripArg::None => Strip::None,
                StripArg::Debug => Strip::Debug,
                StripArg::All => Strip::All,
            },
        }),
        false => None,
    };

    let mut progress = Progress { verbose: args.verbose, since: Instant::now() };
    let program = Program::read(input, libraries, reexport)?;
    progress.done(&format!("read {} bytes", program.len()));
    if let Some(note) = program.note() {
        progress.note(note);
    }
    let mut config =
        Config { keep_clif: has(Kind::Clif), keep_asm: has(Kind::Assembly), ..args.compile.config(target) };
    if args.strip != StripArg::None && args.split_debug.is_none() {
        config.debug_info = DebugInfo::None;
    }
    config.profile_to = args.profile.generate()?;
    config.profile = args.profile.read()?;
    if args.pie {
        if args.compile.asks_for_static_model() {
            return Err(Failure::usage(
                "code of the static model has its addresses in it, which `--pie` leaves open",
            ));
        }
        config.model = Model::Instance;
    }
    if !config.target.has_executables() {
        // Its addresses are those of executables.
        config.model = Model::Instance;
    }
    let is_library = args.prefix.is_some() || outputs.iter().any(|(kind, _)| kind.is_of_library());
    let prefix = match &args.prefix {
        Some(prefix) => prefix.clone(),
        None => prefix_of(input),
    };
    let object_form = if is_library { Form::Library } else { Form::Object };
    let in_file = |error: aot_compiler::Error| Failure::compiler(&error, input);
    let cache = Cache::open(&args.cache, args.compile.cache());
    config.code_store = cache.code_store();
    let program_key = program.key();
    let model = config.model;
    let form = move |kind| match kind {
        Kind::Object => object_form,
        Kind::Header | Kind::StaticLibrary | Kind::SharedLibrary => Form::Library,
        Kind::Module => Form::Program,
        Kind::Image => Form::Image,
        // What is shown is the code of the executable, unless only something else is made.
        Kind::Clif | Kind::Assembly if is_library && !has(Kind::Executable) => Form::Library,
        Kind::Clif | Kind::Assembly if has(Kind::Image) && !has(Kind::Executable) => Form::Image,
        // An executable of the instance model is an object that is linked.
        Kind::Executable | Kind::Clif | Kind::Assembly if model == Model::Instance => Form::Object,
        Kind::Executable | Kind::Clif | Kind::Assembly => Form::Program,
    };
    if let Some(share) = args.shard {
        let mut forms: Vec<Form> = Vec::new();
        for (kind, _) in outputs.iter().filter(|(kind, _)| *kind != Kind::Module) {
            if !forms.contains(&form(*kind)) {
                forms.push(form(*kind));
            }
        }
        for form in forms {
            let shown = Shown::begin(&mut config);
            let result = program.compile_share(&form.config(&config, &prefix), share)?;
            drop(shown);
            progress.done(&format!(
                "compiled {} of the {} functions of this share, of {} in all,",
                result.compiled, result.own, result.functions
            ));
        }
        cache.finish(args.verbose);
        return Ok(());
    }
    let cached: Vec<_> = outputs
        .iter()
        .map(|(kind, _)| {
            let key = |name, form: Form| cache.key(name, &program_key, &form.config(&config, &prefix), &[]);
            let key = match (kind, &executable_parts) {
                (Kind::Object, _) => key("obj", object_form),
                (Kind::Header, _) => key("header", Form::Library),
                (Kind::StaticLibrary, _) => key("lib", Form::Library),
                (Kind::SharedLibrary, _) => key("shared", Form::Library),
                (Kind::Image, _) => key("cwasm", Form::Image),
                (Kind::Executable, Some(parts)) if args.split_debug.is_none() => {
                    parts.key(&cache, &program_key, &config)
                }
                _ => None,
            };
            let found = cache.get(&key);
            (key, found)
        })
        .collect();
    if !libraries.is_empty() && cached.iter().any(|(_, found)| found.is_none()) {
        let module = program.module(&config)?;
        progress.done(&format!("linked {} modules into one of {} bytes", inputs.len(), module.len()));
    }
    let mut compiled: Vec<(Form, CompiledModule)> = Vec::new();
    for ((kind, _), (_, found)) in outputs.iter().zip(&cached) {
        let form = form(*kind);
        if *kind == Kind::Module || found.is_some() || compiled.iter().any(|(other, _)| *other == form) {
            continue;
        }
        let shown = Shown::begin(&mut config);
        let module = program.compile(&form.config(&config, &prefix))?;
        drop(shown);
        let found = match module.reused_count() {
            0 => String::new(),
            count => format!(", {count} of them from the cache,"),
        };
        progress.done(&format!(
            "compiled {} functions ({} model){found}",
            module.function_count(),
            name(module.model())
        ));
        if config.profile.is_some() {
            let ProfileFit { functions, percent } = module.profile_fit();
            progress
                .done(&format!("of which the profile knows {functions} (with {percent} % of its counts)"));
            if functions == 0 {
                report::warn("the profile knows none of the functions: it is of another program");
            } else if percent < MIN_FIT {
                report::warn(&format!(
                    "only {percent} % of what the profile counted is of this program: make a new one with `--profile-generate`"
                ));
            }
        }
        compiled.push((form, module));
    }

    // Everything is made before anything is written: a failed build leaves nothing behind.
    let mut results = Vec::new();
    for ((kind, path), (key, found)) in outputs.iter().zip(cached) {
        if let Some(artifact) = found {
            progress.done(&format!("found `{}` in the cache", path.display()));
            results.push((*kind, path, artifact, None));
            continue;
        }
        if *kind == Kind::Module {
            let module = program.module(&config)?;
            let module = match args.strip {
                StripArg::None => module.to_vec(),
                StripArg::Debug | StripArg::All => {
                    aot_compiler::debug::without_debug_info(module).map_err(in_file)?
                }
            };
            results.push((*kind, path, Artifact::Memory(module), None));
            continue;
        }
        let module = compiled.iter().find(|(other, _)| *other == form(*kind)).map(|(_, module)| module);
        let module = module.expect("compiled for every kind of result that was not found");
        let bytes = match kind {
            Kind::Module => unreachable!("it is not compiled"),
            Kind::Object => module.object().map_err(in_file)?,
            Kind::Header => module.header().expect("compiled as a library").into_bytes(),
            Kind::StaticLibrary => {
                aot_compiler::static_library(&module.object().map_err(in_file)?, &runtime(&config.target)?)
                    .map_err(in_file)?
            }
            Kind::SharedLibrary => {
                let runtime = runtime(&config.target)?;
                let object = module.object().map_err(in_file)?;
                aot_compiler::shared_library(object, &runtime, &config.target, &prefix).map_err(in_file)?
            }
            Kind::Image => module.cwasm().map_err(in_file)?,
            Kind::Clif => module.clif().as_bytes().to_vec(),
            Kind::Assembly => module.asm().as_bytes().to_vec(),
            Kind::Executable => {
                let parts = executable_parts.as_ref().expect("made when an executable is asked for");
                if let Some(file) = &args.split_debug {
                    let name = file.file_name().unwrap_or_default();
                    let split = link_split(module, &config.target, parts, name, input)?;
                    progress.done("linked, and debug information put aside");
                    results.push((Kind::Object, file, Artifact::Memory(split.debug), None));
                    results.push((*kind, path, Artifact::Memory(split.executable), None));
                    continue;
                }
                let bytes = link(module, &config.target, parts, input)?;
                progress.done("linked");
                bytes
            }
        };
        results.push((*kind, path, Artifact::Memory(bytes), key));
    }
    for (kind, path, artifact, key) in &results {
        thread::scope(|scope| {
            if let Artifact::Memory(bytes) = artifact {
                scope.spawn(|| cache.put(key, bytes));
            }
            output::write_artifact(path, artifact, kind.content())
        })?;
        progress.done(&format!("wrote `{}`, {} bytes,", path.display(), artifact.size()));
    }
    cache.finish(args.verbose);
    // The process ends. To give back the memory piece by piece would take longer than to write a result.
    std::mem::forget((compiled, program, results));
    Ok(())
}

/// What names in C start with, if nothing else is said.
fn prefix_of(input: &Path) -> String {
    let stem = input.file_stem().unwrap_or_default().to_string_lossy();
    let plain = |char: char| if char.is_ascii_alphanumeric() { char } else { '_' };
    let prefix: String = stem.chars().map(plain).collect();
    match prefix.as_bytes().first() {
        Some(first) if !first.is_ascii_digit() && prefix != "aot" => prefix,
        _ => format!("_{prefix}"),
    }
}

fn name(model: Model) -> &'static str {
    match model {
        Model::Static => "static",
        Model::Instance => "instance",
    }
}

/// What an executable has beside the module.
pub struct ExecutableParts {
    /// Words of the run options.
    pub words: Vec<String>,
    pub sealed: bool,
    /// Whether the kernel may map it anywhere.
    pub pie: bool,
    pub strip: Strip,
    /// The export to call instead of `_start`.
    pub invoke: Option<String>,
}

impl ExecutableParts {
    /// The key of the executable in the cache.
    pub fn key(&self, cache: &Cache, wasm: &[u8], config: &Config) -> Option<Key> {
        let rest = [
            ("options", self.words.join("\0")),
            ("sealed", self.sealed.to_string()),
            ("pie", self.pie.to_string()),
            ("strip", format!("{:?}", self.strip)),
            ("entry", format!("{:?}", self.invoke)),
        ];
        cache.key("exe", wasm, config, &rest)
    }
}

/// The runtime library of a target.
pub fn runtime(target: &Target) -> Result<Vec<u8>> {
    has_runtime(target)?;
    Ok(aot_runtime_archive::runtime(&target.name()).expect("it is one of those that are there"))
}

/// Whether there is a runtime library for a target. To unpack it takes longer than all that a start from the cache does.
pub fn has_runtime(target: &Target) -> Result<()> {
    let name = target.name();
    if !target.has_executables() {
        let message = format!(
            "executables for {name} cannot be made: the runtime library, which they consist of beside the \
             module, is for Linux"
        );
        let help = format!("`--emit obj` makes an object, for {}'s own linker", target.system());
        return Err(Failure::new(message).with_help(help));
    }
    if aot_runtime_archive::available().contains(&&*name) {
        return Ok(());
    }
    let message = format!("this aot has no runtime library for {name}, so it cannot make executables for it");
    let missing = aot_runtime_archive::missing().iter().find(|(target, _)| *target == name);
    let remedy = missing.map_or("`aot targets` says what can be made", |(_, remedy)| *remedy);
    Err(Failure::new(message).with_help(format!("{remedy}; `--emit obj` needs no runtime library")))
}

/// Links the executable of the module of a file.
pub fn link(
    module: &CompiledModule,
    target: &Target,
    parts: &ExecutableParts,
    file: &Path,
) -> Result<Vec<u8>> {
    let link_options = LinkOptions { strip: parts.strip, pie: parts.pie };
    with_objects(module, target, parts, file, |objects, runtime| {
        aot_compiler::link_executable(objects, runtime, target, &link_options)
    })
}

/// Links an executable, and puts its debug information aside. `name` is that of the file that it goes to.
fn link_split(
    module: &CompiledModule,
    target: &Target,
    parts: &ExecutableParts,
    name: &OsStr,
    file: &Path,
) -> Result<Split> {
    with_objects(module, target, parts, file, |objects, runtime| {
        let link_options = LinkOptions { strip: parts.strip, pie: parts.pie };
        aot_compiler::link_split(objects, runtime, target, &link_options, name.as_bytes())
    })
}

/// Makes what an executable is linked from.
fn with_objects<T>(
    module: &CompiledModule,
    target: &Target,
    parts: &ExecutableParts,
    file: &Path,
    link: impl FnOnce(Vec<Vec<u8>>, Vec<u8>) -> aot_compiler::Result<T>,
) -> Result<T> {
    let runtime = runtime(target)?;
    let linked = || {
        let object = module.object()?;
        let options = aot_compiler::options_object(&parts.words, parts.sealed, target)?;
        let runs = parts.invoke.as_deref().map_or(Entry::Command, Entry::Invoke);
        let entry = aot_compiler::entry_object(runs, target)?;
        link(vec![object, options, entry], runtime)
    };
    linked().map_err(|error| Failure::compiler(&error, file))
}
