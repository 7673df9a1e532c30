//! Debug information as debuggers see it: gdb follows programs in C and C++ and answers as it does for native builds of the
//! same sources; tools read every artifact without a complaint; damaged debug information never fails a build.

mod backtrace;
#[path = "../emulator.rs"]
mod emulator;
mod formats;
mod inlining;
mod library;
mod linked;
mod listing;
mod lldb;
mod loaded;
mod mapped;
mod operands;
mod place;
mod session;
mod table;
mod zig;

use place::{Place, has_tools};
use session::{Check, Debugger};
use table::Language;

/// The checks of a C program, in one session.
const C: &[Check] = &[
    Check("step into a function", &["break list.c:58", "run", "step"]),
    Check("finish, with the value", &["finish"]),
    Check("break at a function", &["delete", "break sum", "run"]),
    Check("backtrace with arguments", &["bt"]),
    Check("a pointer's target", &["p *list->next->next"]),
    Check("a member by a pointer", &["p list->next->value"]),
    Check("a floating point member", &["p list->weight"]),
    Check("type of a variable", &["ptype list"]),
    Check("a global", &["p total"]),
    Check("a global array", &["p table"]),
    Check("a string", &["p greeting"]),
    Check("x/s", &["x/s greeting"]),
    Check("a string that a structure points to", &["p list->name"]),
    Check("a byte of that string", &["p/c *list->name"]),
    Check("next", &["next", "next"]),
    Check("a variable of a block", &["p at->value"]),
    Check("all locals", &["info locals"]),
    Check("up", &["up"]),
    Check("an enumeration", &["p color"]),
    Check("a union", &["p word"]),
    Check("an array of characters", &["p text"]),
    Check("sizeof", &["p sizeof(text)"]),
    Check("down", &["down"]),
    Check("a watchpoint", &["watch result", "continue"]),
    Check("a conditional breakpoint", &["delete", "break list.c:45 if n == 3", "continue"]),
    Check("a deep backtrace", &["bt"]),
    Check("finish of a recursive function", &["finish"]),
];

const CPP: &[Check] = &[
    Check("break at a function", &["break measure", "run"]),
    Check("backtrace with arguments", &["bt"]),
    Check("a reference to a class", &["p shape.at"]),
    Check("an enumeration class", &["p mode"]),
    Check("a static variable", &["p counter"]),
    Check("next", &["next"]),
    Check("a local", &["p area"]),
    Check("a string that an object points to", &["p shape.name"]),
    Check("a byte of that string", &["p/c *shape.name"]),
    Check("up", &["up"]),
    Check("an object with a base", &["p square.side", "p square.at"]),
    Check("a template's array", &["p row"]),
    Check("a pointer to an object", &["p pointer->side"]),
    Check("a Boolean and a double", &["p yes", "p ratio"]),
    Check("break at a method", &["break geometry::Point::norm", "continue"]),
    Check("*this", &["p *this"]),
    Check("a member by its name", &["p y"]),
    Check("finish, with the value", &["finish"]),
];

const RUST: &[Check] = &[
    Check("break at a function", &["break shop::total", "run"]),
    Check("backtrace with arguments", &["bt 2"]),
    Check("length of a slice", &["p items.length"]),
    Check("a double", &["p ratio"]),
    Check("all locals", &["next", "info locals"]),
    Check("step into a function", &["break shop::cents", "continue"]),
    Check("an enumeration", &["p item.kind"]),
    Check("an enumeration with values", &["p item.price"]),
    Check("an Option", &["p item.count"]),
    Check("an array in a structure", &["p item.sizes"]),
    Check("type of a variable", &["whatis item"]),
    Check("next", &["next", "next"]),
    Check("finish, with the value", &["finish"]),
    Check("break at a function by its name", &["delete", "break shop::largest", "continue"]),
    Check("a slice", &["p values"]),
    Check("a string slice", &["p name"]),
    Check("up", &["up"]),
    Check("a tuple", &["p pair"]),
    Check("a Boolean", &["p is_open"]),
    Check("a member of a structure", &["p list.value"]),
    Check("break at a method", &["break shop::{impl#0}::weight", "continue"]),
    Check("a method's self", &["p self.sizes"]),
    Check("a line with a condition", &["break src/main.rs:77 if node.value == 2", "continue"]),
    Check("what a reference leads to", &["p node.value"]),
    Check("an Option of a Box", &["up", "p list.next"]),
];

#[test]
fn gdb_answers_as_for_native_programs() {
    if !has_tools(&["clang-19", "clang++-19", "gdb", "rustc"]) {
        return;
    }
    let languages = [
        Language { name: "C", compiler: "clang-19", source: "list.c", checks: C },
        Language { name: "C++", compiler: "clang++-19", source: "shapes.cc", checks: CPP },
        Language { name: "Rust", compiler: "rustc", source: "shop/src/main.rs", checks: RUST },
    ];
    table::compare_all(Debugger::Gdb, &Place::new("table"), &languages);
}

/// What must be right whatever native programs answer: the values that the source says.
#[test]
fn every_variable_is_visible_without_optimisation() {
    if !has_tools(&["clang-19", "gdb"]) {
        return;
    }
    let place = Place::new("visible");
    let wasm = place.wasm("clang-19", &["-O0"], "list.c");
    for model in ["static", "instance"] {
        let model_flag = format!("model={model}");
        place.aot(&["build", &wasm, "-g", "-O", "opt-level=0", "-C", &model_flag, "-o", "app"]);
        let output = place.gdb(
            "app",
            &["break list.c:37", "run", "info args", "info locals", "bt", "up", "info locals", "info line"],
        );
        for wanted in ["result = 6", "color = GREEN", "text = \"a local text", "word = {number = 16909060"] {
            let is_there = output.contains(wanted);
            assert!(is_there, "{model}: no `{wanted}` in\n{output}");
        }
        assert!(!output.contains("optimized out"), "{model}:\n{output}");
    }
}

#[test]
fn traps_and_interrupts_stop_at_their_lines() {
    if !has_tools(&["clang-19", "gdb"]) {
        return;
    }
    let place = Place::new("stops");
    let wasm = place.wasm("clang-19", &["-O0"], "list.c");
    place.aot(&["build", &wasm, "-g", "-O", "opt-level=0", "-o", "app"]);
    let output = place.gdb("app", &["run trap", "bt", "p reason"]);
    for wanted in ["SIGILL", "fail (reason=2) at list.c:", "main (argc=2", "= 2"] {
        assert!(output.contains(wanted), "no `{wanted}` in\n{output}");
    }
    // Post mortem: the same from a core file.
    let output = place.gdb("app", &["run trap", "generate-core-file app.core"]);
    let size = std::fs::metadata(place.join("app.core")).unwrap_or_else(|_| panic!("{output}")).len();
    // The memory has a megabyte at most, and gigabytes of address space.
    assert!(size < 16 << 20, "{size} bytes");
    let output = place.run("gdb", &["-nx", "-batch", "-ex", "bt", "-ex", "p reason", "app", "app.core"]);
    assert!(output.contains("fail (reason=2) at list.c:"), "{output}");
    assert!(output.contains("$1 = 2"), "{output}");
    // A loop that never ends, interrupted by a signal from outside.
    let output = place.interrupted(&["gdb", "-nx", "-batch", "-ex", "run loop", "-ex", "bt", "app"], "app");
    assert!(output.contains("main (argc=2") && output.contains("list.c:"), "{output}");
}

#[test]
fn other_machines_are_debugged_by_their_emulators() {
    if !has_tools(&["clang-19", "gdb-multiarch"]) {
        return;
    }
    let place = Place::new("cross");
    let wasm = place.wasm("clang-19", &["-O0"], "list.c");
    for target in ["aarch64-linux", "riscv64-linux"] {
        if !emulator::is_ready(target) {
            continue;
        }
        let name = format!("app-{target}");
        place.aot(&["build", &wasm, "-g", "-O", "opt-level=0", "--target", target, "-o", &name]);
        let commands =
            ["break list.c:37", "continue", "bt", "p *list", "p *list->next", "up", "p text", "kill"];
        let output = place.emulated(target, &name, &commands);
        for wanted in ["sum (list=", "main (argc=1", "value = 3", "value = 2", "a local text"] {
            assert!(output.contains(wanted), "{target}: no `{wanted}` in\n{output}");
        }
    }
}

/// Line tables are always there: to the source, or to offsets in the module.
#[test]
fn lines_need_no_flag() {
    if !has_tools(&["clang-19", "gdb"]) {
        return;
    }
    let place = Place::new("lines");
    let wasm = place.wasm("clang-19", &["-O1"], "list.c");
    place.aot(&["build", &wasm, "-o", "app", "-C", "inlining=n"]);
    let output = place.gdb("app", &["break list.c:35", "run", "bt"]);
    assert!(output.contains("list.c:35") && output.contains("in main () at list.c:"), "{output}");
    // Without DWARF, lines are offsets in the module.
    place.write("plain.wat", "(module $plain (memory 1) (func $work (drop (i32.load (i32.const -1)))) (func (export \"_start\") (call $work)))");
    place.aot(&["build", "plain.wat", "-o", "plain", "-C", "inlining=n"]);
    let output = place.gdb("plain", &["run", "bt"]);
    assert!(
        output.contains("work () at ./plain.wasm:") && output.contains("_start () at ./plain.wasm:"),
        "{output}"
    );
}

#[test]
fn debug_information_can_be_left_out_or_put_aside() {
    if !has_tools(&["clang-19", "gdb", "readelf"]) {
        return;
    }
    let place = Place::new("aside");
    let wasm = place.wasm("clang-19", &["-O0"], "list.c");
    for (emit, output) in [("exe", "app"), ("obj", "app.o"), ("cwasm", "app.cwasm")] {
        for (strip, has_lines) in [("none", true), ("debug", false), ("all", false)] {
            place.aot(&["build", &wasm, "--emit", emit, "--strip", strip, "-o", output]);
            let sections = place.run("readelf", &["-SW", output]);
            assert_eq!(sections.contains(".debug_line"), has_lines, "{output} {strip}: {sections}");
        }
    }
    place.aot(&["build", &wasm, "-g", "-O", "opt-level=0", "--split-debug", "app.debug", "-o", "app"]);
    let sections = place.run("readelf", &["-SW", "app"]);
    assert!(sections.contains(".gnu_debuglink") && !sections.contains(".debug_info"), "{sections}");
    let id = |file: &str| {
        let notes = place.run("readelf", &["-n", file]);
        notes.lines().find(|line| line.contains("Build ID")).map(str::to_owned).expect("a build id")
    };
    assert_eq!(id("app"), id("app.debug"));
    assert!(place.run("./app", &[]).starts_with("6 120 5 a local text 4 6"));
    let output = place.gdb("app", &["break sum", "run", "p list->value"]);
    assert!(output.contains("$1 = 3"), "{output}");
    let refused = place.refused(&["build", &wasm, "--split-debug", "app", "-o", "app"]);
    assert!(refused.contains("debug information cannot go to `app`"), "{refused}");
}

/// Tools that are strict read what every build makes.
#[test]
fn tools_have_no_complaint() {
    if !has_tools(&["clang-19", "clang++-19", "llvm-dwarfdump-19", "readelf", "objdump", "addr2line"]) {
        return;
    }
    let place = Place::new("tools");
    for (compiler, source) in [("clang-19", "list.c"), ("clang++-19", "shapes.cc")] {
        for (version, level) in [("-gdwarf-4", "0"), ("-gdwarf-5", "2")] {
            let wasm = place.wasm(compiler, &[version, &format!("-O{level}")], source);
            for target in ["x86_64-linux", "aarch64-linux", "riscv64-linux", "s390x-linux"] {
                for (emit, flags) in [
                    ("exe", &["-g", "-O", "opt-level=0"][..]),
                    ("exe", &["-g"]),
                    ("exe", &[]),
                    ("obj", &["-g"]),
                    ("cwasm", &["-g", "-O", "opt-level=0"]),
                ] {
                    if emit == "exe" && target != "x86_64-linux" && emulator::lacks(target).is_some() {
                        continue;
                    }
                    let words = ["build", &wasm, "--target", target, "--emit", emit, "-o", "artifact"];
                    place.aot(&[&words[..], flags].concat());
                    let what = format!("{source} {version} {target} {emit} {flags:?}");
                    let verified = place.output("llvm-dwarfdump-19", &["--verify", "artifact"]);
                    assert!(verified.contains("No errors."), "{what}: {verified}");
                    for section in ["info", "line", "loc", "Ranges", "abbrev"] {
                        let words = [&format!("--debug-dump={section}"), "artifact"];
                        let (_, complaints) = place.both("readelf", &words);
                        assert_eq!(complaints, "", "{what}: readelf --debug-dump={section}");
                    }
                }
            }
        }
    }
    let wasm = place.wasm("clang-19", &["-O0"], "list.c");
    place.aot(&["build", &wasm, "-g", "-O", "opt-level=0", "-o", "app"]);
    let (listing, complaints) = place.both("objdump", &["-dS", "app"]);
    assert_eq!(complaints, "");
    assert!(listing.contains("result += at->value;"), "no source in the listing");
    let symbols = place.run("readelf", &["-sW", "app"]);
    let line = symbols.lines().find(|line| line.ends_with(" sum")).expect("the symbol of `sum`");
    let address = line.split_whitespace().nth(1).expect("its address");
    assert!(place.run("addr2line", &["-fe", "app", address]).contains("sum\n"), "{address}");
}

/// Whatever the debug information of a module says, the build succeeds, and the program does the same.
#[test]
fn damaged_debug_information_costs_only_that() {
    if !has_tools(&["clang-19", "clang++-19"]) {
        return;
    }
    let place = Place::new("damaged");
    place.damage(&place.wasm("clang-19", &["-O1"], "list.c"), "6 120 5");
    place.damage(&place.wasm("clang++-19", &["-O2", "-gdwarf-5"], "shapes.cc"), "74 6 7 1");
}

#[test]
fn damaged_debug_information_of_rust_costs_only_that() {
    let place = Place::new("damaged-rust");
    for level in ["0", "2"] {
        let Some(wasm) = place.guest(&format!("shop-O{level}.wasm")) else { return };
        place.damage(&wasm, "7506 15 270");
    }
}
