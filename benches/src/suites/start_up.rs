//! How long a program takes that does next to nothing, from its start to its exit: as an artifact, and as a module whose
//! artifact is in a cache.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::engines::Engine;
use crate::measure::{self, Sample, Streams};
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

/// Starts hello world with every engine, and native programs to compare with. What fails is added to the failures.
pub fn measure(setting: &Setting, engines: &[Box<dyn Engine>], failures: &mut Vec<anyhow::Error>) -> Section {
    let rounds = setting.rounds * STARTS_PER_ROUND;
    let mut section = Section::new("Start-up");
    section.text = format!(
        "Wall-clock time from start to exit, median of {rounds} starts in turn; the ratio is to the first program, \
         with its quartiles. The executable is stripped; a `.cwasm` needs wasmtime's runtime besides. The resident \
         set can't be smaller than what the harness had when it started the program.\n\nIn the second table the file is \
         the module, which is read and hashed at each start.\n"
    );
    for contestants in [artifacts(setting, engines), modules(setting, engines)] {
        match contestants.and_then(|contestants| table(&contestants, rounds)) {
            Ok(table) => section.tables.push(table),
            Err(error) => failures.push(error.context("start-up")),
        }
    }
    section
}

/// A large module of the corpus that can be asked for its version, which it says without further ado.
const LARGE: &str = "python";

/// Modules whose artifacts are in caches, beside our own executable.
fn modules(setting: &Setting, engines: &[Box<dyn Engine>]) -> Result<Vec<Contestant>> {
    let work = setting.dirs.work.join("startup");
    make_dir(&work)?;
    let mut programs = vec![hello(&work, &setting.dirs.benches.join("startup/hello.c"))?];
    let large = setting.dirs.programs.join(format!("{LARGE}.wasm"));
    if large.exists() {
        let mut program = Program::command(LARGE, Group::Application, large);
        program.args.push("--version".to_owned());
        programs.push(program);
    }
    let mut contestants = Vec::new();
    for program in &programs {
        let first = engines.first().context("the first engine is ours")?;
        let artifact = work.join(format!("{}.{}", program.name, first.name()));
        measure::run_steps(
            &mut first.prepare(program, &artifact).context("it compiles")?,
            &work.join("log"),
        )?;
        let executable = first.run(program, &artifact);
        let mut commands = vec![(format!("{}, the executable", program.name), executable)];
        for engine in engines {
            let cache = work.join(format!("cache-{}", engine.name()));
            make_dir(&cache)?;
            if let Some(command) = engine.run_cached(program, &cache) {
                commands.push((
                    format!("{}, the module, by {} and its cache", program.name, engine.name()),
                    command,
                ));
            }
        }
        for (name, mut command) in commands {
            // The first one fills the cache.
            measure::run_steps(std::slice::from_mut(&mut command), &work.join("log"))?;
            let (words, variables) = (parts(&command), variables(&command));
            contestants.push(Contestant {
                name,
                file: program.wasm.clone(),
                start: Box::new(move || {
                    let mut command = Command::new(&words.0);
                    command.args(&words.1).envs(variables.iter().cloned());
                    command
                }),
            });
        }
    }
    Ok(contestants)
}

/// The environment that a command adds.
fn variables(command: &Command) -> Vec<(OsString, OsString)> {
    command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect()
}

/// Builds everything that is started, and checks that it does what it should.
fn artifacts(setting: &Setting, engines: &[Box<dyn Engine>]) -> Result<Vec<Contestant>> {
    let work = setting.dirs.work.join("startup");
    make_dir(&work)?;
    let hello = hello(&work, &setting.dirs.benches.join("startup/hello.c"))?;

    let mut contestants = Vec::new();
    let empty_flags = ["-static", "-nostdlib", "-s"];
    contestants.extend(native(setting, "empty, static native", "startup/empty.s", &empty_flags));
    let empties = contestants.len();
    let hello_flags = ["-O2", "-static", "-s"];
    contestants.extend(native(setting, "hello, static native", "startup/hello.c", &hello_flags));
    for engine in engines.iter().filter(|engine| engine.compiles_wasm()) {
        let artifact = work.join(format!("hello.{}", engine.name()));
        let mut steps = engine.prepare(&hello, &artifact).context("it compiles modules")?;
        measure::run_steps(&mut steps, &work.join("log"))?;
        let (program, args) = parts(&engine.run(&hello, &artifact));
        contestants.push(Contestant {
            name: format!("hello, {}", engine.name()),
            file: artifact,
            start: Box::new(move || {
                let mut command = Command::new(&program);
                command.args(&args);
                command
            }),
        });
    }
    for contestant in &contestants[empties..] {
        check_hello(contestant, &work)?;
    }
    Ok(contestants)
}

fn table(contestants: &[Contestant], rounds: usize) -> Result<Table> {
    let samples = measure::in_turn(contestants.len(), rounds, |index| {
        measure::run(&mut (contestants[index].start)(), Streams::default())
    })?;
    let figures = |figure: fn(&Sample) -> f64| -> Vec<Vec<f64>> {
        samples.iter().map(|samples| measure::figures(samples, figure)).collect()
    };
    let wall = figures(|sample| sample.wall_seconds * 1e3);
    let cpu = figures(|sample| (sample.user_seconds + sample.system_seconds) * 1e3);
    let peak = figures(|sample| sample.peak_bytes as f64 / 1e6);
    let mut table = Table::new(&[
        "program",
        "file, bytes",
        "start to exit, ms",
        "ratio to the first",
        "user and system CPU, ms",
        "resident, MB",
    ]);
    for (index, contestant) in contestants.iter().enumerate() {
        eprintln!("start-up of {}: {:.2} ms", contestant.name, stats::median(&wall[index]));
        table.rows.push(vec![
            contestant.name.clone(),
            fs::metadata(&contestant.file)?.len().to_string(),
            format!("{:.2}", stats::median(&wall[index])),
            cell(stats::paired_quartiles(&wall[index], &wall[0])),
            format!("{:.2}", stats::median(&cpu[index])),
            format!("{:.1}", stats::median(&peak[index])),
        ]);
    }
    Ok(table)
}

/// Hello world as a program; compiled to WebAssembly here.
fn hello(work: &Path, source: &Path) -> Result<Program> {
    let wasm = work.join("hello.wasm");
    measure::run_steps(&mut [tools::compile_to_wasm(source, &[], &wasm)], &work.join("log"))?;
    Ok(Program::command("hello", Group::Application, wasm))
}

/// A native program out of one source file; nothing if there is no compiler, or it can't link statically.
fn native(setting: &Setting, name: &str, source: &str, flags: &[&str]) -> Option<Contestant> {
    let file = setting.dirs.work.join("startup").join(name.replace([' ', ','], "-"));
    let mut cc = Command::new(tools::CC);
    cc.args(flags).arg(setting.dirs.benches.join(source)).arg("-o").arg(&file);
    if let Err(error) = measure::run_steps(&mut [cc], &setting.dirs.work.join("log")) {
        eprintln!("start-up of {name}: SKIPPED, {error:#}");
        return None;
    }
    let path = file.clone();
    Some(Contestant { name: name.to_owned(), file, start: Box::new(move || Command::new(&path)) })
}

/// A command's words, to make it again.
fn parts(command: &Command) -> (PathBuf, Vec<OsString>) {
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
