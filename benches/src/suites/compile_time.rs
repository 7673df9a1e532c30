//! How long it takes to compile the programs of the corpus, and how much memory.

use std::fs;

use anyhow::{Context as _, Result};

use crate::engines::Engine;
use crate::measure::{self, Sample};
use crate::programs::{Group, Program};
use crate::report::{Section, Table, cell};
use crate::setting::{Setting, make_dir};
use crate::stats;

/// Modules below this size say more about starting a process than about compiling.
const MIN_BYTES: u64 = 50_000;
/// Compiling takes long and varies little: this many rounds, or fewer if each engine has compiled so many bytes.
const MAX_ROUNDS: usize = 3;
const MAX_TOTAL_BYTES: u64 = 50_000_000;

/// One module's samples by engine and round.
struct Row<'a> {
    program: &'a Program,
    megabytes: f64,
    samples: Vec<Vec<Sample>>,
}

impl Row<'_> {
    /// Ours to that of an engine.
    fn ratio(&self, engine: usize, figure: fn(&Sample) -> f64) -> stats::Ratio {
        stats::paired(
            &measure::figures(&self.samples[0], figure),
            &measure::figures(&self.samples[engine], figure),
        )
    }

    fn median(&self, engine: usize, figure: fn(&Sample) -> f64) -> f64 {
        stats::median(&measure::figures(&self.samples[engine], figure))
    }
}

const CPU: fn(&Sample) -> f64 = |sample| sample.user_seconds;
const WALL: fn(&Sample) -> f64 = |sample| sample.wall_seconds;
const PEAK: fn(&Sample) -> f64 = |sample| sample.peak_bytes as f64 / 1e6;

/// Compiles every module with every engine that compiles modules. What fails is added to the failures.
pub fn measure(
    setting: &Setting,
    engines: &[Box<dyn Engine>],
    programs: &[Program],
    failures: &mut Vec<anyhow::Error>,
) -> Section {
    let compilers: Vec<&dyn Engine> =
        engines.iter().map(Box::as_ref).filter(|engine| engine.compiles_wasm()).collect();
    let mut rows = Vec::new();
    for program in programs.iter().filter(|program| program.group == Group::Application) {
        match fs::metadata(&program.wasm) {
            Ok(metadata) if metadata.len() >= MIN_BYTES => {
                match measure_module(setting, &compilers, program, metadata.len()) {
                    Ok(row) => {
                        eprintln!("compile {}: {:.2}", program.name, row.ratio(1, CPU).median);
                        rows.push(row);
                    }
                    Err(error) => failures.push(error.context(format!("compile {}", program.name))),
                }
            }
            Ok(_) => {}
            Err(_) => eprintln!("compile {}: SKIPPED, `cargo xtask programs {0}` builds it", program.name),
        }
    }
    section(&compilers, &rows)
}

fn measure_module<'a>(
    setting: &Setting,
    compilers: &[&dyn Engine],
    program: &'a Program,
    len_bytes: u64,
) -> Result<Row<'a>> {
    let work = setting.dirs.work.join("compile");
    make_dir(&work)?;
    let by_size = usize::try_from(MAX_TOTAL_BYTES / len_bytes)?;
    let rounds = setting.rounds.min(MAX_ROUNDS).min(by_size).max(1);
    let samples = measure::in_turn(compilers.len(), rounds, |index| {
        let artifact = work.join(format!("{}.{}", program.name, compilers[index].name()));
        let mut steps = compilers[index].prepare(program, &artifact).context("it compiles modules")?;
        measure::run_steps(&mut steps, &work.join("log"))
    })?;
    Ok(Row { program, megabytes: len_bytes as f64 / 1e6, samples })
}

fn section(compilers: &[&dyn Engine], rows: &[Row<'_>]) -> Section {
    let mut section = Section::new("Compile time");
    section.text = format!(
        "User CPU seconds per MB of module, wall-clock seconds, and the largest resident set in MB, in {MAX_ROUNDS} \
         rounds, or fewer for large modules. Ours includes the link of the executable.\n"
    );
    if rows.is_empty() {
        return section;
    }
    let mut table = Table::new(&["module", "MB"]);
    for (what, unit) in [("CPU", " s/MB"), ("wall", " s"), ("peak", " MB")] {
        for compiler in compilers {
            table.columns.push(format!("{} {what},{unit}", compiler.name()));
        }
        for peer in &compilers[1..] {
            table.columns.push(format!("{what}, ours / {}", peer.name()));
        }
    }
    for row in rows {
        let mut cells = vec![row.program.name.clone(), format!("{:.1}", row.megabytes)];
        for (figure, scale, digits) in [(CPU, 1.0 / row.megabytes, 2), (WALL, 1.0, 2), (PEAK, 1.0, 0)] {
            for compiler in 0..compilers.len() {
                cells.push(format!("{:.digits$}", row.median(compiler, figure) * scale));
            }
            for peer in 1..compilers.len() {
                cells.push(cell(row.ratio(peer, figure)));
            }
        }
        table.rows.push(cells);
    }
    let mut last = vec!["geometric mean".to_owned(), String::new()];
    for figure in [CPU, WALL, PEAK] {
        last.extend(compilers.iter().map(|_| String::new()));
        for peer in 1..compilers.len() {
            let ratios: Vec<f64> = rows.iter().map(|row| row.ratio(peer, figure).median).collect();
            last.push(stats::geomean(&ratios).map_or(String::new(), |mean| format!("**{mean:.2}**")));
        }
    }
    table.rows.push(last);
    section.tables.push(table);
    section
}
