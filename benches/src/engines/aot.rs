//! Ours: `aot build` makes an executable.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Engine, limit_threads};
use crate::options::Cpu;
use crate::programs::Program;
use crate::setting::Setting;

pub struct Aot {
    aot: PathBuf,
    cpu: Cpu,
    threads: usize,
}

impl Aot {
    pub fn new(setting: &Setting) -> Aot {
        Aot { aot: setting.aot.clone(), cpu: setting.cpu, threads: setting.threads }
    }
}

impl Engine for Aot {
    fn name(&self) -> &'static str {
        "aot"
    }

    fn about(&self) -> String {
        format!("`aot build --cpu {}` makes an executable, which is run", self.cpu.name())
    }

    fn compiles_wasm(&self) -> bool {
        true
    }

    fn prepare(&self, program: &Program, artifact: &Path) -> Option<Vec<Command>> {
        let mut build = Command::new(&self.aot);
        build
            .args(["build", "--no-cache", "--strip", "all", "--cpu", self.cpu.name()])
            .args(program.grants());
        build.arg(&program.wasm).arg("-o").arg(artifact);
        limit_threads(&mut build, self.threads);
        Some(vec![build])
    }

    fn run(&self, program: &Program, artifact: &Path) -> Command {
        let mut command = Command::new(artifact);
        command.args(&program.args);
        command
    }

    fn run_cached(&self, program: &Program, cache: &Path) -> Option<Command> {
        let mut command = Command::new(&self.aot);
        command.env("AOT_CACHE_DIR", cache).arg("run").args(program.grants());
        command.arg(&program.wasm).args(&program.args);
        Some(command)
    }
}
