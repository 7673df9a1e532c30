//! Programs that others wrote for the standard interface, those of `examples/c-api`, and the code of the guide.

use crate::STRICT;
use crate::support::{self, Link, Programs, root, source, succeed};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// The published examples, with lines that each has to print beside its last one. Each checks the values that it gets
/// itself, and ends with another status if one is wrong. What they read is in their directory.
const PUBLISHED: &[(&str, &[&str])] = &[
    ("callback", &["> 7", "> 42", "> 49"]),
    ("finalize", &["Finalizing #0...", "Finalizing #100000...", "Live count 200002", "Live count 0"]),
    ("global", &[]),
    ("hello", &["Calling back...", "> Hello World!"]),
    ("hostref", &["> > 0x1", "> > (nil)", "call_r_r... Calling back..."]),
    ("memory", &[]),
    ("multi", &["> 4 3 2 1"]),
    (
        "reflect",
        &[
            ">> initial: func i32 f64 f32 -> i32",
            ">> current: table 0d 50d funcref",
            ">> current: memory 1d",
            ">> in-arity: 3, out-arity: 1",
        ],
    ),
    ("serialize", &["> Hello World!"]),
    ("start", &["> wasm trap: unreachable (wasm offset 0x2e)", "> (nil) @ 0x2e = 0.0x0"]),
    ("table", &[]),
    ("threads", &["> Thread 0 running", "> Thread 9 running", "Waiting for thread: 9"]),
    ("trap", &["> callback abort", "> wasm trap: unreachable (wasm offset 0x65)", "> Empty origin."]),
];

#[test]
fn published_programs_run_unchanged() {
    let examples = support::target_dir().join("setup/wasm-c-api");
    if !support::is_there("the published examples", examples.join("hello.c").is_file()) {
        return;
    }
    let programs = Programs::new();
    for entry in fs::read_dir(&examples).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a file").to_string_lossy().into_owned();
        match path.extension().map(|extension| extension.to_string_lossy()).as_deref() {
            Some("wasm") => {
                fs::copy(&path, programs.dir.path().join(format!("{name}.wasm"))).expect("a copy");
            }
            Some("c") => assert!(PUBLISHED.iter().any(|(known, _)| *known == name), "{name} is not run"),
            _ => {}
        }
    }
    for (name, lines) in PUBLISHED {
        // One of each way of linking, of which the other tests have more.
        let link = if *name == "hello" { Link::Static } else { Link::Shared };
        let program = programs.build(&examples.join(name).with_extension("c"), link, &[]);
        let printed = programs.run(&program, &[]);
        let last = if *name == "threads" { "> Thread" } else { "Done." };
        assert!(printed.lines().any(|line| line.starts_with(last)), "{name} ends too soon:\n{printed}");
        for line in *lines {
            assert!(
                printed.lines().any(|printed| printed == *line),
                "{name} does not print `{line}`:\n{printed}"
            );
        }
    }
}

/// A program of `examples/c-api`, built without a warning.
fn example(programs: &Programs, name: &str) -> std::path::PathBuf {
    let source = root().join("examples/c-api").join(name);
    programs.build(&source, Link::Shared, &[STRICT, &["-pedantic"]].concat())
}

#[test]
fn the_first_program_is_that_of_the_guide() {
    let guide = fs::read_to_string(root().join("docs/c-api.md")).expect("the guide");
    let text = fs::read_to_string(root().join("examples/c-api/price.c")).expect("the example");
    // Its first comment says how it is built; the guide does that in its own way.
    let (_, program) = text.split_once("*/\n\n").expect("a comment, then the program");
    assert!(
        guide.contains(program),
        "docs/c-api.md has to have the program as it is in examples/c-api/price.c"
    );

    let programs = Programs::new();
    let plugin = fs::read_to_string(root().join("examples/embed/plugins/price.wat")).expect("a plugin");
    programs.image("price.cwasm", &plugin);
    let program = example(&programs, "price.c");
    let printed = programs.run(&program, &[]);
    assert_eq!(printed, "3 pieces: 750\nnote: a tenth off\n20 pieces: 4500\n");
    assert!(guide.contains(&printed), "docs/c-api.md has to say what is printed:\n{printed}");
    let output = support::command(&program).arg("missing.cwasm").output().expect("it starts");
    assert!(!output.status.success() && output.stderr.starts_with(b"error: cannot load `missing.cwasm`"));
}

#[test]
fn a_wasi_command_runs_with_limits() {
    let programs = Programs::new();
    let program = example(&programs, "run.c");
    let host = || aot_compiler::Target::host().expect("this machine is a target");
    let words = fs::read_to_string(root().join("examples/top-words.wat")).expect("an example");
    let words = programs.image_for("top-words.cwasm", &words, host(), true);
    let run = |image: &Path, input: &[u8]| {
        let input_file = programs.dir.path().join("input");
        fs::write(&input_file, input).expect("a file");
        let input = fs::File::open(&input_file).expect("a file");
        support::command(&program).arg(image).stdin(Stdio::from(input)).output().expect("it starts")
    };
    let output = run(&words, b"one two two three three three");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains("three"), "{printed}");

    let forever = programs.image_for(
        "forever.cwasm",
        r#"(module (func (export "_start") (loop (br 0))))"#,
        host(),
        true,
    );
    let output = run(&forever, b"");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("interrupted"), "{output:?}");
    let exit = r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1) (func (export "_start") (call $exit (i32.const 7))))"#;
    let output = run(&programs.image_for("exit.cwasm", exit, host(), true), b"");
    assert_eq!(output.status.code(), Some(7));
}

/// The pieces of code of the guide, by their language.
fn pieces(guide: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    guide.split(&fence).skip(1).filter_map(|rest| Some(rest.split_once("\n```")?.0.to_owned())).collect()
}

#[test]
fn the_code_of_the_guide_compiles() {
    let guide = fs::read_to_string(root().join("docs/c-api.md")).expect("the guide");
    let pieces = pieces(&guide, "c");
    assert!(pieces.len() > 5, "{} pieces", pieces.len());
    let directory = tempfile::tempdir().expect("a directory");
    for (number, piece) in pieces.iter().enumerate() {
        let file = directory.path().join(format!("piece{number}.c"));
        // A piece that is no file of its own is the inside of a function, with what the text before it speaks of.
        let text = match piece.contains("#include") {
            true => piece.clone(),
            false => format!("#include \"guide.h\"\nint use(GUIDE_PARAMETERS) {{\n{piece}\nreturn 0;\n}}\n"),
        };
        fs::write(&file, text).expect("a file");
        let mut compiler = Command::new("cc");
        compiler.args(["-std=gnu99", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-Wno-unused"]);
        compiler.arg("-I").arg(support::headers()).arg("-I").arg(source("").as_path());
        succeed(compiler.arg(&file));
    }
}
