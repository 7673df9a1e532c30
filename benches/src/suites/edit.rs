//! What an edit of one function costs when the other functions are in the cache.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use wasmparser::{Operator, Parser, Payload};

use crate::measure::{self, Sample};
use crate::programs::Program;
use crate::report::{Section, Table, cell};
use crate::setting::{Setting, make_dir};
use crate::stats;

/// Modules that are compiled sooner have little to save.
const MIN_BYTES: u64 = 3_000_000;

/// Builds each large module from nothing, and with one function edited, in turn. What fails is added to the failures.
pub fn measure(setting: &Setting, programs: &[Program], failures: &mut Vec<anyhow::Error>) -> Section {
    let mut section = Section::new("Edits");
    section.text = format!(
        "`aot build` without a cache, and with the cache of a build before in which one function was different: a constant \
         in it was changed. {} functions of each module, evenly spread, one after the other; medians, and the ratios of \
         what a build took from nothing to what it took after the edit.\n",
        setting.rounds
    );
    let mut table = Table::new(&[
        "module",
        "MB",
        "from nothing, s",
        "after an edit, s",
        "quicker by",
        "from nothing, CPU s",
        "after an edit, CPU s",
        "less CPU by",
    ]);
    for program in programs {
        match fs::metadata(&program.wasm) {
            Ok(metadata) if metadata.len() >= MIN_BYTES => match edits(setting, program) {
                Ok(samples) => table.rows.push(row(program, metadata.len(), &samples)),
                Err(error) => failures.push(error.context(format!("edits of {}", program.name))),
            },
            _ => {}
        }
    }
    section.tables.push(table);
    section
}

fn row(program: &Program, len_bytes: u64, [nothing, edited]: &[Vec<Sample>; 2]) -> Vec<String> {
    let wall = |samples: &[Sample]| measure::figures(samples, |sample| sample.wall_seconds);
    let cpu =
        |samples: &[Sample]| measure::figures(samples, |sample| sample.user_seconds + sample.system_seconds);
    let mut row = vec![program.name.clone(), format!("{:.1}", len_bytes as f64 / 1e6)];
    for (nothing, edited) in [(wall(nothing), wall(edited)), (cpu(nothing), cpu(edited))] {
        let ratio = stats::paired(&nothing, &edited);
        eprintln!("edits of {}: {:.1}", program.name, ratio.median);
        row.push(format!("{:.2}", stats::median(&nothing)));
        row.push(format!("{:.2}", stats::median(&edited)));
        row.push(cell(ratio));
    }
    row
}

/// The samples of builds from nothing, and of those after an edit.
fn edits(setting: &Setting, program: &Program) -> Result<[Vec<Sample>; 2]> {
    let work = setting.dirs.work.join("edits");
    make_dir(&work)?;
    let cache = work.join("cache");
    if cache.exists() {
        fs::remove_dir_all(&cache)?;
    }
    let module = fs::read(&program.wasm)?;
    let places = places(&module)?;
    if places.len() < setting.rounds {
        bail!("the module has only {} functions with a constant to change", places.len());
    }
    let build = |module: &Path, with_cache: bool| {
        let mut build = Command::new(&setting.aot);
        build.arg("build").env("AOT_CACHE_DIR", &cache).args((!with_cache).then_some("--no-cache"));
        build.args(program.grants()).arg(module).arg("-o").arg(work.join("executable"));
        measure::run_steps(&mut [build], &work.join("log"))
    };
    build(&program.wasm, true)?;
    let mut samples = [Vec::new(), Vec::new()];
    let edited = work.join("edited.wasm");
    for round in 0..setting.rounds {
        let place = places[(2 * round + 1) * places.len() / (2 * setting.rounds)];
        let mut bytes = module.clone();
        bytes[place] ^= 1;
        fs::write(&edited, &bytes).with_context(|| format!("can't write {}", edited.display()))?;
        samples[0].push(build(&edited, false)?);
        samples[1].push(build(&edited, true)?);
    }
    Ok(samples)
}

/// For each function that adds a constant of one byte, the place of its first one.
fn places(module: &[u8]) -> Result<Vec<usize>> {
    let mut places = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        let Payload::CodeSectionEntry(body) = payload? else { continue };
        let mut operators = body.get_operators_reader()?;
        let mut constant = None;
        while !operators.eof() {
            let (operator, offset) = operators.read_with_offset()?;
            match (operator, constant) {
                (Operator::I32Add, Some(place)) => {
                    places.push(place);
                    break;
                }
                (Operator::I32Const { value: 0..=61 }, _) => constant = Some(usize::try_from(offset)? + 1),
                _ => constant = None,
            }
        }
    }
    Ok(places)
}
