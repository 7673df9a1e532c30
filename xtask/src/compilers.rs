//! The compilers for WASI, as the corpus and the guests of the examples use them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::setup::{self, CLANG, DEBIAN_RUSTC, WASI_LIBC_DIR, WASM_LD};
use crate::{command, repo};

/// Some functions that Debian's wasi-libc is too old to have.
pub const SHIM: &str = "wasi-libc-shim.c";

/// The profile of what is built by [`cargo`]: with another one, the standard library would be built once more.
pub const PROFILE: &str = "\
[profile.release]
opt-level = 2
codegen-units = 16
debug = false
lto = false
panic = \"abort\"
strip = \"debuginfo\"
";
/// SIMD is on, as nobody would ship the tools of the corpus without.
pub const RUSTFLAGS: &str = "-Ctarget-feature=+simd128";

const TARGET_DIR: &str = "rust-target";

/// `go build` for WASI, the same from any directory, with the installed toolchain.
///
/// # Errors
/// Cargo can't tell where it builds.
pub fn go_build(build_dir: &Path) -> Result<Command> {
    let mut go = Command::new(setup::go_command()?);
    go.envs([("GOOS", "wasip1"), ("GOARCH", "wasm"), ("GOTOOLCHAIN", "local"), ("GOFLAGS", "-trimpath")]);
    go.env("GOCACHE", build_dir.join("go-cache")).arg("build");
    Ok(go)
}

/// `cargo build` or `cargo rustc` for WASI, in release: whatever is built by it shares the standard library.
///
/// # Errors
/// The toolchain can't be prepared.
pub fn cargo(subcommand: &str, build_dir: &Path) -> Result<Command> {
    let mut cargo = Command::new(repo::cargo().get_program());
    cargo.env("CARGO_TARGET_DIR", build_dir.join(TARGET_DIR));
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(variable);
    }
    cargo.args([subcommand, "--release", "--target", "wasm32-wasip1"]);
    if repo::is_ci() {
        cargo.arg("--locked");
    }
    if setup::has_rustup_target() {
        cargo.env("CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS", RUSTFLAGS);
    } else {
        use_debian_toolchain(&mut cargo, build_dir)?;
    }
    Ok(cargo)
}

/// Where [`cargo`] leaves modules.
pub fn out_dir(build_dir: &Path) -> PathBuf {
    build_dir.join(TARGET_DIR).join("wasm32-wasip1/release")
}

/// Debian has the standard library as source only, and its C library separately.
fn use_debian_toolchain(cargo: &mut Command, build_dir: &Path) -> Result<()> {
    let shim = build_dir.join("wasi-libc-shim.o");
    let mut clang = Command::new(CLANG);
    clang.args(["--target=wasm32-wasi", "-O2", "-c"]).arg(repo::corpus_dir().join("src").join(SHIM));
    command::run_quietly(clang.arg("-o").arg(&shim))?;

    // `RUSTC_BOOTSTRAP` lets a release compiler build the standard library.
    cargo.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1").arg("-Zbuild-std=std,panic_abort");
    cargo.env("CARGO_TARGET_WASM32_WASIP1_LINKER", WASM_LD);
    // Commands need the one start file and reactors the other. As if they were in an archive, the linker takes the one
    // whose symbol it looks for, so the flags are the same for both.
    let flags = format!(
        "{RUSTFLAGS} -Clink-self-contained=no -Lnative={WASI_LIBC_DIR} -Clink-arg=--start-lib \
         -Clink-arg={WASI_LIBC_DIR}/crt1-command.o -Clink-arg={WASI_LIBC_DIR}/crt1-reactor.o \
         -Clink-arg=--end-lib -Clink-arg={}",
        shim.display(),
    );
    cargo.env("CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS", flags);
    Ok(())
}
