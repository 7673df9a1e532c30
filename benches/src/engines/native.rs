//! The reference: the same C source, compiled by the machine's own compiler.

use std::path::Path;
use std::process::Command;

use super::Engine;
use crate::options::Cpu;
use crate::programs::Program;
use crate::setting::Setting;
use crate::tools::{CC, CC_FLAGS};

pub struct Native {
    cpu: Cpu,
}

impl Native {
    pub fn new(setting: &Setting) -> Native {
        Native { cpu: setting.cpu }
    }

    fn flags(&self) -> Vec<&'static str> {
        let cpu_flag = (self.cpu == Cpu::Native).then_some("-march=native");
        CC_FLAGS.iter().copied().chain(cpu_flag).collect()
    }
}

impl Engine for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn about(&self) -> String {
        format!("the C source of a kernel, compiled with `{CC} {}`", self.flags().join(" "))
    }

    fn compiles_wasm(&self) -> bool {
        false
    }

    fn prepare(&self, program: &Program, artifact: &Path) -> Option<Vec<Command>> {
        let mut cc = Command::new(CC);
        cc.args(self.flags()).arg(program.c_source.as_ref()?).arg("-o").arg(artifact).arg("-lm");
        Some(vec![cc])
    }

    fn run(&self, program: &Program, artifact: &Path) -> Command {
        let mut command = Command::new(artifact);
        command.args(&program.args);
        command
    }
}
