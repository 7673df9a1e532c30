//! Builds the package `benches`, which is no part of the workspace, with all it needs, and runs it.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::{command, programs, repo};

/// Builds `aot`, the programs to run, the harness and the peer; then measures.
///
/// # Errors
/// A build or a measurement fails.
pub fn run(args: &[&str]) -> Result<()> {
    // Options that measure nothing need neither `aot` nor programs.
    if !args.iter().any(|arg| ["--list", "--help", "-h"].contains(arg)) {
        command::run(repo::cargo().args(["build", "--release", "--locked", "--package", "aot-cli"]))?;
        let corpus = corpus()?;
        let named: Vec<&str> = args.iter().copied().filter(|arg| corpus.contains(*arg)).collect();
        let wanted = if named.is_empty() { corpus.iter().map(String::as_str).collect() } else { named };
        programs::run(&wanted)?;
    }
    command::run(cargo()?.args(["build", "--release", "--locked"]))?;

    let target_dir = repo::target_dir()?;
    let mut harness = std::process::Command::new(target_dir.join("benches/release/aot-benches"));
    harness.arg("--aot").arg(target_dir.join("release/aot")).arg("--target-dir").arg(target_dir);
    command::run(harness.args(args))
}

/// Cargo for the package `benches`.
///
/// # Errors
/// Cargo can't tell where it builds.
pub fn cargo() -> Result<std::process::Command> {
    let mut cargo = repo::cargo();
    // Its `.cargo/config.toml` says where it builds when it is used by hand; a `--target-dir` of the user has
    // to count here.
    cargo.current_dir(dir()).env("CARGO_TARGET_DIR", repo::target_dir()?.join("benches"));
    Ok(cargo)
}

fn dir() -> PathBuf {
    repo::root().join("benches")
}

/// The programs of the corpus that have a workload in the benchmarks.
fn corpus() -> Result<BTreeSet<String>> {
    let path = dir().join("programs.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))?;
    let file: toml::Table = toml::from_str(&text).with_context(|| path.display().to_string())?;
    let programs = file["program"].as_array().context("`program` is a list")?;
    Ok(programs.iter().filter_map(|program| Some(program.get("name")?.as_str()?.to_owned())).collect())
}
