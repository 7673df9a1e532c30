//! What works in lldb.

use crate::inlining::CALLS;
use crate::place::{Place, has_tools};

const LLDB: &str = "lldb-19";

/// What the debugger prints while it follows commands.
fn lldb(place: &Place, program: &str, commands: &[&str]) -> String {
    let mut args = vec!["-b", "-o", "settings set use-color false"];
    for command in commands {
        args.extend(["-o", command]);
    }
    args.push(program);
    place.output(LLDB, &args)
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
    let output = lldb(&place, "app", &commands);
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
    let output = lldb(&place, "app", &["breakpoint set -f calls.c -l 5", "run", "bt"]);
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
