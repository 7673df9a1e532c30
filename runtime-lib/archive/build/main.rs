//! Builds the runtime library for each target with a cargo of its own, and writes `archives.rs`.

mod lean;
mod toolchain;
mod trim;

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use toolchain::Toolchain;

/// A target that the runtime library can be built for.
struct Target {
    /// Short name, as on the command line.
    name: &'static str,
    /// Architecture in the names of the host.
    architecture: &'static str,
    /// What rustc calls it.
    triple: &'static str,
}

const TARGETS: &[Target] = &[
    Target { name: "x86_64-linux", architecture: "x86_64", triple: "x86_64-unknown-linux-gnu" },
    Target { name: "aarch64-linux", architecture: "aarch64", triple: "aarch64-unknown-linux-gnu" },
    Target { name: "riscv64-linux", architecture: "riscv64gc", triple: "riscv64gc-unknown-linux-gnu" },
    Target { name: "s390x-linux", architecture: "s390x", triple: "s390x-unknown-linux-gnu" },
];

/// Set to a list of short names, separated by commas, to build for these targets only.
const ONLY: &str = "AOT_RUNTIME_TARGETS";

fn main() {
    let workspace = Path::new(&variable("CARGO_MANIFEST_DIR")).join("../..");
    let workspace = workspace.canonicalize().expect("the workspace is two levels up");
    for input in [
        "runtime-lib/src",
        "runtime-lib/Cargo.toml",
        "runtime-lib/abi/src",
        "runtime-lib/abi/Cargo.toml",
        "runtime-lib/abi/build.rs",
        "runtime-lib/mem/src",
        "Cargo.lock",
        "Cargo.toml",
    ] {
        println!("cargo::rerun-if-changed={}", workspace.join(input).display());
    }
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-env-changed={ONLY}");

    let out = PathBuf::from(variable("OUT_DIR"));
    let only = env::var(ONLY).ok();
    let wanted = |target: &&Target| match &only {
        Some(only) => only.split(',').any(|name| name.trim() == target.name),
        None => true,
    };
    // Each target has a cargo of its own; they share the number of jobs that the outer cargo allows.
    let results: Vec<(&Target, Result<Vec<u8>, String>)> = thread::scope(|scope| {
        let started: Vec<_> = TARGETS
            .iter()
            .map(|target| {
                let wanted = wanted(&target);
                let (workspace, out) = (&workspace, &out);
                let thread = scope.spawn(move || match wanted {
                    true => library(target, workspace, out),
                    false => Err(format!("left out of the build by {ONLY}")),
                });
                (target, thread)
            })
            .collect();
        let join = |(target, thread): (_, thread::ScopedJoinHandle<'_, _>)| {
            (target, thread.join().unwrap_or_else(|_| Err(String::from("its build panicked"))))
        };
        started.into_iter().map(join).collect()
    });

    for path in toolchain::watched(results.iter().any(|(_, result)| result.is_err())) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    let (mut names, mut archives, mut missing) = (String::new(), String::new(), String::new());
    for (target, result) in results {
        let name = target.name;
        match result {
            Ok(library) => {
                let file = out.join(format!("{name}.a.z"));
                fs::write(&file, miniz_oxide::deflate::compress_to_vec(&library, 9))
                    .expect("the output directory is writable");
                write!(names, "{name:?}, ").expect("strings take all text");
                let len = library.len();
                write!(archives, "Archive {{ compressed: include_bytes!({file:?}), len: {len} }}, ")
                    .expect("strings take all text");
            }
            Err(reason) => write!(missing, "({name:?}, {reason:?}), ").expect("strings take all text"),
        }
    }
    let code = format!(
        "const TARGETS: &[&str] = &[{names}];\n\
         const ARCHIVES: &[Archive] = &[{archives}];\n\
         const MISSING: &[(&str, &str)] = &[{missing}];\n"
    );
    fs::write(out.join("archives.rs"), code).expect("the output directory is writable");
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}

/// The runtime library of a target, or why there is none.
fn library(target: &Target, workspace: &Path, out: &Path) -> Result<Vec<u8>, String> {
    let toolchain = Toolchain::find(target)?;
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        let reason = format!("{what} the runtime library failed: {error}");
        // The host's library is what the tests and `aot run` stand on.
        assert!(!toolchain.is_for_host(), "{}: {reason}", target.name);
        println!("cargo::warning={}: {reason}", target.name);
        reason
    };
    let mut archives = Vec::new();
    for feature in ["standalone", "library"] {
        let file =
            build(target, &toolchain, workspace, out, feature).map_err(|error| failed("building", &error))?;
        archives.push(fs::read(file).map_err(|error| failed("reading", &error))?);
    }
    trim::merge(&archives).map_err(|error| failed("trimming", &error))
}

/// Runs cargo for one shape of the runtime library, and tells where the archive is.
///
/// It has a target directory of its own, since the outer cargo holds the lock of the usual one. All profiles of the
/// outer cargo share it: the library is the same in each.
fn build(
    target: &Target,
    toolchain: &Toolchain,
    workspace: &Path,
    out: &Path,
    feature: &str,
) -> Result<PathBuf, String> {
    let shared =
        out.ancestors().find(|path| path.ends_with("build")).and_then(|build| build.ancestors().nth(2));
    let directory = shared.unwrap_or(out).join("aot-runtime").join(target.name);
    let triple = toolchain.triple(target);
    let mut cargo = Command::new(variable("CARGO"));
    cargo.current_dir(workspace).args(["rustc", "--quiet", "--locked", "--package", "aot-runtime", "--lib"]);
    cargo.args(["--crate-type", "staticlib", "--no-default-features", "--features", feature]);
    cargo.args(["--profile", "runtime", "--target", &triple, "--target-dir"]).arg(&directory);
    for (name, _) in env::vars_os() {
        if name.to_str().is_none_or(disturbs) {
            cargo.env_remove(name);
        }
    }
    toolchain.configure(&mut cargo);
    // Every source of flags but this one is ignored, configuration files too. Executables carry the places of panics:
    // they should not tell where this was built.
    let home = env::home_dir().unwrap_or_default();
    let cargo_home = env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    let mut flags = vec![
        String::from("-Cforce-frame-pointers=yes"),
        format!("--remap-path-prefix={}=/cargo", cargo_home.display()),
        format!("--remap-path-prefix={}=/aot", workspace.display()),
    ];
    flags.extend(toolchain.source().map(|path| format!("--remap-path-prefix={}=/rustc", path.display())));
    if target.architecture == "s390x" {
        // System calls without a libc; and the chain of frames, which is what this machine has for frame pointers.
        flags.extend(["--cfg=rustix_use_experimental_asm", "-Ctarget-feature=+backchain"].map(String::from));
        cargo.env("RUSTC_BOOTSTRAP", "1");
    }
    if target.architecture == "riscv64gc" {
        // Linux lets programs do that, and the code of modules does it all the time.
        flags.push(String::from("-Ctarget-feature=+unaligned-scalar-mem"));
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    let output = cargo.output().map_err(|error| format!("cargo cannot be started: {error}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        eprintln!("{stderr}");
        let first = stderr.lines().find(|line| line.starts_with("error")).unwrap_or("cargo failed");
        return Err(first.to_owned());
    }
    Ok(directory.join(&triple).join("runtime").join("libaot_runtime.a"))
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
