//! Measures `aot` against its peers: how fast programs run, how long it takes to compile and to start them, what calls
//! between host and guest cost, how many instructions an emulated CPU executes.
//!
//! `cargo xtask bench` builds everything and starts this. The way of the data: options → programs and engines →
//! suites, which measure in rounds → tables → standard output and `docs/benchmarks.md`.

mod engines;
mod inputs;
mod kernels;
mod measure;
mod options;
mod plot;
mod programs;
mod report;
mod setting;
mod stats;
mod suites;
mod tools;
mod versions;

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use self::options::{Options, Suite};
use self::setting::Setting;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match Options::parse(&args) {
        Ok(Some(options)) => run(&options),
        Ok(None) => {
            print!("{}", options::HELP);
            Ok(())
        }
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let setting = Setting::new(options)?;
    let mut programs = programs::load(&setting.dirs).context("can't read benches/programs.toml")?;
    programs.extend(kernels::load(&setting.dirs).context("can't read benches/kernels")?);
    if let Some(unknown) = options.names.iter().find(|name| !programs.iter().any(|p| p.name == **name)) {
        bail!("there is no benchmark `{unknown}` (`--list` names them all)");
    }
    programs.retain(|program| options.selects(&program.name));
    if options.list {
        for program in &programs {
            println!("{:<14} {:<12} {}", program.name, program.group.name(), program.about);
        }
        return Ok(());
    }

    let engines = engines::all(&setting);
    let mut report = report::Report::new(&setting, &engines);
    let mut failures = Vec::new();
    for suite in &options.suites {
        let section = match suite {
            Suite::Run => suites::run_time::measure(&setting, &engines, &programs, &mut failures),
            Suite::Compile => suites::compile_time::measure(&setting, &engines, &programs, &mut failures),
            Suite::Edit => suites::edit::measure(&setting, &programs, &mut failures),
            Suite::Calls => suites::calls::measure(&setting, &mut failures),
            Suite::Cross => suites::cross::measure(&setting, &programs, &mut failures),
            Suite::Instructions(machine) => {
                suites::instructions::measure(&setting, machine, &programs, &mut failures)
            }
            Suite::StartUp => suites::start_up::measure(&setting, &engines, &mut failures),
        };
        report.add(section);
    }
    println!("{}", report.markdown());
    for failure in &failures {
        eprintln!("FAILED: {failure:#}");
    }
    if !failures.is_empty() {
        bail!("{} benchmarks failed", failures.len());
    }
    if options.write {
        match options.all_suites() {
            true => report.write(&setting.dirs)?,
            false => report.write_sections(&setting.dirs)?,
        }
    }
    Ok(())
}
