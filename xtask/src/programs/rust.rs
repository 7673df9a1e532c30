//! Rust programs: tools from crates.io as members of one generated workspace, so that the standard library
//! and common dependencies are compiled once.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::Job;
use super::recipe::{Recipe, RustRecipe};
use crate::{command, compilers, repo};

/// Pins the tools' dependencies; in `tests/programs/crates`.
pub const LOCK: &str = "tools.lock";

/// Builds the programs with one run of cargo; one result per job, in order.
/// `tools` are all crates of the corpus with such programs: the workspace has them as members even if they
/// aren't built now, so that its lock file is always the same.
pub fn build(jobs: &[Job<'_>], tools: &[String], crates: &Path, build_dir: &Path) -> Vec<Result<PathBuf>> {
    if jobs.is_empty() {
        return Vec::new();
    }
    let recipes: Vec<&RustRecipe> = jobs
        .iter()
        .map(|job| match &job.recipe {
            Recipe::Rust(recipe) => recipe,
            _ => unreachable!("only Rust programs are built here"),
        })
        .collect();
    match build_workspace(&recipes, tools, crates, build_dir) {
        Ok(out_dir) => {
            recipes.iter().map(|recipe| Ok(out_dir.join(format!("{}.wasm", recipe.bin)))).collect()
        }
        Err(error) => {
            let message = format!("{error:#}");
            recipes.iter().map(|_| Err(anyhow::anyhow!(message.clone()))).collect()
        }
    }
}

/// Gives the directory with the programs.
fn build_workspace(
    recipes: &[&RustRecipe],
    tools: &[String],
    crates: &Path,
    build_dir: &Path,
) -> Result<PathBuf> {
    let workspace = build_dir.join("rust");
    let lock = repo::corpus_dir().join("crates").join(LOCK);
    write_workspace(&workspace, tools, crates)?;
    if lock.exists() {
        fs::copy(&lock, workspace.join("Cargo.lock")).context("can't copy the lock file")?;
    }

    let mut cargo = compilers::cargo("build", build_dir)?;
    cargo.current_dir(&workspace).arg("--no-default-features");
    for recipe in recipes {
        cargo.args(["-p", &recipe.crate_name, "--bin", &recipe.bin]);
        for feature in &recipe.features {
            cargo.args(["--features", &format!("{}/{feature}", recipe.crate_name)]);
        }
    }
    command::run_quietly(&mut cargo)?;
    let used = fs::read(workspace.join("Cargo.lock")).context("can't read the lock file")?;
    if !fs::read(&lock).is_ok_and(|pinned| pinned == used) {
        println!("programs: the tools' dependencies have changed; commit {}", lock.display());
        fs::write(&lock, used).context("can't write the lock file")?;
    }
    Ok(compilers::out_dir(build_dir))
}

fn write_workspace(workspace: &Path, tools: &[String], crates: &Path) -> Result<()> {
    fs::create_dir_all(workspace)?;
    let mut manifest = "[workspace]\nresolver = \"2\"\nmembers = [\n".to_owned();
    for tool in tools {
        copy_dir(&crates.join(tool), &workspace.join(tool))?;
        manifest += &format!("    \"{tool}\",\n");
    }
    manifest += &format!("]\n\n{}", compilers::PROFILE);
    fs::write(workspace.join("Cargo.toml"), manifest).context("can't write the workspace")
}

fn copy_dir(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("can't read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
