//! What calls and instances cost in a host program: the program `calls` of this package, which does the measuring, and one in
//! C that calls a library, in a table.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::report::{Section, Table, cell};
use crate::setting::Setting;
use crate::stats;

/// The measurement that all others are compared with.
const NATIVE_CALL: (&str, &str) = ("indirect call", "native");
const OURS: &str = "aot";

/// One thing that was measured.
#[derive(Debug, PartialEq)]
struct Case {
    name: String,
    engine: String,
    /// Nanoseconds, by round.
    rounds: Vec<f64>,
}

/// Measures calls. What fails is added to the failures.
pub fn measure(setting: &Setting, failures: &mut Vec<anyhow::Error>) -> Section {
    let mut section = Section::new("Calls");
    let printed = run(setting).and_then(|printed| Ok(printed + &library(setting)?));
    match printed.and_then(|printed| table(&parse(&printed)?)) {
        Ok((native, table)) => {
            section.text = format!(
                "In one process, and for C in another: nanoseconds for each call or instance, median of {} rounds in turn. A native indirect \
                 call takes {native:.2} ns; the columns beside the times are their ratios to it, and the last one is \
                 that of the two engines, with its range.\n",
                setting.rounds
            );
            section.tables.push(table);
        }
        Err(error) => failures.push(error.context("calls")),
    }
    section
}

/// What a C program prints that calls a module as a library.
fn library(setting: &Setting) -> Result<String> {
    let work = setting.dirs.work.join("library");
    std::fs::create_dir_all(&work)?;
    let sources = setting.dirs.benches.join("library");
    let mut aot = Command::new(&setting.aot);
    aot.arg("build").arg("--no-cache").arg(sources.join("guest.wat")).args(["--emit", "header,lib"]);
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-I."]).arg(sources.join("calls.c")).args(["libguest.a", "-o", "calls"]);
    let mut calls = Command::new(work.join("calls"));
    calls.arg(setting.rounds.to_string());
    let mut printed = Vec::new();
    for mut command in [aot, cc, calls] {
        let name = command.get_program().to_string_lossy().into_owned();
        let output = command.current_dir(&work).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
        let output = output.with_context(|| format!("can't start {name}"))?;
        if !output.status.success() {
            bail!("{name} failed: {}", output.status);
        }
        printed = output.stdout;
    }
    String::from_utf8(printed).context("it prints text")
}

/// What the program prints.
fn run(setting: &Setting) -> Result<String> {
    // Cargo puts all programs of this package beside each other.
    let program = std::env::current_exe()?.with_file_name("calls");
    let mut command = Command::new(&program);
    command.arg(setting.rounds.to_string()).arg(setting.dirs.programs.join("guests"));
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("can't start {}", program.display()))?;
    if !output.status.success() {
        bail!("{} failed: {}", program.display(), output.status);
    }
    String::from_utf8(output.stdout).context("it prints text")
}

/// Lines of name, engine and nanoseconds, in the order in which names appear first.
fn parse(printed: &str) -> Result<Vec<Case>> {
    let mut cases: Vec<Case> = Vec::new();
    for line in printed.lines() {
        let mut fields = line.split('\t');
        let (Some(name), Some(engine), Some(figure), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            bail!("`{line}` is not a measurement");
        };
        let figure: f64 = figure.parse().with_context(|| format!("`{line}` has no number"))?;
        match cases.iter_mut().find(|case| case.name == name && case.engine == engine) {
            Some(case) => case.rounds.push(figure),
            None => {
                cases.push(Case { name: name.to_owned(), engine: engine.to_owned(), rounds: vec![figure] })
            }
        }
    }
    Ok(cases)
}

/// The median of the native call, and a row for each thing and peer.
fn table(cases: &[Case]) -> Result<(f64, Table)> {
    let native = cases
        .iter()
        .find(|case| (case.name.as_str(), case.engine.as_str()) == NATIVE_CALL)
        .context("there is no native call")?;
    let mut table =
        Table::new(&["what", "aot, ns", "× native", "peer", "its time, ns", "× native", "aot / peer"]);
    for ours in cases.iter().filter(|case| case.engine == OURS) {
        let own = [nanoseconds(ours), multiple(ours, native)];
        let peers = cases.iter().filter(|peer| peer.name == ours.name && peer.engine != OURS);
        for peer in peers {
            let ratio = stats::paired(&ours.rounds, &peer.rounds);
            let mut row = vec![ours.name.clone()];
            row.extend(own.clone());
            row.extend([peer.engine.clone(), nanoseconds(peer), multiple(peer, native), cell(ratio)]);
            table.rows.push(row);
        }
    }
    Ok((stats::median(&native.rounds), table))
}

fn nanoseconds(case: &Case) -> String {
    let median = stats::median(&case.rounds);
    if median < 100.0 { format!("{median:.1}") } else { format!("{median:.0}") }
}

/// How often the native call fits into it.
fn multiple(case: &Case, native: &Case) -> String {
    let median = stats::paired(&case.rounds, &native.rounds).median;
    if median < 100.0 { format!("{median:.1}") } else { format!("{median:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "indirect call\tnative\t2.0\nf\taot\t4.0\nf\tpeer\t8.0\nf\tpeer, pooled\t16.0\n\
                           f\taot\t5.0\nf\tpeer\t20.0\nf\tpeer, pooled\t15.0\nindirect call\tnative\t1.0\n";

    #[test]
    fn measurements_become_rows() {
        let (native, table) = table(&parse(PRINTED).unwrap()).unwrap();
        assert_eq!(native, 1.5);
        assert_eq!(
            table.rows,
            [
                ["f", "4.5", "3.5", "peer", "14.0", "12.0", "0.38 (0.25–0.50)"],
                ["f", "4.5", "3.5", "peer, pooled", "15.5", "11.5", "0.29 (0.25–0.33)"],
            ]
        );
    }

    #[test]
    fn what_is_no_measurement_is_refused() {
        for printed in ["f\taot", "f\taot\tx", "f\taot\t1\t2", "text"] {
            assert!(parse(printed).is_err(), "{printed}");
        }
        assert!(table(&parse("f\taot\t1\n").unwrap()).is_err());
    }
}
