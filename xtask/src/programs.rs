//! The program corpus: builds real programs into `target/programs/<name>.wasm`, and runs them in an
//! independent engine to get (or check) the outputs that `tests/programs.rs` expects.
//!
//! In: `tests/programs/*.toml` and packages from the registries. Programs whose recipe has not changed are
//! left alone; a file appears under its final name only when it is complete.

#[path = "../../tests/programs/corpus.rs"]
mod corpus;

mod c;
mod recipe;
mod reference;
mod rust;

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use self::corpus::Program;
use self::recipe::Recipe;
pub use self::recipe::fetch_crates;
use crate::{repo, setup};

/// A program to build: what it is, how, and what its build depends on.
struct Job<'a> {
    program: &'a Program,
    recipe: Recipe,
    /// All inputs of the build as text; equal text means an equal result.
    key: String,
}

struct Options {
    names: Vec<String>,
    force: bool,
    list: bool,
    reference: Option<corpus::Mode>,
}

fn parse(args: &[&str]) -> Result<Options> {
    let mut options = Options { names: Vec::new(), force: false, list: false, reference: None };
    for arg in args {
        match *arg {
            "--force" => options.force = true,
            "--list" => options.list = true,
            "--reference" => options.reference = Some(corpus::Mode::Check),
            "--bless" => options.reference = Some(corpus::Mode::Bless),
            name if !name.starts_with('-') => options.names.push(name.to_owned()),
            other => bail!("unknown option `{other}` of `programs`"),
        }
    }
    Ok(options)
}

/// Builds what is asked for; with `--reference` or `--bless` also runs it.
///
/// # Errors
/// A build fails, or the reference engine disagrees; on CI also when a program can't be built for lack of a tool.
pub fn run(args: &[&str]) -> Result<()> {
    let options = parse(args)?;
    let mut programs = corpus::load(&repo::corpus_dir()).context("can't read the corpus")?;
    if let Some(unknown) = options.names.iter().find(|name| !programs.iter().any(|p| p.name == **name)) {
        bail!("there is no program `{unknown}` in tests/programs");
    }
    let tools = rust_tools(&programs)?;
    programs.retain(|program| options.names.is_empty() || options.names.contains(&program.name));
    if options.list {
        return list(&programs);
    }
    build_all(&programs, &tools, options.force)?;
    match options.reference {
        Some(mode) => reference::run(&programs, mode),
        None => Ok(()),
    }
}

fn wasm_path(name: &str) -> Result<PathBuf> {
    Ok(repo::programs_dir()?.join(format!("{name}.wasm")))
}

fn recipe_of(program: &Program) -> Result<Recipe> {
    let recipe = program.build.clone().try_into();
    recipe.with_context(|| format!("the `build` table of tests/programs/{}.toml", program.name))
}

/// The crates of all Rust programs.
fn rust_tools(programs: &[Program]) -> Result<Vec<String>> {
    let mut tools = Vec::new();
    for program in programs {
        if let Recipe::Rust(recipe) = recipe_of(program)? {
            tools.push(recipe.crate_name);
        }
    }
    Ok(tools)
}

fn build_all(programs: &[Program], tools: &[String], force: bool) -> Result<()> {
    let started = Instant::now();
    let out_dir = repo::programs_dir()?;
    fs::create_dir_all(&out_dir).with_context(|| format!("can't make {}", out_dir.display()))?;

    let mut jobs = Vec::new();
    let mut skipped = 0;
    for program in programs {
        let recipe = recipe_of(program)?;
        let key = recipe.key(&program.build)?;
        let is_current = wasm_path(&program.name)?.exists()
            && fs::read_to_string(stamp_path(&program.name)?).is_ok_and(|stamp| stamp == key);
        if is_current && !force {
            continue;
        }
        let missing = recipe.toolchain().map_or_else(Vec::new, setup::missing);
        if missing.is_empty() {
            jobs.push(Job { program, recipe, key });
        } else {
            skipped += 1;
            println!("program {} SKIPPED: missing {}", program.name, missing.join(", "));
        }
    }
    let count = jobs.len();
    let failed = build_jobs(jobs, tools)?;
    println!(
        "programs: {} built in {:.0} s, {} unchanged, {skipped} skipped, {failed} failed",
        count - failed,
        started.elapsed().as_secs_f64(),
        programs.len() - count - skipped,
    );
    if failed > 0 {
        bail!("{failed} programs can't be built");
    }
    if skipped > 0 && repo::is_ci() {
        bail!("{skipped} programs were skipped, and on CI nothing may be skipped (`cargo xtask setup`)");
    }
    Ok(())
}

/// Builds every job, kind by kind; each kind uses all cores by itself. Gives the number of failures.
fn build_jobs(jobs: Vec<Job<'_>>, tools: &[String]) -> Result<usize> {
    let build_dir = repo::programs_dir()?.join("build");
    fs::create_dir_all(&build_dir).with_context(|| format!("can't make {}", build_dir.display()))?;
    let crates = if jobs.iter().any(|job| job.recipe.is_from_crate()) {
        println!("programs: fetching sources");
        recipe::fetch_crates(&build_dir)?
    } else {
        PathBuf::new()
    };

    let (c_jobs, jobs): (Vec<_>, Vec<_>) =
        jobs.into_iter().partition(|job| matches!(job.recipe, Recipe::C(_)));
    let (rust_jobs, jobs): (Vec<_>, Vec<_>) =
        jobs.into_iter().partition(|job| matches!(job.recipe, Recipe::Rust(_)));
    let mut failed = 0;
    for job in &jobs {
        failed += finish(job, recipe::build_simple(job, &build_dir));
    }
    for (job, result) in c_jobs.iter().zip(c::build(&c_jobs, &crates, &build_dir)) {
        failed += finish(job, result);
    }
    for (job, result) in rust_jobs.iter().zip(rust::build(&rust_jobs, tools, &crates, &build_dir)) {
        failed += finish(job, result);
    }
    Ok(failed)
}

/// Checks a built program and gives it its final name. Says what happened; gives 1 for a failure.
fn finish(job: &Job<'_>, built: Result<PathBuf>) -> usize {
    let name = &job.program.name;
    let install = |built: PathBuf| -> Result<u64> {
        let bytes = fs::read(&built).with_context(|| format!("can't read {}", built.display()))?;
        recipe::check_module(&bytes)?;
        let wasm = wasm_path(name)?;
        let temporary = wasm.with_extension("wasm.tmp");
        fs::write(&temporary, &bytes).with_context(|| format!("can't write {}", temporary.display()))?;
        fs::rename(&temporary, &wasm).with_context(|| format!("can't write {}", wasm.display()))?;
        fs::write(stamp_path(name)?, &job.key).context("can't note what was built")?;
        Ok(bytes.len() as u64)
    };
    match built.and_then(install) {
        Ok(len_bytes) => {
            println!(
                "program {name:<12} {:<16} {:>5.1} MB  {}",
                job.program.language,
                mb(len_bytes),
                job.program.about
            );
            0
        }
        Err(error) => {
            println!("program {name:<12} {:<16} FAILED: {error:#}", job.program.language);
            1
        }
    }
}

/// Where the inputs of the last build are noted.
fn stamp_path(name: &str) -> Result<PathBuf> {
    Ok(repo::programs_dir()?.join("build").join(format!("{name}.key")))
}

fn mb(len_bytes: u64) -> f64 {
    len_bytes as f64 / 1e6
}

fn list(programs: &[Program]) -> Result<()> {
    for program in programs {
        let size = match fs::metadata(wasm_path(&program.name)?) {
            Ok(metadata) => format!("{:.1} MB", mb(metadata.len())),
            Err(_) => "not built".to_owned(),
        };
        let Program { name, language, about, origin, scenarios, .. } = program;
        println!("{name:<12} {language:<16} {size:>9}  {} scenarios  {about} ({origin})", scenarios.len());
    }
    Ok(())
}
