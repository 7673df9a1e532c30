//! Modules as libraries of C programs: objects, archives and shared objects with their headers, called by programs that C and C++
//! compilers build, on this machine and, without a libc, on others.

#[path = "../emulator.rs"]
mod emulator;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const AOT: &str = env!("CARGO_BIN_EXE_aot");

/// A directory with the files of this test, and what is made of them.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("library-{name}"));
        // What a run before has left.
        drop(fs::remove_dir_all(&place));
        fs::create_dir_all(&place).unwrap();
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/library");
        for file in ["lib.wat", "checks.h", "bare.c", "host.c", "wasi.c"] {
            fs::copy(sources.join(file), place.join(file)).unwrap();
        }
        Place(place)
    }

    fn run(&self, program: &str, args: &[&str]) -> Output {
        let mut command = Command::new(program);
        let output =
            command.args(args).current_dir(&self.0).env("AOT_CACHE_DIR", self.0.join("cache")).output();
        output.unwrap_or_else(|error| panic!("{program} cannot be started: {error}"))
    }

    /// Runs a command that has to succeed without a word on standard error, and gives what it prints.
    fn do_run(&self, program: &str, args: &[&str]) -> String {
        let output = self.run(program, args);
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let (out, error) = (text(&output.stdout), text(&output.stderr));
        assert!(
            output.status.success() && error.is_empty(),
            "{program} {args:?}: {}\n{error}{out}",
            output.status
        );
        out
    }

    fn aot(&self, args: &[&str]) {
        self.do_run(AOT, args);
    }

    /// Runs `aot` on something wrong, and gives what it says.
    fn refused(&self, args: &[&str]) -> String {
        let output = self.run(AOT, args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.join(file), text).unwrap();
    }

    fn join(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }
}

const WARNINGS: [&str; 4] = ["-O2", "-Wall", "-Wextra", "-Werror"];

/// Compiles a C program of ours.
fn cc(place: &Place, args: &[&str]) {
    place.do_run("cc", &[&WARNINGS[..], args].concat());
}

#[test]
fn c_programs_call_objects() {
    let place = Place::new("objects");
    place.aot(&["build", "lib.wat", "--emit", "obj,header"]);
    place.aot(&["runtime"]);
    for (name, flags) in
        [("dynamic", &[][..]), ("pie", &["-pie", "-fPIE"]), ("fixed", &["-no-pie"]), ("static", &["-static"])]
    {
        cc(&place, &[flags, &["host.c", "lib.o", "libaot_rt.a", "-pthread", "-o", name]].concat());
        for part in ["library", "handlers", "stacks", "threads", "instances"] {
            assert_eq!(place.do_run(&format!("./{name}"), &[part]), "", "{name} {part}");
        }
    }
    // As a part of a shared object of the program's own.
    place.write(
        "plugin.c",
        "#include \"checks.h\"\nint plugin(void);\nint plugin(void) { check_library(); return failed_line; }\n",
    );
    place.write("user.c", "int plugin(void);\nint main(void) { return plugin(); }\n");
    cc(&place, &["-shared", "-fPIC", "plugin.c", "lib.o", "libaot_rt.a", "-o", "libplugin.so"]);
    cc(&place, &["user.c", "-L.", "-lplugin", "-Wl,-rpath,.", "-o", "user"]);
    place.do_run("./user", &[]);
}

#[test]
fn archives_and_shared_objects_are_whole() {
    let place = Place::new("whole");
    place.aot(&["build", "lib.wat", "--emit", "lib,shared,header"]);
    cc(&place, &["host.c", "liblib.a", "-pthread", "-o", "static"]);
    cc(&place, &["host.c", "-L.", "-l:liblib.so", "-Wl,-rpath,.", "-pthread", "-o", "shared"]);
    for name in ["./static", "./shared"] {
        for part in ["library", "handlers", "stacks", "threads", "instances"] {
            assert_eq!(place.do_run(name, &[part]), "", "{name} {part}");
        }
    }
    let symbols = place.do_run("nm", &["-D", "liblib.so"]);
    for line in symbols.lines() {
        let (kind, name) = line.rsplit_once(' ').unwrap();
        let is_ours = name.starts_with("lib_") || name.starts_with("aot_");
        assert!(is_ours && !kind.ends_with('U') && !kind.ends_with('w'), "{line}");
        assert!(!name.starts_with("aot_lib_"), "{line}");
    }
    // Code of a shared object is not changed when it is loaded.
    assert!(!place.do_run("readelf", &["-d", "liblib.so"]).contains("TEXTREL"));
    let stack = place.do_run("readelf", &["-lW", "liblib.so"]);
    assert!(stack.lines().any(|line| line.contains("GNU_STACK") && line.contains("RW ")), "{stack}");
}

#[test]
fn the_guide_is_a_program() {
    let place = Place::new("guide");
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/libraries.md");
    let guide = fs::read_to_string(guide).unwrap();
    let program = guide.split("```c\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    place.write("program.c", program);
    place.write(
        "lib.wat",
        r#"(module (import "env" "log" (func $log (param i32)))
          (func (export "add") (param i32 i32) (result i32)
            (call $log (local.get 0)) (i32.add (local.get 0) (local.get 1))))"#,
    );
    // The commands of the guide, but for the warnings that are errors here.
    place.aot(&["build", "lib.wat", "--emit", "obj,header"]);
    place.aot(&["runtime"]);
    cc(&place, &["program.c", "lib.o", "libaot_rt.a", "-o", "program"]);
    assert_eq!(place.do_run("./program", &[]), "40\n42\n");
}

#[test]
fn headers_are_c99_and_cpp11() {
    let place = Place::new("headers");
    let strict = ["-Wall", "-Wextra", "-pedantic", "-Wconversion", "-Werror", "-fsyntax-only"];
    for (compiler, standard, file) in [("cc", "-std=c99", "user.c"), ("c++", "-std=c++11", "user.cpp")] {
        place.aot(&["build", "lib.wat", "--emit", "header"]);
        place.aot(&["build", "lib.wat", "--emit", "header=other.h", "--prefix", "other"]);
        // Several in one program, and each several times.
        place.write(file, "#include \"lib.h\"\n#include \"other.h\"\n#include \"lib.h\"\n");
        place.do_run(compiler, &[&strict[..], &[standard, file]].concat());
    }
    place.write(
        "program.cpp",
        "#include \"lib.h\"\nint main() { aot_trap *trap = nullptr; lib_instance *i = lib_new(nullptr, nullptr, nullptr, &trap); \
         int code = i == nullptr ? aot_trap_code(trap) : 0; aot_trap_delete(trap); return code == AOT_ERROR ? 0 : 1; }\n",
    );
    place.aot(&["build", "lib.wat", "--emit", "lib"]);
    place.do_run("c++", &["program.cpp", "liblib.a", "-o", "program"]);
    place.do_run("./program", &[]);
}

#[test]
fn names_of_any_text_become_identifiers() {
    let place = Place::new("names");
    place.write(
        "names.wat",
        r#"(module (import "*/" "\\" (func)) (func (export "new")) (func (export "a-b")) (func (export "a.b")) (func (export "") (result i32) (i32.const 7))
          (func (export "*/ int broken; /*")) (func (export "x\0a*/\\")) (global (export "int") i32 (i32.const 3)))"#,
    );
    place.aot(&["build", "names.wat", "--emit", "header,lib", "--prefix", "n"]);
    place.write(
        "user.c",
        "#include \"names.h\"\n#include <stddef.h>\nstatic void nothing(n_instance *i) { (void) i; }\nint main(void) { n_imports im = { nothing }; \
         aot_trap *t = NULL; n_instance *i = n_new(&im, NULL, NULL, &t); n_new_2(i, &t); n_a_b(i, &t); n_a_b_2(i, &t); \
         return t == NULL && n_(i, &t) == 7 && n_get_int(i) == 3 ? 0 : 1; }\n",
    );
    cc(&place, &["user.c", "libnames.a", "-o", "user"]);
    place.do_run("./user", &[]);
    let refused = place.refused(&["build", "names.wat", "--emit", "header", "--prefix", "1 2"]);
    assert!(refused.contains("is no prefix for names in C"), "{refused}");
    assert!(!place.join("names2.h").exists());
}

#[test]
fn guests_see_what_options_give() {
    let place = Place::new("wasi");
    place.write(
        "guest.wat",
        r#"(module
          (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
          (memory (export "memory") 1)
          (data (i32.const 0) "\10\00\00\00\06\00\00\00") (data (i32.const 16) "guest\0a") (data (i32.const 32) "file")
          (global $ready (mut i32) (i32.const 0))
          (func (export "_initialize") (global.set $ready (i32.const 1)))
          (func (export "ready") (result i32) (global.get $ready))
          (func (export "print") (result i32) (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64)))
          (func (export "args") (result i32) (drop (call $args (i32.const 256) (i32.const 512)))
            (drop (call $environ (i32.const 1024) (i32.const 2048))) (i32.load (i32.const 260)))
          (func (export "open") (result i32)
            (call $open (i32.const 3) (i32.const 0) (i32.const 32) (i32.const 4) (i32.const 0) (i64.const 2) (i64.const 0)
              (i32.const 0) (i32.const 128)))
          (func (export "exit") (param i32) (call $exit (local.get 0)) unreachable))"#,
    );
    place.write("file", "content");
    place.aot(&["build", "guest.wat", "--emit", "header,lib"]);
    cc(&place, &["wasi.c", "libguest.a", "-o", "user"]);
    assert_eq!(place.do_run("./user", &[]), "guest\n");
}

#[test]
fn guests_are_stopped_from_other_threads() {
    let place = Place::new("interrupts");
    place.aot(&["build", "lib.wat", "--emit", "header,lib", "-W", "epoch-interruption"]);
    cc(&place, &["host.c", "liblib.a", "-pthread", "-o", "host"]);
    assert_eq!(place.do_run("./host", &["interrupts"]), "");
}

#[test]
fn misuse_is_named() {
    let place = Place::new("misuse");
    place.aot(&["build", "lib.wat", "--emit", "header,lib,obj"]);
    place.aot(&["runtime"]);
    const COMMON: [&str; 4] = [
        "missing import: function `log` of `env`",
        "missing import: function `log` of `env`",
        "not enough memory for a memory, or a limit is below its size",
        "the header is not that of the object: their functions differ; build the program with the header that was written \
         together with the object",
    ];
    for (flags, rest, last) in [
        (&[][..], &[][..], "integer divide by zero (wasm offset"),
        (
            &["-DAOT_DEBUG"],
            &[
                "the instance is called by another thread than before; if they take turns, let the first one disown it",
                "no trap",
                "the instance is used after it was deleted",
            ],
            "an instance is deleted twice",
        ),
    ] {
        cc(&place, &[flags, &["host.c", "liblib.a", "-pthread", "-o", "host"]].concat());
        let output = place.run("./host", &["misuse"]);
        let printed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(printed.lines().collect::<Vec<_>>(), [&COMMON[..], rest].concat());
        assert_eq!(output.status.code(), Some(134));
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(last), "{error}");
    }
    // An object of another agreement between compiler and runtime: its number is the 17th word of the descriptor.
    let mut object = fs::read(place.join("lib.o")).unwrap();
    let table = place.do_run("readelf", &["-SW", "lib.o"]);
    let line = table.lines().find(|line| line.contains(" .data.rel.ro ")).unwrap();
    let words: Vec<&str> = line[line.find(".data").unwrap()..].split_whitespace().collect();
    let offset = usize::from_str_radix(words[3], 16).unwrap();
    object[offset + 16 * 8] ^= 1;
    fs::write(place.join("lib.o"), object).unwrap();
    cc(&place, &["host.c", "lib.o", "libaot_rt.a", "-pthread", "-o", "host"]);
    let output = place.run("./host", &["misuse"]);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        printed.starts_with("the object was made for another version of the runtime library"),
        "{printed}"
    );
}

#[test]
fn wrong_programs_do_not_build() {
    let place = Place::new("wrong");
    place.aot(&["build", "lib.wat", "--emit", "header,lib"]);
    place.write(
        "type.c",
        "#include \"lib.h\"\nstatic int64_t f(lib_instance *i, double x) { (void) i; return (int64_t) x; }\n\
         lib_imports imports = { f, 0, 0 };\nint main(void) { return 0; }\n",
    );
    let output = place.run("cc", &["-Werror", "type.c", "liblib.a", "-o", "type"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("incompatible"), "{error}");
    // Without the runtime library, the linker names what is missing.
    place.aot(&["build", "lib.wat", "--emit", "header,obj"]);
    let output = place.run("cc", &["host.c", "lib.o", "-o", "host"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("aot_instance_new"), "{error}");

    place.write("memory.wat", r#"(module (import "env" "memory" (memory 1)) (import "env" "f" (func)))"#);
    let refused = place.refused(&["build", "memory.wat", "--emit", "header,obj"]);
    assert!(
        refused.contains("unknown import: memory `env` `memory`") && refused.contains("aot link"),
        "{refused}"
    );
    assert!(!place.join("memory.h").exists() && !place.join("memory.o").exists());
    let refused = place.refused(&["build", "lib.wat", "--emit", "shared", "--target", "s390x-linux"]);
    assert!(refused.contains("cannot link shared libraries for s390x-linux"), "{refused}");
}

#[test]
fn results_do_not_depend_on_the_cache() {
    let place = Place::new("cache");
    let files = ["lib.h", "lib.o", "liblib.a", "liblib.so"];
    let mut made = Vec::new();
    for flags in [&["--no-cache"][..], &[], &[]] {
        place.aot(&[&["build", "lib.wat", "--emit", "header,obj,lib,shared"], flags].concat());
        made.push(files.map(|file| fs::read(place.join(file)).unwrap()));
    }
    assert!(made[0] == made[1] && made[1] == made[2]);
    // Another prefix is another library, and an object without a header is that of a program.
    place.aot(&["build", "lib.wat", "--emit", "obj", "--prefix", "other"]);
    assert!(place.do_run("nm", &["lib.o"]).contains(" T other_add"));
    place.write("program.wat", "(module (func (export \"_start\")))");
    place.aot(&["build", "program.wat", "--emit", "obj"]);
    assert!(place.do_run("nm", &["program.o"]).contains(" aot_module"));
}

#[test]
fn other_machines_call_libraries() {
    const CLANG: &str = "clang-19";
    let place = Place::new("cross");
    for target in ["x86_64-linux"].into_iter().chain(emulator::FOREIGN) {
        let is_foreign = target != "x86_64-linux";
        if is_foreign && !emulator::is_ready(target) {
            continue;
        }
        let missing = [CLANG, "ld.lld-19"]
            .into_iter()
            .find(|tool| Command::new(tool).arg("--version").output().is_err());
        if let Some(tool) = missing {
            assert!(std::env::var_os("CI").is_none(), "on CI nothing may be skipped: no `{tool}`");
            println!("SKIPPED {target}: no `{tool}`; `cargo xtask setup` installs it");
            continue;
        }
        place.aot(&["build", "lib.wat", "--emit", "header,lib", "--target", target]);
        let triple = format!("--target={target}-gnu");
        let mut args =
            vec![triple.as_str(), "-O2", "-ffreestanding", "-fno-stack-protector", "-nostdlib", "-static"];
        args.extend(["-Wall", "-Wextra", "-Werror", "--ld-path=ld.lld-19"]);
        if target == "riscv64-linux" {
            args.extend(["-march=rv64gc", "-mabi=lp64d", "-mno-relax"]);
        }
        args.extend(["bare.c", "liblib.a", "-o", "bare"]);
        place.do_run(CLANG, &args);
        let bare = place.join("bare");
        let mut command = if is_foreign { emulator::command(target, &bare) } else { Command::new(&bare) };
        let status = command.status().unwrap();
        assert!(status.success(), "{target}: {status}, which is the line of the check in `checks.h` plus 1");
    }
}
