//! The examples of the embedding API: runs them, and looks at what they print.
//!
//! The guests are in `target/programs/guests` (`cargo xtask guests` builds them). An example whose guest is not there is
//! skipped by name; when `CI` is set, a skip is a failure.

use aot_compiler::{Config, Target};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What an example printed, and how it ended.
struct Outcome {
    stdout: String,
    stderr: String,
    success: bool,
}

fn run(example: &str, args: &[&str], input: &str) -> Outcome {
    let mut command = Command::new(example);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the example starts");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("the example reads its input");
    let output = child.wait_with_output().expect("the example ends");
    Outcome {
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
        success: output.status.success(),
    }
}

/// What an example printed that has to succeed.
fn output(example: &str, args: &[&str], input: &str) -> String {
    let Outcome { stdout, stderr, success } = run(example, args, input);
    assert!(success, "{stdout}{stderr}");
    stdout
}

fn guests() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a directory in target/");
    target.join("programs/guests")
}

/// Whether a guest is there.
///
/// # Panics
/// On CI, if it is not.
fn has_guest(name: &str) -> bool {
    let found = guests().join(name).is_file();
    if !found {
        assert!(std::env::var_os("CI").is_none(), "guest {name} is not there: `cargo xtask guests`");
        println!("example with {name}: SKIPPED, `cargo xtask guests` builds it");
    }
    found
}

#[test]
fn strings_go_in_and_out_of_a_guest() {
    if !has_guest("greet.wasm") {
        return;
    }
    let greet = env!("CARGO_BIN_EXE_greet");
    let wasm = guests().join("greet.wasm");
    let wasm = wasm.to_str().expect("text");
    let long = "x".repeat(100_000);
    let printed = output(greet, &[wasm, "World", "", "Grüße aus ☕", &long], "");
    let expected = format!("Hello, World!\nHello, !\nHello, Grüße aus ☕!\nHello, {long}!\n");
    assert!(printed == expected, "{}", &printed[..printed.len().min(200)]);
}

#[test]
fn go_is_called_and_calls() {
    if !has_guest("go-add.wasm") || !has_guest("go-worker.wasm") {
        return;
    }
    let printed = output(env!("CARGO_BIN_EXE_go-calls"), &[guests().to_str().expect("text")], "");
    assert_eq!(
        printed,
        "reactor: 40 + 2 = 42\n\
         command, directly: [1, 4, 9]\n\
         command, in its own thread: 4 -> 16\n\
         command, in its own thread: 5 -> 25\n\
         command, in its own thread: 6 -> 36\n"
    );
}

#[test]
fn guests_that_are_not_there_are_errors() {
    for (example, args) in [
        (env!("CARGO_BIN_EXE_greet"), &["/does/not/exist.wasm", "x"][..]),
        (env!("CARGO_BIN_EXE_greet"), &[]),
        (env!("CARGO_BIN_EXE_go-calls"), &["/does/not/exist"]),
        (env!("CARGO_BIN_EXE_plugins"), &[]),
    ] {
        let outcome = run(example, args, "");
        assert!(!outcome.success && outcome.stderr.starts_with("Error: "), "{}", outcome.stderr);
    }
}

#[test]
fn the_first_program_is_that_of_the_guide() {
    let guide = include_str!("../docs/embedding.md");
    let plugin = include_str!("../examples/embed/plugins/price.wat");
    let program = include_str!("../examples/embed/src/bin/first.rs");
    // Its first line says what it is; the guide does that in its own way.
    let (_, program) = program.split_once("\n\n").expect("a comment, then the program");
    for part in [plugin, program] {
        assert!(guide.contains(part), "docs/embedding.md has to have this, as it is:\n{part}");
    }
    let directory = tempfile::tempdir().expect("a directory");
    let image = directory.path().join("price.cwasm");
    build_plugin("price", false, &image);
    let printed = output(env!("CARGO_BIN_EXE_first"), &[image.to_str().expect("text")], "");
    assert_eq!(printed, "3 pieces: 750\n20 pieces: 4500\nnotes: [\"a tenth off\"]\n");
    for line in printed.lines() {
        assert!(guide.contains(line), "docs/embedding.md has to say what is printed: {line}");
    }
}

/// Compiles a plugin of the example into a directory.
fn build_plugin(name: &str, interruptible: bool, image: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text =
        fs::read(root.join("plugins").join(name).with_extension("wat")).expect("a plugin of the example");
    let wasm = aot_compiler::parse_text(&text, name).expect("the text is right");
    let mut config = Config::image(Target::host().expect("the tests run on a machine that is a target"));
    config.interruptible = interruptible;
    let compiled = aot_compiler::compile(&wasm, &config).and_then(|compiled| compiled.cwasm());
    fs::write(image, compiled.expect("the plugin is valid")).expect("a file");
}

#[test]
fn plugins_are_loaded_limited_and_unloaded() {
    let directory = tempfile::tempdir().expect("a directory");
    for name in ["fibonacci", "forever", "greedy"] {
        build_plugin(name, true, &directory.path().join(name).with_extension("cwasm"));
    }
    build_plugin("forever", false, &directory.path().join("unstoppable.cwasm"));
    fs::write(directory.path().join("broken.cwasm"), "no image").expect("a file");

    let plugins = |commands: &str| {
        let printed =
            output(env!("CARGO_BIN_EXE_plugins"), &[directory.path().to_str().expect("text")], commands);
        // Where it was interrupted does not matter.
        let lines = printed.lines().map(|line| line.split(" (wasm offset").next().unwrap_or(line));
        lines.fold(String::new(), |lines, line| lines + line + "\n")
    };
    assert_eq!(
        plugins(
            "list\n\
             exports fibonacci\n\
             call fibonacci fibonacci 20\n\
             call forever loop\n\
             call greedy grow\n\
             list\n\
             unload forever\n\
             unload forever\n\
             call fibonacci fibonacci 10\n"
        ),
        "broken\nfibonacci\nforever\ngreedy\nunstoppable\n\
         memory: memory of 1 pages and more\n\
         fibonacci: function of type (i32) -> (i64)\n\
         [fibonacci] computing\n\
         fibonacci.fibonacci: 6765\n\
         error: wasm trap: interrupted\n\
         greedy.grow: 256\n\
         broken\nfibonacci, loaded\nforever, loaded\ngreedy, loaded\nunstoppable\n\
         forever: unloaded\n\
         forever: was not loaded\n\
         [fibonacci] computing\n\
         fibonacci.fibonacci: 55\n"
    );
    for (command, expected) in [
        ("call unstoppable loop", "-W epoch-interruption"),
        ("call forever recursion", "call stack exhausted"),
        ("exports broken", "broken.cwasm"),
        ("call ../broken f", "cannot load"),
        ("call fibonacci nothing", "exports no function `nothing`"),
        ("call fibonacci memory", "exports no function `memory`"),
        ("call fibonacci fibonacci", "takes 1 numbers"),
        ("call fibonacci fibonacci x", "invalid digit"),
        ("nonsense", "commands: "),
    ] {
        let printed = plugins(&format!("{command}\ncall fibonacci fibonacci 1\n"));
        let (error, rest) = printed.split_once('\n').expect("two lines");
        assert!(error.starts_with("error: ") && error.contains(expected), "{command}: {printed}");
        assert_eq!(rest, "[fibonacci] computing\nfibonacci.fibonacci: 1\n", "{command}");
    }
}
