//! How many instructions programs take on a machine, of which this one needs no CPU: an emulator counts.

use anyhow::{Context as _, Result};

use super::contestant;
use crate::engines::Engine;
use crate::engines::emulated::{self, Machine};
use crate::programs::{Group, Program};
use crate::report::{Section, Table};
use crate::setting::{Setting, make_dir};
use crate::stats;

type Engines = [Box<dyn Engine>];

/// The engine that ours is compared with.
const PEER: usize = 1;

/// Its count is what an engine takes to start and to end.
const EMPTY: &str = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;

/// One program's instructions, by engine.
struct Row<'a> {
    program: &'a Program,
    counts: Vec<f64>,
}

impl Row<'_> {
    /// The ratio of ours, or of a variant of it, to the peer.
    fn ratio(&self, engine: usize) -> f64 {
        self.counts[engine] / self.counts[PEER]
    }
}

/// Counts every program once with every engine; counts hardly vary. A program that fails or isn't equal is added to the
/// failures.
pub fn measure(
    setting: &Setting,
    machine: &'static Machine,
    programs: &[Program],
    failures: &mut Vec<anyhow::Error>,
) -> Section {
    let mut section = Section::new(format!("Instructions on {}", machine.name));
    if let Err(error) = fill(&mut section, setting, machine, programs, failures) {
        failures.push(error.context("instructions"));
    }
    section
}

fn fill(
    section: &mut Section,
    setting: &Setting,
    machine: &'static Machine,
    programs: &[Program],
    failures: &mut Vec<anyhow::Error>,
) -> Result<()> {
    let engines = emulated::all(setting, machine)?;
    // Machines don't share artifacts.
    let suite = format!("instructions-{}", machine.name);
    let empty = count(setting, &engines, &empty(setting)?, &suite)?;
    let mut rows = Vec::new();
    for program in programs {
        if program.group == Group::Application && !program.is_built() {
            eprintln!("instructions {}: SKIPPED, `cargo xtask programs {0}` builds it", program.name);
            continue;
        }
        match count(setting, &engines, program, &suite) {
            Ok(counts) => {
                let counts = counts.iter().zip(&empty).map(|(count, empty)| count - empty).collect();
                let row = Row { program, counts };
                eprintln!("instructions {}: {:.2}", program.name, row.ratio(0));
                rows.push(row);
            }
            Err(error) => failures.push(error.context(format!("instructions {}", program.name))),
        }
    }
    section.text = text(machine, &engines, &empty, &rows);
    for group in Group::ALL {
        let rows: Vec<&Row<'_>> = rows.iter().filter(|row| row.program.group == group).collect();
        if !rows.is_empty() {
            section.tables.push(table(&engines, group, &rows));
        }
    }
    Ok(())
}

/// The program that does nothing.
fn empty(setting: &Setting) -> Result<Program> {
    let work = setting.dirs.work.join("instructions");
    make_dir(&work)?;
    let wasm = work.join("empty.wasm");
    std::fs::write(&wasm, wat::parse_str(EMPTY)?).context("can't write the module")?;
    Ok(Program::command("empty", Group::Application, wasm))
}

/// The instructions of one run with each engine.
fn count(setting: &Setting, engines: &Engines, program: &Program, suite: &str) -> Result<Vec<f64>> {
    let contestants = contestant::prepare(setting, engines, program, suite)?;
    contestants.iter().map(|contestant| Ok(emulated::count(&contestant.artifact)? as f64)).collect()
}

fn text(machine: &Machine, engines: &Engines, empty: &[f64], rows: &[Row<'_>]) -> String {
    let mut text = format!(
        "Instructions of the code and of the engine's runtime, in millions, as a plugin of {} counts them in one run; and \
         the ratio of ours to the peer: below 1, ours executes fewer. Both sides use what {}. What an \
         engine takes for a program that does nothing is subtracted: {}. All engines gave equal outputs.\n",
        machine.emulator(),
        machine.baseline,
        engines
            .iter()
            .zip(empty)
            .map(|(engine, count)| format!("{} {:.3} million", engine.name(), count / 1e6))
            .collect::<Vec<_>>()
            .join(", "),
    );
    for engine in compared(engines) {
        let ratios: Vec<f64> = rows.iter().map(|row| row.ratio(engine)).collect();
        if let Some(mean) = stats::geomean(&ratios) {
            let (count, head) = (ratios.len(), head(engines, engine));
            text += &format!("\nGeometric mean of all {count} programs, {head}: **{mean:.3}**.\n");
        }
    }
    text
}

/// The engines that are compared with the peer.
fn compared(engines: &Engines) -> impl Iterator<Item = usize> {
    (0..engines.len()).filter(|engine| *engine != PEER)
}

/// What an engine's ratio is of.
fn head(engines: &Engines, engine: usize) -> String {
    let ours = if engines[engine].is_variant() { engines[engine].name() } else { "ours" };
    format!("{ours} / {}", engines[PEER].name())
}

fn table(engines: &Engines, group: Group, rows: &[&Row<'_>]) -> Table {
    let mut table = Table::new(&[group.name()]);
    table.columns.extend(engines.iter().map(|engine| format!("{}, millions", engine.name())));
    table.columns.extend(compared(engines).map(|engine| head(engines, engine)));
    for row in rows {
        let mut cells = vec![row.program.name.clone()];
        cells.extend(row.counts.iter().map(|count| format!("{:.1}", count / 1e6)));
        cells.extend(compared(engines).map(|engine| format!("{:.3}", row.ratio(engine))));
        table.rows.push(cells);
    }
    let mut last = vec![String::new(); 1 + engines.len()];
    last[0] = "geometric mean".to_owned();
    for engine in compared(engines) {
        let ratios: Vec<f64> = rows.iter().map(|row| row.ratio(engine)).collect();
        last.push(stats::geomean(&ratios).map_or(String::new(), |mean| format!("**{mean:.3}**")));
    }
    table.rows.push(last);
    table
}
