//! Computes the hash of the ABI: of the sources of this crate that compiled code depends on.
//!
//! Sources and not a list of layouts, so that no change can be forgotten: a hash that differs for nothing costs a build of
//! the images, one that does not differ would cost memory safety. Comments, blank lines and tests do not count.

use std::path::Path;
use std::{env, fs};

/// What images do not depend on: the format of their files and those of source positions and profiles have versions of their own, and the
/// rest is of executables.
const LEFT_OUT: [&str; 8] =
    ["lib.rs", "descriptor.rs", "image", "profile.rs", "source.rs", "validate", "validate.rs", "wasi.rs"];

fn main() {
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=build.rs");
    let mut files: Vec<_> = fs::read_dir("src")
        .expect("the sources are here")
        .map(|entry| entry.expect("the sources can be listed").path())
        .filter(|path| !LEFT_OUT.iter().any(|name| path.ends_with(name)))
        .collect();
    files.sort();
    let mut hash = Fnv::new();
    for path in files {
        assert!(path.is_file(), "{}: sources in folders need to be hashed too", path.display());
        let source = fs::read_to_string(&path).expect("sources are UTF-8");
        let name = path.file_name().expect("a file of the folder").to_string_lossy();
        hash.add(&name);
        code_lines(&source).for_each(|line| hash.add(line));
    }
    let out = Path::new(&env::var_os("OUT_DIR").expect("cargo sets it")).join("abi_hash.rs");
    fs::write(out, format!("{:#034x}_u128\n", hash.0)).expect("the output directory is writable");
}

/// The lines that are neither blank, nor comments, nor of the tests at the end.
fn code_lines(source: &str) -> impl Iterator<Item = &str> {
    let lines = source.lines().map(str::trim).take_while(|line| *line != "#[cfg(test)]");
    lines.filter(|line| !line.is_empty() && !line.starts_with("//"))
}

/// FNV-1a with 128 bits: it tells versions apart, and need not withstand an attack.
struct Fnv(u128);

impl Fnv {
    fn new() -> Fnv {
        Fnv(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }

    /// Adds a line.
    fn add(&mut self, line: &str) {
        for byte in line.bytes().chain([b'\n']) {
            self.0 = (self.0 ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    }
}
