//! How fast programs run: user CPU time of each engine, in turn, and whether they all do the same.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::equal;
use crate::engines::Engine;
use crate::measure::{self, Sample, Streams};
use crate::programs::{Group, Program};
use crate::report::{Section, Table, cell};
use crate::setting::{Setting, make_dir};
use crate::stats::{self, Ratio};
use crate::{inputs, kernels};

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
    kernels::build(program, &setting.dirs)?;
    let work = setting.dirs.work.join("run").join(&program.name);
    let inputs = work.join("inputs");
    make_dir(&inputs)?;
    inputs::write(&program.inputs, &setting.dirs, &inputs)?;

    let mut contestants = Vec::new();
    for (index, engine) in engines.iter().enumerate() {
        let artifact = work.join(format!("program.{}", engine.name()));
        if let Some(mut steps) = engine.prepare(program, &artifact) {
            measure::run_steps(&mut steps, &work.join("log"))?;
            let contestant = Contestant { engine: engine.as_ref(), index, artifact, work: &work, program };
            if let Some(mut steps) = engine.improve(program, &contestant.artifact) {
                contestant.run()?;
                measure::run_steps(&mut steps, &work.join("log"))?;
            }
            contestants.push(contestant);
        }
    }

    let (first, others) = contestants.split_first().context("no engine runs it")?;
    first.run()?;
    for other in others {
        other.run()?;
        first.check_equal(other)?;
    }
    let samples = measure::in_turn(contestants.len(), setting.rounds, |index| contestants[index].run())?;
    let mut seconds = vec![None; engines.len()];
    for (contestant, samples) in contestants.iter().zip(&samples) {
        seconds[contestant.index] = Some(measure::figures(samples, |sample| sample.user_seconds));
    }
    Ok(Row { program, seconds })
}

/// An engine with an artifact of one program.
struct Contestant<'a> {
    engine: &'a dyn Engine,
    /// Its place among all engines.
    index: usize,
    artifact: PathBuf,
    work: &'a Path,
    program: &'a Program,
}

impl Contestant<'_> {
    fn file(&self, what: &str) -> PathBuf {
        self.work.join(format!("{what}.{}", self.engine.name()))
    }

    /// One run in a fresh directory.
    fn run(&self) -> Result<Sample> {
        let dir = self.file("dir");
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("can't remove {}", dir.display()))?;
        }
        make_dir(&dir)?;
        let inputs = self.work.join("inputs");
        for input in &self.program.inputs {
            fs::copy(inputs.join(&input.to), dir.join(&input.to)).context("can't copy an input")?;
        }
        let stdin = self.program.stdin.as_ref().map(|name| inputs.join(name));
        let (stdout, stderr) = (self.file("stdout"), self.file("stderr"));
        let mut command = self.engine.run(self.program, &self.artifact);
        command.current_dir(&dir);
        let streams = Streams { stdin: stdin.as_deref(), stdout: Some(&stdout), stderr: Some(&stderr) };
        let sample = measure::run(&mut command, streams)?;
        if sample.exit != Some(0) {
            let said = fs::read_to_string(&stderr).unwrap_or_default();
            let exit = sample.exit.map_or("a signal".to_owned(), |code| format!("exit code {code}"));
            bail!("{} ends it with {exit}\n{}", self.engine.name(), said.trim_end());
        }
        Ok(sample)
    }

    fn check_equal(&self, other: &Contestant<'_>) -> Result<()> {
        let what = || format!("{} and {} don't do the same", self.engine.name(), other.engine.name());
        equal::check_files(&self.file("stdout"), &other.file("stdout")).with_context(what)?;
        for name in &self.program.writes {
            let file = |contestant: &Contestant<'_>| contestant.file("dir").join(name);
            equal::check_files(&file(self), &file(other)).with_context(what)?;
        }
        Ok(())
    }
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
