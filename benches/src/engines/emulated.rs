//! Engines whose artifacts are for aarch64: QEMU runs them, and a plugin of it counts the instructions.

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

pub const QEMU: &str = "qemu-aarch64";

/// The plugin. It counts by translated block, and is exact: see [`check`].
const PLUGIN: &str = include_str!("count.c");

/// A program of 2003 instructions.
const KNOWN: &str = "\
.globl _start
_start:
    mov x0, #1000
again:
    subs x0, x0, #1
    b.ne again
    mov x8, #94 // exit_group
    svc #0
";
const KNOWN_COUNT: u64 = 1 + 1000 * 2 + 2;

pub struct Emulated {
    engine: Box<dyn Engine>,
    plugin: PathBuf,
}

/// Every engine that compiles for aarch64: ours, what it is compared with, and variants of ours.
///
/// # Errors
/// The plugin can't be compiled, or doesn't count right.
pub fn all(setting: &Setting) -> Result<Vec<Box<dyn Engine>>> {
    let work = setting.dirs.work.join("qemu");
    make_dir(&work)?;
    let (source, plugin) = (work.join("count.c"), work.join("count.so"));
    fs::write(&source, PLUGIN).with_context(|| format!("can't write {}", source.display()))?;
    let mut cc = Command::new(CC);
    cc.args(["-shared", "-fPIC", "-O2"]).arg(source).arg("-o").arg(&plugin);
    measure::run_steps(&mut [cc], &work.join("log"))?;
    check(&plugin, &work).context("counting instructions")?;

    let emulated = |engine| -> Box<dyn Engine> { Box::new(Emulated { engine, plugin: plugin.clone() }) };
    Ok(vec![
        emulated(Box::new(Aot::for_aarch64(setting, Variant::Default))),
        emulated(Box::new(Wasmtime::for_aarch64(setting))),
        emulated(Box::new(Aot::for_aarch64(setting, Variant::Profile))),
    ])
}

/// Counts a program whose count is known.
fn check(plugin: &Path, work: &Path) -> Result<()> {
    let (source, program) = (work.join("known.s"), work.join("known"));
    fs::write(&source, KNOWN)?;
    let mut clang = Command::new(CLANG);
    clang.args(["--target=aarch64-linux-gnu", "-nostdlib", "-static", "-fuse-ld=lld"]);
    clang.arg(source).arg("-o").arg(&program);
    let log = work.join("log");
    measure::run_steps(&mut [clang, emulate(&Command::new(&program), plugin, &program)], &log)?;
    match count(&program)? {
        KNOWN_COUNT => Ok(()),
        other => bail!("{QEMU} executes {KNOWN_COUNT} instructions, and counts {other}"),
    }
}

/// The same command under QEMU; the count goes beside the artifact.
fn emulate(command: &Command, plugin: &Path, artifact: &Path) -> Command {
    let mut qemu = Command::new(QEMU);
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

/// What emulates, and its version.
pub fn version() -> String {
    let output = Command::new(QEMU).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&output);
    let words: Vec<&str> = text.lines().next().unwrap_or_default().split_whitespace().collect();
    format!("`{QEMU}` {}", words.get(2).unwrap_or(&"of an unknown version"))
}

impl Engine for Emulated {
    fn name(&self) -> &'static str {
        self.engine.name()
    }

    fn about(&self) -> String {
        format!("{}, with `{QEMU}`", self.engine.about())
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
        emulate(&self.engine.run(program, artifact), &self.plugin, artifact)
    }
}
