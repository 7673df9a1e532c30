//! Where things are: the repository, its target directory, the corpus.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, Result};

use crate::command;

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the repository")
}

/// Cargo, the one that started us.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    if is_ci() {
        // What only later builds or debuggers would use takes gigabytes.
        command.env("CARGO_INCREMENTAL", "0").env("CARGO_PROFILE_DEV_DEBUG", "false");
        // The same for what build scripts need, or it would be compiled once more.
        command.env("CARGO_PROFILE_DEV_BUILD_OVERRIDE_DEBUG", "false");
    }
    command
}

/// Cargo's view of the workspace and all dependencies.
///
/// # Errors
/// Cargo fails, for example because `Cargo.lock` is out of date.
pub fn metadata() -> Result<serde_json::Value> {
    let json = command::run_quietly(cargo().args(["metadata", "--format-version", "1", "--locked"]))?;
    serde_json::from_slice(&json).context("can't read cargo's metadata")
}

/// The directory that cargo builds in.
///
/// # Errors
/// Cargo can't tell.
pub fn target_dir() -> Result<&'static Path> {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    if let Some(dir) = DIR.get() {
        return Ok(dir);
    }
    let json =
        command::run_quietly(cargo().args(["metadata", "--format-version", "1", "--no-deps", "--offline"]))?;
    let metadata: serde_json::Value = serde_json::from_slice(&json).context("can't read cargo's metadata")?;
    let dir = metadata["target_directory"].as_str().context("cargo doesn't say where it builds")?;
    Ok(DIR.get_or_init(|| PathBuf::from(dir)))
}

/// The corpus' data: `tests/programs`.
pub fn corpus_dir() -> PathBuf {
    root().join("tests/programs")
}

/// The built corpus: `target/programs`.
///
/// # Errors
/// Cargo can't tell where it builds.
pub fn programs_dir() -> Result<PathBuf> {
    Ok(target_dir()?.join("programs"))
}

/// Whether this is a CI run, where nothing may be skipped.
pub fn is_ci() -> bool {
    std::env::var_os("CI").is_some()
}
