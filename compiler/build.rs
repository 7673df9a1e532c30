//! Computes the identity of the compiler: a hash of its sources, of those of the layouts that it shares with the runtime,
//! and of the versions of what it is built on. Another compiler may make other code of the same module.

use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let mut hasher = blake3::Hasher::new();
    for input in ["src", "Cargo.toml", "../runtime-lib/abi/src", "../Cargo.lock"] {
        println!("cargo::rerun-if-changed={input}");
        let mut files = Vec::new();
        list(Path::new(input), &mut files);
        files.sort();
        for path in files {
            let content = fs::read(&path).expect("sources can be read");
            hasher.update(path.to_string_lossy().as_bytes());
            hasher.update(&(content.len() as u64).to_le_bytes());
            hasher.update(&content);
        }
    }
    println!("cargo::rustc-env=AOT_COMPILER_IDENTITY={}", hasher.finalize());
}

/// Adds the files of a folder, or the file itself. What is not there, as the lock file of a program that has this crate
/// from elsewhere, adds nothing.
fn list(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_file() {
        files.push(path.to_owned());
    }
    let Ok(items) = fs::read_dir(path) else { return };
    for item in items {
        list(&item.expect("folders can be listed").path(), files);
    }
}
