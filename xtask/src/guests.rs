//! The guests of the examples: builds `examples/embed/guests/*`, the library of `examples/codec`, and what debuggers are
//! tested with, into `target/programs/guests/<name>.wasm`.
//!
//! Guests whose sources have not changed are left alone. A file appears under its final name only when it is complete.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use wasmparser::{Validator, WasmFeatures};

use crate::setup::{self, Toolchain};
use crate::{command, compilers, programs, repo};

/// How a guest is made.
#[derive(Clone, Copy)]
enum Kind {
    /// A package with a library.
    Rust,
    /// A package with a program, and its level of optimisation; it has debug information.
    Debugged(&'static str),
    /// A Go module, with flags for `go build`.
    Go(&'static [&'static str]),
    /// A C library, whose sources are a part of a pinned crate; `clang.rsp` has all flags.
    C { sources: &'static str, files: &'static [&'static str] },
}

/// The guests, and their folders.
const GUESTS: &[(&str, &str, Kind)] = &[
    ("greet", "examples/embed/guests/greet", Kind::Rust),
    ("shop-O0", "tests/debug/shop", Kind::Debugged("0")),
    ("shop-O2", "tests/debug/shop", Kind::Debugged("2")),
    ("go-add", "examples/embed/guests/go-add", Kind::Go(&["-buildmode=c-shared"])),
    ("go-worker", "examples/embed/guests/go-worker", Kind::Go(&[])),
    (
        "bz2",
        "examples/codec",
        Kind::C {
            sources: "bzip2-sys/bzip2-1.0.8",
            files: &[
                "blocksort.c",
                "bzlib.c",
                "compress.c",
                "crctable.c",
                "decompress.c",
                "huffman.c",
                "randtable.c",
            ],
        },
    ),
];

/// Builds every guest that has changed.
///
/// # Errors
/// A build fails; on CI also when a guest can't be built for lack of a tool.
pub fn run() -> Result<()> {
    let dir = repo::programs_dir()?;
    let (out_dir, build_dir) = (dir.join("guests"), dir.join("build"));
    for dir in [&out_dir, &build_dir] {
        fs::create_dir_all(dir).with_context(|| format!("can't make {}", dir.display()))?;
    }
    let (mut built, mut skipped) = (0, 0);
    for (name, folder, kind) in GUESTS {
        let dir = repo::root().join(folder);
        let key = kind.key(&dir)?;
        let (wasm, stamp) =
            (out_dir.join(format!("{name}.wasm")), build_dir.join(format!("guest-{name}.key")));
        if wasm.exists() && fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == key) {
            continue;
        }
        let missing = setup::missing(kind.toolchain());
        if !missing.is_empty() {
            skipped += 1;
            println!("guest {name} SKIPPED: missing {}", missing.join(", "));
            continue;
        }
        let file = kind.build(name, &dir, &build_dir).with_context(|| format!("can't build guest {name}"))?;
        install(&file, &wasm).with_context(|| format!("guest {name}"))?;
        fs::write(&stamp, key).context("can't note what was built")?;
        built += 1;
    }
    println!("guests: {built} built, {} unchanged, {skipped} skipped", GUESTS.len() - built - skipped);
    if skipped > 0 && repo::is_ci() {
        bail!("{skipped} guests were skipped, and on CI nothing may be skipped (`cargo xtask setup`)");
    }
    Ok(())
}

impl Kind {
    fn toolchain(self) -> Toolchain {
        match self {
            Kind::Rust | Kind::Debugged(_) => Toolchain::Rust,
            Kind::Go(_) => Toolchain::Go,
            Kind::C { .. } => Toolchain::C,
        }
    }

    /// All inputs of the build as text; equal text means an equal result.
    fn key(self, dir: &Path) -> Result<String> {
        let mut key = match self {
            Kind::Rust => format!("{}\n{}\n", compilers::PROFILE, compilers::RUSTFLAGS),
            Kind::Debugged(level) => format!("{}\n{}\n{level}\n", compilers::PROFILE, compilers::RUSTFLAGS),
            Kind::Go(flags) => format!("{}\n{}\n", setup::GO_PACKAGE, flags.join(" ")),
            Kind::C { sources, files } => format!("{}\n{sources}\n{}\n", setup::CLANG, files.join(" ")),
        };
        let sources = dir.join("src");
        for dir in [dir, &sources] {
            let Ok(entries) = fs::read_dir(dir) else { continue };
            let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
            files.retain(|file| file.is_file());
            files.sort();
            for file in files {
                let text = fs::read_to_string(&file);
                let text = text.with_context(|| format!("can't read {}", file.display()))?;
                key += &format!("{}\n{text}\n", file.display());
            }
        }
        Ok(key)
    }

    /// Gives the module, which is not yet in its place.
    fn build(self, name: &str, dir: &Path, build_dir: &Path) -> Result<PathBuf> {
        match self {
            Kind::Rust => {
                // Debian's toolchain has the start file of reactors in an archive, which is not searched for it.
                rust(dir, build_dir, &["-Clink-arg=--undefined=_initialize"])?;
                Ok(compilers::out_dir(build_dir).join(format!("{name}.wasm")))
            }
            Kind::Debugged(level) => {
                // What the standard library is compiled with stays.
                rust(dir, build_dir, &["-g", "-Cstrip=none", &format!("-Copt-level={level}")])?;
                let package = dir.file_name().context("the package has no name")?;
                Ok(compilers::out_dir(build_dir).join(package).with_extension("wasm"))
            }
            Kind::Go(flags) => {
                let out = build_dir.join(format!("guest-{name}.wasm"));
                let mut go = compilers::go_build(build_dir)?;
                go.current_dir(dir).args(flags).arg("-o").arg(&out).arg(".");
                command::run_quietly(&mut go)?;
                Ok(out)
            }
            Kind::C { sources, files } => {
                let out = build_dir.join(format!("guest-{name}.wasm"));
                let sources = programs::fetch_crates(build_dir)?.join(sources);
                let mut clang = Command::new(setup::CLANG);
                clang.current_dir(dir).arg("@clang.rsp").args(files.iter().map(|file| sources.join(file)));
                // Paths in messages must not depend on where the repository is.
                clang.arg(format!("-ffile-prefix-map={}/=", sources.display())).arg("-o").arg(&out);
                command::run_quietly(&mut clang)?;
                Ok(out)
            }
        }
    }
}

/// Compiles a package, with flags for its own crate.
fn rust(dir: &Path, build_dir: &Path, flags: &[&str]) -> Result<()> {
    let profile = build_dir.join("guests.toml");
    fs::write(&profile, compilers::PROFILE).context("can't write the profile")?;
    let mut cargo = compilers::cargo("rustc", build_dir)?;
    cargo.current_dir(dir).arg("--config").arg(&profile).arg("--").args(flags);
    command::run_quietly(&mut cargo)?;
    Ok(())
}

/// Checks a module and gives it its final name.
fn install(built: &Path, wasm: &Path) -> Result<()> {
    let bytes = fs::read(built).with_context(|| format!("can't read {}", built.display()))?;
    let features = WasmFeatures::WASM2 | WasmFeatures::TAIL_CALL;
    Validator::new_with_features(features).validate_all(&bytes).context("not a WebAssembly 2.0 module")?;
    let temporary = wasm.with_extension("wasm.tmp");
    fs::write(&temporary, &bytes).with_context(|| format!("can't write {}", temporary.display()))?;
    fs::rename(&temporary, wasm).with_context(|| format!("can't write {}", wasm.display()))
}
