//! Builds the runtime library for each target with a cargo of its own, and writes `archives.rs`.

mod trim;

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A target that the runtime library can be built for.
struct Target {
    /// Short name, as on the command line.
    name: &'static str,
    /// What rustc calls it.
    triple: String,
}

/// The targets whose `core` this toolchain has: the host's.
fn targets() -> Vec<Target> {
    let host = variable("HOST");
    let mut targets = Vec::new();
    // Any C library will do (gnu, musl): the runtime library uses none.
    if host.starts_with("x86_64-") && host.contains("-linux-") {
        targets.push(Target { name: "x86_64-linux", triple: host });
    }
    targets
}

fn main() {
    let workspace = Path::new(&variable("CARGO_MANIFEST_DIR")).join("../..");
    let workspace = workspace.canonicalize().expect("the workspace is two levels up");
    for input in [
        "runtime-lib/src",
        "runtime-lib/Cargo.toml",
        "runtime-lib/abi/src",
        "runtime-lib/abi/Cargo.toml",
        "runtime-lib/mem/src",
        "Cargo.toml",
        "Cargo.lock",
        "Cargo.toml",
    ] {
        println!("cargo::rerun-if-changed={}", workspace.join(input).display());
    }
    println!("cargo::rerun-if-changed=build");

    let out = PathBuf::from(variable("OUT_DIR"));
    let (mut names, mut archives) = (String::new(), String::new());
    for target in targets() {
        let library = fs::read(build(&target, &workspace, &out)).expect("cargo wrote the library");
        let library = trim::trim(&library).expect("rustc writes archives of objects");
        let file = out.join(format!("{}.a.z", target.name));
        fs::write(&file, miniz_oxide::deflate::compress_to_vec(&library, 9))
            .expect("the output directory is writable");
        write!(names, "{:?}, ", target.name).expect("strings take all text");
        write!(archives, "Archive {{ compressed: include_bytes!({file:?}), len: {} }}, ", library.len())
            .expect("strings take all text");
    }
    let code = format!("const TARGETS: &[&str] = &[{names}];\nconst ARCHIVES: &[Archive] = &[{archives}];\n");
    fs::write(out.join("archives.rs"), code).expect("the output directory is writable");
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}

/// Runs cargo for the runtime library, and tells where the archive is.
///
/// It has a target directory of its own, since the outer cargo holds the lock of the usual one.
fn build(target: &Target, workspace: &Path, out: &Path) -> PathBuf {
    let directory = out.join("runtime");
    let mut cargo = Command::new(variable("CARGO"));
    cargo.current_dir(workspace).args(["rustc", "--quiet", "--locked", "--package", "aot-runtime", "--lib"]);
    cargo.args(["--crate-type", "staticlib", "--no-default-features", "--features", "standalone"]);
    cargo.args(["--profile", "runtime", "--target", &target.triple, "--target-dir"]).arg(&directory);
    for (name, _) in env::vars_os() {
        if name.to_str().is_none_or(disturbs) {
            cargo.env_remove(name);
        }
    }
    // Every source of flags but this one is ignored, configuration files too. Executables carry the places of panics:
    // they should not tell where this was built.
    let home = env::home_dir().unwrap_or_default();
    let cargo_home = env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    let flags = [
        String::from("-Cforce-frame-pointers=yes"),
        format!("--remap-path-prefix={}=/cargo", cargo_home.display()),
        format!("--remap-path-prefix={}=/aot", workspace.display()),
    ];
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    let status = cargo.status().expect("cargo can be started");
    assert!(status.success(), "building the runtime library for {} failed: {status}", target.name);
    directory.join(&target.triple).join("runtime").join("libaot_runtime.a")
}

/// Whether a variable is about the outer build: its flags, profile, wrappers (clippy sets one) and output.
fn disturbs(name: &str) -> bool {
    const KEPT: [&str; 7] = [
        "CARGO_HOME",
        "CARGO_HTTP_",
        "CARGO_MAKEFLAGS",
        "CARGO_NET_",
        "CARGO_REGISTRIES_",
        "CARGO_REGISTRY_",
        "CARGO_SOURCE_",
    ];
    const FLAGS: [&str; 4] = ["RUSTFLAGS", "RUSTDOCFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"];
    let of_cargo = name.starts_with("CARGO_") || name.starts_with("__CARGO");
    FLAGS.contains(&name) || of_cargo && !KEPT.iter().any(|kept| name.starts_with(kept))
}
