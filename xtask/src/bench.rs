//! Builds the package `benches`, which is no part of the workspace, with all it needs, and runs it.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{command, guests, programs, repo, setup};

/// Builds the harness and its peer, `aot`, and the programs to run; then measures.
///
/// # Errors
/// A build or a measurement fails.
pub fn run(args: &[&str]) -> Result<()> {
    let chosen = suites(args);
    let is_listing = args.iter().any(|arg| ["--list", "--help", "-h"].contains(arg));
    if !is_listing {
        for machine in chosen.iter().flatten().filter_map(|suite| suite.strip_prefix("instructions-")) {
            prepare_emulation(machine)?;
        }
    }
    let mut build = cargo()?;
    build.args(["build", "--release", "--locked"]);
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
    if !is_listing {
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

/// Checks that a machine can be emulated. If it is not this one, builds the part of the peer that runs what was compiled,
/// as a static executable, without a C compiler's libraries for that machine.
fn prepare_emulation(machine: &str) -> Result<()> {
    let arch = machine.replace('-', "_");
    let is_here = arch == std::env::consts::ARCH;
    // Its C library is part of the Rust target.
    let triple = format!("{arch}-unknown-linux-musl");
    let missing = missing_for_emulation(&arch, (!is_here).then_some(&triple));
    if !missing.is_empty() {
        bail!("the suite `instructions-{machine}` needs more: {}", missing.join("; "));
    }
    if is_here {
        return Ok(());
    }
    let mut build = cargo()?;
    build.args(["build", "--release", "--locked", "--bin", "wasmtime-peer", "--target", &triple]);
    build.args(["--no-default-features", "--features", "runner"]);
    let variable = triple.replace('-', "_");
    build.env(format!("CARGO_TARGET_{}_LINKER", variable.to_uppercase()), "rust-lld");
    let headers = repo::root().join("benches/freestanding");
    build.env(format!("CC_{variable}"), setup::CLANG);
    build.env(format!("AR_{variable}"), "llvm-ar-19");
    build.env(
        format!("CFLAGS_{variable}"),
        format!("-ffreestanding -nostdlibinc -isystem {}", headers.display()),
    );
    command::run(&mut build)
}

/// What there is not, and how to get it.
fn missing_for_emulation(arch: &str, peer: Option<&String>) -> Vec<String> {
    let qemu = format!("qemu-{arch}");
    let commands = [
        (qemu.as_str(), "qemu-user", "emulates"),
        (setup::CLANG, "clang-19", "compiles C"),
        ("llvm-ar-19", "llvm-19", "makes an archive of that"),
        ("ld.lld-19", "lld-19", "links the program that the counter is tried with"),
        ("cc", "gcc", "compiles the counter"),
    ];
    let mut missing: Vec<String> = commands
        .iter()
        .filter(|(command, ..)| !command::is_on_path(command))
        .map(|(command, debian, why)| format!("`{command}` of the Debian package `{debian}` ({why})"))
        .collect();
    if let Some(triple) = peer.filter(|triple| !setup::is_rustup_target(triple)) {
        missing.push(format!("Rust's library for that machine (`rustup target add {triple}`)"));
    }
    missing
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
