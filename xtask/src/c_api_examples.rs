//! The published examples of the standard C API: programs that nobody here wrote, which the tests build unchanged against
//! our header and library.
//!
//! They come with a crate, which is fetched alone: its dependencies are another engine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{command, repo};

/// The crate that has them, and the SHA-256 of its archive.
const CRATE: (&str, &str) = ("wasmer-c-api", "7.4.2");
const SHA256: &str = "903ae0858d466b76a7863fb4d09b140051da54c7be4188bf44a8a391d98b56f4";
/// Where they are in the archive.
const EXAMPLES: &str = "tests/wasm-c-api/example";

/// The directory that [`install`] fills with C programs and their modules.
///
/// # Errors
/// Cargo can't tell where it builds.
pub fn dir() -> Result<PathBuf> {
    Ok(repo::target_dir()?.join("setup/wasm-c-api"))
}

/// Fetches the examples, if they are not there.
///
/// # Errors
/// The crate can't be fetched, or is not the one that is pinned.
pub fn install() -> Result<()> {
    let dir = dir()?;
    let done = dir.join("installed");
    if fs::read_to_string(&done).is_ok_and(|installed| installed == SHA256) {
        return Ok(());
    }
    let (name, version) = CRATE;
    println!("setup: cargo info {name}@{version}");
    // It downloads the one archive, and compares it with the checksum of the registry.
    command::run_quietly(repo::cargo().args(["info", "--quiet", &format!("{name}@{version}")]))?;
    let archive = archive(&format!("{name}-{version}.crate"))?;
    let sum = command::run_quietly(Command::new("sha256sum").arg(&archive))?;
    if !sum.starts_with(SHA256.as_bytes()) {
        bail!("{} is not the archive that is pinned", archive.display());
    }
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    fs::create_dir_all(&dir).with_context(|| format!("can't make {}", dir.display()))?;
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(&archive).arg("-C").arg(&dir).arg("--strip-components=4");
    command::run_quietly(tar.arg(format!("{name}-{version}/{EXAMPLES}")))?;
    fs::write(&done, SHA256).context("can't note what was installed")
}

/// Where cargo keeps an archive that it has downloaded.
fn archive(file: &str) -> Result<PathBuf> {
    let home = match std::env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => Path::new(&std::env::var_os("HOME").context("there is no home directory")?).join(".cargo"),
    };
    let cache = home.join("registry/cache");
    let registries = fs::read_dir(&cache).with_context(|| format!("can't read {}", cache.display()))?;
    for registry in registries {
        let found = registry?.path().join(file);
        if found.is_file() {
            return Ok(found);
        }
    }
    bail!("cargo has not kept {file} in {}", cache.display())
}
