//! The JavaScript host, `examples/js-host`: runs scripts, and looks at what they print and how they end.
//!
//! The scripts in `examples/js-host/tests` say themselves whether they have found what they should.

use aot_abi::image::{ABI_HASH, HASH_LEN};
use aot_compiler::{Config, Target};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// What the host printed, and its status; none if a signal ended it.
struct Outcome {
    stdout: String,
    stderr: String,
    status: Option<i32>,
}

impl Outcome {
    /// Fails unless the host ended with one error, which has a text.
    #[track_caller]
    fn is_error(&self, text: &str) {
        let Outcome { stdout, stderr, status } = self;
        assert!(*status == Some(1), "status {status:?}\n{stdout}{stderr}");
        assert!(stderr.starts_with("error: "), "{stderr}");
        assert!(stderr.contains(text), "`{text}` is not in:\n{stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
    }

    /// Fails unless the host succeeded; returns what it printed.
    #[track_caller]
    fn output(self) -> String {
        assert!(self.status == Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }
}

fn host(args: &[&str]) -> Outcome {
    let mut command = Command::new(env!("CARGO_BIN_EXE_js-host"));
    let output = command.args(args).stdin(Stdio::null()).output().expect("the host starts");
    Outcome {
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        status: output.status.code(),
    }
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A directory with files.
struct Files(TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Files {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, content) in files {
            fs::write(directory.path().join(name), content).expect("a file");
        }
        Files(directory)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("text").to_owned()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).expect("a file");
    }

    fn run(&self, options: &[&str], script: &str) -> Outcome {
        let path = self.path(script);
        host(&[options, &[&path]].concat())
    }
}

fn wasm(text: &str) -> Vec<u8> {
    aot_compiler::parse_text(text.as_bytes(), "test").expect("the text is right").into_owned()
}

/// The image of a module.
fn image(text: &str, interruptible: bool) -> Vec<u8> {
    let mut config = Config::image(Target::host().expect("the tests run on a machine that is a target"));
    config.interruptible = interruptible;
    let compiled = aot_compiler::compile(&wasm(text), &config).and_then(|compiled| compiled.cwasm());
    compiled.expect("the module is valid")
}

/// Runs a script of `examples/js-host/tests`.
#[track_caller]
fn passes(script: &str) {
    let path = folder("tests").join(script);
    assert_eq!(host(&[path.to_str().expect("text")]).output(), "ok\n", "{script}");
}

macro_rules! scripts {
    ($($test:ident: $script:literal,)*) => {
        $(#[test]
        fn $test() {
            passes($script);
        })*

        #[test]
        fn every_script_is_run() {
            let run = [$($script),*];
            for entry in fs::read_dir(folder("tests")).expect("the folder of the scripts") {
                let path = entry.expect("a file").path();
                let is_test = fs::read_to_string(&path).expect("text").ends_with("console.log(\"ok\");\n");
                let name = path.file_name().expect("a name").to_str().expect("text");
                assert!(!is_test || run.contains(&name), "{name} is run by no test");
            }
        }
    };
}

scripts! {
    values_are_converted_as_the_specification_says: "conversions.js",
    exceptions_and_traps_pass: "exceptions.js",
    memories_are_array_buffers: "memory.js",
    globals_tables_and_references_are_objects: "items.js",
    instances_are_made_at_will: "instances.js",
    modules_import_each_other: "modules.js",
    what_nothing_refers_to_is_freed: "garbage.js",
}

#[test]
fn the_first_script_prints_what_the_guide_says() {
    let printed = host(&[folder("scripts/first.js").to_str().expect("text")]).output();
    let guide = include_str!("../examples/js-host/README.md");
    for part in [include_str!("../examples/js-host/scripts/first.js"), &printed] {
        assert!(guide.contains(part), "README.md has to have this, as it is:\n{part}");
    }
}

#[test]
fn the_benchmark_runs() {
    let printed = host(&[folder("scripts/bench.js").to_str().expect("text")]).output();
    assert!(printed.lines().count() > 10 && printed.lines().all(|line| line.ends_with(" ns")), "{printed}");
}

const ADD: &str = r#"(module (func (export "add") (param i32 i32) (result i32)
    (i32.add (local.get 0) (local.get 1))))"#;
const SCRIPT: &str = "import { add } from './add.wasm'; console.log(add(40, 2));";

#[test]
fn binaries_and_images_are_imported() {
    let files = Files::new(&[
        ("binary.js", SCRIPT),
        (
            "image.js",
            "import * as a from './add.cwasm'; console.log(a.add(40, 2), (await import('./add.wasm')).add(1, 1));",
        ),
        ("mapped.js", "import { f } from './mapped.wat'; console.log(f());"),
        ("mapped.wat", r#"(module (import "env" "f" (func $f (result i32))) (export "f" (func $f)))"#),
        ("env.js", "export function f() { return 6.5; }"),
    ]);
    files.write("add.wasm", &wasm(ADD));
    files.write("add.cwasm", &image(ADD, false));
    assert_eq!(files.run(&[], "binary.js").output(), "42\n");
    files.run(&[], "image.js").is_error("--trust-images");
    assert_eq!(files.run(&["--trust-images"], "image.js").output(), "42 2\n");
    files.run(&[], "mapped.js").is_error("--import env=FILE");
    let env = format!("env={}", files.path("env.js"));
    assert_eq!(files.run(&["--import", &env], "mapped.js").output(), "6\n");
    // What can be caught is.
    let caught = "try { await import('./add.cwasm'); } catch (e) { console.log(e instanceof WebAssembly.CompileError); }";
    files.write("caught.js", caught.as_bytes());
    assert_eq!(files.run(&[], "caught.js").output(), "true\n");
}

#[test]
fn damaged_files_are_errors() {
    let files = Files::new(&[("binary.js", SCRIPT), ("image.js", "import './add.cwasm';")]);
    let (good, good_image) = (wasm(ADD), image(ADD, false));
    for len in 0..good.len() {
        files.write("add.wasm", &good[..len]);
        let outcome = files.run(&[], "binary.js");
        assert!(outcome.status == Some(1), "{len} bytes: {}{}", outcome.stdout, outcome.stderr);
    }
    files.write("add.wasm", b"\0asm\x01\0\0\0\x07\x02\0");
    files.run(&[], "binary.js").is_error("CompileError");
    files.write("add.wasm", b"neither a module nor text");
    files.run(&[], "binary.js").is_error("CompileError");

    for (what, at) in [("end", good_image.len() - 1), ("middle", good_image.len() / 2)] {
        let mut damaged = good_image.clone();
        damaged[at] ^= 0xff;
        files.write("add.cwasm", &damaged);
        let outcome = files.run(&["--trust-images"], "image.js");
        assert!(outcome.status == Some(1), "{what}: {}", outcome.stderr);
        outcome.is_error("add.cwasm");
    }
    files.write("add.cwasm", &good_image[..good_image.len() / 2]);
    files.run(&["--trust-images"], "image.js").is_error("add.cwasm");
    files.write("add.cwasm", b"no image");
    files.run(&["--trust-images"], "image.js").is_error("add.cwasm");
    // An image for another machine.
    let other = "aarch64-linux".parse::<Target>().expect("a target");
    let other = aot_compiler::compile(&good, &Config::image(other)).and_then(|compiled| compiled.cwasm());
    files.write("add.cwasm", &other.expect("the module is valid"));
    files.run(&["--trust-images"], "image.js").is_error("add.cwasm");
}

#[test]
fn an_image_of_another_abi_is_an_error() {
    let files = Files::new(&[("image.js", "import './add.cwasm';")]);
    let mut image = image(ADD, false);
    let abi = ABI_HASH.to_le_bytes();
    let at =
        image.windows(abi.len()).position(|bytes| bytes == abi).expect("the note has the hash of the ABI");
    image[at] ^= 1;
    // The hash of the content is before it, and has to be right.
    let hash = at - HASH_LEN;
    let content = blake3::Hasher::new().update(&image[..hash]).update(&image[at..]).finalize();
    image[hash..at].copy_from_slice(content.as_bytes());
    files.write("add.cwasm", &image);
    files.run(&["--trust-images"], "image.js").is_error("with ABI");
}

#[test]
fn modules_that_cannot_be_linked_are_errors() {
    let files = Files::new(&[
        ("missing.js", "import './missing.wat';"),
        ("missing.wat", r#"(module (import "./env.js" "nothing" (func)))"#),
        ("file.js", "import './file.wat';"),
        ("file.wat", r#"(module (import "./nowhere.js" "f" (func)))"#),
        ("kind.js", "import './kind.wat';"),
        ("kind.wat", r#"(module (import "./env.js" "f" (memory 1)))"#),
        ("type.js", "import './type.wat';"),
        ("type.wat", r#"(module (import "./add.wat" "add" (func (param i64))))"#),
        ("add.wat", ADD),
        ("env.js", "export function f() {}"),
        ("name.js", "import { sub } from './add.wat';"),
        ("start.js", "import './start.wat';"),
        ("start.wat", "(module (func $f unreachable) (start $f))"),
        ("throws.js", "import './throws.wat';"),
        ("throws.wat", r#"(module (import "./thrower.js" "f" (func $f)) (start $f))"#),
        ("thrower.js", "export function f() { throw new RangeError('thrown by start'); }"),
        ("segment.js", "import './segment.wat';"),
        ("segment.wat", r#"(module (memory 1) (data (i32.const 65535) "ab"))"#),
        ("large.js", "import './large.wat';"),
        ("large.wat", "(module (table 4294967295 funcref))"),
    ]);
    for (script, text) in [
        ("missing.js", "LinkError: import `./env.js` `nothing`"),
        ("file.js", "nowhere.js"),
        ("kind.js", "a WebAssembly.Memory is wanted"),
        ("type.js", "LinkError: incompatible import type"),
        ("name.js", "SyntaxError"),
        ("start.js", "RuntimeError: unreachable"),
        ("throws.js", "RangeError: thrown by start"),
        ("segment.js", "RuntimeError: out of bounds memory access"),
        ("large.js", "RangeError"),
    ] {
        files.run(&[], script).is_error(text);
    }
}

#[test]
fn scripts_that_fail_are_errors() {
    let files = Files::new(&[
        ("syntax.js", "let let = 1;"),
        ("throw.js", "throw new TypeError('mine');"),
        ("value.js", "throw 5;"),
        ("odd.js", "throw { toString() { throw 1; } };"),
        ("reject.js", "Promise.reject(new Error('nobody looks'));"),
        ("handled.js", "const p = Promise.reject(1); p.catch(() => console.log('handled'));"),
        ("forever.js", "await new Promise(() => {});"),
        ("job.js", "Promise.resolve().then(() => { throw new Error('in a job'); });"),
        ("import.js", "import('./nothing.wasm');"),
        ("trap.js", "import { f } from './trap.wat'; f();"),
        ("trap.wat", r#"(module (func $f (export "f") unreachable))"#),
    ]);
    for (script, text) in [
        ("syntax.js", "SyntaxError"),
        ("throw.js", "TypeError: mine\n    at "),
        ("value.js", "5"),
        ("odd.js", ""),
        ("reject.js", "unhandled rejection: Error: nobody looks"),
        ("forever.js", "waits for something that never happens"),
        ("job.js", "in a job"),
        ("import.js", "nothing.wasm"),
        ("trap.js", "RuntimeError: unreachable\n    at f (wasm-function[0]:"),
        ("nothing.js", "cannot load"),
    ] {
        files.run(&[], script).is_error(text);
    }
    assert_eq!(files.run(&[], "handled.js").output(), "handled\n");
    for wrong in [
        &[][..],
        &["--nonsense"],
        &["--timeout"],
        &["--timeout", "x", "a.js"],
        &["--import", "x", "a.js"],
        &["a.js", "b.js"],
    ] {
        let outcome = host(wrong);
        assert!(outcome.status == Some(2) && outcome.stderr.contains("usage: "), "{}", outcome.stderr);
    }
}

#[test]
fn a_timeout_stops_whatever_runs() {
    let module = r#"(module
        (import "./js.js" "f" (func $f))
        (func (export "loop") (loop (br 0)))
        (func $g (export "calls") (loop (call $f) (br 0))))"#;
    let files = Files::new(&[
        ("js.js", "export function f() {}"),
        ("module.wat", module),
        ("js-loop.js", "for (;;) {}"),
        ("wasm-loop.js", "import * as m from './module.wat'; m.loop();"),
        ("both.js", "import * as m from './module.wat'; m.calls();"),
        ("again.js", "import * as m from './module.wat'; for (;;) { try { m.loop(); } catch {} }"),
        ("jobs.js", "const f = () => Promise.resolve().then(f); f();"),
        (
            "late.js",
            "import { load } from 'aot:host'; const m = load('./module.wat');
             for (;;) { try { new WebAssembly.Instance(m, { './js.js': { f() {} } }).exports.loop(); } catch {} }",
        ),
        ("image.js", "import './loop.cwasm';"),
        ("stoppable.js", "import { f } from './stoppable.cwasm'; f();"),
        ("quick.js", "import { add } from './add.wat'; console.log(add(1, 2));"),
        ("add.wat", ADD),
    ]);
    let endless = r#"(module (func (export "f") (loop (br 0))))"#;
    files.write("loop.cwasm", &image(endless, false));
    files.write("stoppable.cwasm", &image(endless, true));
    let options = ["--trust-images", "--timeout", "0.2"];
    for script in ["js-loop.js", "wasm-loop.js", "both.js", "again.js", "jobs.js", "late.js", "stoppable.js"]
    {
        files.run(&options, script).is_error("it ran for more than 0.2 s");
    }
    files.run(&options, "image.js").is_error("-W epoch-interruption");
    assert_eq!(files.run(&["--timeout", "100"], "quick.js").output(), "3\n");
}
