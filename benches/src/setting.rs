//! What all measurements of one run share: directories, tools, rounds, threads.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::options::{Cpu, Options};

/// Where things are.
pub struct Dirs {
    /// The root of the repository.
    pub root: PathBuf,
    /// The package `benches`.
    pub benches: PathBuf,
    /// The program corpus, as `cargo xtask programs` has built it.
    pub programs: PathBuf,
    /// What this run makes: modules, inputs, artifacts, outputs.
    pub work: PathBuf,
}

/// One run of the benchmarks.
pub struct Setting {
    pub dirs: Dirs,
    pub aot: PathBuf,
    pub rounds: usize,
    pub cpu: Cpu,
    /// Threads that each compiler may use.
    pub threads: usize,
}

impl Setting {
    /// # Errors
    /// The directory for results can't be made.
    pub fn new(options: &Options) -> Result<Setting> {
        let benches = Path::new(env!("CARGO_MANIFEST_DIR")).to_owned();
        let root = benches.parent().context("the package lies in the repository")?.to_owned();
        let or_else = |path: &Path, default: PathBuf| match path.as_os_str().is_empty() {
            true => default,
            false => std::path::absolute(path).unwrap_or(default),
        };
        let target_dir = or_else(&options.target_dir, root.join("target"));
        let aot = or_else(&options.aot, target_dir.join("release/aot"));
        let dirs = Dirs {
            programs: target_dir.join("programs"),
            work: target_dir.join("benches/work"),
            root,
            benches,
        };
        make_dir(&dirs.work)?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Setting { dirs, aot, rounds: options.rounds, cpu: options.cpu, threads })
    }
}

/// Makes a directory and its parents.
///
/// # Errors
/// It isn't there afterwards.
pub fn make_dir(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("can't make {}", dir.display()))
}
