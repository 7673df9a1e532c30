//! The C API: programs in C and C++, built against the headers and both libraries, and run.

mod examples;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use support::{Link, Programs, headers, library_dir, source, succeed};

/// What our own programs must not make a compiler say.
const STRICT: &[&str] = &["-Wall", "-Wextra", "-Werror"];

#[test]
fn the_whole_interface_works() {
    let programs = Programs::new();
    for link in [Link::Static, Link::Shared] {
        let program = programs.build(&source("api.c"), link, STRICT);
        assert_eq!(programs.run(&program, &[]), "31 finalized\n", "{link:?}");
    }
}

#[test]
fn nothing_leaks() {
    if !support::is_there("valgrind", support::has_command("valgrind")) {
        return;
    }
    let programs = Programs::new();
    write_bad_images(&programs);
    let images = programs.dir.path().display().to_string();
    let valgrind = |name: &str, args: &[&str]| {
        let program = programs.build(&source(name), Link::Shared, STRICT);
        let mut valgrind = support::command("valgrind");
        valgrind.args(["--quiet", "--error-exitcode=99", "--leak-check=full"]);
        // Tables that live as long as the process are found by pointers into their middle: only what is lost counts.
        valgrind
            .args(["--show-leak-kinds=definite,indirect", "--errors-for-leak-kinds=definite,indirect"])
            .arg(format!("--suppressions={}", source("valgrind.supp").display()));
        valgrind.arg(&program).args(args).current_dir(programs.dir.path());
        valgrind
    };
    succeed(&mut valgrind("api.c", &[]));
    succeed(&mut valgrind("program.cc", &[]));
    // Errors leave nothing behind either.
    succeed(&mut valgrind("bad.c", &[&images]));
    // This one deletes nothing of what it makes.
    let status = valgrind("misuse.c", &["nothing"]).output().expect("valgrind starts").status;
    assert_eq!(status.code(), Some(99), "valgrind finds what leaks");
}

#[test]
fn wrong_use_is_an_error_with_its_reason() {
    let programs = Programs::new();
    write_bad_images(&programs);
    let program = programs.build(&source("bad.c"), Link::Shared, STRICT);
    assert_eq!(programs.run(&program, &[&programs.dir.path().display().to_string()]), "all refused\n");
}

/// Images of another ABI, for another machine, cut off, changed; and what is no image.
fn write_bad_images(programs: &Programs) {
    let text = r#"(module (func (export "f")))"#;
    let good = fs::read(programs.image("good.cwasm", text)).expect("an image");
    let s390x = "s390x-linux".parse::<aot_compiler::Target>().expect("a target");
    programs.image_for("foreign.cwasm", text, s390x, false);
    let write = |name: &str, bytes: &[u8]| fs::write(programs.dir.path().join(name), bytes).expect("a file");
    write("truncated.cwasm", &good[..good.len() / 2]);
    write("empty.cwasm", b"");
    write("module.wasm", b"\0asm\x01\0\0\0");
    let mut changed = good.clone();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    write("changed.cwasm", &changed);
    // The note: 12 bytes of header, 4 of owner, 4 of version, 32 of hash, 16 of ABI (docs/image.md).
    let note = good.windows(8).position(|bytes| bytes == b"aot\0\x01\0\0\0").expect("a note");
    let (hash, abi) = (note + 8, note + 40);
    let mut other = good;
    other[abi] ^= 1;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&other[..hash]).update(&other[abi..]);
    other[hash..abi].copy_from_slice(hasher.finalize().as_bytes());
    write("abi.cwasm", &other);
}

#[test]
fn bugs_of_the_host_are_found_in_debug_mode() {
    let programs = Programs::new();
    let program = programs.build(&source("misuse.c"), Link::Shared, STRICT);
    for (bug, message) in [
        ("null", "wasm_func_call: a wasm_ref_t is NULL"),
        ("deleted", "wasm_func_call: the wasm_ref_t at 0x"),
        ("twice", "wasm_memory_delete: the wasm_ref_t at 0x"),
        ("store", "wasm_memory_new: the wasm_store_t at 0x"),
        ("type", "wasm_func_new: the wasm_externtype_t at 0x"),
        ("vector", "wasm_memory_size: the wasm_ref_t at 0x"),
        ("callback", "wasm_func_new: the callback is NULL"),
        ("text", "aot_module_load_file: a text is NULL"),
        ("pointer", "wasm_memorytype_new: a wasm_limits_t is NULL"),
        ("kind", "wasm_func_call: a wasm_memory_t is passed where a wasm_func_t is wanted"),
        ("class", "is no wasm_ref_t"),
        ("borrowed", "wasm_store_delete: the wasm_store_t is borrowed, and cannot be deleted"),
        ("wrong type", "wasm_memory_new: the type is no wasm_memorytype_t"),
        ("caller", "is no aot_caller_t"),
    ] {
        let mut command = support::command(&program);
        let output = command.arg(bug).env("AOT_DEBUG", "1").output().expect("the program starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.signal(), Some(6), "{bug}: {} {stdout}{stderr}", output.status);
        assert!(stderr.starts_with("libaot: ") && stderr.contains(message), "{bug}: {stderr}");
        if message.ends_with("0x") {
            assert!(stderr.contains("was deleted before"), "{bug}: {stderr}");
        }
    }
    // What needs no memory of what was deleted is found in any mode.
    let output = support::command(&program).arg("kind").output().expect("it starts");
    assert_eq!(output.status.signal(), Some(6));
    assert!(String::from_utf8_lossy(&output.stderr).contains("AOT_DEBUG=1"));
}

#[test]
fn handlers_of_the_host_go_on_working() {
    let programs = Programs::new();
    for link in [Link::Static, Link::Shared] {
        let program = programs.build(&source("fault.c"), link, STRICT);
        let output = support::command(program).output().expect("the program starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "12 faults of the host\n", "{stderr}");
        assert_eq!(output.status.signal(), Some(11), "{stderr}");
    }
}

#[test]
fn a_program_in_cxx() {
    let programs = Programs::new();
    for link in [Link::Static, Link::Shared] {
        let program = programs.build(&source("program.cc"), link, STRICT);
        assert_eq!(programs.run(&program, &[]), "from C++\n", "{link:?}");
    }
}

#[test]
fn headers_are_standard_c_and_cxx() {
    let directory = tempfile::tempdir().expect("a directory");
    let clang: &[&str] = if support::has_command("clang-19") { &["clang-19", "clang++-19"] } else { &[] };
    for header in ["wasm.h", "aot.h"] {
        for compiler in ["cc", "c++"].iter().chain(clang) {
            let is_cxx = compiler.contains("++");
            let file = directory.path().join(if is_cxx { "header.cc" } else { "header.c" });
            // Twice: the second time it has to be nothing.
            fs::write(
                &file,
                format!("#include \"{header}\"\n#include \"{header}\"\nint main(void) {{ return 0; }}\n"),
            )
            .expect("a file");
            let standards: &[&str] = if is_cxx { &["c++11", "c++20"] } else { &["c99", "c11"] };
            for standard in standards {
                let mut command = Command::new(compiler);
                command.arg(format!("-std={standard}")).args(STRICT).args([
                    "-pedantic",
                    "-fsyntax-only",
                    "-I",
                ]);
                succeed(command.arg(headers()).arg(&file));
            }
        }
    }
}

/// The functions that a header declares and has no body for.
fn declared(header: &str) -> BTreeSet<String> {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("header.c");
    fs::write(&file, format!("#include \"{header}\"\n")).expect("a file");
    let mut command = Command::new("cc");
    let output = succeed(command.args(["-E", "-P", "-I"]).arg(headers()).arg(&file));
    let text = String::from_utf8(output.stdout).expect("text").replace('\n', " ");
    text.split(';')
        .filter(|declaration| !declaration.contains('{') && !declaration.contains("typedef"))
        .filter_map(|declaration| {
            let name = declaration.split('(').next()?.trim().rsplit([' ', '*']).next()?;
            // What begins with `wasm_h_` is the header's own.
            let is_ours =
                (name.starts_with("wasm_") && !name.starts_with("wasm_h_")) || name.starts_with("aot_");
            (declaration.contains('(') && is_ours).then(|| name.to_owned())
        })
        .collect()
}

/// The symbols that `nm` lists with these options.
fn symbols(options: &[&str], file: &Path) -> BTreeSet<String> {
    let output = succeed(Command::new("nm").args(options).arg(file));
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().filter_map(|line| Some(line.split_whitespace().last()?.to_owned())).collect()
}

/// A program may have modules as objects, with their headers and `libaot_rt.a`, and others as images.
#[test]
fn objects_and_images_fit_in_one_program() {
    let wasm = aot_compiler::parse_text(
        br#"(module (memory (export "memory") 1) (func (export "add") (param i32 i32) (result i32)
            (i32.add (local.get 0) (local.get 1))))"#,
        "lib",
    );
    let host = aot_compiler::Target::host().expect("this machine is a target");
    let config = aot_compiler::Config::image(host.clone()).into_library(|_, _| None, "lib".to_owned());
    let compiled = aot_compiler::compile(&wasm.expect("the text is right"), &config).expect("it is valid");
    let programs = Programs::new();
    let write = |name: &str, bytes: &[u8]| fs::write(programs.dir.path().join(name), bytes).expect("a file");
    write("lib.h", compiled.header().expect("libraries have a header").as_bytes());
    let include =
        "#include \"aot.h\"\n#include \"lib.h\"\nint main(void) { return aot_version() == NULL; }\n";
    write("both.c", include.as_bytes());
    let program = programs.build(&programs.dir.path().join("both.c"), Link::Shared, STRICT);
    programs.run(&program, &[]);

    let Some(archive) = aot_runtime_archive::runtime(&host.name()) else {
        assert!(!support::is_there("the runtime library", false));
        return;
    };
    write("libaot_rt.a", &archive);
    let runtime = symbols(&["--defined-only", "-g"], &programs.dir.path().join("libaot_rt.a"));
    assert!(runtime.contains("aot_instance_new"));
    let both: Vec<String> = declared("aot.h").into_iter().filter(|name| runtime.contains(name)).collect();
    assert!(both.is_empty(), "two libraries have {both:?}");
}

fn assert_same(declared: &BTreeSet<String>, exported: &BTreeSet<String>) {
    let missing: Vec<&String> = declared.difference(exported).collect();
    let unknown: Vec<&String> = exported.difference(declared).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "not exported: {missing:?}; not declared: {unknown:?}");
}

#[test]
fn the_library_has_what_the_headers_declare_and_nothing_else() {
    let declared = declared("aot.h");
    assert!(declared.len() > 350, "{} functions", declared.len());
    let exported = symbols(&["-D", "--defined-only"], &library_dir().join("libaot.so"));
    assert_same(&declared, &exported);
    // The static library has symbols of Rust's too, but all of these.
    let archive = symbols(&["--defined-only", "-g"], &library_dir().join("libaot.a"));
    assert!(declared.is_subset(&archive));

    // The test of the whole interface uses all of it.
    let directory = tempfile::tempdir().expect("a directory");
    let object = directory.path().join("api.o");
    let mut compiler = Command::new("cc");
    compiler.arg("-std=gnu99").arg("-I").arg(headers()).arg("-c").arg(source("api.c")).arg("-o").arg(&object);
    succeed(&mut compiler);
    let used = symbols(&["-u"], &object);
    let unused: Vec<&String> = declared.difference(&used).collect();
    assert!(unused.is_empty(), "api.c does not use {unused:?}");
}

#[test]
fn without_the_compiler_it_loads_images() {
    let target = support::target_dir().join("capi-lean");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--locked", "--quiet", "-p", "aot-capi", "--no-default-features", "--target-dir"]);
    // In a directory of its own: the cargo that runs this test has locked the other one.
    succeed(cargo.arg(&target).current_dir(support::root()).env_remove("RUSTFLAGS"));
    let programs = Programs::of(&target.join("debug"));
    let image =
        programs.image("answer.cwasm", r#"(module (func (export "answer") (result i32) (i32.const 42)))"#);
    for link in [Link::Static, Link::Shared] {
        let program = programs.build(&source("lean.c"), link, STRICT);
        assert_eq!(programs.run(&program, &[&image.display().to_string()]), "42\n", "{link:?}");
    }
    let exported = symbols(&["-D", "--defined-only"], &target.join("debug/libaot.so"));
    assert_same(&declared("aot.h"), &exported);
}
