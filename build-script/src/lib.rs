//! Compiles a WebAssembly module in a build script, links it with the program, and gives it a typed, safe interface in
//! Rust.
//!
//! ```no_run
//! // build.rs
//! aot_build::Builder::new("plugin.wasm").compile();
//! ```
//!
//! ```ignore
//! // src/main.rs
//! include!(concat!(env!("OUT_DIR"), "/plugin.rs")); // pub mod plugin { … }
//!
//! fn main() -> Result<(), plugin::Trap> {
//!     let mut instance = plugin::Instance::new()?;
//!     println!("{}", instance.add(40, 2)?);
//!     Ok(())
//! }
//! ```
//!
//! `docs/rust-libraries.md` says what is in the module.
#![forbid(unsafe_code)]

mod generate;
mod names;

use aot_compiler::{DebugInfo, ErrorKind, Target};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{env, fmt, fs};

pub use aot_compiler::{Config, Cpu, OptLevel};

/// A change of the compiler's options.
type Change = Box<dyn FnOnce(&mut Config)>;

/// What to make of a module.
pub struct Builder {
    input: PathBuf,
    name: Option<String>,
    out_dir: Option<PathBuf>,
    target: Option<String>,
    wasi: bool,
    debug: Option<bool>,
    configure: Vec<Change>,
}

/// Why a module could not be made part of the program: one line, and perhaps one of help.
#[derive(Debug)]
pub struct Error {
    message: String,
    help: Option<String>,
}

/// Where the results are.
#[derive(Debug)]
pub struct Output {
    /// The Rust module, to be included.
    pub module: PathBuf,
    /// The static library: the module's code and the runtime.
    pub library: PathBuf,
}

impl Builder {
    /// For a module in the binary or text format. The path is relative to the package.
    pub fn new(wasm: impl Into<PathBuf>) -> Builder {
        let input = wasm.into();
        Builder {
            input,
            name: None,
            out_dir: None,
            target: None,
            wasi: true,
            debug: None,
            configure: Vec::new(),
        }
    }

    /// The name of the Rust module, and of its file without `.rs`. Without one, it is that of the file.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.name = Some(name.into());
        self
    }

    /// Where the results go, instead of `OUT_DIR`.
    #[must_use]
    pub fn out_dir(mut self, directory: impl Into<PathBuf>) -> Builder {
        self.out_dir = Some(directory.into());
        self
    }

    /// The target, instead of the one that cargo compiles for.
    #[must_use]
    pub fn target(mut self, target: impl Into<String>) -> Builder {
        self.target = Some(target.into());
        self
    }

    /// The CPU that the code may need: `native`, or a name that `aot targets` knows. Without one, every CPU of the target
    /// runs it.
    #[must_use]
    pub fn cpu(self, name: &str) -> Builder {
        let cpu = Cpu::from(name);
        self.configure(|config| config.target = config.target.clone().with_cpu(cpu))
    }

    /// Lets `InterruptHandle` stop loops too, not only calls. Costs one comparison in each round of a loop.
    #[must_use]
    pub fn interruptible(self, on: bool) -> Builder {
        self.configure(move |config| config.interruptible = on)
    }

    /// Whether functions of WASI are those of the runtime, which is so if nothing is said. Else they are imports like
    /// others, for the program to implement.
    #[must_use]
    pub fn wasi(mut self, on: bool) -> Builder {
        self.wasi = on;
        self
    }

    /// Whether debuggers are told the types and variables of the module's source, as far as the module describes them. If
    /// nothing is said, that is so where cargo builds the program with debug information. Lines are known in any case.
    #[must_use]
    pub fn debug(mut self, on: bool) -> Builder {
        self.debug = Some(on);
        self
    }

    /// Changes other options of the compiler. What is an object for other programs in them is set afterwards.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut Config) + 'static) -> Builder {
        self.configure.push(Box::new(change));
        self
    }

    /// Compiles the module, and tells cargo to link it. Ends the build with the message if that fails.
    pub fn compile(self) {
        if let Err(error) = self.try_compile() {
            for line in error.to_string().lines() {
                println!("cargo::error={line}");
            }
            // Cargo fails the build because of these lines. With another status it would show them twice more.
            std::process::exit(0);
        }
    }

    /// Does what [`Builder::compile`] does.
    ///
    /// # Errors
    /// If this is no build script, the module can't be read or compiled, there is no runtime library for the target, or
    /// a result can't be written.
    pub fn try_compile(self) -> Result<Output, Error> {
        println!("cargo::rerun-if-changed={}", self.input.display());
        let out_dir = match &self.out_dir {
            Some(directory) => directory.clone(),
            None => PathBuf::from(variable("OUT_DIR")?),
        };
        let target = match &self.target {
            Some(target) => target.clone(),
            None => variable("TARGET")?.to_string_lossy().into_owned(),
        };
        let target: Target = target.parse().map_err(Error::compiler)?;
        let name = match &self.name {
            Some(name) => name.clone(),
            None => self.input.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        };
        if !names::is_identifier(&name) {
            return Err(Error::new(format!("`{name}` is no name for a module in Rust"))
                .with_help("give the module one: `.name(\"plugin\")`"));
        }

        let file = self.input.display().to_string();
        let bytes =
            fs::read(&self.input).map_err(|error| Error::new(format!("can't read `{file}`: {error}")))?;
        let in_file = |error: aot_compiler::Error| {
            let Error { message, help } = Error::compiler(error);
            Error { message: format!("`{file}`: {message}"), help }
        };
        let wasm = aot_compiler::parse_text(&bytes, &file).map_err(in_file)?;
        let runtime = runtime(&target)?;
        let mut config = Config { verify_clif: false, ..Config::image(target) };
        // Cargo says so to build scripts.
        let debug = self.debug.unwrap_or_else(|| env::var_os("DEBUG").is_some_and(|debug| debug == "true"));
        if debug {
            config.debug_info = DebugInfo::Full;
        }
        for change in self.configure {
            change(&mut config);
        }
        let prefix = prefix(&name, &wasm, &config, self.wasi);
        let resolve = match self.wasi {
            true => aot_compiler::wasi::library_import,
            false => aot_compiler::wasi::no_import,
        };
        let config = config.into_library(resolve, prefix.clone());
        let compiled = aot_compiler::compile(&wasm, &config).map_err(in_file)?;
        let object = compiled.object().map_err(in_file)?;
        let archive = aot_compiler::static_library(&object, &runtime).map_err(in_file)?;
        let interface = compiled.interface().expect("it was compiled as a library");
        let module = generate::module(&name, &file, interface);

        remove_old(&out_dir, &library_name(&name, ""));
        let library = out_dir.join(format!("lib{prefix}.a"));
        write(&library, &archive)?;
        let path = out_dir.join(format!("{name}.rs"));
        write(&path, module.as_bytes())?;
        println!("cargo::rustc-link-search=native={}", out_dir.display());
        println!("cargo::rustc-link-lib=static={prefix}");
        Ok(Output { module: path, library })
    }
}

/// What symbols and the library's name start with. A program can have several modules of one name, by way of the packages
/// that it uses: each has its own. Where all of this is equal, so is what the code does.
fn prefix(name: &str, wasm: &[u8], config: &Config, wasi: bool) -> String {
    let Config { target, opt_level, features, interruptible, .. } = config;
    let options = format!("{target:?} {opt_level:?} {features:?} {interruptible} {wasi}");
    let mut hasher = blake3::Hasher::new();
    hasher.update(env!("CARGO_PKG_VERSION").as_bytes()).update(options.as_bytes()).update(wasm);
    let hash = hasher.finalize().to_hex();
    library_name(name, &hash[..16])
}

fn library_name(name: &str, hash: &str) -> String {
    format!("aot_{name}_{hash}")
}

/// Removes the libraries of earlier builds. One that stays does no harm.
fn remove_old(out_dir: &Path, stem: &str) {
    let Ok(entries) = fs::read_dir(out_dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let hash = name.strip_prefix(&format!("lib{stem}")).and_then(|rest| rest.strip_suffix(".a"));
        if hash.is_some_and(|hash| hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            drop(fs::remove_file(entry.path()));
        }
    }
}

fn runtime(target: &Target) -> Result<Vec<u8>, Error> {
    let name = target.name();
    aot_runtime_archive::runtime(&name).ok_or_else(|| {
        let error = Error::new(format!("there is no runtime library for {name}, so no module can be linked"));
        match aot_runtime_archive::missing().iter().find(|(target, _)| *target == name) {
            Some((_, remedy)) => error.with_help(*remedy),
            None => {
                error.with_help(format!("there are some for {}", aot_runtime_archive::available().join(", ")))
            }
        }
    })
}

/// A variable that cargo sets for build scripts.
fn variable(name: &str) -> Result<OsString, Error> {
    env::var_os(name).ok_or_else(|| {
        Error::new(format!("there is no variable {name}: this is for build scripts, which cargo runs"))
    })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    fs::write(path, bytes).map_err(|error| Error::new(format!("can't write `{}`: {error}", path.display())))
}

impl Error {
    fn new(message: impl Into<String>) -> Error {
        Error { message: message.into(), help: None }
    }

    fn with_help(self, help: impl Into<String>) -> Error {
        Error { help: Some(help.into()), ..self }
    }

    fn compiler(error: aot_compiler::Error) -> Error {
        let bug = if error.kind() == ErrorKind::Internal { "internal error: " } else { "" };
        Error { message: format!("{bug}{error}"), help: error.help().map(str::to_owned) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, "\nhelp: {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}
