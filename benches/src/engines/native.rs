//! The reference: the same C source, compiled by the machine's own compiler.

use std::path::Path;
use std::process::Command;

use super::Engine;
use crate::programs::Program;
use crate::tools::{CC, CC_FLAGS};

pub struct Native;

impl Engine for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn about(&self) -> String {
        format!("the C source of a kernel, compiled with `{CC} {}`", CC_FLAGS.join(" "))
    }

    fn compiles_wasm(&self) -> bool {
        false
    }

    fn prepare(&self, program: &Program, artifact: &Path) -> Option<Vec<Command>> {
        let mut cc = Command::new(CC);
        cc.args(CC_FLAGS).arg(program.c_source.as_ref()?).arg("-o").arg(artifact).arg("-lm");
        Some(vec![cc])
    }

    fn run(&self, program: &Program, artifact: &Path) -> Command {
        let mut command = Command::new(artifact);
        command.args(&program.args);
        command
    }
}
