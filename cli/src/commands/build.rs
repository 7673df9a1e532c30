//! `aot build`: a module → executable, object, image, CLIF or assembly.

use crate::args::{self, CapabilityArgs, CompileArgs, CpuArgs};
use crate::cache::{Cache, CacheArgs};
use crate::output::{self, Content};
use crate::program::{LibraryArg, Program};
use crate::report::{self, Failure, Result, nearest};
use aot_cache::Key;
use aot_compiler::{CompiledModule, Config, Entry, LinkOptions, Model, Strip, Target};
use clap::ValueEnum;
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

const EXAMPLES: &str = "\
Examples:
  aot build app.wasm                          ./app, a static executable
  aot build app.wat -o bin/app --strip all    a small one, elsewhere
  aot build app.wasm --dir data::/data --sealed
                                              with a directory, and no other way to get one
  aot build app.wasm --emit obj               ./app.o, for a linker
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

    /// What to make: `exe`, `obj`, `cwasm`, `clif`, `asm`, or `wasm` (`aot link`); can be given several times [default: exe]
    #[arg(long, value_name = "KIND[=PATH]", value_parser = OsStringValueParser::new().try_map(Emit::parse))]
    emit: Vec<Emit>,

    /// What to leave out of the executable
    #[arg(long, value_enum, default_value_t = StripArg::None)]
    strip: StripArg,

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
    capabilities: CapabilityArgs,

    #[command(flatten)]
    cache: CacheArgs,

    /// Ignore AOT_RUN when the executable starts
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
    /// Drop symbols too; traps still name functions
    All,
}

/// What can be made of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Executable,
    Object,
    Image,
    Clif,
    Assembly,
    /// What several modules are when they are linked.
    Module,
}

/// What code is made for: each has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// The one program of a process.
    Program,
    /// To be linked to other code, at any address.
    Object,
    /// To be mapped by a host program that gives it its imports.
    Image,
}

impl Form {
    /// The options for code of this form.
    fn config(self, config: &Config) -> Config {
        let config = config.clone();
        match self {
            Form::Program => config,
            Form::Object => Config { model: Model::Instance, ..config },
            Form::Image => config.into_image(),
        }
    }
}

impl Kind {
    const NAMES: [(&str, Kind); 6] = [
        ("exe", Kind::Executable),
        ("obj", Kind::Object),
        ("cwasm", Kind::Image),
        ("clif", Kind::Clif),
        ("asm", Kind::Assembly),
        ("wasm", Kind::Module),
    ];

    fn extension(self) -> &'static str {
        match self {
            Kind::Executable => "",
            Kind::Object => "o",
            Kind::Image => "cwasm",
            Kind::Clif => "clif",
            Kind::Assembly => "s",
            Kind::Module => "wasm",
        }
    }

    fn content(self) -> Content {
        match self {
            Kind::Executable => Content::Executable,
            Kind::Object | Kind::Image | Kind::Module => Content::Binary,
            Kind::Clif | Kind::Assembly => Content::Text,
        }
    }
}

/// One `--emit`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Emit {
    kind: Kind,
    path: Option<PathBuf>,
}

impl Emit {
    fn parse(text: OsString) -> Result<Emit, String> {
        let (name, path) = match report::split_once(&text, '=') {
            Some((name, path)) => (name, Some(PathBuf::from(path))),
            None => (text.clone(), None),
        };
        let name = name.to_string_lossy();
        let Some((_, kind)) = Kind::NAMES.into_iter().find(|(known, _)| *known == name) else {
            let names = Kind::NAMES.map(|(name, _)| name);
            return Err(match nearest(&name, names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("it is one of {}", names.join(", ")),
            });
        };
        if path.as_deref().is_some_and(|path| path.as_os_str().is_empty()) {
            return Err(String::from("there is no path after `=`"));
        }
        Ok(Emit { kind, path })
    }
}

/// What to make and where to put it.
fn outputs(inputs: &[&Path], output: Option<&Path>, emit: &[Emit]) -> Result<Vec<(Kind, PathBuf)>> {
    let default = [Emit { kind: Kind::Executable, path: None }];
    let emit = if emit.is_empty() { &default } else { emit };
    let mut unnamed = output;
    let mut outputs: Vec<(Kind, PathBuf)> = Vec::new();
    for Emit { kind, path } in emit {
        let path = match (path, unnamed.take()) {
            (Some(path), rest) => {
                unnamed = rest;
                path.clone()
            }
            (None, Some(path)) => path.to_owned(),
            (None, None) => default_output(inputs[0], output, *kind)?,
        };
        if let Some((_, other)) = outputs.iter().find(|(_, other)| *other == path) {
            return Err(Failure::usage(format!("two results would go to `{}`", other.display()))
                .with_help("give each its own place: `--emit KIND=PATH`"));
        }
        if let Some(input) = inputs.iter().find(|input| is_same_file(&path, input)) {
            return Err(Failure::usage(format!(
                "the result would overwrite the input `{}`",
                input.display()
            ))
            .with_help("name another file with `-o`"));
        }
        outputs.push((*kind, path));
    }
    if let Some(unused) = unnamed {
        return Err(Failure::usage(format!(
            "nothing goes to `-o {}`: every `--emit` has its own path",
            unused.display()
        )));
    }
    Ok(outputs)
}

/// The place of a result that has no path of its own: beside `-o`, or in the current directory.
fn default_output(input: &Path, output: Option<&Path>, kind: Kind) -> Result<PathBuf> {
    let stem = match output {
        Some(output) if !output::is_stdout(output) => output.to_owned(),
        _ if input == Path::new("-") => {
            return Err(Failure::usage("a module from standard input has no name to call the result by")
                .with_help("name the result with `-o`"));
        }
        _ => PathBuf::from(input.file_name().unwrap_or(input.as_os_str())),
    };
    Ok(stem.with_extension(kind.extension()))
}

fn is_same_file(a: &Path, b: &Path) -> bool {
    match (fs::canonicalize(a), fs::canonicalize(b)) {
        (Ok(a), Ok(b)) => a == b && a.is_file(),
        _ => false,
    }
}

/// Tells on standard error what is done, if asked for.
struct Progress {
    verbose: bool,
    since: Instant,
}

impl Progress {
    fn done(&mut self, what: &str) {
        if self.verbose {
            let text = format!("{what} in {:.1} ms\n", self.since.elapsed().as_secs_f64() * 1000.0);
            // Nobody listens: nothing is lost.
            drop(io::stderr().write_all(report::printable(&text).as_bytes()));
        }
        self.since = Instant::now();
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
    if !has(Kind::Executable) {
        for (given, flag) in [
            (args.sealed, "--sealed"),
            (args.strip != StripArg::None, "--strip"),
            (!args.capabilities.is_empty(), "--dir and --env"),
        ] {
            if given {
                return Err(Failure::usage(format!("only executables know {flag}, and none is made"))
                    .with_help("add `--emit exe`"));
            }
        }
    }
    let executable_parts = match has(Kind::Executable) {
        true => Some(ExecutableParts {
            runtime: runtime(&target)?,
            words: args.capabilities.words(&args.compile),
            invoke: None,
            sealed: args.sealed,
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
    let mut config =
        Config { keep_clif: has(Kind::Clif), keep_asm: has(Kind::Assembly), ..args.compile.config(target) };
    if !config.target.has_executables() {
        // Its addresses are those of executables.
        config.model = Model::Instance;
    }
    let in_file = |error: aot_compiler::Error| Failure::compiler(&error, input);
    let cache = Cache::open(args.cache);
    let program_key = program.key();
    let cached: Vec<_> = outputs
        .iter()
        .map(|(kind, _)| {
            let key = match (kind, &executable_parts) {
                (Kind::Object, _) => cache.key("obj", &program_key, &Form::Object.config(&config), &[]),
                (Kind::Image, _) => cache.key("cwasm", &program_key, &Form::Image.config(&config), &[]),
                (Kind::Executable, Some(parts)) => parts.key(&cache, &program_key, &config),
                _ => None,
            };
            let found = cache.get(&key);
            (key, found)
        })
        .collect();
    let form = |kind| match kind {
        Kind::Object => Form::Object,
        Kind::Module => Form::Program,
        Kind::Image => Form::Image,
        // What is shown is the code of the executable, unless only an image is made.
        Kind::Clif | Kind::Assembly if has(Kind::Image) && !has(Kind::Executable) => Form::Image,
        // An executable of the instance model is an object that is linked.
        Kind::Executable | Kind::Clif | Kind::Assembly if config.model == Model::Instance => Form::Object,
        Kind::Executable | Kind::Clif | Kind::Assembly => Form::Program,
    };
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
        let module = program.compile(&form.config(&config))?;
        progress.done(&format!(
            "compiled {} functions ({} model)",
            module.function_count(),
            name(module.model())
        ));
        compiled.push((form, module));
    }

    // Everything is made before anything is written: a failed build leaves nothing behind.
    let mut results = Vec::new();
    for ((kind, path), (key, found)) in outputs.iter().zip(cached) {
        if let Some(bytes) = found {
            progress.done(&format!("found `{}` in the cache", path.display()));
            results.push((kind, path, bytes));
            continue;
        }
        if *kind == Kind::Module {
            results.push((kind, path, program.module(&config)?.to_vec()));
            continue;
        }
        let module = compiled.iter().find(|(other, _)| *other == form(*kind)).map(|(_, module)| module);
        let module = module.expect("compiled for every kind of result that was not found");
        let bytes = match kind {
            Kind::Module => unreachable!("it is not compiled"),
            Kind::Object => module.object().map_err(in_file)?,
            Kind::Image => module.cwasm().map_err(in_file)?,
            Kind::Clif => module.clif().as_bytes().to_vec(),
            Kind::Assembly => module.asm().as_bytes().to_vec(),
            Kind::Executable => {
                let parts = executable_parts.as_ref().expect("made when an executable is asked for");
                let bytes = link(module, &config.target, parts).map_err(in_file)?;
                progress.done("linked");
                bytes
            }
        };
        cache.put(&key, &bytes);
        results.push((kind, path, bytes));
    }
    for (kind, path, bytes) in results {
        output::write(path, &bytes, kind.content())?;
        progress.done(&format!("wrote `{}`, {} bytes,", path.display(), bytes.len()));
    }
    Ok(())
}

fn name(model: Model) -> &'static str {
    match model {
        Model::Static => "static",
        Model::Instance => "instance",
    }
}

/// What an executable has beside the module.
pub struct ExecutableParts {
    pub runtime: Vec<u8>,
    /// Words of the run options.
    pub words: Vec<String>,
    pub sealed: bool,
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
            ("strip", format!("{:?}", self.strip)),
            ("entry", format!("{:?}", self.invoke)),
        ];
        cache.key("exe", wasm, config, &rest)
    }
}

/// The runtime library of a target.
pub fn runtime(target: &Target) -> Result<Vec<u8>> {
    let name = target.name();
    if !target.has_executables() {
        let message = format!(
            "executables for {name} cannot be made: the runtime library, which they consist of beside the \
             module, is for Linux"
        );
        let help = format!("`--emit obj` makes an object, for {}'s own linker", target.system());
        return Err(Failure::new(message).with_help(help));
    }
    aot_runtime_archive::runtime(&name).ok_or_else(|| {
        let message =
            format!("this aot has no runtime library for {name}, so it cannot make executables for it");
        let missing = aot_runtime_archive::missing().iter().find(|(target, _)| *target == name);
        let remedy = missing.map_or("`aot targets` says what can be made", |(_, remedy)| *remedy);
        Failure::new(message).with_help(format!("{remedy}; `--emit obj` needs no runtime library"))
    })
}

/// Links an executable.
pub fn link(
    module: &CompiledModule,
    target: &Target,
    parts: &ExecutableParts,
) -> aot_compiler::Result<Vec<u8>> {
    let object = module.object()?;
    let options = aot_compiler::options_object(&parts.words, parts.sealed, target)?;
    let runs = parts.invoke.as_deref().map_or(Entry::Command, Entry::Invoke);
    let entry = aot_compiler::entry_object(runs, target)?;
    let link_options = LinkOptions { strip: parts.strip };
    aot_compiler::link_executable(&[&object, &options, &entry], &parts.runtime, target, &link_options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, output: Option<&str>, emit: &[&str], expected: &[&str]) {
        let emit: Vec<Emit> = emit.iter().map(|text| Emit::parse(text.into()).unwrap()).collect();
        let paths: Vec<String> = match outputs(&[Path::new(input)], output.map(Path::new), &emit) {
            Ok(outputs) => outputs.into_iter().map(|(_, path)| path.display().to_string()).collect(),
            Err(_) => vec![String::from("error")],
        };
        assert_eq!(paths, expected);
    }

    #[test]
    fn results_have_places() {
        check("a/app.wasm", None, &[], &["app"]);
        check("app.wasm", None, &["obj", "asm", "exe=x/y"], &["app.o", "app.s", "x/y"]);
        check("app.wasm", Some("b/out"), &["exe", "obj", "clif=-"], &["b/out", "b/out.o", "-"]);
        check("app.wasm", Some("-"), &["asm", "exe"], &["-", "app"]);
        check("app.wasm", Some("-"), &["asm=-", "clif"], &["error"]);
        check("app.wasm", Some("x"), &["asm=y"], &["error"]);
        check("app.wasm", None, &["asm", "asm"], &["error"]);
        check("-", None, &[], &["error"]);
        check("-", Some("x"), &[], &["x"]);
    }

    #[test]
    fn misspelt_kinds_are_explained() {
        assert_eq!(Emit::parse("exec".into()).unwrap_err(), "did you mean `exe`?");
        assert_eq!(Emit::parse("cwsm".into()).unwrap_err(), "did you mean `cwasm`?");
        assert!(Emit::parse("x".into()).unwrap_err().contains("one of exe, obj"));
        assert!(Emit::parse("obj=".into()).is_err());
    }
}
