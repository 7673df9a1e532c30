//! Executables for other machines, run by QEMU. Shared by several tests.

#![allow(dead_code, reason = "each test uses a part of this file")]

use std::path::Path;
use std::process::Command;

/// The targets that are not the machine that the tests usually run on.
pub const FOREIGN: [&str; 3] = ["aarch64-linux", "riscv64-linux", "s390x-linux"];

/// What this aot or this machine lacks to build and run executables for a target; nothing if it lacks nothing.
pub fn lacks(target: &str) -> Option<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_aot")).arg("targets").output().expect("aot runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.starts_with(target)).unwrap_or_default();
    if line.split_whitespace().nth(2) != Some("yes") {
        return Some(format!("no runtime library: {line}"));
    }
    let emulator = emulator(target);
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).any(|path| path.join(&emulator).is_file());
    (!found).then(|| format!("no `{emulator}`; `cargo xtask setup` installs it"))
}

/// Whether tests for a target can run. If not, says so; and on CI that is a failure.
pub fn is_ready(target: &str) -> bool {
    let Some(lack) = lacks(target) else { return true };
    assert!(std::env::var_os("CI").is_none(), "on CI nothing may be skipped: {target}: {lack}");
    println!("SKIPPED {target}: {lack}");
    false
}

fn emulator(target: &str) -> String {
    format!("qemu-{}", target.split('-').next().unwrap_or(target))
}

/// The command that runs an executable for a target.
pub fn command(target: &str, executable: &Path) -> Command {
    let mut command = Command::new(emulator(target));
    if target == "riscv64-linux" {
        // What QEMU emulates by default has no vectors.
        command.env("QEMU_CPU", "rv64,v=true,vlen=128,elen=64,vext_spec=v1.0");
    }
    command.arg(executable);
    command
}

/// As [`command`], but it waits for a debugger at a socket first.
pub fn command_for_debugger(target: &str, executable: &Path, socket: &Path) -> Command {
    let mut command = Command::new(emulator(target));
    command.arg("-g").arg(socket).arg(executable);
    command
}
