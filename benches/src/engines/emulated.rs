//! Engines whose artifacts QEMU runs, and a plugin of it counts the instructions.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::Engine;
use super::aot::{Aot, Variant};
use super::wasmtime::Wasmtime;
use crate::measure;
use crate::programs::Program;
use crate::setting::{Setting, make_dir};
use crate::tools::{CC, CLANG};

/// The plugin. It counts by translated block, and is exact: see [`check`].
const PLUGIN: &str = include_str!("count.c");

/// What is emulated.
#[derive(Debug, PartialEq, Eq)]
pub struct Machine {
    /// As in the name of the suite and the head of its section.
    pub name: &'static str,
    /// As Rust and the peer's targets have it.
    pub arch: &'static str,
    /// As `aot build --target` has it.
    pub target: &'static str,
    pub qemu: &'static str,
    /// What its CPUs have that both sides use.
    pub baseline: &'static str,
    /// A program whose count is known.
    known: &'static str,
    known_count: u64,
}

pub static AARCH64: Machine = Machine {
    name: "aarch64",
    arch: "aarch64",
    target: "aarch64-linux",
    qemu: "qemu-aarch64",
    baseline: "every ARMv8 CPU has",
    known: "\
.globl _start
_start:
    mov x0, #1000
again:
    subs x0, x0, #1
    b.ne again
    mov x8, #94 // exit_group
    svc #0
",
    known_count: 1 + 1000 * 2 + 2,
};

pub static X86_64: Machine = Machine {
    name: "x86-64",
    arch: "x86_64",
    target: "x86_64-linux",
    qemu: "qemu-x86_64",
    baseline: "every x86-64 CPU has",
    known: "\
.globl _start
_start:
    mov $1000, %ecx
again:
    dec %ecx
    jnz again
    xor %edi, %edi
    mov $231, %eax # exit_group
    syscall
",
    known_count: 1 + 1000 * 2 + 3,
};

pub struct Emulated {
    machine: &'static Machine,
    engine: Box<dyn Engine>,
    plugin: PathBuf,
}

/// Every engine that compiles for a machine: ours, what it is compared with, and variants of ours.
///
/// # Errors
/// The plugin can't be compiled, or doesn't count right.
pub fn all(setting: &Setting, machine: &'static Machine) -> Result<Vec<Box<dyn Engine>>> {
    let work = setting.dirs.work.join("qemu").join(machine.name);
    make_dir(&work)?;
    let (source, plugin) = (work.join("count.c"), work.join("count.so"));
    fs::write(&source, PLUGIN).with_context(|| format!("can't write {}", source.display()))?;
    let mut cc = Command::new(CC);
    cc.args(["-shared", "-fPIC", "-O2"]).arg(source).arg("-o").arg(&plugin);
    measure::run_steps(&mut [cc], &work.join("log"))?;
    check(machine, &plugin, &work).context("counting instructions")?;

    let emulated =
        |engine| -> Box<dyn Engine> { Box::new(Emulated { machine, engine, plugin: plugin.clone() }) };
    Ok(vec![
        emulated(Box::new(Aot::for_machine(setting, machine, Variant::Default))),
        emulated(Box::new(Wasmtime::for_machine(setting, machine))),
        emulated(Box::new(Aot::for_machine(setting, machine, Variant::Profile))),
    ])
}

/// Counts a program whose count is known.
fn check(machine: &Machine, plugin: &Path, work: &Path) -> Result<()> {
    let (source, program) = (work.join("known.s"), work.join("known"));
    fs::write(&source, machine.known)?;
    let mut clang = Command::new(CLANG);
    clang.arg(format!("--target={}-linux-gnu", machine.arch)).args(["-nostdlib", "-static", "-fuse-ld=lld"]);
    clang.arg(source).arg("-o").arg(&program);
    let run = emulate(machine, &Command::new(&program), plugin, &program);
    measure::run_steps(&mut [clang, run], &work.join("log"))?;
    let (expected, counted) = (machine.known_count, count(&program)?);
    if counted != expected {
        bail!("{} executes {expected} instructions, and counts {counted}", machine.qemu);
    }
    Ok(())
}

/// The same command under QEMU; the count goes beside the artifact.
fn emulate(machine: &Machine, command: &Command, plugin: &Path, artifact: &Path) -> Command {
    let mut qemu = Command::new(machine.qemu);
    qemu.arg("-plugin").arg(format!("file={}", plugin.display()));
    qemu.args(["-d", "plugin", "-D"]).arg(count_file(artifact));
    qemu.arg(command.get_program()).args(command.get_args());
    qemu
}

fn count_file(artifact: &Path) -> PathBuf {
    artifact.with_added_extension("count")
}

/// How many instructions the last run of an artifact has executed.
///
/// # Errors
/// There was no run, or it did not come to its end.
pub fn count(artifact: &Path) -> Result<u64> {
    let file = count_file(artifact);
    let text = fs::read_to_string(&file).with_context(|| format!("can't read {}", file.display()))?;
    text.trim().parse().with_context(|| format!("{} has no count: {text}", file.display()))
}

impl Machine {
    /// What emulates it, and its version.
    pub fn emulator(&self) -> String {
        let output =
            Command::new(self.qemu).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
        let text = String::from_utf8_lossy(&output);
        let words: Vec<&str> = text.lines().next().unwrap_or_default().split_whitespace().collect();
        format!("`{}` {}", self.qemu, words.get(2).unwrap_or(&"of an unknown version"))
    }
}

impl Engine for Emulated {
    fn name(&self) -> &'static str {
        self.engine.name()
    }

    fn about(&self) -> String {
        format!("{}, with `{}`", self.engine.about(), self.machine.qemu)
    }

    fn compiles_wasm(&self) -> bool {
        self.engine.compiles_wasm()
    }

    fn is_variant(&self) -> bool {
        self.engine.is_variant()
    }

    fn prepare(&self, program: &Program, artifact: &Path) -> Option<Vec<Command>> {
        self.engine.prepare(program, artifact)
    }

    fn improve(&self, program: &Program, artifact: &Path) -> Option<Vec<Command>> {
        self.engine.improve(program, artifact)
    }

    fn run(&self, program: &Program, artifact: &Path) -> Command {
        emulate(self.machine, &self.engine.run(program, artifact), &self.plugin, artifact)
    }
}
