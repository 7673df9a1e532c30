//! Calls that our own compiler inlines: backtraces, debuggers and listings show what they show without inlining.

use crate::emulator;
use crate::place::{AOT, Place, expect, has_tools};
use std::process::{Command, Output};

/// Fails where its arguments say: in functions that are inlined into each other, in a loop, and in a function that is
/// inlined into itself.
pub const CALLS: &str = "\
struct node { int value; struct node *next; };
static volatile int divisor, zero;
static struct node nodes[4];
__attribute__((noinline)) static int divide(int a, int b) {
    return a / b;
}
static inline __attribute__((always_inline)) int hundredth(int n) {
    return divide(100,
                  n);
}
__attribute__((noinline)) static int middle(int n) {
    int twice = hundredth(n) * 2;
    return twice + divide(7, n - 1);
}
__attribute__((noinline)) static int sum(const struct node *list) {
    if (!list) return divide(1, zero);
    return list->value + sum(list->next);
}
__attribute__((noinline)) static int apply(int (*function)(const struct node *), int n) {
    int all = 0;
    for (int i = 0; i < n; i++) {
        nodes[i].value = i;
        nodes[i].next = i ? &nodes[i - 1] : 0;
    }
    for (int i = 0; i < n; i++) all += function(&nodes[i]);
    return all;
}
int main(int count, char **args) {
    divisor = count;
    if (count == 4) return apply(sum, 4);
    if (count == 3) return middle(divisor - 3) + middle(1);
    return middle(divisor - 1) + middle(5);
}
";

/// What the program says when it has trapped, without the numbers of the frames: functions, places, offset.
fn frames(output: &Output) -> Vec<String> {
    assert_eq!(output.status.code(), Some(134), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let plain = |line: &str| match line.trim_start().split_once(": ") {
        Some((number, rest)) if number.parse::<u32>().is_ok() => format!("      {rest}"),
        _ => line.to_owned(),
    };
    said.lines().map(plain).collect()
}

fn count_of_physical(output: &Output) -> usize {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let number =
        |line: &str| line.trim_start().split_once(": ").and_then(|(number, _)| number.parse::<u32>().ok());
    said.lines().filter_map(number).count()
}

/// Builds a module with and without inlining, and compares what the programs say. Gives the number of frames that the one
/// with inlining does not have on its stack.
fn compare(place: &Place, wasm: &str, target: &str, arguments: &[&[&str]], flags: &[&str]) -> usize {
    let build = ["build", wasm, "--target", target];
    for (name, inlining) in [("plain", "inlining=n"), ("inlined", "inlining=y")] {
        place.aot(&[&build[..], flags, &["-C", inlining, "-o", name]].concat());
    }
    let mut merged = 0;
    for arguments in arguments {
        let run = |program: &str| {
            let mut command = match target {
                "x86_64-linux" => Command::new(place.join(program)),
                _ => emulator::command(target, &place.join(program)),
            };
            command.args(*arguments).output().expect("the program can be started")
        };
        let (plain, inlined) = (run("plain"), run("inlined"));
        assert_eq!(frames(&inlined), frames(&plain), "{wasm} {target} {arguments:?} {flags:?}");
        merged += count_of_physical(&plain) - count_of_physical(&inlined);
    }
    merged
}

#[test]
fn backtraces_have_the_frames_of_inlined_calls() {
    if !has_tools(&["clang-19"]) {
        return;
    }
    let place = Place::new("inlining");
    place.write("calls.c", CALLS);
    let arguments: [&[&str]; 3] = [&[], &["a", "b"], &["a", "b", "c"]];
    for level in ["-O0", "-O1", "-O2"] {
        let wasm = place.wasm("clang-19", &[level], "calls.c");
        assert!(compare(&place, &wasm, "x86_64-linux", &arguments, &[]) > 0, "{level}: nothing was inlined");
        compare(&place, &wasm, "x86_64-linux", &arguments, &["-g", "-C", "model=instance"]);
        for target in ["aarch64-linux", "riscv64-linux", "s390x-linux"] {
            if emulator::is_ready(target) {
                assert!(compare(&place, &wasm, target, &arguments, &[]) > 0, "{level} {target}");
            }
        }
    }
}

#[test]
fn images_have_them_too() {
    if !has_tools(&["clang-19"]) {
        return;
    }
    let place = Place::new("inlining-image");
    place.write("calls.c", CALLS);
    let wasm = place.wasm("clang-19", &["-O1"], "calls.c");
    let said = ["inlining=n", "inlining=y"].map(|inlining| {
        place.aot(&["build", &wasm, "--emit", "cwasm", "-C", inlining, "-o", "app.cwasm"]);
        let mut command = Command::new(AOT);
        let output = command.args(["run", "--allow-precompiled"]).arg(place.join("app.cwasm")).output();
        frames(&output.expect("it can be started"))
    });
    assert_eq!(said[0], said[1]);
    assert!(said[0].iter().any(|line| line.contains("calls.c:5:14")), "{said:?}");
}

/// Names of functions are all that such a module has; and numbers, where it has no names.
#[test]
fn modules_without_source_show_names() {
    let place = Place::new("inlining-names");
    let functions = "\
        (func $leaf (param i32) (result i32) (i32.div_u (i32.const 8) (local.get 0)))
        (func $twice (param i32) (result i32)
            (i32.add (call $leaf (local.get 0)) (call $leaf (i32.sub (local.get 0) (i32.const 1)))))
        (func $looked (param i32) (result i32) (i32.add (i32.const 1) (call $twice (local.get 0))))
        (table funcref (elem $looked))
        (func (export \"_start\")
            (drop (call $twice (i32.const 5)))
            (drop (call_indirect (param i32) (result i32) (i32.const 1) (i32.const 0))))";
    place.write("named.wat", &format!("(module (memory (export \"memory\") 1) {functions})"));
    let bare = functions.replace("$leaf", "0").replace("$twice", "1").replace("$looked", "2");
    let bare = ["(func 0", "(func 1", "(func 2"].iter().fold(bare, |bare, name| bare.replace(name, "(func"));
    place.write("bare.wat", &format!("(module (memory (export \"memory\") 1) {bare})"));
    for (module, first) in [("named.wat", "leaf"), ("bare.wat", "wasm-function[0]")] {
        assert!(compare(&place, module, "x86_64-linux", &[&[]], &[]) > 0, "nothing was inlined in {module}");
        let output = Command::new(place.join("inlined")).output().expect("the program can be started");
        let frames = frames(&output);
        assert!(frames[1].starts_with(&format!("      {first} (wasm offset 0x")), "{frames:?}");
        assert_eq!(frames.len(), 5, "{frames:?}");
    }
}

/// A function that ends with a tail call has no frame any more, whether or not the callee was inlined.
#[test]
fn tail_calls_leave_no_frame() {
    let place = Place::new("inlining-tail");
    place.write(
        "tail.wat",
        r#"(module
            (memory (export "memory") 1)
            (func $fails (param i32) (result i32) (i32.load (local.get 0)))
            (func $passes (param i32) (result i32)
                (return_call $fails (i32.sub (local.get 0) (i32.const 2))))
            (func $outer (param i32) (result i32)
                (i32.add (call $passes (local.get 0)) (call $large (local.get 0))))
            (func $large (param i32) (result i32)
                (return_call $grows (i32.add (local.get 0) (i32.const 1))))
            (func $grows (param i32) (result i32)
                (if (i32.eqz (local.get 0)) (then unreachable))
                (return_call $large (i32.sub (local.get 0) (i32.const 9))))
            (table funcref (elem $passes $large $outer))
            (func (export "_start")
                (drop (call $outer (i32.const 65535)))
                (drop (call_indirect (param i32) (result i32) (i32.const 1) (i32.const 0)))))"#,
    );
    let build = |inlining: &str| {
        place.aot(&["build", "tail.wat", "-C", inlining, "-o", "tail"]);
        frames(&Command::new(place.join("tail")).output().expect("the program can be started"))
    };
    let (plain, inlined) = (build("inlining=n"), build("inlining=y"));
    assert_eq!(inlined, plain);
    assert!(plain.iter().all(|line| !line.contains("passes")), "{plain:?}");
}

#[test]
fn debuggers_and_listings_show_them() {
    if !has_tools(&["clang-19", "gdb", "llvm-dwarfdump-19"]) {
        return;
    }
    let place = Place::new("inlining-gdb");
    place.write("calls.c", CALLS);
    let wasm = place.wasm("clang-19", &["-O1"], "calls.c");
    for flags in [&[][..], &["-g", "-C", "inlining=y"]] {
        place.aot(&[&["build", &wasm, "-o", "app"], flags].concat());
        let output = place.gdb("app", &["break calls.c:5", "run", "bt"]);
        let stack: Vec<&str> = output.lines().filter(|line| line.starts_with('#')).collect();
        let at = |frame: usize| stack.get(frame).copied().unwrap_or_default();
        let wanted = [("divide", "calls.c:5"), ("hundredth", "calls.c:8"), ("middle", "calls.c:12")];
        for (frame, (function, line)) in wanted.into_iter().enumerate() {
            assert!(at(frame).contains(function) && at(frame).contains(line), "{flags:?}: {output}");
        }
        assert!(at(3).contains("main") && at(3).contains("calls.c:32"), "{flags:?}: {output}");
        let verified = place.output("llvm-dwarfdump-19", &["--verify", "app"]);
        assert!(verified.contains("No errors."), "{flags:?}: {verified}");
    }
    for (input, flags) in [("app", &[][..]), (&*wasm, &["-C", "inlining=y"])] {
        let words = ["objdump", input, "--source", "--funcs", "main"];
        let listing = place.run(AOT, &[&words[..], flags].concat());
        let found = listing.contains("calls.c:5, in divide (inlined)") && listing.contains("return a / b;");
        assert!(found, "{input}: {listing}");
    }
    // The sources of the C library are not here, and it says so.
    place.both(AOT, &["explore", &wasm, "-o", "page.html"]);
    let page = std::fs::read_to_string(place.join("page.html")).expect("the page was written");
    assert!(page.contains(";; inlined: function "), "{page}");
}

const OUTER: &str = "\
#include <stdio.h>
struct point { int x, y; struct point *next; };
int scale(const struct point *point, int by);
static int outer(int count) {
    struct point origin = {count, 40, 0};
    int sum = 0;
    for (int i = 1; i <= count; i++) {
        struct point at = {i, 30, &origin};
        int part = scale(&at, 10);
        sum += part;
    }
    return sum;
}
int main(int argc, char **argv) {
    int all = outer(argc + 1);
    printf(\"%d\\n\", all);
    return 0;
}
";

const INNER: &str = "\
struct point { int x, y; struct point *next; };
int scale(const struct point *point, int by) {
    int result = point->x * by;
    if (result < 0)
        __builtin_trap();
    { int more = result + 1; result = more; }
    return result;
}
";

/// Functions that are inlined have their variables, each call its own, also where the source files are others.
#[test]
fn inlined_functions_have_variables() {
    if !has_tools(&["clang-19", "gdb", "llvm-dwarfdump-19", "readelf"]) {
        return;
    }
    let place = Place::new("inlined-variables");
    place.write("outer.c", OUTER);
    place.write("inner.c", INNER);
    for (level, line) in [("0", "break inner.c:6"), ("1", "break inner.c:4")] {
        let wasm = place.wasm("clang-19", &[&format!("-O{level}"), "inner.c"], "outer.c");
        place.aot(&["build", &wasm, "-g", "-C", "inlining=y", "-o", "app"]);
        let symbols = place.run("readelf", &["-sW", "app"]);
        assert!(!symbols.contains(" scale\n"), "it is not inlined: {symbols}");
        let break_at = [line, "run", "bt 3", "p result", "p *point", "up", "info locals"];
        let output = place.gdb("app", &[&break_at[..], &["continue", "p result", "up", "p sum"]].concat());
        let what = format!("-O{level}: {output}");
        if level == "0" {
            let stack = [
                "scale (point=0x",
                "by=10) at ",
                "inner.c:6",
                "outer (count=2) at outer.c:9",
                "main (argc=1,",
            ];
            let first =
                ["$1 = 10", "{x = 1, y = 30, next = 0x", "i = 1", "origin = {x = 2, y = 40", "sum = 0"];
            expect(&what, &stack);
            first.iter().for_each(|wanted| assert!(what.contains(wanted), "no `{wanted}` in {what}"));
            expect(&what, &["Breakpoint 1, ", "Breakpoint 1, ", "$3 = 20", "$4 = 11"]);
        } else {
            // What is in memory has its place, and nothing has a wrong value.
            let wanted = ["scale (point=", "outer (count=", "main (argc=1,", "origin = {x = 2, y = 40"];
            expect(&what, &wanted);
            assert!(what.contains("$1 = 10") || what.contains("$1 = <optimized out>"), "{what}");
        }
        let verified = place.output("llvm-dwarfdump-19", &["--verify", "app"]);
        assert!(verified.contains("No errors."), "{what}: {verified}");
        for section in ["info", "loc", "Ranges"] {
            let (_, complaints) = place.both("readelf", &[&format!("--debug-dump={section}"), "app"]);
            assert_eq!(complaints, "", "{what}: {section}");
        }
    }
}
