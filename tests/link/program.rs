//! The programs of `examples/link`, and their libraries, as a C compiler makes them.

use super::outputs::is_there;
use super::{Sandbox, stderr, stdout};
use std::path::Path;

/// Compiles one of the examples with these flags.
#[track_caller]
fn clang(sandbox: &Sandbox, name: &str, flags: &[&str]) {
    let source =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/link").join(name).with_extension("c");
    let output = format!("{name}.wasm");
    let words = [&["--target=wasm32-wasi", "-O2", source.to_str().unwrap(), "-o", &*output], flags].concat();
    let output = sandbox.command("clang-19", &words).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn a_program_and_a_library_with_a_libc_each() {
    if !is_there("clang-19") {
        return;
    }
    let sandbox = Sandbox::new();
    clang(&sandbox, "dictionary", &["-mexec-model=reactor"]);
    clang(&sandbox, "count", &[]);
    sandbox.succeeds(&["link", "count.wasm", "dictionary=dictionary.wasm"]);
    let output = sandbox.command(sandbox.path("count"), &["one", "two", "one"]).output().unwrap();
    let expected = "library ready\none 1\ntwo 1\none 2\n2 words\n";
    assert_eq!((&*stdout(&output), &*stderr(&output), output.status.code()), (expected, "", Some(0)));
    let words = ["run", "--preload", "dictionary=dictionary.wasm", "count.wasm", "one", "two", "one"];
    let output = sandbox.succeeds(&words);
    assert_eq!(stdout(&output), expected);
}

#[test]
fn a_program_and_a_library_in_one_memory() {
    if !is_there("clang-19") {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.write("memory.wat", include_str!("../../examples/link/memory.wat"));
    let flags = "-Wl,--no-entry,--import-memory,-z,stack-size=65536,--initial-memory=1048576";
    clang(&sandbox, "strings", &["-mexec-model=reactor", "-nostdlib", flags]);
    let flags = "-Wl,--import-memory,--export-memory,--global-base=1048576,--initial-memory=2097152";
    clang(&sandbox, "reverse", &[flags]);
    sandbox.succeeds(&["link", "reverse.wasm", "strings=strings.wasm", "env=memory.wat"]);
    let output = sandbox.command(sandbox.path("reverse"), &["stressed", "desserts"]).output().unwrap();
    let expected = "desserts\nstressed\n2 calls, all intact\n";
    assert_eq!((&*stdout(&output), &*stderr(&output), output.status.code()), (expected, "", Some(0)));
}
