//! C and C++ programs: compiles the sources of all programs in parallel, then links each program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, bail};

use super::Job;
use super::recipe::{CRecipe, Configure, Recipe};
use crate::setup::{CLANG, CLANGXX};
use crate::{command, repo};

/// Flags of every compilation. Warnings are the business of the sources' authors.
pub const FLAGS: &[&str] = &["--target=wasm32-wasi", "-O2", "-w"];
const CXX_FLAGS: &[&str] = &["-fno-exceptions", "-isystem", "/usr/lib/llvm-19/include/wasm32-wasi/c++/v1"];
const CXX_LINK_FLAGS: &[&str] = &["-L/usr/lib/llvm-19/lib/wasm32-wasi"];

/// One source file to compile for one program.
struct Compilation {
    job_index: usize,
    source: PathBuf,
    object: PathBuf,
}

pub fn is_cxx(recipe: &CRecipe) -> bool {
    recipe.sources.iter().chain(&recipe.own_sources).any(|source| is_cxx_file(Path::new(source)))
}

fn is_cxx_file(source: &Path) -> bool {
    source.extension().is_some_and(|extension| extension == "cc" || extension == "cpp")
}

/// Builds the programs; one result per job, in order.
pub fn build(jobs: &[Job<'_>], crates: &Path, build_dir: &Path) -> Vec<Result<PathBuf>> {
    let mut errors: Vec<Option<anyhow::Error>> = jobs.iter().map(|_| None).collect();
    let mut compilations = Vec::new();
    for (job_index, job) in jobs.iter().enumerate() {
        match plan(job, job_index, crates, build_dir) {
            Ok(planned) => compilations.extend(planned),
            Err(error) => errors[job_index] = Some(error),
        }
    }
    // The largest first, so that no core ends up alone with one.
    compilations.sort_by_key(|compilation| {
        std::cmp::Reverse(fs::metadata(&compilation.source).map_or(0, |m| m.len()))
    });

    let errors = Mutex::new(errors);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(compilation) = compilations.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let recipe = recipe_of(&jobs[compilation.job_index]);
                    if let Err(error) = compile(recipe, compilation, crates) {
                        errors.lock().expect("no thread panics while it holds the lock")
                            [compilation.job_index] = Some(error);
                    }
                }
            });
        }
    });

    let errors = errors.into_inner().expect("no thread panics while it holds the lock");
    let link_or_error = |(job_index, error): (usize, Option<anyhow::Error>)| match error {
        Some(error) => Err(error),
        None => {
            let objects =
                compilations.iter().filter(|c| c.job_index == job_index).map(|c| c.object.as_path());
            link(&jobs[job_index], objects, build_dir)
        }
    };
    errors.into_iter().enumerate().map(link_or_error).collect()
}

fn recipe_of<'a>(job: &'a Job<'_>) -> &'a CRecipe {
    match &job.recipe {
        Recipe::C(recipe) => recipe,
        _ => unreachable!("only C and C++ programs are built here"),
    }
}

/// Finds the sources, makes the directory for objects and the configured header in it.
fn plan(job: &Job<'_>, job_index: usize, crates: &Path, build_dir: &Path) -> Result<Vec<Compilation>> {
    let recipe = recipe_of(job);
    let root = recipe.root_dir(crates);
    let object_dir = build_dir.join(&job.program.name);
    if object_dir.exists() {
        fs::remove_dir_all(&object_dir)?;
    }
    fs::create_dir_all(&object_dir)?;
    if let Some(configure) = &recipe.configure {
        let template =
            fs::read_to_string(root.join(&configure.template)).context("can't read the template")?;
        fs::write(object_dir.join(&configure.output), fill_in(&template, configure))?;
    }

    let mut sources = Vec::new();
    for pattern in &recipe.sources {
        match pattern.rsplit_once("*.") {
            None => sources.push(root.join(pattern)),
            Some((dir, extension)) => {
                let mut found: Vec<PathBuf> =
                    fs::read_dir(root.join(dir))?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
                found.retain(|path| path.extension().is_some_and(|e| e == extension));
                found.retain(|path| !recipe.except.iter().any(|except| *path == root.join(except)));
                found.sort();
                sources.extend(found);
            }
        }
    }
    sources.extend(recipe.own_sources.iter().map(|source| repo::corpus_dir().join("src").join(source)));
    let object = |(index, source): (usize, &PathBuf)| {
        let stem = source.file_stem().unwrap_or_default().to_string_lossy();
        object_dir.join(format!("{index}-{stem}.o"))
    };
    let objects: Vec<PathBuf> = sources.iter().enumerate().map(object).collect();
    Ok(sources
        .into_iter()
        .zip(objects)
        .map(|(source, object)| Compilation { job_index, source, object })
        .collect())
}

fn compile(recipe: &CRecipe, compilation: &Compilation, crates: &Path) -> Result<()> {
    let root = recipe.root_dir(crates);
    let is_cxx = is_cxx_file(&compilation.source);
    let mut compiler = Command::new(if is_cxx { CLANGXX } else { CLANG });
    compiler.args(FLAGS).args(&recipe.flags);
    if is_cxx {
        compiler.args(CXX_FLAGS);
    }
    if let Some(object_dir) = compilation.object.parent() {
        compiler.arg("-I").arg(object_dir);
    }
    compiler.arg("-I").arg(&root);
    for dir in &recipe.include {
        compiler.arg("-I").arg(root.join(dir));
    }
    // Paths in messages and in `__FILE__` must not depend on where the repository is.
    compiler.arg(format!("-ffile-prefix-map={}/=", crates.display()));
    compiler.arg("-c").arg(&compilation.source).arg("-o").arg(&compilation.object);
    command::run_quietly(&mut compiler).map(drop)
}

fn link<'a>(job: &Job<'_>, objects: impl Iterator<Item = &'a Path>, build_dir: &Path) -> Result<PathBuf> {
    let recipe = recipe_of(job);
    let out = build_dir.join(format!("{}.wasm", job.program.name));
    let mut linker = Command::new(if is_cxx(recipe) { CLANGXX } else { CLANG });
    linker.args(FLAGS).args(objects).args(&recipe.link);
    if is_cxx(recipe) {
        linker.args(CXX_LINK_FLAGS);
    }
    linker.args(["-Wl,--strip-debug", "-o"]).arg(&out);
    command::run_quietly(&mut linker)?;
    if !out.exists() {
        bail!("the linker wrote nothing");
    }
    Ok(out)
}

/// Does what CMake's `configure_file` does with a template.
fn fill_in(template: &str, configure: &Configure) -> String {
    let mut text = String::new();
    for line in template.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["#cmakedefine01", name] => {
                let value = configure.values.get(*name).map_or("0", String::as_str);
                text += &format!("#define {name} {value}");
            }
            ["#cmakedefine", name, ..] => match configure.values.get(*name) {
                Some(value) => text += &format!("#define {name} {value}"),
                None => text += &format!("/* #undef {name} */"),
            },
            _ => {
                let fill = |line: String, (name, value): (&String, &String)| {
                    line.replace(&format!("@{name}@"), value)
                };
                text += &configure.values.iter().fold(line.to_owned(), fill);
            }
        }
        text.push('\n');
    }
    text
}
