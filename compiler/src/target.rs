//! The machine that code is made for: a run-time value, so that any host compiles for any target.

use crate::cpu::{self, Cpu, CpuFeature};
use crate::error::{Error, ErrorKind, Result};
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::{self, Configurable as _};
use std::fmt;
use std::str::FromStr;
use target_lexicon::{
    Aarch64Architecture, Architecture, Environment, OperatingSystem, PointerWidth, Riscv64Architecture,
    Triple,
};

/// Operating system, architecture and CPU features.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    triple: Triple,
    cpu: Cpu,
    cpu_features: Vec<CpuFeature>,
}

/// The operating system that code is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum System {
    Linux,
    MacOs,
    Windows,
}

/// Short names of the targets, and the triples that they stand for.
const SHORT_NAMES: &[(&str, &str)] = &[
    ("x86_64-linux", "x86_64-unknown-linux-gnu"),
    ("aarch64-linux", "aarch64-unknown-linux-gnu"),
    ("riscv64-linux", "riscv64gc-unknown-linux-gnu"),
    ("s390x-linux", "s390x-unknown-linux-gnu"),
    ("aarch64-macos", "aarch64-apple-darwin"),
    ("x86_64-macos", "x86_64-apple-darwin"),
    ("x86_64-windows", "x86_64-pc-windows-msvc"),
    ("aarch64-windows", "aarch64-pc-windows-msvc"),
];

/// Other names of architectures, and the architecture of the short names that is meant.
const OTHER_ARCHITECTURES: &[(&str, &str)] = &[
    ("amd64", "x86_64"),
    ("x64", "x86_64"),
    ("x86-64", "x86_64"),
    ("arm64", "aarch64"),
    ("armv8", "aarch64"),
    ("riscv64gc", "riscv64"),
    ("rv64gc", "riscv64"),
    ("systemz", "s390x"),
];

/// Words in other names of targets, and the system of the short names that is meant.
const OTHER_SYSTEMS: &[(&str, &str)] = &[
    ("macos", "macos"),
    ("darwin", "macos"),
    ("apple", "macos"),
    ("osx", "macos"),
    ("win32", "windows"),
    ("win64", "windows"),
    ("windows", "windows"),
    ("mingw", "windows"),
    ("msvc", "windows"),
];

impl System {
    /// The system of a triple, if code can be made for it.
    fn of(triple: &Triple) -> Option<System> {
        match triple.operating_system {
            OperatingSystem::Linux => Some(System::Linux),
            OperatingSystem::Darwin(_) | OperatingSystem::MacOSX(_) => Some(System::MacOs),
            OperatingSystem::Windows => Some(System::Windows),
            _ => None,
        }
    }

    /// The name in short names of targets.
    fn name(self) -> &'static str {
        match self {
            System::Linux => "linux",
            System::MacOs => "macos",
            System::Windows => "windows",
        }
    }

    /// Whether C code of an environment calls functions as C code of the system does.
    fn has_environment(self, environment: Environment) -> bool {
        match self {
            System::Linux => {
                matches!(environment, Environment::Unknown | Environment::Gnu | Environment::Musl)
            }
            System::MacOs => environment == Environment::Unknown,
            System::Windows => matches!(
                environment,
                Environment::Unknown | Environment::Msvc | Environment::Gnu | Environment::GnuLlvm
            ),
        }
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            System::Linux => "Linux",
            System::MacOs => "macOS",
            System::Windows => "Windows",
        })
    }
}

impl Target {
    /// The machine that compiles, with baseline CPU features.
    ///
    /// # Errors
    /// If code cannot be made for this machine.
    pub fn host() -> Result<Target> {
        Target::from_triple(&Triple::host(), &Triple::host().to_string())
    }

    /// The target of a triple. C libraries make no difference: what is made uses none.
    fn from_triple(triple: &Triple, name: &str) -> Result<Target> {
        let Some(architecture) = supported_architecture(triple.architecture) else {
            let message = format!("target `{name}` is not supported: {}", why_not(triple.architecture));
            return Err(Error::new(ErrorKind::Config, message).with_help(LIST));
        };
        let system = System::of(triple);
        let long = |short: &str| SHORT_NAMES.iter().find(|(known, _)| *known == short).map(|(_, long)| *long);
        let here = system.and_then(|system| long(&format!("{architecture}-{}", system.name())));
        match (system, here.map(Triple::from_str)) {
            (Some(system), Some(Ok(known))) if system.has_environment(triple.environment) => {
                Ok(Target::baseline(known))
            }
            (system, known) => {
                let why = match (system, &known) {
                    (Some(_), Some(_)) => String::from("its calling convention is another one"),
                    (Some(system), None) => {
                        format!("code for {architecture} can be made for Linux, not for {system}")
                    }
                    (None, _) => {
                        String::from("code can be made for Linux, and objects for macOS and Windows")
                    }
                };
                let near = system.filter(|_| known.is_some()).unwrap_or(System::Linux).name();
                let message = format!("target `{name}` is not supported: {why}");
                let help = format!("did you mean `{architecture}-{near}`? {LIST}");
                Err(Error::new(ErrorKind::Config, message).with_help(help))
            }
        }
    }

    fn baseline(triple: Triple) -> Target {
        Target { triple, cpu: Cpu::default(), cpu_features: Vec::new() }
    }

    pub fn with_cpu(mut self, cpu: Cpu) -> Target {
        self.cpu = cpu;
        self
    }

    /// Turns features on and off that the CPU has not or has.
    pub fn with_cpu_features(mut self, features: Vec<CpuFeature>) -> Target {
        self.cpu_features = features;
        self
    }

    pub fn cpu_features(&self) -> &[CpuFeature] {
        &self.cpu_features
    }

    pub fn triple(&self) -> &Triple {
        &self.triple
    }

    pub fn cpu(&self) -> &Cpu {
        &self.cpu
    }

    pub fn system(&self) -> System {
        System::of(&self.triple).expect("targets are made for known systems only")
    }

    /// Whether there can be a runtime library for the target, and so executables. Objects can be made for all targets.
    pub fn has_executables(&self) -> bool {
        self.system() == System::Linux
    }

    /// The targets that this compiler knows, by their short names.
    pub fn all() -> impl Iterator<Item = Target> {
        SHORT_NAMES.iter().filter_map(|(short, _)| short.parse().ok())
    }

    /// The name to print: the short one where there is one.
    pub fn name(&self) -> String {
        let triple = self.triple.to_string();
        match SHORT_NAMES.iter().find(|(_, long)| *long == triple) {
            Some((short, _)) => (*short).to_owned(),
            None => triple,
        }
    }

    /// Size of a pointer in bytes.
    pub fn pointer_size(&self) -> u32 {
        self.triple.pointer_width().map_or(8, |width| u32::from(width.bytes()))
    }

    /// Whether the machine stores the most significant byte of a number first. Linear memory is little-endian anyway.
    pub fn is_big_endian(&self) -> bool {
        self.triple.endianness() == Ok(target_lexicon::Endianness::Big)
    }

    /// The bytes of a word of pointer size, in the machine's order.
    pub(crate) fn word(&self, value: u64) -> Vec<u8> {
        let size = self.pointer_size() as usize;
        match self.is_big_endian() {
            true => value.to_be_bytes()[8 - size..].to_vec(),
            false => value.to_le_bytes()[..size].to_vec(),
        }
    }

    /// Whether code for vectors needs a feature that the CPU was not said to have.
    pub(crate) fn needs_vectors(&self) -> bool {
        self.cpu == Cpu::Baseline && matches!(self.triple.architecture, Architecture::Riscv64(_))
    }

    /// The instruction set with the settings that every compilation shares.
    pub(crate) fn isa(&self, configure: impl FnOnce(&mut settings::Builder)) -> Result<OwnedTargetIsa> {
        let internal = |what: &str, error: &dyn fmt::Display| {
            Error::internal(format!("cannot set up code generation for {self}: {what}: {error}"))
        };
        let mut isa = cpu::builder(self)?;
        if self.needs_vectors() {
            // Without it there is no code for vectors. Modules without vectors do not use it.
            isa.enable("has_v").map_err(|error| internal("has_v", &error))?;
        }
        let mut flags = settings::builder();
        configure(&mut flags);
        isa.finish(settings::Flags::new(flags)).map_err(|error| internal("settings", &error))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(name: &str) -> Result<Target> {
        if let Some((_, long)) = SHORT_NAMES.iter().find(|(short, _)| *short == name) {
            let triple =
                Triple::from_str(long).map_err(|error| Error::internal(format!("{long}: {error}")))?;
            return Ok(Target::baseline(triple));
        }
        // The name that everybody uses, and no triple has.
        let triple = name.strip_prefix("arm32").map_or_else(|| name.to_owned(), |rest| format!("arm{rest}"));
        match Triple::from_str(&triple) {
            Ok(triple) if triple.operating_system != OperatingSystem::Unknown => {
                Target::from_triple(&triple, name)
            }
            // Only an architecture, or less. Some have no system at all: those are refused for what they are.
            Ok(triple) if near(name).is_none() && supported_architecture(triple.architecture).is_none() => {
                Target::from_triple(&triple, name)
            }
            _ => {
                let help = match near(name) {
                    Some(short) => format!("did you mean `{short}`? {LIST}"),
                    None => String::from(LIST),
                };
                Err(Error::new(ErrorKind::Config, format!("`{name}` is not a target")).with_help(help))
            }
        }
    }
}

const LIST: &str = "`aot targets` lists the targets";

/// The architecture as the short names have it, if there is code for it.
fn supported_architecture(architecture: Architecture) -> Option<&'static str> {
    Some(match architecture {
        Architecture::X86_64 | Architecture::X86_64h => "x86_64",
        Architecture::Aarch64(Aarch64Architecture::Aarch64) => "aarch64",
        Architecture::Riscv64(Riscv64Architecture::Riscv64gc | Riscv64Architecture::Riscv64) => "riscv64",
        Architecture::S390x => "s390x",
        _ => return None,
    })
}

/// Why there is no code for an architecture.
fn why_not(architecture: Architecture) -> String {
    match architecture {
        Architecture::Wasm32 | Architecture::Wasm64 => {
            String::from("WebAssembly is what goes in; what comes out is code for a real machine")
        }
        Architecture::Pulley32
        | Architecture::Pulley64
        | Architecture::Pulley32be
        | Architecture::Pulley64be => {
            String::from("it is the code of an interpreter, and there is none here")
        }
        Architecture::Aarch64(_) => String::from("big-endian ARM has no code generator"),
        other => match other.pointer_width() {
            Ok(PointerWidth::U16 | PointerWidth::U32) => {
                format!("{other} has 32-bit addresses, and memories need the address space of 64 bits")
            }
            _ => format!("there is no code generator for {other}"),
        },
    }
}

/// The short name that a misspelt or incomplete one stands for.
fn near(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase().replace(['_', ' '], "-");
    // The names that container images have: `linux/arm64`.
    if let Some((system, rest)) = lower.split_once('/')
        && ["linux", "windows", "darwin"].contains(&system)
    {
        return near(&format!("{rest}-{system}"));
    }
    let system =
        OTHER_SYSTEMS.iter().find(|(word, _)| lower.contains(word)).map_or("linux", |(_, system)| system);
    let own = ["x86_64", "aarch64", "riscv64", "s390x"].map(|architecture| (architecture, architecture));
    let architecture = OTHER_ARCHITECTURES.iter().copied().chain(own).find_map(|(other, architecture)| {
        let rest = lower.strip_prefix(&other.replace('_', "-"))?;
        (rest.is_empty() || rest.starts_with(['-', '/'])).then_some(architecture)
    })?;
    let short = format!("{architecture}-{system}");
    SHORT_NAMES.iter().map(|(known, _)| *known).find(|known| *known == short)
}

#[cfg(test)]
mod tests {
    use super::Target;

    fn check(name: &str, expected: &str) {
        assert_eq!(name.parse::<Target>().unwrap().name(), expected, "{name}");
    }

    fn refused(name: &str, why: &str, help: &str) {
        let error = name.parse::<Target>().unwrap_err();
        assert!(error.message().contains(why), "{name}: {}", error.message());
        assert!(error.help().unwrap_or_default().contains(help), "{name}: {:?}", error.help());
    }

    #[test]
    fn names_have_a_canonical_form() {
        for target in Target::all() {
            check(&target.name(), &target.name());
            check(&target.triple().to_string(), &target.name());
        }
        assert_eq!(Target::all().count(), 8);
        assert_eq!(Target::all().filter(Target::has_executables).count(), 4);
        check("aarch64-unknown-linux-musl", "aarch64-linux");
        check("riscv64gc-unknown-linux-gnu", "riscv64-linux");
        check("x86_64-pc-linux-gnu", "x86_64-linux");
        check("arm64-apple-macosx11.0", "aarch64-macos");
        check("x86_64-apple-darwin", "x86_64-macos");
        check("x86_64-pc-windows-gnu", "x86_64-windows");
        check("aarch64-pc-windows-gnullvm", "aarch64-windows");
    }

    #[test]
    fn near_misses_are_explained() {
        refused("arm64", "not a target", "`aarch64-linux`");
        refused("amd64", "not a target", "`x86_64-linux`");
        refused("x86-64-linux", "not a target", "`x86_64-linux`");
        refused("linux/arm64", "not a target", "`aarch64-linux`");
        refused("s390x", "not a target", "`s390x-linux`");
        refused("riscv64", "not a target", "`riscv64-linux`");
        refused("arm64-macos", "not a target", "`aarch64-macos`");
        refused("x64-win64", "not a target", "`x86_64-windows`");
        refused("darwin/arm64", "not a target", "`aarch64-macos`");
        refused("aarch64-unknown-freebsd", "objects for macOS and Windows", "`aarch64-linux`");
        refused("aarch64-apple-ios", "objects for macOS and Windows", "`aarch64-linux`");
        refused("aarch64-apple-darwin-macabi", "calling convention", "`aarch64-macos`");
        refused("s390x-apple-darwin", "not for macOS", "`s390x-linux`");
        refused("toaster", "not a target", "aot targets");
        refused("", "not a target", "aot targets");
    }

    #[test]
    fn other_architectures_are_refused_with_the_reason() {
        refused("wasm32", "what goes in", "aot targets");
        refused("wasm32-wasip1", "what goes in", "aot targets");
        refused("armv7-unknown-linux-gnueabihf", "32-bit", "aot targets");
        refused("arm32-linux", "32-bit", "aot targets");
        refused("i686-unknown-linux-gnu", "32-bit", "aot targets");
        refused("riscv32imac-unknown-linux-gnu", "32-bit", "aot targets");
        refused("powerpc64le-unknown-linux-gnu", "no code generator", "aot targets");
        refused("aarch64_be-unknown-linux-gnu", "big-endian ARM", "aot targets");
    }
}
