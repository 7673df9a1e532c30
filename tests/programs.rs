//! Real programs that nobody here wrote: each is built into an executable and run, and run by `aot run`. Some are also
//! built for other machines, and run there by QEMU; all of them with `AOT_PROGRAMS_EVERYWHERE=1`.
//!
//! In: `target/programs/*.wasm` (made by `cargo xtask programs`) and the data in `tests/programs/`.
//! Out: one line per program and a summary. Arguments are parts of program names to run only those.
//! A program that isn't there is skipped by name; when `CI` is set, a skip is a failure.

#[path = "programs/corpus.rs"]
mod corpus;
#[path = "emulator.rs"]
mod emulator;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use corpus::{Mode, Program, run_scenario};

const AOT: &str = env!("CARGO_BIN_EXE_aot");

/// Programs that are built for other machines too: one or two of each language, none of the largest.
const EVERYWHERE: [&str; 9] =
    ["bzip2", "json", "mandelbrot", "markdown", "quickjs", "sqlite", "top-words", "wasi", "zstd"];

enum Outcome {
    Passed(String),
    Failed(String),
    Skipped(String),
}

fn main() -> ExitCode {
    let corpus_dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a crate of the workspace")
        .join("tests/programs");
    let target_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a directory in target/");
    let built_dir = target_dir.join("programs");
    let filters: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let strict = std::env::var_os("CI").is_some();

    let mut programs = match corpus::load(&corpus_dir) {
        Ok(programs) => programs,
        Err(error) => {
            println!("can't read the corpus: {error}");
            return ExitCode::FAILURE;
        }
    };
    programs.retain(|p| filters.is_empty() || filters.iter().any(|filter| p.name.contains(filter.as_str())));

    let scratch_root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("programs");
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(program) = programs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let wasm = built_dir.join(format!("{}.wasm", program.name));
                    let outcome = check_program(&corpus_dir, program, &wasm, &scratch_root);
                    let (word, detail) = match &outcome {
                        Outcome::Passed(detail) => ("ok", detail),
                        Outcome::Failed(detail) => ("FAILED", detail),
                        Outcome::Skipped(detail) => ("SKIPPED", detail),
                    };
                    println!("program {:<12} {:<16} {word}: {detail}", program.name, program.language);
                    results.lock().expect("no thread panics while it holds the lock").push(outcome);
                }
            });
        }
    });

    let results = results.into_inner().expect("no thread panics while it holds the lock");
    let count = |matches: fn(&Outcome) -> bool| results.iter().filter(|outcome| matches(outcome)).count();
    let passed = count(|outcome| matches!(outcome, Outcome::Passed(_)));
    let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    let skipped = count(|outcome| matches!(outcome, Outcome::Skipped(_)));
    println!("\n{passed} passed, {failed} failed, {skipped} skipped\n");
    if skipped > 0 {
        println!("{skipped} programs were SKIPPED; `cargo xtask programs` builds them");
        if strict {
            println!("a skip is a failure, because `CI` is set");
        }
    }
    if failed > 0 || (strict && skipped > 0) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Builds the program once, runs every scenario with the executable and with `aot run`.
fn check_program(corpus_dir: &Path, program: &Program, wasm: &Path, scratch_root: &Path) -> Outcome {
    let Ok(metadata) = fs::metadata(wasm) else {
        return Outcome::Skipped(format!("{} is not there", wasm.display()));
    };
    let scratch = scratch_root.join(&program.name);
    if let Err(error) = fs::create_dir_all(&scratch) {
        return Outcome::Failed(format!("can't make {}: {error}", scratch.display()));
    }
    let exe = scratch.join(&program.name);

    let started = Instant::now();
    let build = Command::new(AOT).arg("build").arg(wasm).arg("-o").arg(&exe).args(program.options()).output();
    match build {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let stderr = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "\n      ");
            return Outcome::Failed(format!("`aot build` failed, {}\n      {stderr}", output.status));
        }
        Err(error) => return Outcome::Failed(format!("can't start {AOT}: {error}")),
    }
    let build_time = started.elapsed();

    let as_executable = |args: &[String]| {
        let mut command = Command::new(&exe);
        command.args(args);
        command
    };
    let with_run = |args: &[String]| {
        let mut command = Command::new(AOT);
        // A cache of the tests' own: neither the user's cache nor a stale entry has a say.
        command.env("XDG_CACHE_HOME", scratch_root.join("cache"));
        command.arg("run").args(program.options()).arg(wasm).args(args);
        command
    };
    type Launch<'a> = &'a dyn Fn(&[String]) -> Command;
    let ways: [(&str, Launch<'_>); 2] = [("executable", &as_executable), ("aot run", &with_run)];

    let started = Instant::now();
    let mut failures = Vec::new();
    for (way, launch) in ways {
        for scenario in &program.scenarios {
            let dir = scratch.join(scenario.name.replace(' ', "-"));
            if let Err(error) = run_scenario(corpus_dir, program, scenario, &dir, Mode::Check, launch) {
                failures.push(format!("\n    {way}: {error}"));
            }
        }
    }
    let everywhere = std::env::var_os("AOT_PROGRAMS_EVERYWHERE").is_some();
    let mut machines = Vec::new();
    for target in emulator::FOREIGN {
        if (everywhere || EVERYWHERE.contains(&program.name.as_str())) && emulator::is_ready(target) {
            machines.push(target);
            failures.extend(check_machine(corpus_dir, program, wasm, &scratch, target));
        }
    }
    if !failures.is_empty() {
        return Outcome::Failed(failures.concat());
    }
    Outcome::Passed(format!(
        "{} scenarios as executable and with `aot run`{} ({:.1} MB of wasm, built in {:.1} s, ran in {:.1} s)",
        program.scenarios.len(),
        machines.iter().map(|target| format!(", for {target}")).collect::<String>(),
        metadata.len() as f64 / 1e6,
        build_time.as_secs_f64(),
        started.elapsed().as_secs_f64(),
    ))
}

/// Builds the program for another machine, and runs every scenario there. Gives what went wrong.
fn check_machine(
    corpus_dir: &Path,
    program: &Program,
    wasm: &Path,
    scratch: &Path,
    target: &str,
) -> Vec<String> {
    let exe = scratch.join(format!("{}.{target}", program.name));
    let mut build = Command::new(AOT);
    build.arg("build").arg(wasm).arg("-o").arg(&exe).args(["--target", target]).args(program.options());
    match build.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            return vec![format!("\n    {target}: {}", String::from_utf8_lossy(&output.stderr).trim())];
        }
        Err(error) => return vec![format!("\n    can't start {AOT}: {error}")],
    }
    let launch = |args: &[String]| {
        let mut command = emulator::command(target, &exe);
        command.args(args);
        command
    };
    let mut failures = Vec::new();
    for scenario in &program.scenarios {
        let dir = scratch.join(scenario.name.replace(' ', "-"));
        if let Err(error) = run_scenario(corpus_dir, program, scenario, &dir, Mode::Check, &launch) {
            failures.push(format!("\n    {target}: {error}"));
        }
    }
    failures
}
