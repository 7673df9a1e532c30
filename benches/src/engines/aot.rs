//! Ours: `aot build` makes an executable.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::emulated::Machine;
use super::{Engine, limit_threads};
use crate::options::Cpu;
use crate::programs::Program;
use crate::setting::Setting;

pub struct Aot {
    aot: PathBuf,
    cpu: Cpu,
    threads: usize,
    variant: Variant,
    /// The machine to compile for, if it is not this one.
    target: Option<&'static str>,
}

/// What is not as it is by default.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    Default,
    /// The code is made for a profile of one run of the same workload.
    Profile,
    /// The code does not have its addresses in it.
    Instance,
}

impl Aot {
    pub fn new(setting: &Setting, variant: Variant) -> Aot {
        Aot { aot: setting.aot.clone(), cpu: setting.cpu, threads: setting.threads, variant, target: None }
    }

    /// Uses what every such CPU has.
    pub fn for_machine(setting: &Setting, machine: &Machine, variant: Variant) -> Aot {
        Aot { cpu: Cpu::Baseline, target: Some(machine.target), ..Aot::new(setting, variant) }
    }

    fn build(&self, program: &Program, artifact: &Path, option: Option<String>) -> Command {
        let mut build = Command::new(&self.aot);
        build
            .args(["build", "--no-cache", "--strip", "all", "--cpu", self.cpu.name()])
            .args(program.grants());
        if let Some(target) = self.target {
            build.args(["--target", target]);
        }
        build.args(option).arg(&program.wasm).arg("-o").arg(artifact);
        limit_threads(&mut build, self.threads);
        build
    }
}

/// Where the profile of an artifact is.
fn profile(artifact: &Path) -> String {
    artifact.with_extension("aotprof").display().to_string()
}

impl Engine for Aot {
    fn name(&self) -> &'static str {
        match self.variant {
            Variant::Default => "aot",
            Variant::Profile => "profile",
            Variant::Instance => "instance",
        }
    }

    fn about(&self) -> String {
        let cpu = self.cpu.name();
        match self.variant {
            Variant::Default => format!("`aot build --cpu {cpu}` makes an executable, which is run"),
            Variant::Profile => {
                String::from("the same with `--profile-use`, for a profile of one run of the same workload")
            }
            Variant::Instance => String::from("the same with `-C model=instance`"),
        }
    }

    fn compiles_wasm(&self) -> bool {
        !self.is_variant()
    }

    fn is_variant(&self) -> bool {
        self.variant != Variant::Default
    }

    fn prepare(&self, program: &Program, artifact: &Path) -> Option<Vec<Command>> {
        let option = match self.variant {
            Variant::Default => None,
            Variant::Profile => {
                let file = profile(artifact);
                // The counts of an earlier benchmark would be added to.
                drop(std::fs::remove_file(&file));
                Some(format!("--profile-generate={file}"))
            }
            Variant::Instance => Some(String::from("-Cmodel=instance")),
        };
        Some(vec![self.build(program, artifact, option)])
    }

    fn improve(&self, program: &Program, artifact: &Path) -> Option<Vec<Command>> {
        let option = Some(format!("--profile-use={}", profile(artifact)));
        (self.variant == Variant::Profile).then(|| vec![self.build(program, artifact, option)])
    }

    fn run(&self, program: &Program, artifact: &Path) -> Command {
        let mut command = Command::new(artifact);
        command.args(&program.args);
        command
    }

    fn run_cached(&self, program: &Program, cache: &Path) -> Option<Command> {
        if self.is_variant() {
            return None;
        }
        let mut command = Command::new(&self.aot);
        command.env("AOT_CACHE_DIR", cache).arg("run").args(program.grants());
        command.arg(&program.wasm).args(&program.args);
        Some(command)
    }
}
