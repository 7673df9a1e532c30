//! The C compilers, and what they have to be told.

use std::path::Path;
use std::process::Command;

/// Compiles for WebAssembly; `cargo xtask setup` installs it.
pub const CLANG: &str = "clang-19";
/// Flags of every kernel.
pub const WASM_FLAGS: &[&str] = &["--target=wasm32-wasi", "-O2", "-Wl,--strip-debug"];

/// Compiles natively, for the reference column; floating point as WebAssembly has it, so that outputs are equal.
pub const CC: &str = "cc";
pub const CC_FLAGS: &[&str] = &["-O3", "-ffp-contract=off"];

/// Translates modules to C, and the directory of what that needs: Debian's package `wabt`, installed by hand.
pub const WASM2C: &str = "wasm2c";
pub const WASM2C_RUNTIME: &str = "/usr/src/wasm2c";

/// A command that makes a WASI command of one C file.
pub fn compile_to_wasm(source: &Path, extra_flags: &[String], output: &Path) -> Command {
    let mut clang = Command::new(CLANG);
    clang.args(WASM_FLAGS).args(extra_flags).arg(source).arg("-o").arg(output).arg("-lm");
    clang
}

/// Whether a command of this name is on the `PATH`.
pub fn is_on_path(name: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(name).is_file()))
}
