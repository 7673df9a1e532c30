//! What works in lldb.

use crate::inlining::CALLS;
use crate::place::{LLDB, Place, expect, has_tools};
use crate::session::{Check, Debugger};
use crate::table::{self, Language};

/// The checks of a C program, in one session: as those of gdb.
const C: &[Check] = &[
    Check("step into a function", &["breakpoint set -f list.c -l 58", "run", "step"]),
    Check("finish, with the value", &["finish"]),
    Check("break at a function", &["breakpoint delete -f", "breakpoint set -n sum", "run"]),
    Check("backtrace with arguments", &["bt"]),
    Check("a pointer's target", &["p *list"]),
    Check("a member by a pointer", &["p list->value"]),
    Check("a floating point member", &["p list->weight"]),
    Check("a pointer in memory", &["p list->next"]),
    Check("what a pointer in memory leads to", &["p list->next->value"]),
    Check("a structure's type", &["type lookup node"]),
    Check("a global", &["p total"]),
    Check("a global array", &["p table"]),
    Check("a string", &["p greeting"]),
    Check("x/s", &["x/s greeting"]),
    Check("a string that a structure points to", &["p list->name"]),
    Check("next", &["next", "next"]),
    Check("a variable of a block", &["p at->value"]),
    Check("all locals", &["frame variable"]),
    Check("up", &["up"]),
    Check("an enumeration", &["p color"]),
    Check("a union", &["p word"]),
    Check("an array of characters", &["p text"]),
    Check("sizeof", &["p sizeof(text)"]),
    Check("down", &["down"]),
    Check("a watchpoint", &["watchpoint set variable result", "continue", "watchpoint delete"]),
    Check(
        "a conditional breakpoint",
        &["breakpoint delete -f", "breakpoint set -f list.c -l 45 -c 'n == 3'", "continue"],
    ),
    Check("a deep backtrace", &["bt"]),
    Check("finish of a recursive function", &["finish"]),
];

const CPP: &[Check] = &[
    Check("break at a function", &["breakpoint set -n measure", "run"]),
    Check("backtrace with arguments", &["bt"]),
    Check("a reference to a class", &["p shape.at"]),
    Check("an enumeration class", &["p mode"]),
    Check("a static variable", &["p counter"]),
    Check("next", &["next"]),
    Check("a local", &["p area"]),
    Check("a string that an object points to", &["p shape.name"]),
    Check("up", &["up"]),
    Check("an object with a base", &["p square.side", "p square.at"]),
    Check("a template's array", &["p row"]),
    Check("a pointer to an object", &["p pointer->side"]),
    Check("a Boolean and a double", &["p yes", "p ratio"]),
    Check("break at a method", &["breakpoint set -n geometry::Point::norm", "continue"]),
    Check("*this", &["p *this"]),
    Check("a member by its name", &["p y"]),
    Check("finish, with the value", &["finish"]),
];

const RUST: &[Check] = &[
    Check("break at a function", &["breakpoint set -n shop::total", "run"]),
    Check("backtrace with arguments", &["bt 2"]),
    Check("length of a slice", &["p (int)items.length"]),
    Check("a double", &["p ratio"]),
    Check("all locals", &["next", "frame variable"]),
    Check("step into a function", &["breakpoint set -n shop::cents", "continue"]),
    Check("an enumeration", &["p item->kind"]),
    Check("an enumeration with values", &["p item->price"]),
    Check("an Option", &["p item->count"]),
    Check("an array in a structure", &["p item->sizes"]),
    Check("next", &["next", "next"]),
    Check("finish, with the value", &["finish"]),
    Check(
        "break at a function by its name",
        &["breakpoint delete -f", "breakpoint set -n largest", "continue"],
    ),
    Check("a slice", &["p values"]),
    Check("an element of a slice", &["p values.data_ptr[1]"]),
    Check("up", &["up"]),
    Check("a tuple", &["p pair"]),
    Check("a Boolean", &["p is_open"]),
    Check("a member of a structure", &["p list.value"]),
    Check("break at a line", &["breakpoint set -f main.rs -l 77", "continue"]),
    Check("what a reference leads to", &["p node->value"]),
    Check("a variable of the caller", &["up", "p sum"]),
];

#[test]
fn lldb_answers_as_for_native_programs() {
    if !has_tools(&["clang-19", "clang++-19", LLDB, "rustc"]) {
        return;
    }
    let languages = [
        Language { name: "C", compiler: "clang-19", source: "list.c", checks: C },
        Language { name: "C++", compiler: "clang++-19", source: "shapes.cc", checks: CPP },
        Language { name: "Rust", compiler: "rustc", source: "shop/src/main.rs", checks: RUST },
    ];
    table::compare_all(Debugger::Lldb, &Place::new("lldb-table"), &languages);
}

#[test]
fn traps_and_interrupts_stop_at_their_lines_in_lldb() {
    if !has_tools(&["clang-19", "gdb", LLDB]) {
        return;
    }
    let place = Place::new("lldb-stops");
    let wasm = place.wasm("clang-19", &["-O0"], "list.c");
    place.aot(&["build", &wasm, "-g", "-O", "opt-level=0", "-o", "app"]);
    // What is to be done after a crash is said apart.
    let crash = ["-k", "bt", "-k", "frame variable", "-k", "up", "-k", "p text"];
    let output = place.output(LLDB, &[&["-b", "-o", "run trap"], &crash[..], &["app"]].concat());
    let wanted = [
        "stop reason = signal SIGILL",
        "app`fail(reason=2) at list.c:50:5",
        "app`main(argc=2, argv=0x",
        "(int) reason = 2",
        "app`main(argc=2",
        "\"a local text\"",
    ];
    expect(&output, &wanted);
    // Post mortem: from a core file.
    let output = place.gdb("app", &["run trap", "generate-core-file app.core"]);
    let size = std::fs::metadata(place.join("app.core")).unwrap_or_else(|_| panic!("{output}")).len();
    // The memory has a megabyte at most, and gigabytes of address space.
    assert!(size < 16 << 20, "{size} bytes");
    let commands = ["-b", "-o", "target create app -c app.core"];
    let commands =
        [&commands[..], &["-o", "bt", "-o", "frame variable", "-o", "up", "-o", "p text"]].concat();
    let output = place.output(LLDB, &commands);
    expect(&output, &wanted[1..]);
    let output =
        place.interrupted(&[LLDB, "-b", "-o", "run loop", "-o", "bt", "-o", "p total", "app"], "app");
    expect(&output, &["stop reason = signal SIGINT", "app`main(argc=2", "at list.c:6", "(int) "]);
}

#[test]
fn lldb_follows_a_program() {
    if !has_tools(&["clang-19", LLDB]) {
        return;
    }
    let place = Place::new("lldb");
    let wasm = place.wasm("clang-19", &["-O0"], "list.c");
    place.aot(&["build", &wasm, "-g", "-O", "opt-level=0", "-o", "app"]);
    let commands = [
        "breakpoint set -n sum",
        "run",
        "bt",
        "frame variable",
        "p list->value",
        "next",
        "next",
        "breakpoint set -f list.c -l 45",
        "continue",
        "bt",
        "frame variable",
        "up",
        "breakpoint delete -f",
        "continue",
    ];
    let output = place.lldb("app", &commands);
    let mut lines = output.lines();
    let wanted = [
        "Breakpoint 1: where = app`sum",
        "stop reason = breakpoint 1.1",
        "frame #0: 0x",
        "frame #1: 0x",
        "(const node *) list = 0x",
        "(int) result = ",
        "(const int) 3",
        "stop reason = step over",
        "list.c:35",
        "stop reason = breakpoint 2.1",
        "app`factorial(n=2) at list.c:45:10",
        "app`factorial(n=3) at list.c:44:14",
        "app`main(argc=1, argv=0x",
        "(int) n = 2",
        "(int) rest = 1",
        "app`factorial(n=3) at list.c:44:14",
        "exited with status = 0",
    ];
    for wanted in wanted {
        assert!(lines.any(|line| line.contains(wanted)), "no `{wanted}` in its place: {output}");
    }
    assert!(output.contains("app`sum(list=0x") && output.contains(") at list.c:33:7"), "{output}");
    assert!(output.contains("6 120 5 a local text 4 6 hello, debugger"), "{output}");
}

#[test]
fn lldb_shows_inlined_calls() {
    if !has_tools(&["clang-19", LLDB]) {
        return;
    }
    let place = Place::new("lldb-inlined");
    place.write("calls.c", CALLS);
    let wasm = place.wasm("clang-19", &["-O1"], "calls.c");
    place.aot(&["build", &wasm, "-o", "app"]);
    let output = place.lldb("app", &["breakpoint set -f calls.c -l 5", "run", "bt"]);
    let stack: Vec<&str> = output.lines().filter(|line| line.contains("frame #")).skip(1).collect();
    let wanted = [
        ("divide", "calls.c:5"),
        ("hundredth", "calls.c:8"),
        ("middle", "calls.c:12"),
        ("main", "calls.c:32"),
    ];
    for (frame, (function, line)) in wanted.into_iter().enumerate() {
        let found = stack.iter().find(|text| text.contains(&format!("frame #{frame}: "))).copied();
        let found = found.unwrap_or_default();
        assert!(found.contains(function) && found.contains(line), "{frame}: {output}");
    }
}
