//! The peer with the same code generator: `wasmtime-peer` of this package compiles to a `.cwasm` and runs it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::emulated::Machine;
use super::{Engine, limit_threads};
use crate::options::Cpu;
use crate::programs::Program;
use crate::setting::Setting;

pub struct Wasmtime {
    compiler: PathBuf,
    runner: PathBuf,
    /// What to compile for: CPU features of this machine, or another machine.
    cpu: String,
    threads: usize,
}

impl Wasmtime {
    pub fn new(setting: &Setting) -> Wasmtime {
        let peer = own_directory().join("wasmtime-peer");
        let (cpu, threads) = (setting.cpu.name().to_owned(), setting.threads);
        Wasmtime { compiler: peer.clone(), runner: peer, cpu, threads }
    }

    /// Uses what every such CPU has. On another machine than this one, the peer is a static executable, which
    /// `cargo xtask bench` builds.
    pub fn for_machine(setting: &Setting, machine: &Machine) -> Wasmtime {
        let peer = Wasmtime::new(setting);
        if machine.arch == std::env::consts::ARCH {
            return Wasmtime { cpu: Cpu::Baseline.name().to_owned(), ..peer };
        }
        let triple = format!("{}-unknown-linux-musl", machine.arch);
        let runner = own_directory().join("..").join(&triple).join("release/wasmtime-peer");
        Wasmtime { runner, cpu: triple, ..peer }
    }
}

/// Where cargo puts the programs of this package.
fn own_directory() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.parent().unwrap_or(Path::new("")).to_owned()
}

impl Engine for Wasmtime {
    fn name(&self) -> &'static str {
        "wasmtime"
    }

    fn about(&self) -> String {
        format!(
            "precompiled for {} to a `.cwasm`, which a small program maps (`Module::deserialize_file`) and runs",
            match self.cpu.as_str() {
                "native" => "this machine",
                _ => "a target without extra CPU features",
            }
        )
    }

    fn compiles_wasm(&self) -> bool {
        true
    }

    fn prepare(&self, program: &Program, artifact: &Path) -> Option<Vec<Command>> {
        let mut compile = Command::new(&self.compiler);
        compile.args(["compile", &self.cpu]).arg(&program.wasm).arg(artifact);
        limit_threads(&mut compile, self.threads);
        Some(vec![compile])
    }

    fn run(&self, program: &Program, artifact: &Path) -> Command {
        let mut command = Command::new(&self.runner);
        command.arg("run").args(program.grants()).arg(artifact).args(&program.args);
        command
    }

    fn run_cached(&self, program: &Program, cache: &Path) -> Option<Command> {
        let mut command = Command::new(&self.runner);
        command.arg("run-cached").arg(cache).args(program.grants()).arg(&program.wasm).args(&program.args);
        Some(command)
    }
}
