//! The peer with the same code generator: `wasmtime-peer` of this package compiles to a `.cwasm` and runs it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Engine, limit_threads};
use crate::options::Cpu;
use crate::programs::Program;
use crate::setting::Setting;

pub struct Wasmtime {
    peer: PathBuf,
    cpu: Cpu,
    threads: usize,
}

impl Wasmtime {
    pub fn new(setting: &Setting) -> Wasmtime {
        // Cargo puts both programs of this package beside each other.
        let own = std::env::current_exe().unwrap_or_default();
        Wasmtime { peer: own.with_file_name("wasmtime-peer"), cpu: setting.cpu, threads: setting.threads }
    }
}

impl Engine for Wasmtime {
    fn name(&self) -> &'static str {
        "wasmtime"
    }

    fn about(&self) -> String {
        format!(
            "precompiled for {} to a `.cwasm`, which a small program maps (`Module::deserialize_file`) and runs",
            match self.cpu {
                Cpu::Baseline => "a target without extra CPU features",
                Cpu::Native => "this machine",
            }
        )
    }

    fn compiles_wasm(&self) -> bool {
        true
    }

    fn prepare(&self, program: &Program, artifact: &Path) -> Option<Vec<Command>> {
        let mut compile = Command::new(&self.peer);
        compile.args(["compile", self.cpu.name()]).arg(&program.wasm).arg(artifact);
        limit_threads(&mut compile, self.threads);
        Some(vec![compile])
    }

    fn run(&self, program: &Program, artifact: &Path) -> Command {
        let mut command = Command::new(&self.peer);
        command.arg("run").args(program.grants()).arg(artifact).args(&program.args);
        command
    }

    fn run_cached(&self, program: &Program, cache: &Path) -> Option<Command> {
        let mut command = Command::new(&self.peer);
        command.arg("run-cached").arg(cache).args(program.grants()).arg(&program.wasm).args(&program.args);
        Some(command)
    }
}
