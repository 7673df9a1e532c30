//! Modules as libraries of C programs: gdb goes from the program into its modules, and back.

use crate::place::{Place, expect, has_tools};

/// A program with the same module as two libraries: an object, and a shared object.
fn program(place: &Place, level: &str, flags: &[&str]) {
    let wasm = place.wasm("clang-19", &["-mexec-model=reactor", &format!("-O{level}")], "guest.c");
    for (prefix, kind, file) in [("first", "obj", "first.o"), ("second", "shared", "libsecond.so")] {
        let emit = format!("{kind}={file},header={prefix}.h");
        place.aot(&[&["build", &wasm, "--prefix", prefix, "--emit", &emit], flags].concat());
    }
    place.aot(&["runtime"]);
    let files = ["host.c", "first.o", "libaot_rt.a", "-L.", "-l:libsecond.so", "-Wl,-rpath,."];
    place.run("cc", &[&["-g", "-O0", "-o", "host"], &files[..]].concat());
    assert_eq!(place.run("./host", &[]), "21 97 -75 42\ntrap 1\n");
}

/// What gdb prints of the program, with a line before the answer to each command.
fn session(place: &Place, commands: &[&str]) -> String {
    let echo = |command: &&str| [format!("echo \\n> {command}\\n"), String::from(*command)];
    let commands: Vec<String> = commands.iter().flat_map(echo).collect();
    let mut words = vec!["set breakpoint pending on"];
    words.extend(commands.iter().map(String::as_str));
    place.gdb("host", &words)
}

#[test]
fn gdb_goes_through_libraries() {
    if !has_tools(&["clang-19", "gdb", "cc"]) {
        return;
    }
    let place = Place::new("library");
    program(&place, "0", &["-g", "-O", "opt-level=0"]);
    let commands = [
        "break sum",
        "run",
        "bt",
        "p *list",
        "p *list->next",
        "p list->next->price",
        "p/c *list->name@9",
        "p items->price",
        "p rebates",
        "next",
        "next",
        "next",
        "info locals",
        "up",
        "p text",
        "up",
        "up",
        "info locals",
        "continue",
        "bt",
        "p list->price",
        "p items->price",
        "delete",
        "continue",
        "bt",
        "p reason",
    ];
    let output = session(&place, &commands);
    expect(
        &output,
        &[
            "sum (list=0x",
            "rebate=1) at guest.c:",
            "> bt",
            "sum (list=0x",
            "in total (rebate=1) at guest.c:",
            "in first_total () at guest.c:",
            "in main () at host.c:",
            "> p *list\n",
            "price = 20",
            "> p *list->next\n",
            "price = 5",
            "> p list->next->price\n$3 = 5\n",
            "{101 'e', 120 'x', 112 'p', 101 'e',",
            "> p items->price\n$5 = 20\n",
            "{1, 2, 3}",
            "> info locals\n",
            "at = 0x",
            "total = 18",
            "\"a text",
            "> info locals\n",
            "shop = 0x",
            // The other library.
            "rebate=2) at guest.c:",
            "in second_total () at guest.c:",
            "in main () at host.c:",
            "> p list->price\n",
            " = 100\n",
            "> p items->price\n",
            " = 100\n",
            "SIGILL",
            "check (reason=1) at guest.c:",
            "in first_check () at guest.c:",
            "in main () at host.c:",
            "> p reason\n",
            " = 1\n",
        ],
    );
    // Into the library: what C calls, then the function.
    let output = session(&place, &["break first_total", "run", "step", "step", "finish", "finish"]);
    expect(
        &output,
        &[
            "first_total () at guest.c:",
            "total (rebate=1) at guest.c:",
            "> finish",
            "in first_total () at guest.c:",
            "Value returned is $1 = 21",
            "in main () at host.c:",
        ],
    );
}

/// Optimised, and with lines only: a function that is inlined in what C calls is found there.
#[test]
fn gdb_knows_lines_of_optimised_libraries() {
    if !has_tools(&["clang-19", "gdb", "cc", "readelf", "llvm-dwarfdump-19"]) {
        return;
    }
    let place = Place::new("library-lines");
    for (level, flags, arguments) in [
        ("1", &["-O", "opt-level=1"][..], ""),
        ("2", &[], ""),
        ("2", &["-g"], "n=21"),
        ("2", &["-g", "-C", "inlining=y"], "n=<optimized out>"),
    ] {
        program(&place, level, flags);
        let output = session(&place, &["break twice", "run", "bt", "delete", "break sum", "run", "bt"]);
        let twice = format!("twice ({arguments}) at guest.c:38");
        expect(&output, &[&twice, "> bt", &twice, "first_twice () at guest.c:37", "in main () at host.c:"]);
        expect(&output, &["sum (", "in total (", "in first_total () at guest.c:", "in main () at host.c:"]);
        for file in ["first.o", "libsecond.so", "host"] {
            let verified = place.output("llvm-dwarfdump-19", &["--verify", file]);
            assert!(verified.contains("No errors."), "{file} {flags:?}: {verified}");
            for section in ["info", "line", "loc", "Ranges"] {
                let (_, complaints) = place.both("readelf", &[&format!("--debug-dump={section}"), file]);
                assert_eq!(complaints, "", "{file} {flags:?}: {section}");
            }
        }
    }
    for strip in ["debug", "all"] {
        program(&place, "2", &["-g", "--strip", strip]);
        for file in ["first.o", "libsecond.so"] {
            let sections = place.run("readelf", &["-SW", file]);
            assert!(!sections.contains(".debug_"), "{file} {strip}: {sections}");
        }
    }
}
