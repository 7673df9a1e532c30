//! gdb goes from a Rust program into the C of a module that it has been built with.

use aot_build::Builder;
use std::fs;
use std::path::Path;
use std::process::Command;

const GUEST: &str = "\
struct item { int price; struct item *next; };
static struct item items[2] = {{5, &items[1]}, {20, 0}};
__attribute__((noinline)) static int sum(const struct item *list, int rebate) {
    int total = 0;
    for (const struct item *at = list; at; at = at->next)
        total += at->price - rebate;
    return total;
}
__attribute__((export_name(\"total\"))) int total(int rebate) {
    return sum(items, rebate);
}
";

const PROGRAM: &str = "\
include!(\"guest.rs\");
fn main() {
    let mut shop = guest::Instance::new().unwrap();
    let rebate = 2;
    println!(\"{}\", shop.total(rebate).unwrap());
}
";

/// Whether commands are there; on CI they have to be.
fn are_there(names: &[&str]) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &&str| std::env::split_paths(&paths).any(|path| path.join(name).is_file());
    let all = names.iter().all(is_there);
    assert!(all || std::env::var_os("CI").is_none(), "one of {names:?} is missing: `cargo xtask setup`");
    all
}

#[track_caller]
fn run(directory: &Path, program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(directory).output().expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{program} {args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn gdb_goes_through_rust_programs() {
    if !are_there(&["clang-19", "rustc", "gdb"]) {
        println!("SKIPPED: no clang-19, rustc or gdb");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    fs::write(path.join("guest.c"), GUEST).expect("it can be written");
    fs::write(path.join("program.rs"), PROGRAM).expect("it can be written");
    let flags = ["--target=wasm32-wasi", "-mexec-model=reactor", "-g", "-O0", "guest.c", "-o", "guest.wasm"];
    run(path, "clang-19", &flags);
    let builder = Builder::new(path.join("guest.wasm")).out_dir(path).target("x86_64-unknown-linux-gnu");
    let output = builder.debug(true).try_compile().expect("it is right");
    let library = output.library.file_stem().and_then(|name| name.to_str()).expect("its name");
    let link = format!("static={}", library.trim_start_matches("lib"));
    run(path, "rustc", &["-g", "--edition=2024", "-L", ".", "-l", &link, "program.rs"]);
    assert_eq!(run(path, "./program", &[]), "21\n");

    let commands =
        ["break sum", "run", "bt", "p *list", "p *list->next", "p items[1].price", "next", "info locals"];
    let mut args = vec!["-nx", "-batch", "-ex", "set width 0"];
    args.extend(commands.iter().flat_map(|command| ["-ex", command]));
    args.push("program");
    let answers = run(path, "gdb", &args);
    let mut rest = &answers[..];
    for wanted in [
        "sum (list=0x",
        "rebate=2) at guest.c:4",
        "in total (rebate=2) at guest.c:10",
        "in program::guest::",
        "in program::main () at program.rs:5",
        "{price = 5, next = ",
        "{price = 20, next = 0x0}",
        "$3 = 20",
        "total = 0",
    ] {
        let Some(at) = rest.find(wanted) else { panic!("no `{wanted}`, or not in its place: {answers}") };
        rest = &rest[at..];
    }
}
