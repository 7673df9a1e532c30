//! What `aot-build` says when a module cannot be made part of a program, and what it leaves.

use aot_build::Builder;
use std::fs;
use std::path::Path;

const HOST: &str = "x86_64-unknown-linux-gnu";

/// The error for a module.
fn error(bytes: &[u8], change: impl FnOnce(Builder) -> Builder) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let (input, out) = (directory.path().join("some.wasm"), directory.path().join("out"));
    fs::write(&input, bytes).expect("the module is written");
    fs::create_dir(&out).expect("a directory");
    let builder = change(Builder::new(&input).out_dir(&out).target(HOST));
    let error = builder.try_compile().expect_err("it is wrong").to_string();
    assert_eq!(fs::read_dir(&out).expect("a directory").count(), 0, "nothing is left: {error}");
    error.replace(&format!("{}", input.display()), "some.wasm")
}

#[test]
fn errors_say_what_is_wrong() {
    let same = |builder: Builder| builder;
    for (error, parts) in [
        (error(b"(module", same), &["`some.wasm`: ", "expected"][..]),
        (error(b"\0asm\x01\0\0\0\x05", same), &["`some.wasm`: ", "offset 0x"]),
        (error(b"(module (func (result i32)))", same), &["`some.wasm`: type mismatch", "func 0"]),
        (
            error(br#"(module (import "env" "memory" (memory 1)))"#, same),
            &[
                "`some.wasm`: unknown import: memory `env` `memory`",
                "help: a library can import functions only",
            ],
        ),
        (
            error(br#"(module (import "wasi_snapshot_preview1" "proc_exit" (func)))"#, same),
            &["has type", "but the function has type"],
        ),
        (error(b"(module)", |builder| builder.name("a-b")), &["`a-b` is no name", "help: "]),
        (error(b"(module)", |builder| builder.name("type")), &["`type` is no name"]),
        (error(b"(module)", |builder| builder.target("pdp11-unknown-unix")), &["pdp11"]),
        (
            error(b"(module)", |builder| builder.target("aarch64-apple-darwin")),
            &["there is no runtime library for aarch64-macos", "help: there are some for "],
        ),
        (error(b"(module)", |builder| builder.cpu("pentium")), &["pentium"]),
    ] {
        for part in parts {
            assert!(error.contains(part), "`{part}` in: {error}");
        }
    }
}

#[test]
fn missing_files_are_errors() {
    let directory = tempfile::tempdir().expect("a directory");
    let builder = Builder::new("/does/not/exist.wasm").out_dir(directory.path()).target(HOST);
    let error = builder.try_compile().expect_err("it is not there").to_string();
    assert!(error.starts_with("can't read `/does/not/exist.wasm`: "), "{error}");

    let input = directory.path().join("some.wat");
    fs::write(&input, "(module)").expect("the module is written");
    let builder = Builder::new(&input).out_dir(directory.path().join("not/there")).target(HOST);
    let error = builder.try_compile().expect_err("it is not there").to_string();
    assert!(error.starts_with("can't write `"), "{error}");
}

fn build(input: &Path, out: &Path) -> (String, Vec<u8>, Vec<u8>) {
    let output = Builder::new(input).out_dir(out).target(HOST).try_compile().expect("it is right");
    let name = output.library.file_name().expect("a name").to_string_lossy().into_owned();
    (name, fs::read(output.library).expect("bytes"), fs::read(output.module).expect("bytes"))
}

/// Cargo compares what is built; other modules need other symbols, and old libraries must not pile up.
#[test]
fn builds_repeat_and_replace() {
    let directory = tempfile::tempdir().expect("a directory");
    let (input, out) = (directory.path().join("some.wat"), directory.path().join("out"));
    fs::create_dir(&out).expect("a directory");
    fs::write(&input, "(module (func (export \"f\")))").expect("the module is written");
    let first = build(&input, &out);
    assert!(first == build(&input, &out), "two builds differ");
    fs::write(&input, "(module (func (export \"f\") unreachable))").expect("the module is written");
    let second = build(&input, &out);
    assert_ne!(first.0, second.0);
    assert_eq!(fs::read_dir(&out).expect("a directory").count(), 2, "the module and one library");
}

/// Every target with a runtime library gets a static library.
#[test]
fn other_targets_have_libraries() {
    let directory = tempfile::tempdir().expect("a directory");
    let input = directory.path().join("some.wat");
    fs::write(&input, "(module (func (export \"f\")))").expect("the module is written");
    for target in ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-gnu", "riscv64gc-unknown-linux-gnu"] {
        match Builder::new(&input).out_dir(directory.path()).target(target).try_compile() {
            Ok(output) => assert!(fs::read(output.library).expect("bytes").starts_with(b"!<arch>\n")),
            Err(error) => assert!(error.to_string().starts_with("there is no runtime library"), "{error}"),
        }
    }
}
