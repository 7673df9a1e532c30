//! The main job on an example, with nothing but Rust on the machine: WebAssembly in, an executable out, run it.

use std::fs::{self, File};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{command, repo};

/// Builds `aot`, makes an executable of `examples/top-words.wat`, and runs it on the licence.
///
/// # Errors
/// A build or the run fails.
pub fn run() -> Result<()> {
    let mut build = repo::cargo();
    command::run(announce(build.args(["build", "--release", "--package", "aot-cli"])))?;

    let target_dir = repo::target_dir()?;
    let out_dir = target_dir.join("example");
    fs::create_dir_all(&out_dir).with_context(|| format!("can't make {}", out_dir.display()))?;
    let exe = out_dir.join("top-words");
    let mut aot = Command::new(target_dir.join("release/aot"));
    aot.current_dir(repo::root()).args(["build", "examples/top-words.wat", "-o"]).arg(&exe);
    command::run(announce(&mut aot))?;

    let input = repo::root().join("LICENSE");
    println!("+ {} 10 < {}", exe.display(), input.display());
    let mut program = Command::new(&exe);
    program.arg("10").stdin(File::open(&input).with_context(|| format!("can't open {}", input.display()))?);
    command::run(&mut program)
}

/// Shows what is going to run, so that it can be repeated by hand.
fn announce(command: &mut Command) -> &mut Command {
    println!("+ {}", command::show(command));
    command
}
