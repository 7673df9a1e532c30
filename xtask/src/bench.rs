//! Builds the package `benches`, which is no part of the workspace, with all it needs, and runs it.

use std::process::Command;

use anyhow::Result;

use crate::{command, guests, programs, repo};

/// Builds the harness and its peer, `aot`, and the programs to run; then measures.
///
/// # Errors
/// A build or a measurement fails.
pub fn run(args: &[&str]) -> Result<()> {
    let mut build = cargo()?;
    build.args(["build", "--release", "--locked"]);
    let chosen = suites(args);
    let only = |name: &str| chosen.as_ref().is_some_and(|suites| suites.iter().all(|suite| *suite == name));
    // The peer takes ten minutes to build.
    if only("cross") {
        build.arg("--no-default-features");
    }
    command::run(&mut build)?;
    let target_dir = repo::target_dir()?;
    let aot = target_dir.join("release/aot");
    let harness = || {
        let mut harness = Command::new(target_dir.join("benches/release/aot-benches"));
        harness.arg("--aot").arg(&aot).arg("--target-dir").arg(target_dir).args(args);
        harness
    };
    if !args.iter().any(|arg| ["--list", "--help", "-h"].contains(arg)) {
        command::run(repo::cargo().args(["build", "--release", "--locked", "--package", "aot-cli"]))?;
        let selected = command::run_quietly(harness().arg("--list"))?;
        let selected = String::from_utf8_lossy(&selected);
        let applications: Vec<&str> = selected.lines().filter_map(application).collect();
        if chosen.as_ref().is_none_or(|suites| suites.contains(&"calls")) {
            guests::run()?;
        }
        if !applications.is_empty() && !only("calls") {
            programs::run(&applications)?;
        }
    }
    command::run(&mut harness())
}

/// Cargo for the package `benches`.
///
/// # Errors
/// Cargo can't tell where it builds.
pub fn cargo() -> Result<Command> {
    let mut cargo = repo::cargo();
    // Its `.cargo/config.toml` says the same for those who use it by hand, but doesn't know of another target
    // directory than `target`.
    cargo.current_dir(repo::root().join("benches"));
    cargo.env("CARGO_TARGET_DIR", repo::target_dir()?.join("benches"));
    Ok(cargo)
}

/// The suites that are chosen, if any are.
fn suites<'a>(args: &[&'a str]) -> Option<Vec<&'a str>> {
    let suites: Vec<&str> = args.windows(2).filter(|pair| pair[0] == "--suite").map(|pair| pair[1]).collect();
    (!suites.is_empty()).then_some(suites)
}

/// The name in a line of the harness's list, if it is a program of the corpus.
fn application(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let (name, group) = (words.next()?, words.next()?);
    (group == "application").then_some(name)
}
