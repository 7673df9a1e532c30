//! What linked modules become: everything that a module can become.

use super::{Sandbox, emulator, stderr, stdout};
use aot_runtime::embed::{Linker, Module, Store};
use std::fs;
use std::process::Command;

/// Writes a byte of its own memory, and counts how often.
const LIB: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (global $count (mut i32) (i32.const 0))
    (data (i32.const 8) "lib \00\n")
    (func (export "_initialize") (drop (call $say)))
    (func $say (export "say") (result i32)
        (global.set $count (i32.add (global.get $count) (i32.const 1)))
        (i32.store8 (i32.const 12) (i32.add (i32.const 48) (global.get $count)))
        (i32.store (i32.const 0) (i32.const 8))
        (i32.store (i32.const 4) (i32.const 6))
        (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))
        (global.get $count))
    (func (export "divide") (param i32 i32) (result i32)
        (memory.fill (i32.const 65000) (i32.const 1) (i32.const 536))
        (i32.div_s (local.get 0) (local.get 1))))"#;

/// Calls the library, which has called itself when it was initialised, and exits with how often it was called.
const APP: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
    (import "lib" "say" (func $say (result i32)))
    (import "lib" "divide" (func $divide (param i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 8) "app\n")
    (table 2 2 funcref)
    (elem (i32.const 1) $say)
    (func $print
        (i32.store (i32.const 0) (i32.const 8))
        (i32.store (i32.const 4) (i32.const 4))
        (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20))))
    (func (export "divide") (param i32 i32) (result i32) (call $divide (local.get 0) (local.get 1)))
    (func (export "_start")
        (call $print)
        (drop (call $say))
        (call $print)
        (call $proc_exit (call_indirect (result i32) (i32.const 1)))))"#;

const PRINTED: &str = "lib 1\napp\nlib 2\napp\nlib 3\n";

const LINK: [&str; 3] = ["link", "app.wat", "lib=lib.wat"];

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("app.wat", APP);
    sandbox.write("lib.wat", LIB);
    sandbox
}

#[track_caller]
fn runs(mut command: Command) {
    let output = command.output().unwrap();
    let printed = (output.status.code(), stdout(&output), stderr(&output));
    assert_eq!(printed, (Some(3), String::from(PRINTED), String::new()), "{command:?}");
}

#[test]
fn executables_run() {
    let sandbox = sandbox();
    for options in
        [&[][..], &["-C", "model=instance"], &["-C", "inlining=n"], &["-O", "opt-level=0", "--strip", "all"]]
    {
        sandbox.succeeds(&[&LINK, options].concat());
        runs(sandbox.command(sandbox.path("app"), &[]));
    }
}

#[test]
fn objects_link_with_the_system_linker() {
    if !is_there("cc") {
        return;
    }
    let sandbox = sandbox();
    sandbox.succeeds(&[&LINK[..], &["--emit", "obj"]].concat());
    sandbox.succeeds(&["runtime"]);
    let linked = sandbox
        .command("cc", &["-static", "-nostdlib", "app.o", "libaot_rt.a", "-o", "app"])
        .output()
        .unwrap();
    assert!(linked.status.success(), "{}", stderr(&linked));
    runs(sandbox.command(sandbox.path("app"), &[]));
}

/// Whether a command is there. If not, says so; and on CI that is a failure.
pub(super) fn is_there(name: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&paths).any(|path| path.join(name).is_file()) {
        return true;
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "on CI nothing may be skipped: no `{name}`; `cargo xtask setup` installs it"
    );
    println!("SKIPPED: no `{name}`");
    false
}

#[test]
fn images_run() {
    let sandbox = sandbox();
    sandbox.succeeds(&[&LINK[..], &["--emit", "cwasm", "--reexport", "lib"]].concat());
    let words = ["run", "--allow-precompiled", "app.cwasm"];
    runs(sandbox.command(env!("CARGO_BIN_EXE_aot"), &words));
    // SAFETY: the compiler made the image just now.
    let module = unsafe { Module::deserialize_file(sandbox.path("app.cwasm")).unwrap() };
    let exports: Vec<&str> = module.exports().map(|export| export.name).collect();
    let expected = ["memory", "divide", "_start", "lib.memory", "lib._initialize", "lib.say", "lib.divide"];
    assert_eq!(exports, expected);
    // Instances don't share anything.
    let mut linker: Linker<()> = Linker::new();
    linker.func_wrap("wasi_snapshot_preview1", "fd_write", |_: i32, _: i32, _: i32, _: i32| 0).unwrap();
    linker.func_wrap("wasi_snapshot_preview1", "proc_exit", |_: i32| ()).unwrap();
    let mut store = Store::default();
    for _ in 0..2 {
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let say = instance.get_typed_func::<(), i32>(&store, "lib.say").unwrap();
        // It was initialised.
        assert_eq!(say.call(&mut store, ()).unwrap(), 2);
        let lib = instance.get_memory(&store, "lib.memory").unwrap();
        assert_eq!(lib.data(&store)[8..14], *b"lib 2\n");
        assert_eq!(instance.get_memory(&store, "memory").unwrap().data(&store)[8..12], *b"app\n");
    }
}

/// The module that `--emit wasm` writes is what the other results are made of.
#[test]
fn linked_modules_are_modules() {
    let sandbox = sandbox();
    sandbox.succeeds(&[&LINK[..], &["--emit", "wasm=linked.wasm", "--emit", "exe", "--no-cache"]].concat());
    sandbox.succeeds(&["build", "linked.wasm", "-W", "multi-memory"]);
    runs(sandbox.command(sandbox.path("linked"), &[]));
    assert_eq!(fs::read(sandbox.path("linked")).unwrap(), fs::read(sandbox.path("app")).unwrap());
    // It can be linked further, and keeps what it knows of its imports.
    sandbox.write(
        "outer.wat",
        r#"(module (import "app" "_start" (func $start)) (export "_start" (func $start)))"#,
    );
    let words = ["link", "outer.wat", "app=linked.wasm", "-W", "multi-memory"];
    let output = sandbox.aot(&words);
    assert!(
        output.status.success() && stderr(&output).contains("`app` (linked.wasm) is a program"),
        "{}",
        stderr(&output)
    );
    runs(sandbox.command(sandbox.path("outer"), &[]));
}

#[test]
fn modules_are_linked_to_run() {
    let sandbox = sandbox();
    let aot = env!("CARGO_BIN_EXE_aot");
    let run = ["run", "--preload", "lib=lib.wat", "app.wat"];
    runs(sandbox.command(aot, &run));
    // From the cache, and without.
    runs(sandbox.command(aot, &run));
    runs(sandbox.command(aot, &["run", "--no-cache", "--preload=lib=lib.wat", "app.wat"]));
    runs(sandbox.command(aot, &["run", "-W", "fuel=100000", "--preload", "lib=lib.wat", "app.wat"]));
    runs(sandbox.command(aot, &["--preload", "lib=lib.wat", "app.wat"]));
    let invoke = |words: &[&str]| {
        sandbox.aot(&[&["run", "--preload", "lib=lib.wat", "--invoke", "divide", "app.wat"], words].concat())
    };
    assert_eq!(stdout(&invoke(&["7", "2"])), "lib 1\n3\n");
    let trapped = invoke(&["7", "0"]);
    assert_eq!(trapped.status.code(), Some(134));
    // A library that has changed is another program.
    sandbox.write("lib.wat", &LIB.replace("lib ", "LIB "));
    assert_eq!(stdout(&invoke(&["9", "3"])), "LIB 1\n3\n");
    // What is compiled already can't be linked.
    sandbox.succeeds(&[&LINK[..], &["--emit", "cwasm"]].concat());
    let refused = sandbox.aot(&["run", "--allow-precompiled", "--preload", "lib=lib.wat", "app.cwasm"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("nothing can be linked to `app.cwasm`"), "{}", stderr(&refused));
}

/// Of libraries only what can be reached is in the result, imports excepted.
#[test]
fn what_nothing_reaches_is_left_out() {
    let sandbox = Sandbox::new();
    let lib = r#"(module
        (import "env" "host" (func $host))
        (func $used (export "used") (call $inner))
        (func $inner)
        (func $unused (export "unused") (call $unused_inner) (call $host))
        (func $unused_inner)
        (func $by_reference) (func $by_expression) (func $by_global) (func $by_body)
        (func $taker (export "taker") (result funcref) (ref.func $by_body))
        (table 2 funcref)
        (elem (i32.const 0) func $by_reference)
        (elem funcref (ref.func $by_expression))
        (elem declare func $by_body)
        (global funcref (ref.func $by_global))
        (func $start) (start $start)
        (func (export "_initialize")))"#;
    sandbox.write("lib.wat", lib);
    let app = r#"(module
        (import "lib" "used" (func $used))
        (func $main (export "main") (call $used))
        (func $unused))"#;
    sandbox.write("app.wat", app);
    let names = |words: &[&str]| {
        let words = [&["link", "app.wat", "lib=lib.wat", "--emit", "wasm=out.wasm"], words].concat();
        sandbox.succeeds(&words);
        let wasm = fs::read(sandbox.path("out.wasm")).unwrap();
        let text = wasmparser::Parser::new(0).parse_all(&wasm);
        let mut names = Vec::new();
        for payload in text {
            let wasmparser::Payload::CustomSection(section) = payload.unwrap() else { continue };
            let wasmparser::KnownCustom::Name(section) = section.as_known() else { continue };
            for subsection in section {
                let wasmparser::Name::Function(functions) = subsection.unwrap() else { continue };
                names.extend(functions.into_iter().map(|naming| naming.unwrap().name.to_owned()));
            }
        }
        names
    };
    let references = ["lib.by_reference", "lib.by_expression", "lib.by_global", "lib.by_body"];
    let used = ["host", "lib.used", "lib.inner"].into_iter().chain(references);
    let used: Vec<&str> =
        used.chain(["lib.start", "lib._initialize", "main", "start of linked modules"]).collect();
    assert_eq!(names(&[]), used);
    let all = names(&["--reexport", "lib"]);
    assert!(all.len() == used.len() + 3 && all.contains(&String::from("lib.unused_inner")), "{all:?}");
}

/// Traps name the function with its library, and the offset in the library's file.
#[test]
fn traps_name_the_place_in_the_file() {
    let sandbox = sandbox();
    let trap = |words: &[&str]| {
        let output = sandbox.aot(&[&["run"], words, &["1", "0"]].concat());
        assert_eq!(output.status.code(), Some(134));
        stderr(&output)
    };
    let alone = trap(&["--invoke", "divide", "lib.wat"]);
    assert!(alone.contains("0: divide (wasm offset 0x"), "{alone}");
    let expected = alone.replace("0: divide", "0: lib.divide") + "   1: divide\n";
    // What is inlined is at the place of the call.
    let linked = trap(&["-C", "inlining=n", "--preload", "lib=lib.wat", "--invoke", "divide", "app.wat"]);
    assert_eq!(linked, expected);
}

#[test]
fn the_same_modules_make_the_same_bytes() {
    let sandbox = sandbox();
    let emit = ["--no-cache", "--emit", "exe", "--emit", "obj", "--emit", "cwasm", "--emit", "wasm"];
    let mut made: Option<Vec<Vec<u8>>> = None;
    for threads in ["1", "2", "5"] {
        let mut command =
            sandbox.command(env!("CARGO_BIN_EXE_aot"), &[&LINK[..], &emit, &["-o", "out"]].concat());
        assert!(command.env("RAYON_NUM_THREADS", threads).status().unwrap().success());
        let files =
            ["out", "out.o", "out.cwasm", "out.wasm"].map(|name| fs::read(sandbox.path(name)).unwrap());
        let made = made.get_or_insert_with(|| files.to_vec());
        assert!(*made == files, "{threads} threads");
    }
}

#[test]
fn executables_for_other_machines_run_there() {
    let sandbox = sandbox();
    for target in ["aarch64-linux", "riscv64-linux", "s390x-linux"] {
        if !emulator::is_ready(target) {
            continue;
        }
        sandbox.succeeds(&[&LINK[..], &["--target", target]].concat());
        runs(emulator::command(target, &sandbox.path("app")));
    }
}
