//! Everything that has to pass, in order; stops at the first step that fails.

use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::{bench, command, dependencies, guests, programs, repo, setup};

/// A step's name and what it does.
type Step = (&'static str, fn() -> Result<()>);

const STEPS: &[Step] = &[
    ("format", format),
    ("dependencies", dependencies::run),
    ("setup", setup::run),
    ("lint", lint),
    ("programs", programs),
    ("tests", tests),
];

/// Runs every step.
///
/// # Errors
/// The first step that fails.
pub fn run() -> Result<()> {
    let mut times = Vec::new();
    for (index, (name, step)) in STEPS.iter().enumerate() {
        println!("\n=== step {} of {}: {name}", index + 1, STEPS.len());
        let started = Instant::now();
        step().with_context(|| format!("step `{name}` failed"))?;
        times.push(format!("{name} {:.0} s", started.elapsed().as_secs_f64()));
    }
    println!("\n=== all {} steps passed ({})", STEPS.len(), times.join(", "));
    Ok(())
}

fn format() -> Result<()> {
    command::run(repo::cargo().args(["fmt", "--all", "--check"]))?;
    command::run(bench::cargo()?.args(["fmt", "--check"]))
}

fn lint() -> Result<()> {
    let mut clippy = repo::cargo();
    clippy.args(["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"]);
    command::run(&mut clippy)?;
    // The benchmarks' harness alone: its peer takes ten minutes to build.
    let mut clippy = bench::cargo()?;
    clippy.args(["clippy", "--all-targets", "--no-default-features", "--locked", "--", "--deny", "warnings"]);
    command::run(&mut clippy)
}

fn programs() -> Result<()> {
    programs::run(&[])?;
    guests::run()
}

fn tests() -> Result<()> {
    // All test programs run, so that one run names everything that is broken.
    command::run(repo::cargo().args(["test", "--workspace", "--locked", "--no-fail-fast"]))?;
    command::run(bench::cargo()?.args(["test", "--no-default-features", "--locked"]))
}
