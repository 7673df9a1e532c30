//! How fast programs run: user CPU time of each engine, in turn, and whether they all do the same.

use anyhow::Result;

use super::contestant;
use crate::engines::Engine;
use crate::measure;
use crate::programs::{Group, Program};
use crate::report::{Section, Table, cell};
use crate::setting::Setting;
use crate::stats::{self, Ratio};

type Engines = [Box<dyn Engine>];

/// The engine that ours is compared with first.
const PEER: usize = 1;

/// One program's user CPU seconds, by engine and round; nothing for an engine that doesn't run it.
struct Row<'a> {
    program: &'a Program,
    seconds: Vec<Option<Vec<f64>>>,
}

impl Row<'_> {
    /// The ratio of ours to an engine; of a variant of ours to the peer.
    fn ratio(&self, engines: &Engines, engine: usize) -> Option<Ratio> {
        let (ours, other) = if engines[engine].is_variant() { (engine, PEER) } else { (0, engine) };
        Some(stats::paired(self.seconds[ours].as_ref()?, self.seconds[other].as_ref()?))
    }
}

/// Runs every program with every engine. A program that fails or isn't equal is added to the failures.
pub fn measure(
    setting: &Setting,
    engines: &Engines,
    programs: &[Program],
    failures: &mut Vec<anyhow::Error>,
) -> Section {
    let mut rows = Vec::new();
    for program in programs {
        if program.group == Group::Application && !program.is_built() {
            eprintln!("run {}: SKIPPED, `cargo xtask programs {0}` builds it", program.name);
            continue;
        }
        match measure_program(setting, engines, program) {
            Ok(row) => {
                let ratio = row.ratio(engines, PEER).map_or(0.0, |ratio| ratio.median);
                eprintln!("run {}: {ratio:.2}", program.name);
                rows.push(row);
            }
            Err(error) => failures.push(error.context(format!("run {}", program.name))),
        }
    }
    section(engines, &rows)
}

fn measure_program<'a>(setting: &Setting, engines: &Engines, program: &'a Program) -> Result<Row<'a>> {
    let contestants = contestant::prepare(setting, engines, program, "run")?;
    let samples = measure::in_turn(contestants.len(), setting.rounds, |index| contestants[index].run())?;
    let mut seconds = vec![None; engines.len()];
    for (contestant, samples) in contestants.iter().zip(&samples) {
        seconds[contestant.index] = Some(measure::figures(samples, |sample| sample.user_seconds));
    }
    Ok(Row { program, seconds })
}

fn section(engines: &Engines, rows: &[Row<'_>]) -> Section {
    let mut section = Section::new("Run time");
    section.text =
        "User CPU time in milliseconds, and the ratio of ours to each engine: below 1, ours is faster. \
         All engines gave equal outputs.\n"
            .to_owned();
    for group in Group::ALL {
        let rows: Vec<&Row<'_>> = rows.iter().filter(|row| row.program.group == group).collect();
        if !rows.is_empty() {
            section.tables.push(table(engines, group, &rows));
        }
        for row in rows {
            section
                .bars
                .extend(row.ratio(engines, PEER).map(|ratio| (row.program.name.clone(), ratio.median)));
        }
    }
    let ours = (0..engines.len()).filter(|engine| *engine == PEER || engines[*engine].is_variant());
    for engine in ours {
        let all: Vec<f64> = rows.iter().filter_map(|row| Some(row.ratio(engines, engine)?.median)).collect();
        if let Some(mean) = stats::geomean(&all) {
            let (count, head) = (all.len(), head(engines, engine));
            section.text += &format!("\nGeometric mean of all {count} programs, {head}: **{mean:.3}**.\n");
        }
    }
    section
}

/// What an engine's ratio is of.
fn head(engines: &Engines, engine: usize) -> String {
    match engines[engine].is_variant() {
        true => format!("{} / {}", engines[engine].name(), engines[PEER].name()),
        false => format!("ours / {}", engines[engine].name()),
    }
}

fn table(engines: &Engines, group: Group, rows: &[&Row<'_>]) -> Table {
    // An engine that ran none of these has no column.
    let peers: Vec<usize> =
        (1..engines.len()).filter(|peer| rows.iter().any(|row| row.seconds[*peer].is_some())).collect();
    let mut table = Table::new(&[group.name(), "what it does"]);
    table.columns.push(format!("{}, ms", engines[0].name()));
    for peer in &peers {
        table.columns.push(format!("{}, ms", engines[*peer].name()));
        table.columns.push(head(engines, *peer));
    }
    let milliseconds = |seconds: &Option<Vec<f64>>| {
        seconds.as_ref().map_or(String::new(), |seconds| format!("{:.0}", stats::median(seconds) * 1e3))
    };
    for row in rows {
        let mut cells = vec![row.program.name.clone(), row.program.about.clone()];
        cells.push(milliseconds(&row.seconds[0]));
        for peer in &peers {
            cells.push(milliseconds(&row.seconds[*peer]));
            cells.push(row.ratio(engines, *peer).map_or(String::new(), cell));
        }
        table.rows.push(cells);
    }
    let mut last = vec!["geometric mean".to_owned(), String::new(), String::new()];
    for peer in &peers {
        let ratios: Vec<f64> =
            rows.iter().filter_map(|row| Some(row.ratio(engines, *peer)?.median)).collect();
        last.push(String::new());
        last.push(stats::geomean(&ratios).map_or(String::new(), |mean| format!("**{mean:.3}**")));
    }
    table.rows.push(last);
    table
}
