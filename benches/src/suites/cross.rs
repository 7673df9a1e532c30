//! How long it takes to build for each target, and how large the result is.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::measure::{self, Sample};
use crate::programs::Program;
use crate::report::{Section, Table};
use crate::setting::{Setting, make_dir};
use crate::{stats, tools};

/// The large program: 5 MB of module.
const LARGE: &str = "gofmt";
/// Compiling takes long and varies little.
const MAX_ROUNDS: usize = 3;

/// A target, as `aot targets` lists it.
struct Target {
    name: String,
    /// What is built: `exe`, or else `obj`.
    kind: &'static str,
}

/// Builds hello world and a large program for each target. What fails is added to the failures.
pub fn measure(setting: &Setting, programs: &[Program], failures: &mut Vec<anyhow::Error>) -> Section {
    let rounds = setting.rounds.min(MAX_ROUNDS);
    let mut section = Section::new("Cross-compilation");
    section.text = format!(
        "On this machine, for each target: user CPU seconds of `aot build`, median of {rounds} rounds in turn, and bytes \
         of the result. Executables are stripped. Where there are none, it is an object, which also has symbols \
         and relocations.\n"
    );
    match tables(setting, programs, rounds) {
        Ok(table) => section.tables.push(table),
        Err(error) => failures.push(error.context("cross-compilation")),
    }
    section
}

fn tables(setting: &Setting, programs: &[Program], rounds: usize) -> Result<Table> {
    let work = setting.dirs.work.join("cross");
    make_dir(&work)?;
    let hello = work.join("hello.wasm");
    let source = setting.dirs.benches.join("startup/hello.c");
    measure::run_steps(&mut [tools::compile_to_wasm(&source, &[], &hello)], &work.join("log"))?;
    let mut modules = vec![("hello".to_owned(), hello)];
    match programs.iter().find(|program| program.name == LARGE && program.is_built()) {
        Some(program) => modules.push((program.name.clone(), program.wasm.clone())),
        None => eprintln!("cross {LARGE}: SKIPPED, `cargo xtask programs {LARGE}` builds it"),
    }
    let targets = targets(&setting.aot)?;
    let mut table = Table::new(&["target", "result"]);
    let mut rows: Vec<Vec<String>> =
        targets.iter().map(|target| vec![target.name.clone(), target.kind.to_owned()]).collect();
    for (name, wasm) in &modules {
        let kilobytes = fs::metadata(wasm)?.len() / 1000;
        table.columns.push(format!("{name} ({kilobytes} kB), s"));
        table.columns.push(format!("{name}, bytes"));
        let artifact = |index: usize| work.join(format!("{name}.{}", targets[index].name));
        let samples = measure::in_turn(targets.len(), rounds, |index| {
            let build = build(setting, &targets[index], wasm, &artifact(index));
            measure::run_steps(&mut [build], &work.join("log"))
        })?;
        for (index, samples) in samples.iter().enumerate() {
            let cpu = |sample: &Sample| sample.user_seconds;
            let seconds = stats::median(&measure::figures(samples, cpu));
            eprintln!("cross {name} {}: {seconds:.3} s", targets[index].name);
            rows[index].push(format!("{seconds:.3}"));
            rows[index].push(fs::metadata(artifact(index))?.len().to_string());
        }
    }
    table.rows = rows;
    Ok(table)
}

fn build(setting: &Setting, target: &Target, wasm: &Path, artifact: &Path) -> Command {
    let mut build = Command::new(&setting.aot);
    build.args(["build", "--no-cache", "--emit", target.kind, "--target", &target.name]);
    if target.kind == "exe" {
        build.args(["--strip", "all"]);
    }
    build.arg(wasm).arg("-o").arg(artifact);
    build.env("RAYON_NUM_THREADS", setting.threads.to_string());
    build
}

/// The targets that this `aot` makes anything for.
fn targets(aot: &Path) -> Result<Vec<Target>> {
    let output = Command::new(aot).arg("targets").output().context("can't start aot")?;
    Ok(parse(&String::from_utf8_lossy(&output.stdout)))
}

fn parse(table: &str) -> Vec<Target> {
    let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let head = lines.next().unwrap_or_default();
    let column = |name: &str| head.iter().position(|other| *other == name);
    let (exe, obj) = (column("exe"), column("obj"));
    let target = |words: Vec<&str>| {
        let has = |column: Option<usize>| column.is_some_and(|column| words.get(column) == Some(&"yes"));
        let kind = match (has(exe), has(obj)) {
            (true, _) => "exe",
            (false, true) => "obj",
            (false, false) => return None,
        };
        Some(Target { name: (*words.first()?).to_owned(), kind })
    };
    lines.filter_map(target).collect()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn targets_are_read() {
        let table = "TARGET TRIPLE exe obj NOTES\na x yes yes here\nb y no yes\nc z no no\n";
        let targets: Vec<_> = parse(table).into_iter().map(|target| (target.name, target.kind)).collect();
        assert_eq!(targets, [("a".to_owned(), "exe"), ("b".to_owned(), "obj")]);
    }
}
