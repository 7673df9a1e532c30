//! Flags that several commands share, and the way from flags to a compilation.

use crate::groups::{
    CODEGEN, Codegen, DEBUG, Debug, OPTIMIZE, Optimize, SYSTEM, Settings, System, WASM, Wasm,
};
use crate::input;
use crate::report::{Failure, Result};
use aot_compiler::wasi::{executable_import as wasi_import, library_import, no_import};
use aot_compiler::{Config, Cpu, CpuFeature, DebugInfo, ImportSymbol, Imports, Model, Profile, Target};
use clap::Args;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How code is made.
#[derive(Args)]
#[command(next_help_heading = "Compilation")]
pub struct CompileArgs {
    /// Optimisation: `opt-level=0|1|2|s`. `-O help` explains the keys
    #[arg(short = 'O', value_name = "KEY=VAL,…", value_parser = OPTIMIZE)]
    optimize: Vec<Settings<Optimize>>,

    /// Code generation, such as `model=instance` or `inlining=n`. `-C help` explains the keys
    #[arg(short = 'C', value_name = "KEY=VAL,…", value_parser = CODEGEN)]
    codegen: Vec<Settings<Codegen>>,

    /// Describe the source's types and variables to debuggers, as far as the module does. `-O opt-level=0` keeps them all
    /// visible
    #[arg(short = 'g')]
    debug_info: bool,

    /// Debugging: `debug-info` is the same as `-g`. `-D help` explains the keys
    #[arg(short = 'D', value_name = "KEY[=VAL],…", value_parser = DEBUG)]
    debug: Vec<Settings<Debug>>,

    /// WebAssembly limits and proposals, such as `max-memory-size=64M` or `simd=n`. `-W help` lists the keys
    #[arg(short = 'W', value_name = "KEY[=VAL],…", value_parser = WASM)]
    wasm: Vec<Settings<Wasm>>,

    /// System interface, such as `inherit-env`. `-S help` lists the keys
    #[arg(short = 'S', value_name = "KEY[=VAL],…", value_parser = SYSTEM)]
    system: Vec<Settings<System>>,
}

/// What the program may use of the machine that it runs on.
#[derive(Args)]
#[command(next_help_heading = "Capabilities")]
pub struct CapabilityArgs {
    /// Let the program use a directory, which it sees as GUEST (default: as HOST)
    #[arg(long = "dir", value_name = "HOST[::GUEST]", value_parser = directory)]
    dirs: Vec<String>,

    /// Give the program an environment variable; without a value, that of the same name when it starts
    #[arg(long = "env", value_name = "NAME[=VALUE]", value_parser = environment)]
    env: Vec<String>,
}

/// CPU features that code may use.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Compilation")]
pub struct CpuArgs {
    /// CPU whose features the code may use: `baseline` (every machine of the architecture), `native` (this machine), or
    /// a name that `aot settings` lists, such as `x86-64-v3` [default: baseline]
    #[arg(long, value_name = "CPU")]
    pub cpu: Option<String>,

    /// Features to turn on or off, such as `+avx2,-bmi2`; `aot settings` lists them
    #[arg(long, value_name = "±FEATURE,…", value_delimiter = ',', allow_hyphen_values = true)]
    pub cpu_features: Vec<CpuFeature>,
}

/// How often the code of a program runs.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Compilation")]
pub struct ProfileArgs {
    /// Make an executable that counts how often its code runs, and adds that to FILE when it ends; AOT_PROFILE_FILE names another one
    /// [default: default.aotprof, where the program is started]
    #[arg(
        long = "profile-generate",
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "default.aotprof",
        conflicts_with = "uses"
    )]
    generate: Option<PathBuf>,

    /// Make code that is fast where FILE says that the program spends its time. Several files of one program are added up
    #[arg(long = "profile-use", id = "uses", value_name = "FILE")]
    uses: Vec<PathBuf>,
}

impl ProfileArgs {
    /// The file that the program writes its profile to, if it does.
    pub fn generate(&self) -> Result<Option<String>> {
        let Some(file) = &self.generate else { return Ok(None) };
        match file.to_str() {
            Some(file) if !file.is_empty() && !file.contains('\0') => Ok(Some(file.to_owned())),
            _ => Err(Failure::usage(format!("a profile cannot go to `{}`", file.display()))),
        }
    }

    /// The profile that code is made for.
    pub fn read(&self) -> Result<Option<Arc<Profile>>> {
        let mut sum: Option<Profile> = None;
        for file in &self.uses {
            let failure = |error: aot_compiler::Error| Failure::compiler(&error, file);
            let profile = Profile::read(&input::read(file)?).map_err(failure)?;
            match &mut sum {
                Some(sum) => sum.add(&profile).map_err(failure)?,
                None => sum = Some(profile),
            }
        }
        Ok(sum.map(Arc::new))
    }
}

fn directory(text: &str) -> Result<String, String> {
    let (host, guest) = text.split_once("::").unwrap_or((text, text));
    if host.is_empty() || guest.is_empty() {
        return Err(String::from("write HOST or HOST::GUEST"));
    }
    without_nul(text)
}

fn environment(text: &str) -> Result<String, String> {
    if text.split('=').next().is_none_or(str::is_empty) {
        return Err(String::from("write NAME=VALUE, or NAME"));
    }
    without_nul(text)
}

fn without_nul(text: &str) -> Result<String, String> {
    if text.contains('\0') { Err(String::from("it contains a NUL byte")) } else { Ok(text.to_owned()) }
}

/// The target by its name; the machine that this runs on without one.
pub fn target(name: Option<&str>, cpu: &CpuArgs) -> Result<Target> {
    let target = match name {
        Some(name) => name.parse(),
        None => Target::host(),
    };
    let target: Target = target.map_err(|error| {
        let failure = Failure::new(error.message());
        match error.help() {
            Some(help) => failure.with_help(help),
            None => failure,
        }
    })?;
    let target = target.with_cpu(cpu.cpu.as_deref().map_or(Cpu::Baseline, Cpu::from));
    Ok(target.with_cpu_features(cpu.cpu_features.clone()))
}

/// The options for an object that C programs call by names that start with `prefix`.
pub fn library(config: Config, prefix: String) -> Config {
    let has_wasi = match config.imports {
        Imports::AtBuild { resolve, .. } => resolve("wasi_snapshot_preview1", "proc_exit").is_some(),
        _ => true,
    };
    config.into_library(if has_wasi { library_import } else { no_import }, prefix)
}

/// What stops a program that a host runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stops {
    /// Instructions.
    pub fuel: Option<u64>,
    pub timeout: Option<Duration>,
}

impl CompileArgs {
    fn wasm(&self) -> impl Iterator<Item = Wasm> {
        self.wasm.iter().flat_map(|settings| settings.0.iter().copied())
    }

    fn system(&self) -> impl Iterator<Item = System> {
        self.system.iter().flat_map(|settings| settings.0.iter().copied())
    }

    /// Whether the model was chosen, and is the static one.
    pub fn asks_for_static_model(&self) -> bool {
        let settings = self.codegen.iter().flat_map(|settings| settings.0.iter());
        let mut models = settings.filter_map(|setting| match setting {
            Codegen::Model(model) => Some(*model),
            _ => None,
        });
        models.next_back() == Some(Model::Static)
    }

    /// The options of the compiler. Of several settings of one key the last counts.
    pub fn config(&self, target: Target) -> Config {
        let mut config = Config::executable(target, wasi_import);
        for Optimize::Level(level) in self.optimize.iter().flat_map(|settings| settings.0.iter().copied()) {
            config.opt_level = level;
        }
        if self.has_debug_info() {
            config.debug_info = DebugInfo::Full;
            // Breakpoints on a function find all of it; `-C inlining=y` still counts.
            config.inlining = false;
        }
        for setting in self.codegen.iter().flat_map(|settings| settings.0.iter().copied()) {
            match setting {
                Codegen::Model(model) => config.model = model,
                Codegen::Inlining(on) => config.inlining = on,
                Codegen::Pass(pass, on) => config.passes.set(pass, on),
                // For the command.
                Codegen::Cache(_) => {}
            }
        }
        let mut resolve: fn(&str, &str) -> Option<ImportSymbol> = wasi_import;
        for setting in self.system() {
            match setting {
                System::Cli(on) => resolve = if on { wasi_import } else { no_import },
                // For the start of the program.
                System::InheritEnv(_) => {}
            }
        }
        let mut unknown_trap = false;
        for setting in self.wasm() {
            match setting {
                Wasm::UnknownImportsTrap(on) => unknown_trap = on,
                Wasm::EpochInterruption(on) => config.interruptible = on,
                Wasm::Fuel(_) => config.fuel = true,
                Wasm::Timeout(_) => config.interruptible = true,
                Wasm::Feature(feature, on) => config.features.set(feature, on),
                // Limits are for the start of the program.
                Wasm::MaxMemorySize(_) | Wasm::MaxWasmStack(_) => {}
            }
        }
        config.imports = Imports::AtBuild { resolve, unknown_trap };
        config
    }

    /// Whether results of earlier builds are used.
    pub fn cache(&self) -> bool {
        let settings = self.codegen.iter().flat_map(|settings| settings.0.iter());
        settings.fold(true, |last, setting| match setting {
            Codegen::Cache(on) => *on,
            _ => last,
        })
    }

    /// Whether debuggers are to know types and variables.
    pub fn has_debug_info(&self) -> bool {
        let debug = self.debug.iter().flat_map(|settings| settings.0.iter().copied());
        debug.fold(self.debug_info, |_, Debug::Info(on)| on)
    }

    /// What stops a program that a host runs.
    pub fn stops(&self) -> Stops {
        let mut stops = Stops::default();
        for setting in self.wasm() {
            match setting {
                Wasm::Fuel(fuel) => stops.fuel = Some(fuel),
                Wasm::Timeout(time) => stops.timeout = Some(time),
                _ => {}
            }
        }
        stops
    }

    /// Whether functions that nothing defines trap.
    pub fn unknown_imports_trap(&self) -> bool {
        self.wasm().fold(false, |last, setting| match setting {
            Wasm::UnknownImportsTrap(on) => on,
            _ => last,
        })
    }

    /// Whether modules can import WASI.
    pub fn has_wasi(&self) -> bool {
        self.system().fold(true, |last, setting| match setting {
            System::Cli(on) => on,
            System::InheritEnv(_) => last,
        })
    }

    /// What is for the start of the program, as words of the run options.
    fn run_words(&self) -> Vec<String> {
        let (mut memory, mut stack, mut inherit_env) = (None, None, None);
        for setting in self.wasm() {
            match setting {
                Wasm::MaxMemorySize(bytes) => memory = Some(format!("max-memory-size={bytes}")),
                Wasm::MaxWasmStack(bytes) => stack = Some(format!("max-wasm-stack={bytes}")),
                Wasm::UnknownImportsTrap(_)
                | Wasm::Feature(..)
                | Wasm::EpochInterruption(_)
                | Wasm::Fuel(_)
                | Wasm::Timeout(_) => {}
            }
        }
        for setting in self.system() {
            match setting {
                System::InheritEnv(on) => {
                    inherit_env = Some(format!("inherit-env={}", if on { 'y' } else { 'n' }))
                }
                System::Cli(_) => {}
            }
        }
        let settings = [("-W", memory), ("-W", stack), ("-S", inherit_env)];
        let settings = settings.into_iter().filter_map(|(flag, setting)| Some([flag.to_owned(), setting?]));
        settings.flatten().collect()
    }
}

impl CapabilityArgs {
    /// Whether any was given.
    pub fn is_empty(&self) -> bool {
        self.dirs.is_empty() && self.env.is_empty()
    }

    /// The words of the run options that an executable carries.
    pub fn words(&self, compile: &CompileArgs) -> Vec<String> {
        let mut words = Vec::new();
        for (flag, values) in [("--dir", &self.dirs), ("--env", &self.env)] {
            words.extend(values.iter().flat_map(|value| [flag.to_owned(), value.clone()]));
        }
        words.extend(compile.run_words());
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        compile: CompileArgs,
        #[command(flatten)]
        capabilities: CapabilityArgs,
    }

    fn parse(words: &[&str]) -> Flags {
        Flags::try_parse_from([&["aot"], words].concat()).unwrap()
    }

    #[test]
    fn run_options_become_words() {
        let flags = parse(&[
            "--env",
            "A=b c",
            "--dir",
            ".",
            "-Wmax-memory-size=1M,simd=n",
            "--dir",
            "x::/y",
            "--env=Z",
            "-S",
            "inherit-env",
        ]);
        assert_eq!(
            flags.capabilities.words(&flags.compile),
            [
                ["--dir", "."],
                ["--dir", "x::/y"],
                ["--env", "A=b c"],
                ["--env", "Z"],
                ["-W", "max-memory-size=1048576"],
                ["-S", "inherit-env=y"]
            ]
            .concat()
        );
    }

    #[test]
    fn the_last_setting_counts() {
        let flags = parse(&["-Oopt-level=0", "-O", "opt-level=s", "-W", "simd=n", "-W", "simd"]);
        let config = flags.compile.config(Target::host().unwrap());
        assert_eq!(config.opt_level, aot_compiler::OptLevel::SpeedAndSize);
        assert!(config.features.contains(wasmparser::WasmFeatures::SIMD));
    }

    #[test]
    fn odd_values_are_refused() {
        for words in [["--dir", ""], ["--dir", "::x"], ["--dir", "x::"], ["--env", "=x"], ["--env", ""]] {
            assert!(Flags::try_parse_from(["aot"].iter().chain(&words)).is_err(), "{words:?}");
        }
    }

    #[test]
    fn imports_of_wasi_have_symbols() {
        let import = wasi_import("wasi_snapshot_preview1", "fd_write").unwrap();
        assert_eq!(import.symbol, "aot_wasi_fd_write");
        assert_eq!((import.ty.params.len(), import.ty.results.len()), (4, 1));
        assert!(wasi_import("env", "fd_write").is_none());
    }
}
