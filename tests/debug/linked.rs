//! Modules that are linked (`aot link`): each keeps its debug information, with its own memory.

use crate::place::{self, AOT, Place, expect, has_tools};

const LIBRARY: &str = "\
struct item { int price; struct item *next; };
static struct item items[3];
static int count;
int rebates[2] = {1, 2};

__attribute__((noinline)) static int sum(const struct item *list, int rebate) {
  int total = 0;
  for (const struct item *at = list; at; at = at->next)
    total += at->price - rebates[rebate];
  return total;
}

__attribute__((export_name(\"unused\"))) int unused(int n) {
  return n * 3 + count;
}

__attribute__((export_name(\"add\"))) void add(int price) {
  items[count].price = price;
  items[count].next = count ? &items[count - 1] : 0;
  count++;
}

__attribute__((export_name(\"total\"))) int total(int rebate) {
  char text[8] = \"library\";
  int result = sum(&items[count - 1], rebate);
  if (result < 0)
    __builtin_trap();
  return result + text[0] - 'l';
}
";

const PROGRAM: &str = "\
#include <stdio.h>
__attribute__((import_module(\"shop\"), import_name(\"add\"))) void shop_add(int price);
__attribute__((import_module(\"shop\"), import_name(\"total\"))) int shop_total(int rebate);

static const char *name = \"a shop\";

int main(int argc, char **argv) {
  int prices[2] = {5, 20};
  for (int i = 0; i < 2; i++)
    shop_add(argc > 1 ? -prices[i] : prices[i]);
  int sum = shop_total(1);
  printf(\"%s: %d\\n\", name, sum);
  return 0;
}
";

/// The modules of a program and its library, which have a memory each.
fn modules(place: &Place, level: &str) -> [String; 2] {
    place.write("app.c", PROGRAM);
    place.write("shop.c", LIBRARY);
    let level = format!("-O{level}");
    let library = place.wasm("clang-19", &["-mexec-model=reactor", &level], "shop.c");
    [place.wasm("clang-19", &[&level], "app.c"), format!("shop={library}")]
}

#[test]
fn gdb_shows_variables_of_all_modules() {
    if !has_tools(&["clang-19", "gdb"]) {
        return;
    }
    let place = Place::new("linked");
    let [app, library] = &modules(&place, "0");
    place.aot(&["link", app, library, "--emit", "wasm", "-o", "linked.wasm"]);
    for (input, model) in [
        (&["link", app, library][..], "static"),
        (&["link", app, library], "instance"),
        // Linked now, and compiled later.
        (&["build", "linked.wasm", "-W", "multi-memory"], "static"),
    ] {
        let model = format!("model={model}");
        place.aot(&[input, &["-g", "-O", "opt-level=0", "-C", &model, "-o", "app"]].concat());
        assert_eq!(place.run("./app", &[]), "a shop: 21\n");
        let commands = ["break sum", "run", "bt", "p *list", "p *list->next", "p items[1].price", "p count"];
        let more = ["p rebates", "next", "next", "info locals", "up", "p text", "up", "p prices", "x/s name"];
        let output = place.gdb("app", &[&commands[..], &more].concat());
        expect(
            &output,
            &[
                "sum (list=0x",
                "rebate=1) at shop.c:7",
                "in total (rebate=1) at shop.c:25",
                "in main (argc=1, argv=0x",
                "at app.c:11",
                "{price = 20, next = 0x",
                "{price = 5, next = 0x0}",
                "$3 = 20",
                "$4 = 2",
                "{1, 2}",
                "at = 0x",
                "total = 0",
                "\"library\"",
                "{5, 20}",
                "\"a shop\"",
            ],
        );
        assert!(!output.contains("warning: (") && !output.contains("Error"), "{model}: {output}");
    }
}

#[test]
fn lines_are_those_of_each_module() {
    if !has_tools(&["clang-19", "gdb", "readelf", "llvm-dwarfdump-19"]) {
        return;
    }
    let place = Place::new("linked-lines");
    for (level, flags) in [
        ("0", &["-O", "opt-level=0"][..]),
        ("1", &["-O", "opt-level=1", "-g"]),
        ("2", &["-C", "inlining=n"]),
        ("2", &["-g", "-C", "model=instance"]),
        ("2", &["-g", "-C", "inlining=y"]),
    ] {
        let [app, library] = &modules(&place, level);
        place.aot(&[&["link", app, library, "-o", "app"], flags].concat());
        let output = place.gdb("app", &["break shop.c:9", "run", "bt"]);
        expect(&output, &["sum (", "shop.c:9", "sum (", "total (", "shop.c:25", "main (", "app.c:11"]);
        // Without the code that nothing calls.
        let (functions, _) = place.both("llvm-dwarfdump-19", &["--name=unused", "app"]);
        assert!(!functions.contains("DW_AT_low_pc"), "{functions}");
        let traps = place.output("./app", &["negative"]);
        expect(&traps, &["0: shop.total (wasm offset 0x", "/shop.c:2", "main", "/app.c:11:"]);
        for (emit, output) in [("exe", "app"), ("cwasm", "app.cwasm"), ("obj", "app.o")] {
            place.aot(&[&["link", app, library, "--emit", emit, "-o", output], flags].concat());
            let verified = place.output("llvm-dwarfdump-19", &["--verify", output]);
            assert!(verified.contains("No errors."), "{flags:?} {emit}: {verified}");
            for section in ["info", "line", "loc", "Ranges"] {
                let (_, complaints) = place.both("readelf", &[&format!("--debug-dump={section}"), output]);
                assert_eq!(complaints, "", "{flags:?} {emit}: {section}");
            }
        }
    }
    let [app, library] = &modules(&place, "2");
    place.aot(&["link", app, library, "--strip", "debug", "-o", "app"]);
    assert!(!place.run("readelf", &["-SW", "app"]).contains(".debug_"));
}

const CALC: &str = "\
static int factor = 2;
__attribute__((export_name(\"twice\"))) int twice(int n) {
  int result = n * factor;
  if (n < 0)
    __builtin_trap();
  return result;
}
";

const MIDDLE: &str = "\
__attribute__((import_module(\"calc\"), import_name(\"twice\"))) int calc_twice(int n);
static int sum = 1;
__attribute__((export_name(\"add\"))) void add(int price) {
  int before = sum;
  sum = before + calc_twice(price);
}
__attribute__((export_name(\"total\"))) int total(int rebate) {
  return sum - rebate;
}
";

/// A module that was linked from others is linked again.
#[test]
fn what_is_linked_twice_keeps_its_debug_information() {
    if !has_tools(&["clang-19", "gdb", "llvm-dwarfdump-19"]) {
        return;
    }
    let place = Place::new("linked-twice");
    place.write("app.c", PROGRAM);
    place.write("middle.c", MIDDLE);
    place.write("calc.c", CALC);
    for level in ["0", "2"] {
        let flag = format!("-O{level}");
        let library = |source| place.wasm("clang-19", &["-mexec-model=reactor", &flag], source);
        let app = place.wasm("clang-19", &[&flag], "app.c");
        let calc = format!("calc={}", library("calc.c"));
        place.aot(&["link", &library("middle.c"), &calc, "--emit", "wasm", "-o", "shop.wasm"]);
        let aot_level = format!("opt-level={level}");
        let words =
            ["link", &app, "shop=shop.wasm", "-W", "multi-memory", "-g", "-O", &aot_level, "-o", "app"];
        place.aot(&words);
        assert_eq!(place.run("./app", &[]), "a shop: 50\n");
        let output = place.gdb("app", &["break twice", "run", "bt", "p factor", "p n", "up", "p sum"]);
        // Optimised code needs the price for nothing but the call: the callee may have something else in its register.
        let price = if level == "0" { "5" } else { "<optimized out>" };
        let add = format!("add (price={price}) at middle.c:5");
        let stack = ["twice (n=5) at calc.c:", &add, "main (", "app.c:10"];
        expect(&output, &[&stack[..], &["$1 = 2", "$2 = 5", "$3 = 1"]].concat());
        let traps = place.output("./app", &["negative"]);
        expect(&traps, &["twice", "/calc.c:", "add", "/middle.c:5", "main", "/app.c:10"]);
        let verified = place.output("llvm-dwarfdump-19", &["--verify", "app"]);
        assert!(verified.contains("No errors."), "{level}: {verified}");
    }
    // What is not wanted is not kept.
    for (strip, is_there) in [("none", true), ("debug", false), ("all", false)] {
        let words = ["link", "app.c-O0.wasm", "shop=shop.wasm", "-W", "multi-memory", "--strip", strip];
        place.aot(&[&words[..], &["--emit", "wasm", "-o", "linked.wasm"]].concat());
        let module = std::fs::read(place.join("linked.wasm")).expect("the module was made");
        let name = b"aot.debug";
        assert_eq!(module.windows(name.len()).any(|window| window == name), is_there, "{strip}");
        place.aot(&["build", "linked.wasm", "-W", "multi-memory", "-o", "app"]);
        assert_eq!(place.run("./app", &[]), "a shop: 50\n");
    }
}

/// What linking has kept is input of the next build: damage of it costs what it described.
#[test]
fn damage_costs_only_debug_information() {
    if !has_tools(&["clang-19"]) {
        return;
    }
    let place = Place::new("linked-damage");
    let [app, library] = &modules(&place, "1");
    place.aot(&["link", app, library, "--emit", "wasm", "-o", "linked.wasm"]);
    place.damage("linked.wasm", "a shop: 21\n");
    let module = std::fs::read(place.join("linked.wasm")).expect("the module was made");
    let name = b"aot.debug";
    let starts = (0..module.len()).filter(|at| module[*at..].starts_with(name)).map(|at| at + name.len());
    let starts: Vec<usize> = starts.collect();
    assert_eq!(starts.len(), 2);
    let mut built = 0;
    for round in 0..40 {
        let mut damaged = module.clone();
        let start = starts[round % 2] + [0, 3, 40, 400][round / 2 % 4];
        for index in 0..=round % 7 {
            let byte = &mut damaged[start + index * (1 + round % 5)];
            *byte = byte.wrapping_mul(31).wrapping_add(round as u8);
        }
        if !place::is_module(&damaged) {
            continue;
        }
        std::fs::write(place.join("damaged.wasm"), &damaged).expect("a file is written");
        let words = ["build", "damaged.wasm", "-W", "multi-memory", "-g", "-o", "damaged"];
        let (_, said) = place.both(AOT, &words);
        assert!(!said.contains("error") && !said.contains("panicked"), "round {round}: {said}");
        assert_eq!(place.run("./damaged", &[]), "a shop: 21\n", "round {round}");
        built += 1;
    }
    assert!(built > 20, "{built}");
}
