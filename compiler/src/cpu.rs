//! CPU features: which of them code may use, by names that stay the same when the code generator's change.

use crate::error::{Error, ErrorKind, Result};
use crate::target::Target;
use cranelift_codegen::isa::{self, Builder, TargetIsa};
use cranelift_codegen::settings::{self, Configurable as _, Setting, SettingKind, Value};
use std::str::FromStr;
use target_lexicon::{Architecture, Triple};

/// A CPU, as a set of features.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Cpu {
    /// What every machine of the architecture has.
    #[default]
    Baseline,
    /// What the machine has that compiles.
    Native,
    /// What a kind of CPU has, such as `x86-64-v3` or `znver2`.
    Named(String),
}

impl From<&str> for Cpu {
    fn from(name: &str) -> Cpu {
        match name {
            "baseline" => Cpu::Baseline,
            "native" => Cpu::Native,
            name => Cpu::Named(name.to_owned()),
        }
    }
}

/// A feature that is turned on or off: `+avx2`, `-bmi2`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CpuFeature {
    pub name: String,
    pub on: bool,
}

impl FromStr for CpuFeature {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<CpuFeature, String> {
        let (on, name) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
            (Some(name), _) => (true, name),
            (_, Some(name)) => (false, name),
            _ => return Err(format!("write `+{text}` to turn the feature on, `-{text}` to turn it off")),
        };
        match name {
            "" => Err(String::from("there is no name after the sign")),
            name => Ok(CpuFeature { name: name.to_owned(), on }),
        }
    }
}

/// What can be set for a target: a name, and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuSetting {
    pub name: String,
    pub about: &'static str,
}

/// The features and CPUs that the code generator knows for a target, each sorted by name.
///
/// # Errors
/// If there is no code generator for the target.
pub fn cpu_settings(target: &Target) -> Result<(Vec<CpuSetting>, Vec<CpuSetting>)> {
    let builder = lookup(target.triple())?;
    let mut features: Vec<CpuSetting> = builder.iter().filter_map(|setting| feature(&setting)).collect();
    let presets = builder.iter().filter(|setting| setting.kind == SettingKind::Preset);
    let mut cpus: Vec<CpuSetting> = presets
        .map(|setting| CpuSetting { name: setting.name.to_owned(), about: setting.description })
        .collect();
    cpus.retain(|cpu| cpu.name != "baseline");
    features.sort_by(|a, b| a.name.cmp(&b.name));
    cpus.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((features, cpus))
}

/// A setting of the code generator, if it is a feature of the machine and not a way to make code.
fn feature(setting: &Setting) -> Option<CpuSetting> {
    let name = setting.name.strip_prefix(PREFIX)?;
    (setting.kind == SettingKind::Bool)
        .then(|| CpuSetting { name: name.replace('_', "-"), about: setting.description })
}

const PREFIX: &str = "has_";

fn setting_name(feature: &str) -> String {
    format!("{PREFIX}{}", feature.replace('-', "_"))
}

pub(crate) fn lookup(triple: &Triple) -> Result<Builder> {
    isa::lookup(triple.clone())
        .map_err(|error| Error::internal(format!("there is no code generator for {triple}: {error}")))
}

/// The code generator of a target with the features of its CPU, and those that were turned on and off.
pub(crate) fn builder(target: &Target) -> Result<Builder> {
    let mut builder = match target.cpu() {
        Cpu::Baseline => lookup(target.triple())?,
        Cpu::Native => match cranelift_native::builder() {
            // The same CPU under another system would get this system's calling convention.
            Ok(builder) if Target::host().is_ok_and(|host| host.triple() == target.triple()) => builder,
            _ => {
                let message = format!("`--cpu native` needs the target to be this machine, not {target}");
                return Err(Error::new(ErrorKind::Config, message));
            }
        },
        Cpu::Named(name) => {
            let mut builder = lookup(target.triple())?;
            let is_cpu = |setting: &Setting| setting.kind == SettingKind::Preset && setting.name == name;
            if !builder.iter().any(|setting| is_cpu(&setting)) {
                return Err(unknown("CPU", name, target, |builder| {
                    builder.iter().any(|setting| is_cpu(&setting))
                }));
            }
            builder.enable(name).map_err(|error| Error::internal(format!("CPU `{name}`: {error}")))?;
            builder
        }
    };
    for CpuFeature { name, on } in target.cpu_features() {
        let is_feature = |builder: &Builder| {
            builder.iter().any(|setting| feature(&setting).is_some_and(|feature| feature.name == *name))
        };
        if !is_feature(&builder) {
            return Err(unknown("CPU feature", name, target, is_feature));
        }
        let value = if *on { "true" } else { "false" };
        let set = builder.set(&setting_name(name), value);
        set.map_err(|error| Error::internal(format!("CPU feature `{name}`: {error}")))?;
    }
    Ok(builder)
}

/// Says that a name is not known, and of which other target it is.
fn unknown(what: &str, name: &str, target: &Target, has: impl Fn(&Builder) -> bool) -> Error {
    let other = Target::all().find(|other| lookup(other.triple()).is_ok_and(|builder| has(&builder)));
    let message = match other {
        Some(other) => format!("`{name}` is a {what} of {other}, not of {target}"),
        None => format!("`{name}` is not a {what} of {target}"),
    };
    Error::new(ErrorKind::Config, message)
        .with_help(format!("`aot settings --target {target}` lists what there is"))
}

/// The names of the features that code for a target uses, sorted.
///
/// # Errors
/// If the target's CPU or a feature is unknown.
pub fn used_cpu_features(target: &Target) -> Result<Vec<String>> {
    Ok(used_features(&target.isa(|_| {})?.isa_flags()))
}

/// The names of the features that code uses, sorted.
pub(crate) fn used_features(flags: &[Value]) -> Vec<String> {
    let on = flags.iter().filter(|value| value.kind() == SettingKind::Bool && value.as_bool() == Some(true));
    let names = on.filter_map(|value| Some(value.name.strip_prefix(PREFIX)?.replace('_', "-")));
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// Whether code may use a feature of x86-64; on other machines, which have something of the kind, it always may.
pub(crate) fn has_on_x86(target: &Target, isa: &dyn TargetIsa, feature: &str) -> bool {
    target.triple().architecture != Architecture::X86_64
        || used_features(&isa.isa_flags()).iter().any(|name| name == feature)
}

/// The names of the features that a machine must have to run code that was made with these settings, sorted. What every
/// machine of the architecture has is not among them.
pub(crate) fn required_features(
    target: &Target,
    isa: &dyn TargetIsa,
    uses_vectors: bool,
) -> Result<Vec<String>> {
    let baseline = lookup(target.triple())?.finish(settings::Flags::new(settings::builder()));
    let baseline = baseline.map_err(|error| Error::internal(format!("baseline of {target}: {error}")))?;
    let baseline = used_features(&baseline.isa_flags());
    let mut features = used_features(&isa.isa_flags());
    features.retain(|name| !baseline.contains(name));
    if target.needs_vectors() && !uses_vectors {
        // It is on so that there is code for vectors, and nobody asked for it.
        features.retain(|name| name != "v");
    }
    Ok(features)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(cpu: &str, features: &[&str]) -> Target {
        let features = features.iter().map(|text| text.parse().unwrap()).collect();
        "x86_64-linux".parse::<Target>().unwrap().with_cpu(cpu.into()).with_cpu_features(features)
    }

    fn used(cpu: &str, features: &[&str]) -> Vec<String> {
        let isa = target(cpu, features).isa(|_| {}).unwrap();
        used_features(&isa.isa_flags())
    }

    #[test]
    fn features_are_those_of_the_cpu_and_what_was_changed() {
        assert!(used("baseline", &[]).is_empty());
        assert_eq!(used("baseline", &["+sse41", "+sse3", "-sse3"]), ["sse41"]);
        let v3 = used("x86-64-v3", &[]);
        assert!(["avx2", "bmi2", "fma"].iter().all(|name| v3.iter().any(|used| used == name)), "{v3:?}");
        assert!(!used("x86-64-v3", &["-bmi2"]).contains(&String::from("bmi2")));
    }

    #[test]
    fn mistakes_are_explained() {
        let message =
            |cpu, features: &[&str]| target(cpu, features).isa(|_| {}).err().unwrap().message().to_owned();
        assert_eq!(message("z14", &[]), "`z14` is not a CPU of x86_64-linux");
        assert_eq!(
            message("baseline", &["+lse"]),
            "`lse` is a CPU feature of aarch64-linux, not of x86_64-linux"
        );
        assert_eq!(message("baseline", &["+warp"]), "`warp` is not a CPU feature of x86_64-linux");
        assert!("avx2".parse::<CpuFeature>().unwrap_err().contains("`+avx2`"));
        assert!("+".parse::<CpuFeature>().is_err());
    }
}
