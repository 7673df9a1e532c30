//! Modules that don't fit together: one clear error, and nothing is written.

use super::{Sandbox, stderr};
use aot_compiler::{Config, ErrorKind, LINK_FEATURES, Library, Source, Target};
use aot_runtime::embed::{Linker, Module, Store};

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

/// Uses all that can be imported, and most kinds of sections.
const MEDIUM: &str = r#"(module
    (import "lib" "f" (func $f (param i32) (result i32)))
    (import "lib" "memory" (memory 1))
    (import "lib" "table" (table 1 funcref))
    (import "lib" "constant" (global $constant i32))
    (import "lib" "state" (global $state (mut i64)))
    (import "host" "f" (func $host (param i64) (result i64)))
    (type $pair (func (param i32) (result i32 i64)))
    (table $own 3 funcref)
    (global $sum i32 (i32.add (global.get $constant) (i32.const 2)))
    (elem (table $own) (global.get $constant) func $f $main)
    (elem $passive funcref (ref.func $main) (ref.null func))
    (data (global.get $constant) "hello")
    (data $later "later")
    (func $main (export "main") (type $pair)
        (memory.init $later (i32.const 3) (i32.const 0) (i32.const 2))
        (data.drop $later)
        (table.init $own $passive (i32.const 0) (i32.const 0) (i32.const 1))
        (elem.drop $passive)
        (block $out (loop $again (br_if $again (i32.eqz (local.get 0))) (br_table $out $again (local.get 0))))
        (global.set $state (call $host (i64.load (local.get 0))))
        (call_indirect $own (param i32) (result i32) (call $f (i32.const 1)) (i32.const 1))
        (global.get $state))
    (func $start (drop (ref.func $main)))
    (start $start)
    (export "lib" (func $f)))"#;

/// Merges, in this process; damage must be an error of the input, in its file.
fn merge(main: &[u8], libraries: &[(&str, &[u8])]) -> Result<Vec<u8>, ErrorKind> {
    let libraries: Vec<Library<'_>> = libraries
        .iter()
        .map(|(name, wasm)| Library { name, source: Source { file: "lib.wasm", wasm }, reexport: false })
        .collect();
    let merged = aot_compiler::merge(
        Source { file: "app.wasm", wasm: main },
        &libraries,
        aot_compiler::default_features(),
    );
    merged.map(|merged| merged.wasm).map_err(|error| {
        assert_ne!(error.kind(), ErrorKind::Internal, "{error}; {main:02x?} {libraries:02x?}");
        assert!(error.file().is_some() || error.kind() == ErrorKind::Config, "{error}");
        error.kind()
    })
}

#[test]
fn damage_never_panics() {
    let app = wat::parse_str(MEDIUM).unwrap();
    let lib = wat::parse_str(LIB).unwrap();
    let mut config = Config::image(Target::host().unwrap());
    config.features |= LINK_FEATURES;
    config.opt_level = aot_compiler::OptLevel::None;
    let compile = |wasm: &[u8]| aot_compiler::compile(wasm, &config);
    let whole = merge(&app, &[("lib", &lib)]).unwrap();
    compile(&whole).unwrap();
    let (mut merged, mut refused) = (0, 0);
    // The same sequence everywhere.
    let mut state = 1u64;
    let mut below = |end: usize| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        ((state >> 33) % end as u64) as usize
    };
    for round in 0..6_000 {
        let mut parts = [app.clone(), lib.clone()];
        let damaged = &mut parts[round % 2];
        let at = below(damaged.len());
        match below(4) {
            0 => damaged[at] ^= 1 << below(8),
            1 => damaged[at] = [0, 1, 0x7f, 0x80, 0xff, 0x0b][below(6)],
            2 => drop(damaged.remove(at)),
            _ => damaged.insert(at, below(256) as u8),
        }
        match merge(&parts[0], &[("lib", &parts[1])]) {
            // What is merged is valid, unless it needs what the compiler does not support.
            Ok(wasm) => {
                merged += 1;
                let result = compile(&wasm).map(drop);
                assert!(result.is_ok(), "{result:?}: {parts:02x?}");
            }
            Err(_) => refused += 1,
        }
    }
    assert!(merged > 300 && refused > 1_000, "{merged} merged, {refused} refused");
    // The section that linking writes is damaged too.
    let at = whole.windows(8).position(|bytes| bytes == b"aot.link").unwrap();
    for at in at..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x41;
        if let Err(error) = compile(&damaged) {
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        }
    }
    let mut longer = whole.clone();
    longer.truncate(whole.len() - 1);
    assert!(compile(&longer).is_err());
}

/// A constant expression of each module that uses the one of the module before it many times.
#[test]
fn constants_that_explode_are_refused() {
    let base =
        wat::parse_str(r#"(module (import "host" "g" (global i32)) (export "g" (global 0)))"#).unwrap();
    let twice = "(global.get 0) ".to_owned() + &"(i32.add (global.get 0)) ".repeat(40);
    let module = |from: &str| {
        let text =
            format!(r#"(module (import "{from}" "g" (global i32)) (global (export "g") i32 {twice}))"#);
        wat::parse_str(text).unwrap()
    };
    let modules: Vec<(String, Vec<u8>)> =
        (1..9).map(|number| (format!("m{number}"), module(&format!("m{}", number - 1)))).collect();
    let mut libraries = vec![("m0", &*base)];
    libraries.extend(modules.iter().map(|(name, wasm)| (name.as_str(), &**wasm)));
    assert!(merge(&module("m1"), &libraries[..2]).is_ok());
    assert_eq!(merge(&module("m8"), &libraries), Err(ErrorKind::Limit));
}

#[test]
fn many_modules_can_be_linked() {
    let base = wat::parse_str(r#"(module (func (export "f") (result i32) (i32.const 1)))"#).unwrap();
    let module = |number: usize| {
        let text = format!(
            r#"(module (import "m{}" "f" (func $f (result i32)))
            (func (export "f") (result i32) (i32.add (call $f) (i32.const 1))))"#,
            number - 1
        );
        wat::parse_str(text).unwrap()
    };
    let modules: Vec<(String, Vec<u8>)> = (0..3000)
        .map(|number| (format!("m{number}"), if number == 0 { base.clone() } else { module(number) }))
        .collect();
    // From the last to the first: each needs all that come after it.
    let libraries: Vec<(&str, &[u8])> =
        modules.iter().rev().map(|(name, wasm)| (name.as_str(), &**wasm)).collect();
    let wasm = merge(&module(3000), &libraries).unwrap();
    let module = Module::compile(&wasm, &Config::image(Target::host().unwrap())).unwrap();
    let mut store: Store<()> = Store::default();
    let instance = Linker::new().instantiate(&mut store, &module).unwrap();
    let f = instance.get_typed_func::<(), i32>(&store, "f").unwrap();
    assert_eq!(f.call(&mut store, ()).unwrap(), 3001);
}
