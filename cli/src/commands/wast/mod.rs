//! `aot wast`: runs scripts in the format of the official specification tests.

mod engine;
mod remote;
mod script;
mod spectest;
mod values;

use crate::args::{self, CompileArgs, CpuArgs};
use crate::output;
use crate::report::{Failure, Result};
use engine::Engine;
use remote::Launcher;
use script::Runner;
use std::fs;
use std::path::{Path, PathBuf};

/// Run scripts of the specification test suite
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    compile: CompileArgs,

    /// Run them on another machine, or in another process: build a driver for it, and run that with `--runner`
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,

    /// Command that runs executables of `--target` [default: `qemu-ARCHITECTURE` if the target is not this machine]
    #[arg(long, value_name = "COMMAND", requires = "target")]
    runner: Option<String>,

    /// CPU whose features the code may use [default: native, baseline with `--target`]
    #[arg(long, value_name = "CPU")]
    cpu: Option<String>,

    /// Scripts, or directories whose `*.wast` files are run
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// Assertions of a script that held and that did not.
#[derive(Clone, Copy, Default)]
struct Tally {
    passed: usize,
    failed: usize,
}

pub fn run(args: &Args) -> Result<()> {
    let default = if args.target.is_some() { "baseline" } else { "native" };
    let cpu = args.cpu.clone().unwrap_or(default.to_owned());
    let cpu = CpuArgs { cpu: Some(cpu), ..CpuArgs::default() };
    let target = args::target(args.target.as_deref(), &cpu)?;
    let launcher = match args.target {
        Some(_) => Some(Launcher::new(&target, args.runner.as_deref())?),
        None => None,
    };
    let mut config = args.compile.config(target).into_image();
    config.verify_clif = true;
    let mut total = Tally::default();
    let files = scripts(&args.files)?;
    for file in &files {
        let text = fs::read_to_string(file).map_err(|error| Failure::io("read", file, &error))?;
        let engine = match &launcher {
            Some(launcher) => Engine::Remote(launcher.start()?),
            None => Engine::local().map_err(Failure::new)?,
        };
        let mut runner = Runner::new(&config, file, &text, engine);
        let tally = runner.run();
        for failure in runner.failures() {
            output::print(&format!("{failure}\n"))?;
        }
        output::print(&format!("{}: {} passed, {} failed\n", file.display(), tally.passed, tally.failed))?;
        total.passed += tally.passed;
        total.failed += tally.failed;
    }
    if files.len() > 1 {
        output::print(&format!("total: {} passed, {} failed\n", total.passed, total.failed))?;
    }
    if total.failed > 0 {
        return Err(Failure::new(format!("{} assertions failed", total.failed)));
    }
    Ok(())
}

/// The scripts that paths name, in order; those of a directory sorted by name.
fn scripts(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            collect(path, &mut files)?;
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let failed = |error: std::io::Error| Failure::io("read", directory, &error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "wast") {
            files.push(path);
        }
    }
    Ok(())
}
