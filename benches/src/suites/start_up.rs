//! How long a program takes that does nothing but say hello, from its start to its exit.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::engines::Engine;
use crate::measure::{self, Streams};
use crate::programs::{Group, Program};
use crate::report::{Section, Table, cell};
use crate::setting::{Setting, make_dir};
use crate::{stats, tools};

/// Starts per round of the setting: one takes a few milliseconds at most.
const STARTS_PER_ROUND: usize = 40;

/// Something to start.
struct Contestant {
    name: String,
    file: PathBuf,
    start: Box<dyn Fn() -> Command>,
}

/// Starts hello world with every engine, and native programs to compare with.
///
/// # Errors
/// A compiler fails, or a program doesn't do what it should.
pub fn measure(setting: &Setting, engines: &[Box<dyn Engine>]) -> Result<Section> {
    let work = setting.dirs.work.join("startup");
    make_dir(&work)?;
    let source = setting.dirs.benches.join("startup/hello.c");
    let hello = hello(&work, source.clone())?;

    let mut contestants = Vec::new();
    let empty = work.join("empty");
    let nothing_else = ["-static", "-nostdlib", "-s"];
    if let Some(contestant) = native(setting, "startup/empty.s", &empty, &nothing_else)? {
        contestants.push(Contestant { name: "empty static native program".to_owned(), ..contestant });
    }
    if let Some(contestant) =
        native(setting, "startup/hello.c", &work.join("hello.static"), &["-O2", "-static", "-s"])?
    {
        contestants.push(Contestant { name: "hello, C, static native".to_owned(), ..contestant });
    }
    for engine in engines.iter().filter(|engine| engine.compiles_wasm()) {
        let artifact = work.join(format!("hello.{}", engine.name()));
        let mut steps = engine.prepare(&hello, &artifact).context("it compiles modules")?;
        measure::run_steps(&mut steps, &work.join("log"))?;
        let (program, args) = parts(&engine.run(&hello, &artifact));
        contestants.push(Contestant {
            name: format!("hello, C, {}", engine.name()),
            file: artifact,
            start: Box::new(move || {
                let mut command = Command::new(&program);
                command.args(&args);
                command
            }),
        });
    }
    for contestant in contestants.iter().filter(|contestant| contestant.file != empty) {
        check_hello(contestant, &work)?;
    }

    let rounds = setting.rounds * STARTS_PER_ROUND;
    let samples = measure::in_turn(contestants.len(), rounds, |index| {
        measure::run(&mut (contestants[index].start)(), Streams::default())
    })?;
    let mut table = Table::new(&[
        "program",
        "file, bytes",
        "start to exit, ms",
        "to the first",
        "CPU, ms (user and system)",
        "resident, MB",
    ]);
    let wall: Vec<Vec<f64>> =
        samples.iter().map(|samples| measure::figures(samples, |sample| sample.wall_seconds * 1e3)).collect();
    for (index, contestant) in contestants.iter().enumerate() {
        let cpu = measure::figures(&samples[index], |s| (s.user_seconds + s.system_seconds) * 1e3);
        let peak = measure::figures(&samples[index], |sample| sample.peak_bytes as f64 / 1e6);
        eprintln!("start-up of {}: {:.2} ms", contestant.name, stats::median(&wall[index]));
        table.rows.push(vec![
            contestant.name.clone(),
            fs::metadata(&contestant.file)?.len().to_string(),
            format!("{:.2}", stats::median(&wall[index])),
            cell(stats::paired_quartiles(&wall[index], &wall[0])),
            format!("{:.2}", stats::median(&cpu)),
            format!("{:.1}", stats::median(&peak)),
        ]);
    }
    let mut section = Section::new("Start-up");
    section.text = format!(
        "Wall-clock time from start to exit, median of {rounds} starts in turn; the ratio is to the first program, with \
         its quartiles. The executable is stripped; wasmtime needs its runtime besides the file. \
         The resident set can't be smaller than what the harness had when it started the program.\n"
    );
    section.tables.push(table);
    Ok(section)
}

/// Hello world as a program; compiled to WebAssembly here.
fn hello(work: &Path, source: PathBuf) -> Result<Program> {
    let wasm = work.join("hello.wasm");
    measure::run_steps(&mut [tools::compile_to_wasm(&source, &[], &wasm)], &work.join("log"))?;
    Ok(Program::command("hello", Group::Application, wasm))
}

/// A native program out of one source file; nothing if there is no compiler, or it can't link statically.
fn native(setting: &Setting, source: &str, file: &Path, flags: &[&str]) -> Result<Option<Contestant>> {
    let mut cc = Command::new(tools::CC);
    cc.args(flags).arg(setting.dirs.benches.join(source)).arg("-o").arg(file);
    if let Err(error) = measure::run_steps(&mut [cc], &setting.dirs.work.join("log")) {
        eprintln!("start-up of {source}: SKIPPED, {error:#}");
        return Ok(None);
    }
    let path = file.to_owned();
    let start = Box::new(move || Command::new(&path));
    Ok(Some(Contestant { name: source.to_owned(), file: file.to_owned(), start }))
}

/// A command's words, to make it again.
fn parts(command: &Command) -> (PathBuf, Vec<std::ffi::OsString>) {
    (command.get_program().into(), command.get_args().map(Into::into).collect())
}

fn check_hello(contestant: &Contestant, work: &Path) -> Result<()> {
    let stdout = work.join("stdout");
    let streams = Streams { stdout: Some(&stdout), ..Streams::default() };
    let sample = measure::run(&mut (contestant.start)(), streams)?;
    let said = fs::read_to_string(&stdout).unwrap_or_default();
    if sample.exit != Some(0) || said != "hello, world\n" {
        bail!("{} says {said:?} and ends with {:?}", contestant.name, sample.exit);
    }
    Ok(())
}
