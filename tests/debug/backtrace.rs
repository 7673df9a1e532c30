//! What our own backtraces say of the source: in executables, in images, on other machines, and when the file is damaged.

use crate::emulator;
use crate::place::{AOT, Place, has_tools};
use aot_compiler::{Config, Target};
use aot_runtime::embed::{Linker, Module, Store};
use std::process::{Command, Output};

/// Divides by zero three functions deep, of which the compiler inlines two.
const SOURCE: &str = "\
namespace ratio {
template <typename T> __attribute__((always_inline)) inline T quotient(T a, T b) {
    return a / b;
}
__attribute__((always_inline)) inline int half(int a, int b) {
    return quotient<int>(a, b) / 2;
}
}
extern \"C\" __attribute__((export_name(\"compute\"), noinline)) int compute(int n) {
    return ratio::half(100, n);
}
namespace ratio { __attribute__((noinline)) int twice(int n) { return 2 * compute(n); } }
int main(int count, char **) {
    return ratio::twice(count - 1);
}
";

/// What is printed of it, without folders and without the wasm offset.
const LINES: &[&str] = &[
    "error: wasm trap: integer divide by zero",
    "   0: int ratio::quotient<int>(int, int) (wasm offset)",
    "             at deep.cc:3:14",
    "      ratio::half(int, int)",
    "             at deep.cc:6:12",
    "      compute",
    "             at deep.cc:10:12",
    "   1: ratio::twice(int)",
    "             at deep.cc:12:75",
    "   2: main",
    "             at deep.cc:14:12",
];

fn module(place: &Place) -> String {
    place.write("deep.cc", SOURCE);
    place.wasm("clang++-19", &["-O0"], "deep.cc")
}

/// The first lines of a backtrace, as in [`LINES`].
fn lines(output: &Output, count: usize) -> Vec<String> {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let plain = |line: &str| {
        let line = match (line.split_once(" at "), line.rsplit_once('/')) {
            (Some((before, _)), Some((_, file))) => format!("{before} at {file}"),
            _ => line.to_owned(),
        };
        match line.split_once(" (wasm offset 0x") {
            Some((before, _)) => format!("{before} (wasm offset)"),
            None => line,
        }
    };
    said.lines().take(count).map(plain).collect()
}

fn run(program: &std::path::Path) -> Output {
    Command::new(program).output().expect("the program can be started")
}

#[test]
fn traps_show_the_source() {
    if !has_tools(&["clang++-19", "strip", "objcopy"]) {
        return;
    }
    let place = Place::new("backtrace");
    let wasm = module(&place);
    for (flags, has_source) in [
        (&[][..], true),
        (&["-g", "-O", "opt-level=0"], true),
        (&["-C", "model=instance"], true),
        (&["--strip", "debug"], false),
        (&["--strip", "all"], false),
        // It goes where the rest goes.
        (&["--split-debug", "app.debug"], false),
    ] {
        place.aot(&[&["build", &wasm, "-C", "inlining=n", "-o", "app"], flags].concat());
        let output = run(&place.join("app"));
        assert_eq!(output.status.code(), Some(134), "{flags:?}");
        match has_source {
            true => assert_eq!(lines(&output, LINES.len()), LINES, "{flags:?}"),
            false => {
                let names = ["   0: compute (wasm offset)", "   1: ratio::twice(int)", "   2: main"];
                assert_eq!(lines(&output, 3)[1..], names[..2], "{flags:?}");
            }
        }
    }
    // What other tools do with debug information, they do with this.
    place.aot(&["build", &wasm, "-C", "inlining=n", "-o", "app"]);
    place.run("strip", &["-g", "app", "-o", "stripped"]);
    place.run("objcopy", &["--compress-debug-sections", "app", "compressed"]);
    for program in ["stripped", "compressed"] {
        let output = run(&place.join(program));
        assert_eq!(output.status.code(), Some(134), "{program}");
        assert_eq!(lines(&output, 2)[1], "   0: compute (wasm offset)", "{program}");
    }
}

#[test]
fn other_machines_show_the_source_too() {
    if !has_tools(&["clang++-19"]) {
        return;
    }
    let place = Place::new("backtrace-cross");
    let wasm = module(&place);
    for target in ["aarch64-linux", "riscv64-linux", "s390x-linux"] {
        if !emulator::is_ready(target) {
            continue;
        }
        place.aot(&["build", &wasm, "-C", "inlining=n", "--target", target, "-o", target]);
        let output = emulator::command(target, &place.join(target)).output().expect("the emulator starts");
        assert_eq!(lines(&output, LINES.len()), LINES, "{target}");
    }
}

#[test]
fn images_show_the_source() {
    if !has_tools(&["clang++-19"]) {
        return;
    }
    let place = Place::new("backtrace-image");
    let wasm = module(&place);
    place.aot(&["build", &wasm, "--emit", "cwasm", "-o", "app.cwasm"]);
    let mut command = Command::new(AOT);
    let output = command.args(["run", "--allow-precompiled"]).arg(place.join("app.cwasm")).output().unwrap();
    assert_eq!(output.status.code(), Some(134));
    assert_eq!(lines(&output, LINES.len()), LINES);

    let bytes = std::fs::read(place.join(&wasm)).expect("the module was made");
    let config = Config::image(Target::host().expect("a machine that is a target"));
    let compiled = aot_compiler::compile(&bytes, &config).expect("the module is valid");
    let image = compiled.cwasm().expect("an image can be made");
    // SAFETY: the compiler made it.
    let module = unsafe { Module::deserialize(&image) }.expect("the image is whole");
    let mut linker = Linker::new();
    linker.define_unknown_imports_as_traps(&module).expect("nothing else is there");
    let mut store = Store::<()>::default();
    let instance = linker.instantiate(&mut store, &module).expect("its imports are there");
    let compute = instance.get_typed_func::<i32, i32>(&store, "compute").expect("the export is there");
    assert_eq!(compute.call(&mut store, 5).expect("a number"), 10);
    let error = compute.call(&mut store, 0).expect_err("a trap");
    let frames = error.trap().expect("a trap").frames();
    let symbols = &frames[0].symbols;
    let names: Vec<_> = symbols.iter().map(|symbol| symbol.name.as_deref().unwrap_or_default()).collect();
    assert_eq!(names, ["int ratio::quotient<int>(int, int)", "ratio::half(int, int)", "compute"]);
    let places: Vec<_> = symbols.iter().map(|symbol| (symbol.line, symbol.column)).collect();
    assert_eq!(places, [(Some(3), Some(14)), (Some(6), Some(12)), (Some(10), Some(12))]);
    assert!(symbols.iter().all(|symbol| symbol.file.as_ref().is_some_and(|file| file.ends_with("/deep.cc"))));
    let text = format!("{error:#}");
    assert!(text.contains("\n   0: int ratio::quotient<int>(int, int)\n             at /"), "{text}");
    assert!(text.contains("\n      ratio::half(int, int)\n"), "{text}");
}

/// Whatever is in the section, the program says what trapped, and ends.
#[test]
fn damaged_positions_cost_only_that() {
    if !has_tools(&["clang++-19"]) {
        return;
    }
    let place = Place::new("backtrace-damaged");
    let wasm = module(&place);
    place.aot(&["build", &wasm, "-C", "inlining=n", "-o", "app"]);
    let program = std::fs::read(place.join("app")).expect("the program was made");
    let magic = aot_abi::source::MAGIC;
    let find = |bytes: &[u8]| bytes.windows(magic.len()).position(|window| window == magic);
    // The runtime has the magic too.
    let code = find(&program).expect("the magic is there");
    let at = code + 1 + find(&program[code + 1..]).expect("it is there twice");
    for round in 0..60usize {
        let mut damaged = program.clone();
        for index in (8..4096).step_by(1 + round % 13) {
            let byte = &mut damaged[at + index + round];
            *byte = byte.wrapping_mul(31).wrapping_add(round as u8);
        }
        std::fs::write(place.join("damaged"), &damaged).expect("a file is written");
        place.run("chmod", &["+x", "damaged"]);
        let output = run(&place.join("damaged"));
        assert_eq!(output.status.code(), Some(134), "round {round}");
        let lines = lines(&output, usize::MAX);
        assert_eq!(lines[0], LINES[0], "round {round}");
        assert!(lines.len() < 20_000 && lines.iter().any(|line| line.contains("0: ")), "round {round}");
    }
}

/// In a root without `/proc`, the program cannot read itself.
#[test]
fn names_are_shown_where_there_is_no_proc() {
    if !has_tools(&["clang++-19", "unshare"]) {
        return;
    }
    let place = Place::new("backtrace-proc");
    let wasm = module(&place);
    place.aot(&["build", &wasm, "-C", "inlining=n", "-o", "app"]);
    let root = place.join("");
    let isolated = |words: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["-r", "--root"]).arg(&root).args(words).output().expect("`unshare` can be started")
    };
    let output = isolated(&["/app"]);
    if output.status.code() != Some(134) {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("unshare"), "{said}");
        println!("SKIPPED: no user namespaces here: {said}");
        return;
    }
    assert_eq!(lines(&output, 3)[1..], ["   0: compute (wasm offset)", "   1: ratio::twice(int)"]);
}
