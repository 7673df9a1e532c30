//! The way by C: `wasm2c` translates a kernel, and the machine's own compiler the result.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Engine;
use crate::options::Cpu;
use crate::programs::{Group, Program};
use crate::setting::Setting;
use crate::tools::{CC, CC_FLAGS, WASM2C, WASM2C_RUNTIME};

/// WASI as far as kernels use it. Programs of the corpus use more, so they are not run.
const HOST: &str = include_str!("wasm2c.c");

pub struct Wasm2c {
    cpu: Cpu,
    /// Where translations go.
    work: PathBuf,
}

impl Wasm2c {
    pub fn new(setting: &Setting) -> Wasm2c {
        Wasm2c { cpu: setting.cpu, work: setting.dirs.work.join("wasm2c") }
    }

    /// Translates a kernel. Nothing if `wasm2c` does not know an instruction of it.
    fn translate(&self, program: &Program) -> Option<PathBuf> {
        let dir = self.work.join(&program.name);
        fs::create_dir_all(&dir).ok()?;
        fs::write(dir.join("host.c"), HOST).ok()?;
        let mut translate = Command::new(WASM2C);
        translate.args(["-n", "kernel"]).arg(&program.wasm).arg("-o").arg(dir.join("program.c"));
        let status = translate.stderr(Stdio::null()).stdout(Stdio::null()).status().ok()?;
        status.success().then_some(dir)
    }
}

impl Engine for Wasm2c {
    fn name(&self) -> &'static str {
        "wasm2c"
    }

    fn about(&self) -> String {
        format!("a kernel's module as C, by `{WASM2C}`, compiled with `{CC} {}`", CC_FLAGS.join(" "))
    }

    fn compiles_wasm(&self) -> bool {
        false
    }

    fn prepare(&self, program: &Program, artifact: &Path) -> Option<Vec<Command>> {
        if program.group != Group::Kernel {
            return None;
        }
        let dir = self.translate(program)?;
        let mut cc = Command::new(CC);
        cc.args(CC_FLAGS).args((self.cpu == Cpu::Native).then_some("-march=native"));
        cc.arg("-w").arg("-I").arg(&dir).arg("-I").arg(WASM2C_RUNTIME);
        cc.args(["program.c", "host.c"].map(|name| dir.join(name)));
        cc.arg(Path::new(WASM2C_RUNTIME).join("wasm-rt-impl.c")).arg("-o").arg(artifact).arg("-lm");
        Some(vec![cc])
    }

    fn run(&self, program: &Program, artifact: &Path) -> Command {
        let mut command = Command::new(artifact);
        command.args(&program.args);
        command
    }
}
