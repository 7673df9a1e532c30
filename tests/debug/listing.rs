//! `aot objdump --source`, and the symbols that listings go by.

use crate::place::{AOT, Place, has_tools};
use std::collections::HashSet;

const SOURCE: &str = "\
__attribute__((noinline)) int quotient(int a, int b) {
    int sum = a + 3;
    return sum / b;
}
static inline __attribute__((always_inline)) int half(int n) {
    return 770 / n;
}
int main(int count, char **args) {
    return quotient(count, half(count));
}
";

/// Whether the texts stand in lines in this order.
fn in_order(text: &str, wanted: &[&str]) -> bool {
    let mut lines = text.lines();
    wanted.iter().all(|wanted| lines.any(|line| line.contains(wanted)))
}

#[test]
fn source_stands_before_its_code() {
    if !has_tools(&["clang-19"]) {
        return;
    }
    let place = Place::new("listing");
    place.write("short.c", SOURCE);
    let wasm = place.wasm("clang-19", &["-O1"], "short.c");
    let build = ["build", &wasm, "-C", "inlining=n", "--target", "x86_64-linux"];
    for (emit, output) in [("exe", "app"), ("obj", "app.o"), ("cwasm", "app.cwasm")] {
        place.aot(&[&build[..], &["--emit", emit, "-o", output]].concat());
        let (listing, said) = place.both(AOT, &["objdump", output, "--source", "--funcs", "quotient"]);
        assert_eq!(said, "", "{output}");
        let wanted = ["`quotient`", "short.c:", "    3 |     return sum / b;", "idiv"];
        assert!(in_order(&listing, &wanted), "{output}: {listing}");
        assert_eq!(listing.matches("return sum / b;").count(), 1, "{output}: {listing}");
        let (listing, _) = place.both(AOT, &["objdump", output, "--source", "--funcs", "main"]);
        let wanted = ["short.c:6, in half (inlined)", "    6 |     return 770 / n;"];
        assert!(in_order(&listing, &wanted), "{output}: {listing}");
        let (plain, _) = place.both(AOT, &["objdump", output, "--funcs", "quotient"]);
        assert!(plain.contains("idiv") && !plain.contains("return"), "{output}: {plain}");
    }
    for target in ["x86_64-linux", "riscv64-linux"] {
        let words =
            ["objdump", &wasm, "--source", "--funcs", "quotient", "-C", "inlining=n", "--target", target];
        let (listing, said) = place.both(AOT, &words);
        assert_eq!(said, "");
        let wanted = [
            "    3 |     return sum / b;",
            "i32.div_s",
            if target.starts_with('x') { "idiv" } else { "div" },
        ];
        assert!(in_order(&listing, &wanted), "{target}: {listing}");
        // Each instruction of the function is there, also those without code.
        for instruction in ["local.get 0", "i32.const 3", "i32.add", "local.get 1", "i32.div_s"] {
            assert!(listing.contains(instruction), "no {instruction} in {listing}");
        }
    }
    // Without the file there are numbers, and one note.
    std::fs::remove_file(place.join("short.c")).expect("it was written");
    for (input, flags) in [("app", &[][..]), (&*wasm, &["-C", "inlining=n"])] {
        let (listing, said) = place.both(AOT, &[&["objdump", input, "--source"], flags].concat());
        assert!(listing.contains("short.c:3") && !listing.contains("return sum"), "{listing}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains("can't be read"), "{said}");
    }
    place.aot(&[&build[..], &["--strip", "debug", "-o", "bare"]].concat());
    let (listing, said) = place.both(AOT, &["objdump", "bare", "--source"]);
    assert!(listing.contains("idiv"), "{listing}");
    assert!(said.contains("does not say which source"), "{said}");
}

#[test]
fn symbols_are_unique_and_cover_their_functions() {
    if !has_tools(&["readelf", "c++filt"]) {
        return;
    }
    let place = Place::new("symbols");
    place.write(
        "names.wat",
        r#"(module
            (func $a (@name "same") (export "a") (result i32) (i32.const 1))
            (func $b (@name "same") (export "b") (result i32) (i32.const 2))
            (func $c (@name "same.1") (export "c") (result i32) (i32.const 3))
            (func $d (@name "_ZN3geo5Point4normEv") (export "d") unreachable)
            (func (export "_start") (drop (call $a)) (drop (call $b)) (drop (call $c)) (call $d)))"#,
    );
    for (emit, output) in [("exe", "app"), ("obj", "app.o"), ("cwasm", "app.cwasm")] {
        place.aot(&["build", "names.wat", "-C", "inlining=n", "--emit", emit, "-o", output]);
        let table = place.run("readelf", &["-sW", output]);
        let functions = table.lines().filter(|line| line.contains(" FUNC ")).map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let size: u64 = words[2].parse().expect("a size");
            (u64::from_str_radix(words[1], 16).expect("an address"), size, words[7..].join(" "))
        });
        let mut functions: Vec<_> = functions.filter(|(_, size, _)| *size > 0).collect();
        functions.sort();
        let ours: Vec<&str> = functions.iter().map(|function| &*function.2).collect();
        for name in ["same", "same.1", "same.1.1", "_ZN3geo5Point4normEv"] {
            assert_eq!(
                ours.iter().filter(|other| **other == name).count(),
                1,
                "{output}: {name} in {ours:?}"
            );
        }
        if emit != "exe" {
            // The runtime has functions of its own.
            assert_eq!(ours.iter().collect::<HashSet<_>>().len(), ours.len(), "{output}: {ours:?}");
        }
        for pair in functions.windows(2) {
            assert!(pair[0].0 + pair[0].1 <= pair[1].0, "{output}: {pair:?} overlap");
        }
        let title =
            |flags: &[&str]| place.run(AOT, &[&["objdump", output, "--funcs", "Point"], flags].concat());
        assert!(title(&[]).contains("`_ZN3geo5Point4normEv`"), "{output}");
        assert!(title(&["--demangle"]).contains("`geo::Point::norm()`"), "{output}");
        let all = place.run(AOT, &["objdump", output, "--demangle"]);
        assert!(all.contains("; geo::Point::norm()") || emit == "exe", "{output}: {all}");
    }
}
