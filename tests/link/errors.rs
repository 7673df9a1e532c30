//! Modules that don't fit together: one clear error, and nothing is written.

use super::{Sandbox, stderr};

const LIB: &str = r#"(module
    (func (export "f") (param i32) (result i32) (local.get 0))
    (memory (export "memory") 1 4)
    (table (export "table") 2 funcref)
    (global (export "constant") i32 (i32.const 1))
    (global (export "state") (mut i64) (i64.const 1)))"#;

/// Links modules that don't fit; the message has all of the parts.
#[track_caller]
fn fails(files: &[(&str, &str)], words: &[&str], parts: &[&str]) {
    let sandbox = Sandbox::new();
    files.iter().for_each(|(name, text)| sandbox.write(name, text));
    let before = sandbox.files();
    let output = sandbox.aot(&[&["link"], words].concat());
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.starts_with("error: ") && !message.contains("panicked"), "{message}");
    for part in parts {
        assert!(message.contains(part), "no {part:?} in {message}");
    }
    assert_eq!(sandbox.files(), before);
}

/// An import that does not fit `LIB`.
#[track_caller]
fn mismatch(import: &str, parts: &[&str]) {
    let app = format!(r#"(module (import "lib" {import}) (func (export "_start")))"#);
    fails(&[("app.wat", &app), ("lib.wat", LIB)], &["app.wat", "lib=lib.wat"], parts);
    // At run time it is the same.
    let sandbox = Sandbox::new();
    sandbox.write("app.wat", &app);
    sandbox.write("lib.wat", LIB);
    let output = sandbox.aot(&["run", "--preload", "lib=lib.wat", "app.wat"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(parts[0]), "{}", stderr(&output));
}

#[test]
fn mismatches_name_module_import_and_both_types() {
    for (import, parts) in [
        (
            r#""f" (func (param i64) (result i32))"#,
            &[
                "import `lib` `f`",
                "expected func [i64] -> [i32]",
                "lib.wat exports func [i32] -> [i32]",
                "--> app.wat",
            ][..],
        ),
        (r#""f" (memory 1)"#, &["expected memory 1", "exports func [i32] -> [i32]"]),
        (r#""memory" (func)"#, &["expected func [] -> []", "exports memory 1 4"]),
        (r#""memory" (memory 2)"#, &["expected memory 2,", "exports memory 1 4"]),
        (r#""memory" (memory 1 3)"#, &["expected memory 1 3,", "exports memory 1 4"]),
        (r#""table" (table 3 funcref)"#, &["expected table 3 funcref", "exports table 2 funcref"]),
        (r#""table" (table 1 9 funcref)"#, &["expected table 1 9 funcref", "exports table 2 funcref"]),
        (r#""table" (table 1 externref)"#, &["expected table 1 externref", "exports table 2 funcref"]),
        (r#""constant" (global i64)"#, &["expected global i64", "exports global i32"]),
        (r#""constant" (global (mut i32))"#, &["expected global mut i32", "exports global i32"]),
        (r#""state" (global i64)"#, &["expected global i64", "exports global mut i64"]),
        (
            r#""g" (func)"#,
            &["import `lib` `g` is unknown", "lib.wat does not export it", "it exports `f`, `memory`"],
        ),
    ] {
        mismatch(import, parts);
    }
}

#[test]
fn cycles_are_named() {
    let module = |from: &str, name: &str| {
        format!(r#"(module (import "{from}" "{name}" (func)) (func (export "f")) (func (export "g")))"#)
    };
    let app = module("a", "f");
    let files = [("app.wat", &*app), ("a.wat", &*module("b", "f")), ("b.wat", &*module("a", "g"))];
    let parts = ["modules import from each other: `a` imports `f` from `b`, `b` imports `g` from `a`"];
    fails(&files, &["app.wat", "a=a.wat", "b=b.wat"], &parts);
    let files = [("app.wat", &*app), ("a.wat", &*module("a", "f"))];
    fails(&files, &["app.wat", "a=a.wat"], &["`a` imports `f` from `a`"]);
}

#[test]
fn damaged_modules_are_named() {
    let app = r#"(module (import "lib" "f" (func)) (func (export "_start") (call 0)))"#;
    let body = r#"(module (func (export "f")) (func $broken (i32.add (i32.const 1))))"#;
    fails(
        &[("app.wat", app), ("lib.wat", body)],
        &["app.wat", "lib=lib.wat"],
        &["--> lib.wat: func 1 `broken`, offset"],
    );
    let features = r#"(module (memory 1) (memory 1) (func (export "f")))"#;
    fails(&[("app.wat", app), ("lib.wat", features)], &["app.wat", "lib=lib.wat"], &["multi", "--> lib.wat"]);
    fails(
        &[("app.wat", app), ("lib.wat", "hello")],
        &["app.wat", "lib=lib.wat"],
        &["`lib.wat` is not a WebAssembly module"],
    );
    fails(&[("app.wat", app)], &["app.wat", "lib=lib.wat"], &["cannot read `lib.wat`"]);
}

#[test]
fn names_are_given_once() {
    let app = r#"(module (import "lib" "f" (func (param i32) (result i32))))"#;
    let files = [("app.wat", app), ("lib.wat", LIB), ("other.wat", LIB)];
    fails(
        &files,
        &["app.wat", "lib=lib.wat", "lib=other.wat"],
        &["two modules are called `lib`: lib.wat and other.wat"],
    );
    let taken =
        r#"(module (import "lib" "f" (func $f (param i32) (result i32))) (export "lib.f" (func $f)))"#;
    let files = [("app.wat", taken), ("lib.wat", LIB)];
    let words = ["app.wat", "lib=lib.wat", "--reexport", "lib"];
    fails(&files, &words, &["the export `f` cannot be called `lib.f`", "--> lib.wat"]);
}

#[test]
fn what_stays_unbound_is_an_error_of_executables() {
    let lib = r#"(module (import "env" "host" (func $host)) (func (export "f") (call $host)))"#;
    let app = r#"(module (import "lib" "f" (func $f)) (func (export "_start") (call $f)))"#;
    fails(
        &[("app.wat", app), ("lib.wat", lib)],
        &["app.wat", "lib=lib.wat"],
        &["unknown import: func `env` `host`"],
    );
    let sandbox = Sandbox::new();
    sandbox.write("app.wat", app);
    sandbox.write("lib.wat", lib);
    sandbox.succeeds(&["link", "app.wat", "lib=lib.wat", "--emit", "cwasm"]);
    sandbox.succeeds(&["link", "app.wat", "lib=lib.wat", "-W", "unknown-imports-trap"]);
    let output = sandbox.command(sandbox.path("app"), &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(134));
    assert!(stderr(&output).contains("call of an unknown import"), "{}", stderr(&output));
}

#[test]
fn likely_mistakes_are_warnings() {
    let sandbox = Sandbox::new();
    sandbox.write("app.wat", r#"(module (func (export "_start")))"#);
    sandbox.write("lib.wat", LIB);
    let output = sandbox.aot(&["link", "app.wat", "lib=lib.wat", "prog=app.wat"]);
    let expected = "warning: nothing is imported from `lib` (lib.wat)\n\
        warning: nothing is imported from `prog` (app.wat)\n\
        warning: `prog` (app.wat) is a program, and its `_start` is not called: ";
    assert!(output.status.success() && stderr(&output).starts_with(expected), "{}", stderr(&output));
}

#[test]
fn command_lines_that_make_no_sense_are_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("app.wat", r#"(module (func (export "_start")))"#);
    for (words, part) in [
        (&["link", "app.wat"][..], "NAME=PATH"),
        (&["link", "app.wat", "lib.wat"], "write NAME=PATH"),
        (&["link", "app.wat", "lib="], "no path"),
        (&["link", "app.wat", "lib=app.wat", "--reexport", "x"], "no module has this name"),
        (&["link", "-", "lib=-", "-o", "x"], "only one module can come from standard input"),
        (&["link", "app.wat", "lib=app.wat", "-o", "app.wat"], "overwrite the input `app.wat`"),
        (&["build", "app.wat", "--emit", "wasm"], "`aot link`"),
        (&["run", "--preload", "lib", "app.wat"], "write NAME=PATH"),
    ] {
        let output = sandbox.aot(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(part), "{words:?}: {}", stderr(&output));
    }
    assert_eq!(sandbox.files(), ["app.wat"]);
}
