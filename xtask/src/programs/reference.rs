//! Runs the corpus in an engine that isn't ours, Node's WASI, to check or write the expected outputs.

use std::process::Command;

use anyhow::{Result, bail};

use super::corpus::{Mode, Program, run_scenario};
use super::wasm_path;
use crate::{command, repo};

/// Runs every scenario of every program.
///
/// # Errors
/// Node is missing, a program isn't built, or an output differs from what is expected.
pub fn run(programs: &[Program], mode: Mode) -> Result<()> {
    if !command::is_on_path("node") {
        bail!("the reference engine is Node: install `nodejs` (`cargo xtask setup`)");
    }
    let corpus_dir = repo::corpus_dir();
    let script = corpus_dir.join("reference.mjs");
    let scratch = repo::target_dir()?.join("tmp/reference");
    let mut failures = 0;
    for program in programs {
        let wasm = wasm_path(&program.name)?;
        if !wasm.exists() {
            bail!("`{}` is not built", program.name);
        }
        let launch = |args: &[String]| {
            let mut node = Command::new("node");
            // With V8's fast calls, Node 20 crashes in WASI functions after a memory has grown.
            node.args(["--no-warnings", "--no-turbo-fast-api-calls"])
                .arg(&script)
                .args(program.options())
                .arg(&wasm)
                .args(args);
            node
        };
        for scenario in &program.scenarios {
            if let Some(reason) = &scenario.not_in_reference {
                println!("reference {:<12} {:<24} left out: {reason}", program.name, scenario.name);
                continue;
            }
            let dir = scratch.join(&program.name).join(scenario.name.replace(' ', "-"));
            let word = match run_scenario(&corpus_dir, program, scenario, &dir, mode, &launch) {
                Ok(()) if mode == Mode::Bless => "written".to_owned(),
                Ok(()) => "as expected".to_owned(),
                Err(error) => {
                    failures += 1;
                    format!("FAILED: {error}")
                }
            };
            println!("reference {:<12} {:<24} {word}", program.name, scenario.name);
        }
    }
    if failures > 0 {
        bail!("{failures} scenarios differ in the reference engine");
    }
    Ok(())
}
