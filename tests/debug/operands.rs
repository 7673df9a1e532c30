//! Variables that the module has on the operand stack only: debuggers find them, and show no other value for theirs.

use crate::emulator;
use crate::place::{Place, has_tools};
use std::collections::BTreeSet;

/// Results of calls go into the next ones: the variables of `work` and `mean` need no locals of wasm.
const CHAIN: &str = "\
static volatile int seed;
__attribute__((noinline)) static int twice(int n) {
    seed += 7000;
    return n * 2;
}
__attribute__((noinline)) static int both(int a, int b) {
    seed += a;
    return a * b;
}
__attribute__((noinline)) static int work(int a, int b) {
    int first = twice(a) + 3;
    int second = both(first, b);
    int third = twice(second);
    int again = twice(third);
    again = twice(again);
    again = both(again, 1) + 2;
    int last = twice(again) - 1;
    return twice(last);
}
__attribute__((noinline)) static double mean(double x, double y) {
    double sum = x + y;
    double half = sum * 0.5;
    return half - (double)seed;
}
int main(int count, char **args) {
    return mean(work(count, count + 1), count) > 0.0;
}
";

/// Names of variables, and all that each may be.
type Values = [(&'static str, &'static [&'static str])];

const VALUES: &Values = &[
    ("a", &["1"]),
    ("again", &["40", "80", "82"]),
    ("b", &["2"]),
    ("first", &["5"]),
    ("half", &["163.5"]),
    ("last", &["163"]),
    ("second", &["10"]),
    ("sum", &["327"]),
    ("third", &["20"]),
    ("x", &["326"]),
    ("y", &["1"]),
];

/// Goes through the two functions, one instruction after the other, and prints their variables; also while they call others.
const LOOK: &str = "\
for _ in range(2000):
    newest = gdb.newest_frame()
    for frame in (newest, newest.older()):
        if frame and frame.name() in ('work', 'mean'):
            for symbol in frame.block():
                print('%s = %s' % (symbol.name, symbol.value(frame)))
    gdb.execute('stepi' if newest.name() != 'main' else 'continue', to_string=True)
";

/// Checks that a debugger has found all variables, and shown no wrong values.
#[track_caller]
fn check(what: &str, output: &str, values: &Values) {
    let lines: Vec<_> = output.lines().filter_map(|line| line.split_once(" = ")).collect();
    for (name, values) in values {
        let shown = lines.iter().filter(|(shown, value)| shown == name && *value != "<optimized out>");
        let shown: BTreeSet<&str> = shown.map(|(_, value)| *value).collect();
        assert!(!shown.is_empty(), "{what}: `{name}` was never there in\n{output}");
        assert!(shown.iter().all(|value| values.contains(value)), "{what}: `{name}`: {shown:?}\n{output}");
    }
}

/// The module, in whose debug information variables are on the operand stack.
fn chain(place: &Place, level: &str) -> String {
    place.write("chain.c", CHAIN);
    place.write("look.py", LOOK);
    let wasm = place.wasm("clang-19", &[level], "chain.c");
    let described = place.run("llvm-dwarfdump-19", &["--debug-info", &wasm]);
    for name in ["first", "second", "third", "again", "last", "sum", "half"] {
        let (before, _) = described.split_once(&format!("(\"{name}\")")).expect("clang describes it");
        let (_, entry) = before.rsplit_once("DW_TAG_variable").expect("it is a variable");
        assert!(entry.contains("DW_OP_WASM_location 0x2 "), "{name} is somewhere else: {entry}");
    }
    wasm
}

#[test]
fn variables_on_the_operand_stack_are_found() {
    if !has_tools(&["clang-19", "gdb", "llvm-dwarfdump-19"]) {
        return;
    }
    let place = Place::new("operands");
    for level in ["-O1", "-O2"] {
        let wasm = chain(&place, level);
        for flags in [
            &[][..],
            &["-O", "opt-level=0"],
            &["-C", "model=instance"],
            &["-C", "model=instance", "-O", "opt-level=0"],
        ] {
            place.aot(&[&["build", &wasm, "-g", "-o", "app"], flags].concat());
            let output = place.gdb("app", &["break work", "break mean", "run", "source look.py"]);
            check(&format!("{level} {flags:?}"), &output, VALUES);
            let verified = place.output("llvm-dwarfdump-19", &["--verify", "app"]);
            assert!(verified.contains("No errors."), "{level} {flags:?}: {verified}");
        }
    }
}

#[test]
fn other_machines_have_them_too() {
    if !has_tools(&["clang-19", "gdb-multiarch", "llvm-dwarfdump-19"]) {
        return;
    }
    let place = Place::new("operands-cross");
    let wasm = chain(&place, "-O2");
    for target in ["aarch64-linux", "riscv64-linux", "s390x-linux"] {
        if !emulator::is_ready(target) {
            continue;
        }
        let name = format!("app-{target}");
        place.aot(&["build", &wasm, "-g", "--target", target, "-o", &name]);
        let commands = ["break work", "break mean", "continue", "source look.py", "kill"];
        check(target, &place.emulated(target, &name, &commands), VALUES);
    }
}

/// Goes through functions of the program in Rust, and what is inlined into them.
const LOOK_RUST: &str = "\
for _ in range(1000):
    where = gdb.execute('bt 1', to_string=True)
    inside = any(name in where for name in ('shop::cents', '::weight', 'core::'))
    if inside:
        gdb.execute('info locals')
    gdb.execute('stepi' if inside else 'continue', to_string=True)
";

#[test]
fn programs_in_rust_have_them() {
    if !has_tools(&["gdb", "llvm-dwarfdump-19"]) {
        return;
    }
    let place = Place::new("operands-rust");
    let Some(wasm) = place.guest("shop-O2.wasm") else { return };
    let described = place.run("llvm-dwarfdump-19", &["--debug-info", &wasm]);
    assert!(described.contains("DW_OP_WASM_location 0x2 "), "it has variables there");
    place.write("look.py", LOOK_RUST);
    let values: &Values = &[("count", &["1", "2", "3"]), ("sum", &["27"])];
    for inlining in ["inlining=n", "inlining=y"] {
        place.aot(&["build", &wasm, "-g", "-C", inlining, "-o", "app"]);
        let breaks = ["break shop::cents", "break shop::{impl#0}::weight"];
        let output = place.gdb("app", &[&breaks[..], &["run", "source look.py"]].concat());
        if inlining == "inlining=n" {
            check("Rust", &output, values);
        }
        let verified = place.output("llvm-dwarfdump-19", &["--verify", "app"]);
        assert!(verified.contains("No errors."), "{inlining}: {verified}");
    }
}

/// The local of a parameter gets other values, in a loop and after it, while the first one is still needed.
const WALK: &str = "\
struct node { int value; struct node *next; };
static volatile int seed;
__attribute__((noinline)) static int twice(int n) {
    seed += n;
    return n * 2;
}
__attribute__((noinline)) static int walk(struct node *list, struct node *other) {
    struct node *start = list;
    int all = list->value + other->value;
    while (list) {
        all += twice(list->value);
        list = list->next;
    }
    list = other->next;
    all += twice(list->value);
    return all + start->value + other->value;
}
int main(int count, char **args) {
    struct node third = {3, 0}, second = {2, &third}, first = {count, &second};
    struct node last = {7, 0}, other = {6, &last};
    return walk(&first, &other) != 40;
}
";

#[test]
fn locals_of_parameters_may_change() {
    if !has_tools(&["clang-19", "gdb"]) {
        return;
    }
    let place = Place::new("operands-walk");
    place.write("walk.c", WALK);
    for level in ["-O1", "-O2"] {
        let wasm = place.wasm("clang-19", &[level], "walk.c");
        for flags in [&[][..], &["-C", "model=instance"]] {
            place.aot(&[&["build", &wasm, "-g", "-o", "app"], flags].concat());
            assert_eq!(place.run("./app", &[]), "");
            let list = r#"printf "list %d\n", list->value"#;
            let other = r#"printf "other %d\n", other->value"#;
            let mut commands = vec!["break walk", "break twice", "run", list, other];
            for _ in 0..4 {
                commands.extend(["continue", r#"printf "n %d\n", n"#, "up", list, other]);
            }
            let output = place.gdb("app", &commands);
            let mut number = "1";
            let mut count = 0;
            for (name, value) in output.lines().filter_map(|line| line.split_once(' ')) {
                let is_right = match name {
                    "n" => {
                        number = value;
                        true
                    }
                    "list" => value == number,
                    "other" => value == "6",
                    _ => continue,
                };
                count += 1;
                assert!(is_right, "{level} {flags:?}: `{name}` is {value}\n{output}");
            }
            assert!(count >= 6 && output.contains("list 1"), "{level} {flags:?}: {output}");
        }
    }
}
