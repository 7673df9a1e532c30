//! How a program is made: the `build` table of its file, and the kinds that are one command.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use wasmparser::{Parser, Payload, Validator, WasmFeatures};

use super::{Job, c, rust};
use crate::setup::{self, Toolchain};
use crate::{command, compilers, repo};

/// The `build` table of a program's file.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Recipe {
    /// C or C++ sources out of a crate.
    C(CRecipe),
    /// A command-line tool from crates.io.
    Rust(RustRecipe),
    /// A command of the Go distribution.
    Go(GoRecipe),
    /// A script of ours around an AssemblyScript library from npm.
    AssemblyScript(AssemblyScriptRecipe),
    /// A ready-made binary in an npm package.
    Npm(NpmRecipe),
    /// A program in the text format in this repository.
    Wat(WatRecipe),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CRecipe {
    /// The crate that carries the sources (its version is in `tests/programs/crates`); none for sources of
    /// this repository.
    #[serde(rename = "crate")]
    pub crate_name: Option<String>,
    /// The directory in the crate or repository that all other paths are relative to.
    pub root: String,
    /// Files, or all of one extension in a directory: `src/*.c`.
    pub sources: Vec<String>,
    /// Files that `sources` finds but that don't belong to the program.
    #[serde(default)]
    pub except: Vec<String>,
    /// Sources of ours, in `tests/programs/src`.
    #[serde(default)]
    pub own_sources: Vec<String>,
    #[serde(default)]
    pub flags: Vec<String>,
    /// Directories in the root to look for headers in; the root itself is one.
    #[serde(default)]
    pub include: Vec<String>,
    /// Flags for the linker driver.
    #[serde(default)]
    pub link: Vec<String>,
    /// A header that CMake would make.
    pub configure: Option<Configure>,
}

/// A CMake template and the values of its variables; variables that aren't named are off.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configure {
    pub template: String,
    pub output: String,
    pub values: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RustRecipe {
    #[serde(rename = "crate")]
    pub crate_name: String,
    pub bin: String,
    /// The features to build with; the default ones are off.
    #[serde(default)]
    pub features: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoRecipe {
    pub package: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssemblyScriptRecipe {
    /// The entry file in `tests/programs/src`.
    pub entry: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NpmRecipe {
    /// The file, from `node_modules` on.
    pub file: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatRecipe {
    /// The file, from the root of the repository.
    pub file: String,
}

impl CRecipe {
    /// The directory that the recipe's paths are relative to.
    pub fn root_dir(&self, crates: &Path) -> PathBuf {
        let base = match &self.crate_name {
            Some(name) => crates.join(name),
            None => repo::root().to_owned(),
        };
        base.join(&self.root)
    }
}

impl Recipe {
    /// What has to be installed to build it.
    pub fn toolchain(&self) -> Option<Toolchain> {
        Some(match self {
            Recipe::C(recipe) if c::is_cxx(recipe) => Toolchain::Cxx,
            Recipe::C(_) => Toolchain::C,
            Recipe::Rust(_) => Toolchain::Rust,
            Recipe::Go(_) => Toolchain::Go,
            Recipe::AssemblyScript(_) | Recipe::Npm(_) => Toolchain::Npm,
            Recipe::Wat(_) => return None,
        })
    }

    pub fn is_from_crate(&self) -> bool {
        match self {
            Recipe::C(recipe) => recipe.crate_name.is_some(),
            recipe => matches!(recipe, Recipe::Rust(_)),
        }
    }

    /// Every input of the build as one text: the recipe, the pinned packages, sources and flags of ours.
    ///
    /// # Errors
    /// One of those files can't be read.
    pub fn key(&self, table: &toml::Table) -> Result<String> {
        let corpus = repo::corpus_dir();
        let crates_lock = corpus.join("crates/Cargo.lock");
        let npm_lock = corpus.join("npm/package-lock.json");
        let (own, flags): (Vec<PathBuf>, String) = match self {
            Recipe::C(recipe) if recipe.crate_name.is_none() => {
                let root = repo::root().join(&recipe.root);
                (recipe.sources.iter().map(|file| root.join(file)).collect(), c::FLAGS.join(" "))
            }
            Recipe::C(recipe) => {
                let sources = recipe.own_sources.iter().map(|file| corpus.join("src").join(file));
                (sources.chain([crates_lock]).collect(), c::FLAGS.join(" "))
            }
            Recipe::Rust(_) => {
                let lock = corpus.join("crates").join(rust::LOCK);
                (
                    vec![crates_lock, lock, corpus.join("src").join(compilers::SHIM)],
                    compilers::PROFILE.to_owned(),
                )
            }
            Recipe::Go(_) => (vec![], setup::GO_PACKAGE.to_owned()),
            Recipe::AssemblyScript(recipe) => {
                (vec![npm_lock, corpus.join("src").join(&recipe.entry)], String::new())
            }
            Recipe::Npm(_) => (vec![npm_lock], String::new()),
            Recipe::Wat(recipe) => (vec![repo::root().join(&recipe.file)], String::new()),
        };
        let mut key = format!("{table}\n{flags}\n");
        for file in own {
            key += &fs::read_to_string(&file).with_context(|| format!("can't read {}", file.display()))?;
        }
        Ok(key)
    }
}

/// Fetches the pinned crates and lays out their sources as `<dir>/<crate>`.
///
/// # Errors
/// Cargo can't fetch them.
pub fn fetch_crates(build_dir: &Path) -> Result<PathBuf> {
    let manifest_dir = repo::corpus_dir().join("crates");
    let lock = fs::read_to_string(manifest_dir.join("Cargo.lock")).context("can't read the lock file")?;
    let dir = build_dir.join("crates");
    let done = build_dir.join("crates.lock");
    if dir.exists() && fs::read_to_string(&done).is_ok_and(|fetched| fetched == lock) {
        return Ok(dir);
    }
    let mut vendor = repo::cargo();
    vendor
        .args(["vendor", "--locked", "--quiet", "--manifest-path"])
        .arg(manifest_dir.join("Cargo.toml"))
        .arg(&dir);
    command::run_quietly(&mut vendor)?;
    fs::write(&done, lock).context("can't note what was fetched")?;
    Ok(dir)
}

/// Makes a program of one of the kinds that are a single command. Gives the file, which is not yet in its place.
///
/// # Errors
/// The command fails.
pub fn build_simple(job: &Job<'_>, build_dir: &Path) -> Result<PathBuf> {
    let name = &job.program.name;
    let out = build_dir.join(format!("{name}.wasm"));
    match &job.recipe {
        Recipe::Go(recipe) => {
            let mut go = compilers::go_build(build_dir)?;
            go.arg("-o").arg(&out).arg(&recipe.package);
            command::run_quietly(&mut go)?;
            Ok(out)
        }
        Recipe::AssemblyScript(recipe) => {
            let npm = setup::npm_dir()?;
            // The compiler looks for libraries from the entry file's directory upwards.
            let entry = npm.join(&recipe.entry);
            fs::copy(repo::corpus_dir().join("src").join(&recipe.entry), &entry)
                .context("can't copy the entry file")?;
            let mut asc = Command::new("node");
            asc.current_dir(&npm)
                .arg("node_modules/assemblyscript/bin/asc.js")
                .arg(&recipe.entry)
                .arg("-o")
                .arg(&out);
            asc.args(["-O2", "--config", "node_modules/@assemblyscript/wasi-shim/asconfig.json"]);
            command::run_quietly(&mut asc)?;
            Ok(out)
        }
        Recipe::Npm(recipe) => Ok(setup::npm_dir()?.join("node_modules").join(&recipe.file)),
        Recipe::Wat(recipe) => {
            fs::write(&out, wat::parse_file(repo::root().join(&recipe.file))?)
                .context("can't write the module")?;
            Ok(out)
        }
        Recipe::C(_) | Recipe::Rust(_) => unreachable!("built in groups"),
    }
}

/// A program of the corpus is a WASI preview 1 command that needs no more than WebAssembly 2.0 and tail calls.
///
/// # Errors
/// It says what else the module needs.
pub fn check_module(bytes: &[u8]) -> Result<()> {
    let features = WasmFeatures::WASM2 | WasmFeatures::TAIL_CALL;
    Validator::new_with_features(features).validate_all(bytes).context("not a WebAssembly 2.0 module")?;
    let mut has_start = false;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let import = import?;
                    if import.module != "wasi_snapshot_preview1" {
                        bail!("imports `{}.{}`, which isn't WASI preview 1", import.module, import.name);
                    }
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    has_start |= export?.name == "_start";
                }
            }
            _ => {}
        }
    }
    if !has_start {
        bail!("exports no `_start`, so it isn't a command");
    }
    Ok(())
}
