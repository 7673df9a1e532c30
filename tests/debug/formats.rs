//! Debug information in objects for Windows and macOS, before and after linking, as LLVM's tools read it.

use crate::place::{Place, has_tools};
use std::collections::BTreeMap;

const TOOLS: [&str; 6] = [
    "clang-19",
    "llvm-dwarfdump-19",
    "llvm-nm-19",
    "llvm-objdump-19",
    "llvm-readobj-19",
    "llvm-symbolizer-19",
];

/// All that is asked for: optimisation of the module, flags of the build.
const BUILDS: [(&str, &[&str]); 5] = [
    ("0", &["-g", "-O", "opt-level=0"]),
    ("1", &["-g", "-O", "opt-level=1"]),
    ("2", &["-g"]),
    ("2", &["-g", "-C", "inlining=y"]),
    ("0", &[]),
];

fn verify(place: &Place, file: &str, what: &str) {
    let verified = place.output("llvm-dwarfdump-19", &["--verify", file]);
    assert!(verified.contains("No errors."), "{what} {file}: {verified}");
}

/// Builds an object, looks at its debug information, and gives the names of its sections with their flags.
fn object(place: &Place, target: &str, level: &str, flags: &[&str]) -> Vec<(String, String)> {
    let what = format!("{target} -O{level} {flags:?}");
    let wasm = place.wasm("clang-19", &[&format!("-O{level}")], "list.c");
    place.aot(&[&["build", &wasm, "--emit", "obj", "--target", target, "-o", "in.o"], flags].concat());
    verify(place, "in.o", &what);
    for (flag, wanted) in [("-l", "/list.c:35"), ("--source", "result += at->value;")] {
        let (listing, said) = place.both("llvm-objdump-19", &["-d", flag, "in.o"]);
        // Sources of the C library are not here, and some of it has none.
        let is_about_ours = said.lines().any(|line| line.ends_with("/list.c"));
        assert!(listing.contains(wanted) && !is_about_ours, "{what}: {flag}: {said}");
    }
    let functions = functions(place, "in.o");
    let [place_of_sum] = &positions(place, "in.o", &[functions["sum"]])[..] else { panic!("one address") };
    assert!(place_of_sum.starts_with("sum\n") && place_of_sum.contains("/list.c:3"), "{place_of_sum}");
    if flags.contains(&"-g") {
        let (sum, _) = place.both("llvm-dwarfdump-19", &["--name=sum", "--show-children", "in.o"]);
        for wanted in ["DW_AT_frame_base", "(\"list\")", "(\"result\")", "DW_AT_location"] {
            assert!(sum.contains(wanted), "{what}: no {wanted} in {sum}");
        }
        // Debuggers for Windows find no frame by DWARF's tables: there are none.
        assert_eq!(sum.contains("DW_OP_call_frame_cfa"), target.ends_with("macos") && level == "0", "{sum}");
    }
    sections(place, "in.o")
}

/// Sections about debugging, and the words about their attributes.
fn sections(place: &Place, file: &str) -> Vec<(String, String)> {
    let text = place.run("llvm-readobj-19", &["--sections", file]);
    let sections = text.split("  Section {").skip(1).filter_map(|section| {
        let name = section.split("Name: ").nth(1)?.split_whitespace().next()?;
        name.contains("debug_").then(|| (name.to_owned(), section.to_owned()))
    });
    sections.collect()
}

/// Addresses of functions, by their names in C.
fn functions(place: &Place, file: &str) -> BTreeMap<String, u64> {
    let text = place.run("llvm-nm-19", &["--format=posix", file]);
    let has_underscores = text.lines().any(|line| line.starts_with("_aot_module "));
    let symbol = |line: &str| {
        let [name, kind, value, ..] = *line.split(' ').collect::<Vec<_>>() else { return None };
        // Names that linkers leave out have no underscore.
        let name = if has_underscores { name.strip_prefix('_')? } else { name };
        let is_code = matches!(kind, "t" | "T");
        is_code.then(|| (name.to_owned(), u64::from_str_radix(value, 16).expect("an address")))
    };
    text.lines().filter_map(symbol).collect()
}

/// Functions and lines of addresses.
fn positions(place: &Place, file: &str, addresses: &[u64]) -> Vec<String> {
    let mut words = vec![format!("--obj={file}")];
    words.extend(addresses.iter().map(|address| format!("{address:#x}")));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let text = place.run("llvm-symbolizer-19", &words);
    text.trim_end().split("\n\n").map(str::to_owned).collect()
}

/// An object with what the other one refers to, and something that refers to it.
fn host(place: &Place, clang_target: &str) {
    let undefined = place.run("llvm-nm-19", &["-u", "--format=just-symbols", "in.o"]);
    let mut source = String::from(
        "extern const unsigned long long aot_module[11];\nint _fltused;\n\
         int start(void) { return aot_module[1] != 0; }\n",
    );
    for name in undefined.lines() {
        let name = if clang_target.contains("apple") { &name[1..] } else { name };
        source += &format!("void {name}(void) {{}}\n");
    }
    place.write("runtime.c", &source);
    let target = format!("--target={clang_target}");
    place.run("clang-19", &["-ffreestanding", "-w", "-c", &target, "runtime.c", "-o", "runtime.o"]);
}

/// The rows of all line tables: addresses, and what is said of them.
fn rows(place: &Place, file: &str) -> Vec<(u64, String)> {
    let text = place.run("llvm-dwarfdump-19", &["--debug-line", file]);
    let row = |line: &str| {
        let (address, rest) = line.strip_prefix("0x")?.split_once(' ')?;
        Some((u64::from_str_radix(address, 16).ok()?, rest.to_owned()))
    };
    text.lines().filter_map(row).collect()
}

/// Objects have no sections of DWARF where none are wanted.
fn check_stripped(place: &Place, target: &str) {
    for strip in ["debug", "all"] {
        let wasm = place.wasm("clang-19", &["-O2"], "list.c");
        let words = ["build", &wasm, "-g", "--emit", "obj", "--target", target, "--strip", strip];
        place.aot(&[&words[..], &["-o", "in.o"]].concat());
        assert_eq!(sections(place, "in.o"), []);
    }
}

fn windows(target: &str, clang_target: &str, emulation: Option<&str>) {
    if !has_tools(&TOOLS) || !has_tools(&["lld-link-19", "ld.lld-19"]) {
        return;
    }
    let place = Place::new(&format!("formats-{target}"));
    for (level, flags) in BUILDS {
        for (name, section) in object(&place, target, level, flags) {
            // As clang's: one byte after the other, and not loaded.
            assert!(section.contains("Characteristics [ (0x42100040)"), "{name}: {section}");
        }
        host(&place, clang_target);
        let words = ["/entry:start", "/subsystem:console", "/nodefaultlib", "/debug:dwarf", "/out:lld.exe"];
        place.run("lld-link-19", &[&words[..], &["in.o", "runtime.o"]].concat());
        let mut images = vec!["lld.exe"];
        if let Some(emulation) = emulation {
            let words = ["-m", emulation, "--entry", "start", "--subsystem", "console", "-o", "gnu.exe"];
            place.run("ld.lld-19", &[&words[..], &["in.o", "runtime.o"]].concat());
            images.push("gnu.exe");
        }
        let before = rows(&place, "in.o");
        for image in images {
            verify(&place, image, target);
            let after = rows(&place, image);
            let distance = after[0].0 - before[0].0;
            assert!(distance > 0 && before.len() > 500, "{} rows", before.len());
            let moved: Vec<_> = before.iter().map(|(at, row)| (at + distance, row.clone())).collect();
            assert!(moved == after, "{image} -O{level} {flags:?}: lines are not where they were");
        }
    }
    check_stripped(&place, target);
}

#[test]
fn windows_x86_64_objects_have_dwarf() {
    windows("x86_64-windows", "x86_64-pc-windows-msvc", Some("i386pep"));
}

#[test]
fn windows_aarch64_objects_have_dwarf() {
    windows("aarch64-windows", "aarch64-pc-windows-msvc", None);
}

fn macos(target: &str, machine: &str) {
    if !has_tools(&TOOLS) || !has_tools(&["ld64.lld-19", "dsymutil-19"]) {
        return;
    }
    let place = Place::new(&format!("formats-{target}"));
    for (level, flags) in BUILDS {
        for (name, section) in object(&place, target, level, flags) {
            assert!(section.contains("Segment: __DWARF"), "{name}: {section}");
            assert!(section.contains("Attributes [ (0x20000)"), "{name}: {section}");
        }
        host(&place, &format!("{machine}-apple-macosx11.0"));
        let words = ["-arch", machine, "-platform_version", "macos", "11.0", "11.0", "-dylib"];
        place.run("ld64.lld-19", &[&words[..], &["-o", "linked-macos", "in.o", "runtime.o"]].concat());
        let said = place.output("dsymutil-19", &["--flat", "linked-macos", "-o", "linked.dwarf"]);
        assert_eq!(said, "", "{target} -O{level} {flags:?}");
        verify(&place, "linked.dwarf", target);
        // The start of each function, and a place in it.
        let (before, after) = (functions(&place, "in.o"), functions(&place, "linked-macos"));
        assert!(before.len() > 50, "{before:?}");
        let addresses = |functions: &BTreeMap<String, u64>| -> Vec<u64> {
            let found = before.keys().map(|name| functions[name]);
            found.flat_map(|address| [address, address + 16]).collect()
        };
        let before = positions(&place, "in.o", &addresses(&before));
        let after = positions(&place, "linked.dwarf", &addresses(&after));
        for (before, after) in before.iter().zip(&after) {
            // Symbols of linkers are at the first function too.
            let (before, after) = (before.replace("ltmp0\n", "_start\n"), after);
            assert!(before == *after, "{target} -O{level} {flags:?}: `{before}` became `{after}`");
        }
        assert_eq!(before.len(), after.len());
    }
    check_stripped(&place, target);
}

#[test]
fn macos_x86_64_objects_have_dwarf() {
    macos("x86_64-macos", "x86_64");
}

#[test]
fn macos_aarch64_objects_have_dwarf() {
    macos("aarch64-macos", "arm64");
}
