//! What was measured, and on which machine.

use std::fs;
use std::process::Command;

use crate::setting::Setting;

const OWN_LOCK: &str = include_str!("../Cargo.lock");
const AOT_LOCK: &str = include_str!("../../Cargo.lock");

/// One line for each thing that the figures depend on.
pub fn describe(setting: &Setting) -> Vec<String> {
    let Setting { aot, threads, cpu, rounds, .. } = setting;
    vec![
        format!("CPU: {}, {threads} cores; {} of memory; Linux {}", cpu_model(), memory(), kernel()),
        format!("{}, with Cranelift {}", first_line(Command::new(aot).arg("--version")), cranelift(AOT_LOCK)),
        format!("wasmtime {}, with Cranelift {}", locked(OWN_LOCK, "wasmtime"), cranelift(OWN_LOCK)),
        format!("{}; {}", version_of(crate::tools::CLANG), version_of(crate::tools::CC)),
        format!("CPU features: {}; compilers use {threads} threads; {rounds} rounds", cpu.name()),
    ]
}

fn version_of(compiler: &str) -> String {
    format!("`{compiler}`: {}", first_line(Command::new(compiler).arg("--version")))
}

fn first_line(command: &mut Command) -> String {
    let output = command.output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).lines().next().unwrap_or("not there").to_owned()
}

fn cranelift(lock: &str) -> &str {
    locked(lock, "cranelift-codegen")
}

/// The version of a package in a lock file.
fn locked<'a>(lock: &'a str, name: &str) -> &'a str {
    let entry = format!("name = \"{name}\"\nversion = \"");
    let version = lock.split_once(&entry).and_then(|(_, rest)| rest.split_once('"'));
    version.map_or("of an unknown version", |(version, _)| version)
}

fn cpu_model() -> String {
    proc_value("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

fn memory() -> String {
    let kib = proc_value("/proc/meminfo", "MemTotal")
        .and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
    kib.map_or_else(|| "?".to_owned(), |kib| format!("{:.0} GiB", kib / f64::from(1 << 20)))
}

fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.split('.').take(2).collect::<Vec<_>>().join(".")
}

fn proc_value(file: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lock_files_name_cranelift() {
        for lock in [OWN_LOCK, AOT_LOCK] {
            assert!(cranelift(lock).starts_with("0."), "{}", cranelift(lock));
        }
        assert_eq!(locked(OWN_LOCK, "no such package"), "of an unknown version");
    }
}
