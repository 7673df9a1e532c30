//! The machine that code is made for: a run-time value, so that any host compiles for any target.

use crate::error::{Error, ErrorKind, Result};
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings;
use std::fmt;
use std::str::FromStr;
use target_lexicon::{Architecture, BinaryFormat, OperatingSystem, Triple};

/// CPU features that code may use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Cpu {
    /// What every machine of the architecture has.
    #[default]
    Baseline,
    /// What the machine has that compiles.
    Native,
}

/// Operating system, architecture and CPU features.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    triple: Triple,
    cpu: Cpu,
}

/// Short names of the targets, and the triples that they stand for.
const SHORT_NAMES: &[(&str, &str)] = &[("x86_64-linux", "x86_64-unknown-linux-gnu")];

impl Target {
    /// The machine that compiles, with baseline CPU features.
    ///
    /// # Errors
    /// If code cannot be made for this machine.
    pub fn host() -> Result<Target> {
        Target::from_triple(Triple::host())
    }

    fn from_triple(triple: Triple) -> Result<Target> {
        let supported = triple.architecture == Architecture::X86_64
            && triple.operating_system == OperatingSystem::Linux
            && triple.binary_format == BinaryFormat::Elf;
        if !supported {
            return Err(Error::new(ErrorKind::Config, format!("target `{triple}` is not supported"))
                .with_help("`aot targets` lists the targets"));
        }
        Ok(Target { triple, cpu: Cpu::default() })
    }

    pub fn with_cpu(mut self, cpu: Cpu) -> Target {
        self.cpu = cpu;
        self
    }

    pub fn triple(&self) -> &Triple {
        &self.triple
    }

    pub fn cpu(&self) -> &Cpu {
        &self.cpu
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

    /// The instruction set with the settings that every compilation shares.
    pub(crate) fn isa(&self, configure: impl FnOnce(&mut settings::Builder)) -> Result<OwnedTargetIsa> {
        let internal = |what: &str, error: &dyn fmt::Display| {
            Error::internal(format!("cannot set up code generation for {self}: {what}: {error}"))
        };
        let isa = match self.cpu {
            Cpu::Baseline => cranelift_codegen::isa::lookup(self.triple.clone()),
            Cpu::Native => match cranelift_native::builder() {
                Ok(builder) if builder.triple().architecture == self.triple.architecture => Ok(builder),
                _ => {
                    let message = format!("`--cpu native` needs the target to be this machine, not {self}");
                    return Err(Error::new(ErrorKind::Config, message));
                }
            },
        }
        .map_err(|error| internal("lookup", &error))?;
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
        let long = SHORT_NAMES.iter().find(|(short, _)| *short == name).map_or(name, |(_, long)| long);
        let triple = Triple::from_str(long).map_err(|error| {
            Error::new(ErrorKind::Config, format!("`{name}` is not a target: {error}"))
                .with_help("`aot targets` lists the targets")
        })?;
        Target::from_triple(triple)
    }
}
