//! The `aot` command as its users meet it: what it makes, what it refuses and how it says so, and that a failure leaves
//! nothing behind.

#[path = "cli/terminal.rs"]
mod terminal;

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Writes `hello\n`.
const HELLO: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "hello\n")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 8))
    (i32.store (i32.const 4) (i32.const 6))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))))"#;

/// A directory that goes away with the test.
struct Sandbox(PathBuf);

impl Sandbox {
    fn new() -> Sandbox {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("aot-cli-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Sandbox(path.canonicalize().unwrap())
    }

    /// A store for this test only, beside its directory.
    fn cache(&self) -> PathBuf {
        self.0.with_extension("cache")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aot"));
        command.args(words).current_dir(&self.0).env_remove("AOT_RUN").stdin(Stdio::null());
        command.env("AOT_CACHE_DIR", self.cache());
        command
    }

    fn run(&self, words: &[&str]) -> Outcome {
        Outcome::of(self.command(words).output().unwrap())
    }

    /// Names of all files, sorted.
    fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
        drop(fs::remove_dir_all(self.cache()));
    }
}

/// How a command ended.
#[derive(Debug)]
struct Outcome {
    code: Option<i32>,
    signal: Option<i32>,
    stdout: Vec<u8>,
    stderr: String,
}

impl Outcome {
    fn of(output: Output) -> Outcome {
        Outcome {
            code: output.status.code(),
            signal: output.status.signal(),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn text(&self) -> &str {
        str::from_utf8(&self.stdout).unwrap()
    }

    #[track_caller]
    fn succeeds(self) -> Outcome {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        self
    }

    /// It fails with this code, and says all of the parts.
    #[track_caller]
    fn fails(self, code: i32, parts: &[&str]) -> Outcome {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.stderr.starts_with("error: "), "{self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        for part in parts {
            assert!(self.stderr.contains(part), "no {part:?} in {:?}", self.stderr);
        }
        self
    }
}

#[test]
fn builds_an_executable_that_runs() {
    let sandbox = Sandbox::new();
    sandbox.write("hello.wat", HELLO);
    sandbox.run(&["build", "hello.wat"]).succeeds();
    assert_eq!(sandbox.files(), ["hello", "hello.wat"]);
    let output = Command::new(sandbox.path("hello")).output().unwrap();
    assert_eq!(Outcome::of(output).succeeds().text(), "hello\n");
    // It keeps working in place of its former self, also while that is running.
    sandbox.run(&["compile", "hello.wat", "--strip", "all"]).succeeds();
    let output = Command::new(sandbox.path("hello")).output().unwrap();
    assert_eq!(Outcome::of(output).succeeds().text(), "hello\n");
}

/// A module of many functions, of very different sizes, that call each other.
fn many_functions() -> String {
    let mut text =
        String::from("(module (memory (export \"memory\") 1) (table 2 funcref) (elem (i32.const 0) 0 7)\n");
    for index in 0..300u32 {
        let steps = if index % 50 == 0 { 400 } else { index % 17 };
        text += "(func (param i32) (result i32) (local f64) local.get 0\n";
        for step in 0..steps {
            text += &format!("i32.const {step} i32.mul i32.load offset={index} ");
            text += &format!("(local.set 1 (f64.sqrt (f64.const {step}.5))) ");
        }
        text += &format!(
            "call {} (drop (call_indirect (param i32) (result i32) (i32.const 1) (local.get 0))))\n",
            (index * 7 + 1) % 300
        );
    }
    text + "(func (export \"_start\")))"
}

#[test]
fn equal_inputs_give_equal_bytes() {
    let sandbox = Sandbox::new();
    sandbox.write("many.wat", many_functions());
    let elsewhere = Sandbox::new();
    let input = elsewhere.write("other.wat", many_functions());
    let result = elsewhere.path("b");
    for kind in ["exe", "obj", "asm"] {
        sandbox.run(&["build", "many.wat", "--no-cache", "--emit", kind, "-o", "a"]).succeeds();
        for threads in ["1", "2", "5"] {
            let words = [
                "build",
                input.to_str().unwrap(),
                "--no-cache",
                "--emit",
                kind,
                "-o",
                result.to_str().unwrap(),
            ];
            let mut again = sandbox.command(&words);
            Outcome::of(again.env("RAYON_NUM_THREADS", threads).output().unwrap()).succeeds();
            let same = fs::read(sandbox.path("a")).unwrap() == fs::read(&result).unwrap();
            assert!(same, "{kind} with {threads} threads");
        }
    }
}

#[test]
fn a_second_build_comes_from_the_cache() {
    let sandbox = Sandbox::new();
    sandbox.write("hello.wat", HELLO);
    let build = |out: &str, words: &[&str]| {
        let outcome = sandbox.run(&[&["build", "hello.wat", "-v", "-o", out], words].concat());
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        outcome.stderr.contains("in the cache")
    };
    assert!(!build("first", &[]) && build("second", &[]));
    assert_eq!(fs::read(sandbox.path("first")).unwrap(), fs::read(sandbox.path("second")).unwrap());
    // Everything that changes the result is part of the question.
    for words in [
        &["--strip", "all"][..],
        &["--emit", "obj"],
        &["--cpu", "native"],
        &["-O", "opt-level=0"],
        &["-C", "model=instance"],
        &["--env", "A=B"],
        &["--sealed"],
        &["-W", "max-memory-size=1M"],
    ] {
        assert!(!build("other", words) && build("other", words), "{words:?}");
    }
    assert!(!build("none", &["--no-cache"]));
    assert!(Command::new(sandbox.path("second")).status().unwrap().success());
    // `aot run` keeps what it makes, too.
    let count = || sandbox.run(&["cache", "stats", "--json"]).succeeds().text().to_owned();
    let before = count();
    for _ in 0..2 {
        assert_eq!(sandbox.run(&["run", "--env", "C=D", "hello.wat"]).succeeds().text(), "hello\n");
    }
    assert_ne!(before, count());
}

/// A cache that is damaged, gone or not to be trusted costs a warning at most.
#[test]
fn a_bad_cache_is_no_failure() {
    let sandbox = Sandbox::new();
    sandbox.write("hello.wat", HELLO);
    sandbox.run(&["run", "hello.wat"]).succeeds();
    for entry in walk(&sandbox.cache().join("v1")) {
        let mut bytes = fs::read(&entry).unwrap();
        bytes[20] ^= 1;
        fs::write(&entry, bytes).unwrap();
    }
    let outcome = sandbox.run(&["run", "hello.wat"]);
    assert_eq!((outcome.code, &outcome.stdout[..]), (Some(0), &b"hello\n"[..]));
    assert!(outcome.stderr.contains("damaged entry"), "{}", outcome.stderr);
    sandbox.run(&["run", "hello.wat"]).succeeds();
    // The program, its functions and their index, and what `aot` knows of itself.
    assert!(sandbox.run(&["cache", "verify"]).succeeds().text().contains("4 sound, 0 damaged"));
    assert!(sandbox.run(&["cache", "clear"]).succeeds().text().contains("4 removed"));
    assert_eq!(sandbox.run(&["cache", "ls", "--json"]).succeeds().text(), "[]\n");
    for place in ["/proc/nowhere", "/dev/null"] {
        let mut command = sandbox.command(&["run", "hello.wat"]);
        let outcome = Outcome::of(command.env("AOT_CACHE_DIR", place).output().unwrap());
        assert_eq!((outcome.code, &outcome.stdout[..]), (Some(0), &b"hello\n"[..]), "{outcome:?}");
        assert!(outcome.stderr.starts_with("warning: the cache is not used"), "{}", outcome.stderr);
    }
    fs::set_permissions(sandbox.cache(), fs::Permissions::from_mode(0o777)).unwrap();
    let outcome = sandbox.run(&["run", "hello.wat"]);
    assert!(outcome.code == Some(0) && outcome.stderr.contains("written by others"), "{outcome:?}");
}

/// All files below a directory.
fn walk(directory: &Path) -> Vec<PathBuf> {
    let items = fs::read_dir(directory).unwrap().map(|item| item.unwrap().path());
    items.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

/// An object and the runtime library are all that the system's linker needs.
#[test]
fn objects_link_with_the_system_linker() {
    if !has_tool("cc") {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.write("hello.wat", HELLO);
    sandbox.run(&["build", "hello.wat", "--emit", "obj"]).succeeds();
    sandbox.run(&["runtime"]).succeeds();
    assert_eq!(sandbox.files(), ["hello.o", "hello.wat", "libaot_rt.a"]);
    for extra in [&[][..], &["-Wl,--gc-sections", "-Wl,--fatal-warnings"]] {
        let mut cc = Command::new("cc");
        cc.current_dir(&sandbox.0).args(["-static", "-nostdlib", "hello.o", "libaot_rt.a", "-o", "hello"]);
        let linked = cc.args(extra).output().unwrap();
        assert!(linked.status.success(), "{}", String::from_utf8_lossy(&linked.stderr));
        let ran = Command::new(sandbox.path("hello")).output().unwrap();
        assert_eq!((ran.status.code(), &ran.stdout[..]), (Some(0), &b"hello\n"[..]));
        assert_static(&sandbox.path("hello"));
    }
}

/// Code for a CPU says so when it is started on a lesser one.
#[test]
fn missing_cpu_features_are_named() {
    let sandbox = Sandbox::new();
    sandbox.write("hello.wat", HELLO);
    sandbox.run(&["build", "hello.wat", "--cpu", "native"]).succeeds();
    assert!(Command::new(sandbox.path("hello")).status().unwrap().success());
    if !cfg!(target_arch = "x86_64") || !has_tool("qemu-x86_64") {
        return;
    }
    let words =
        ["build", "hello.wat", "--cpu", "x86-64-v2", "--cpu-features", "+avx512f,-popcnt", "--strip", "all"];
    sandbox.run(&words).succeeds();
    // A program that was stripped tells it too.
    let told = sandbox.run(&["inspect", "hello"]).succeeds();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("CPU features: avx512f") && !told.contains("popcnt"), "{told}");
    let on =
        |cpu| Command::new("qemu-x86_64").args(["-cpu", cpu]).arg(sandbox.path("hello")).output().unwrap();
    let refused = on("core2duo");
    let message = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{message}");
    assert!(message.contains("lacks: avx512f sse41 sse42;"), "{message}");
    sandbox.run(&["build", "hello.wat", "--cpu", "x86-64-v2"]).succeeds();
    assert_eq!(on("Nehalem").stdout, b"hello\n");
}

#[test]
fn cpus_are_listed_and_mistakes_explained() {
    let sandbox = Sandbox::new();
    sandbox.write("hello.wat", HELLO);
    let listed = |words: &[&str]| String::from_utf8(sandbox.run(words).succeeds().stdout).unwrap();
    let here = listed(&["settings", "--target", "x86_64-linux"]);
    assert!(["avx2", "x86-64-v3", "native"].iter().all(|name| here.contains(name)), "{here}");
    assert!(listed(&["settings", "--target", "aarch64-linux"]).contains("lse"));
    let build = ["build", "hello.wat", "--target", "aarch64-linux"];
    sandbox
        .run(&[&build[..], &["--cpu", "znver2"]].concat())
        .fails(1, &["CPU of x86_64-linux", "aot settings"]);
    sandbox.run(&[&build[..], &["--cpu-features", "+avx2"]].concat()).fails(1, &["feature of x86_64-linux"]);
    sandbox.run(&[&build[..], &["--cpu-features", "+warp"]].concat()).fails(1, &["`warp`"]);
    sandbox.run(&[&build[..], &["--cpu-features", "avx2"]].concat()).fails(2, &["`+avx2`"]);
    assert_eq!(sandbox.files(), ["hello.wat"]);
}

/// The addresses of the static model can be taken, or out of bounds.
#[test]
fn an_address_space_that_is_too_small_is_explained() {
    let sandbox = Sandbox::new();
    sandbox.write("hello.wat", HELLO);
    for (model, expected) in
        [("static", "cannot reserve the addresses"), ("instance", "cannot allocate a memory")]
    {
        sandbox.run(&["build", "hello.wat", "-C", &format!("model={model}")]).succeeds();
        let output = Command::new("sh")
            .args(["-c", "ulimit -v 1000000; exec ./hello"])
            .current_dir(&sandbox.0)
            .output();
        let output = Outcome::of(output.unwrap());
        output.fails(1, &[expected]);
    }
}

/// Something lies where the memory of the static model has to be: here another segment of the executable.
#[test]
fn addresses_that_are_taken_are_explained() {
    const HEADERS: usize = 64;
    const HEADER_LEN: usize = 56;
    let sandbox = Sandbox::new();
    sandbox.write("hello.wat", HELLO);
    sandbox.run(&["build", "hello.wat"]).succeeds();
    let mut bytes = fs::read(sandbox.path("hello")).unwrap();
    let count = usize::from(u16::from_le_bytes([bytes[56], bytes[57]]));
    let note = (0..count).map(|index| HEADERS + index * HEADER_LEN).find(|at| bytes[*at] == 4).unwrap();
    // PT_LOAD, readable and writable; offset, two addresses, bytes in the file and in memory, alignment.
    bytes[note..note + 8].copy_from_slice(&[1, 0, 0, 0, 6, 0, 0, 0]);
    for (index, word) in [0, 0x2000_0000, 0x2000_0000, 0, 0x1000, 0x1000u64].into_iter().enumerate() {
        bytes[note + 8 + index * 8..][..8].copy_from_slice(&word.to_le_bytes());
    }
    fs::write(sandbox.path("hello"), bytes).unwrap();
    let output = Outcome::of(Command::new(sandbox.path("hello")).output().unwrap());
    output.fails(1, &["cannot reserve the addresses", "something else is there"]);
}

/// The system chooses another address each time; code that has addresses in it can't be asked for as well.
#[test]
fn position_independent_executables_move() {
    let sandbox = Sandbox::new();
    sandbox.write("hello.wat", HELLO);
    sandbox.run(&["build", "hello.wat", "--pie", "-C", "model=static"]).fails(2, &["static model", "--pie"]);
    sandbox.run(&["build", "hello.wat", "--pie", "--emit", "obj"]).fails(2, &["only executables know --pie"]);
    sandbox.run(&["build", "hello.wat", "--pie", "-o", "hello"]).succeeds();
    assert_eq!(
        Outcome::of(Command::new(sandbox.path("hello")).output().unwrap()).succeeds().stdout,
        b"hello\n"
    );
}

/// A C program with wasi-libc's streams, without symbols.
#[test]
fn hello_world_is_small() {
    if !has_tool("clang-19") {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.write("hello.c", "#include <stdio.h>\nint main(void) { puts(\"hello\"); }\n");
    let mut clang = Command::new("clang-19");
    clang.args(["--target=wasm32-wasi", "-Os", "hello.c", "-o", "hello.wasm"]).current_dir(&sandbox.0);
    let compiled = clang.output().unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    sandbox.run(&["build", "hello.wasm", "--strip", "all"]).succeeds();
    let size = fs::metadata(sandbox.path("hello")).unwrap().len();
    assert!(size <= 40 * 1024, "{size} bytes");
    let ran = Command::new(sandbox.path("hello")).output().unwrap();
    assert_eq!((ran.status.code(), &ran.stdout[..]), (Some(0), &b"hello\n"[..]));
}

/// What binutils say about an object.
#[test]
fn binutils_read_objects() {
    if !has_tool("objdump") {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.write("many.wat", many_functions());
    sandbox.run(&["build", "many.wat", "--emit", "obj"]).succeeds();
    for (tool, args, expected) in [
        // A call in the same section needs no relocation: who is called shows anyway.
        ("objdump", "-dr", "<wasm-function[8]>\n"),
        ("readelf", "-aW", "REL (Relocatable file)"),
        ("readelf", "--debug-dump=frames", "FDE cie="),
        ("nm", "-a", "aot_module"),
    ] {
        let output = Command::new(tool).args([args, "many.o"]).current_dir(&sandbox.0).output().unwrap();
        let (stdout, stderr) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && stderr.is_empty(), "{tool} {args}: {stderr}");
        assert!(stdout.contains(expected), "{tool} {args} does not print `{expected}`");
    }
}

/// Whether a tool that a test needs is there; on CI it has to be.
fn has_tool(name: &str) -> bool {
    let found = Command::new(name).arg("--version").output().is_ok();
    if !found {
        assert!(std::env::var_os("CI").is_none(), "`{name}` is missing");
        println!("SKIPPED: `{name}` is missing");
    }
    found
}

#[test]
fn emits_all_kinds() {
    let sandbox = Sandbox::new();
    sandbox.write("hello.wat", HELLO);
    let emit = ["--emit", "obj", "--emit", "exe=out", "--emit", "clif", "--emit", "asm=code.s"];
    sandbox.run(&[&["build", "hello.wat"], &emit[..]].concat()).succeeds();
    assert_eq!(sandbox.files(), ["code.s", "hello.clif", "hello.o", "hello.wat", "out"]);
    assert!(fs::read_to_string(sandbox.path("hello.clif")).unwrap().contains("function"));
    let mode = |name| fs::metadata(sandbox.path(name)).unwrap().permissions().mode() & 0o111;
    assert_ne!(mode("out"), 0);
    assert_eq!(mode("hello.o"), 0);
}

#[test]
fn standard_streams_are_files_too() {
    let sandbox = Sandbox::new();
    let mut child = sandbox
        .command(&["build", "-", "-o", "-", "--emit", "obj"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(HELLO.as_bytes()).unwrap();
    assert!(child.wait_with_output().unwrap().stdout.starts_with(b"\x7fELF"));

    sandbox.write("hello.wat", HELLO);
    let outcome = sandbox.run(&["build", "hello.wat", "-o", "/dev/stdout"]).succeeds();
    assert!(outcome.stdout.starts_with(b"\x7fELF"));
    sandbox.run(&["build", "hello.wat", "-o", "/dev/null"]).succeeds();
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
    assert_eq!(sandbox.files(), ["hello.wat"]);
    // A redirected output is written to, not replaced by another file.
    let file = fs::File::create(sandbox.path("out")).unwrap();
    let status = sandbox.command(&["build", "hello.wat", "-o", "/dev/stdout"]).stdout(file).status();
    assert!(status.unwrap().success());
    assert!(fs::read(sandbox.path("out")).unwrap().starts_with(b"\x7fELF"));
}

#[test]
fn options_are_carried_and_shown() {
    let sandbox = Sandbox::new();
    sandbox.write("hello.wat", HELLO);
    let flags =
        ["--dir", ".::/data", "--env", "A=b c", "-W", "max-memory-size=1M", "--sealed", "--strip", "all"];
    sandbox.run(&[&["build", "hello.wat"], &flags[..]].concat()).succeeds();
    let outcome = sandbox.run(&["inspect", "hello"]).succeeds();
    for part in
        ["--dir .::/data --env 'A=b c' -W max-memory-size=1048576", "sealed: yes", "symbols: stripped"]
    {
        assert!(outcome.text().contains(part), "{}", outcome.text());
    }
    let json: serde_json::Value =
        serde_json::from_slice(&sandbox.run(&["inspect", "--json", "hello"]).succeeds().stdout).unwrap();
    assert_eq!(json["kind"], "executable");
    assert_eq!(json["target"], "x86_64-linux");
    assert_eq!(json["options"]["words"][3], "A=b c");
    assert_eq!(json["imports"][0]["name"], "fd_write");
    assert_eq!(json["exports"][1]["name"], "_start");
}

/// Exits with the number of its environment variables.
const COUNT_VARIABLES: &str = r#"(module
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (call $environ_sizes_get (i32.const 0) (i32.const 4)))
    (call $proc_exit (i32.load (i32.const 0)))))"#;

#[test]
fn programs_get_what_they_were_given() {
    let sandbox = Sandbox::new();
    sandbox.write("count.wat", COUNT_VARIABLES);
    let exit_code = |mut command: Command, variables: &[(&str, &str)]| {
        command.env_clear().envs(variables.iter().copied()).status().unwrap().code()
    };
    let variables = [("A", "1"), ("B", "2"), ("AOT_RUN", "--env D=4 --env 'E=5 6'")];
    for (flags, expected, with_variables) in [
        (&[][..], 0, 2),
        (&["--env", "A", "--env", "C=3"], 1, 4),
        (&["--env", "A", "--env", "C=3", "--sealed"], 1, 2),
        (&["-S", "inherit-env", "--sealed"], 0, 2),
    ] {
        sandbox.run(&[&["build", "count.wat"], flags].concat()).succeeds();
        let program = || Command::new(sandbox.path("count"));
        assert_eq!(exit_code(program(), &[]), Some(expected), "{flags:?}");
        assert_eq!(exit_code(program(), &variables), Some(with_variables), "{flags:?}");
        if !flags.contains(&"--sealed") {
            let run = || sandbox.command(&[&["run"], flags, &["count.wat"]].concat());
            assert_eq!(exit_code(run(), &[]), Some(expected), "{flags:?}");
            assert_eq!(exit_code(run(), &variables), Some(with_variables), "{flags:?}");
        }
    }
}

#[test]
fn wrong_usage_exits_with_2() {
    let sandbox = Sandbox::new();
    sandbox.write("hello.wat", HELLO);
    for (words, parts) in [
        (&["build"][..], &["<IN>"][..]),
        (&["build", "hello.wat", "--emti", "obj"], &["--emti", "--emit"]),
        (&["build", "hello.wat", "--emit", "exec"], &["did you mean `exe`?"]),
        (&["build", "hello.wat", "-O", "opt-levl=2"], &["did you mean `opt-level`?"]),
        (&["build", "hello.wat", "-W", "gc"], &["`gc` is not supported yet"]),
        (&["build", "hello.wat", "-W", "max-memory-size=lots"], &["not a size"]),
        (&["build", "hello.wat", "--emit", "obj", "--sealed"], &["only executables know --sealed"]),
        (&["build", "hello.wat", "--emit", "asm=x", "--emit", "clif=x"], &["two results would go to `x`"]),
        (&["build", "hello.wat", "-o", "hello.wat"], &["overwrite the input", "-o"]),
        (&["build", "hello.wat", "-o", "./hello.wat"], &["overwrite the input"]),
        (&["build", "-"], &["help: name the result with `-o`"]),
        (&["run"], &["<FILE>"]),
        (&["run", "--dir", "", "hello.wat"], &["HOST"]),
        (&["--no-such-flag"], &["--no-such-flag"]),
        (&["completion", "tcsh"], &["bash"]),
    ] {
        sandbox.run(words).fails(2, parts);
    }
    assert_eq!(sandbox.files(), ["hello.wat"]);
    // A file without extension is its own default result.
    sandbox.write("hello", HELLO);
    sandbox.run(&["build", "hello"]).fails(2, &["overwrite the input"]);
    assert_eq!(fs::read_to_string(sandbox.path("hello")).unwrap(), HELLO);
}

#[test]
fn targets_that_cannot_be_are_explained() {
    let sandbox = Sandbox::new();
    sandbox.write("hello.wat", HELLO);
    for (target, parts) in [
        ("pdp11-unix", &["`pdp11-unix` is not a target", "help: `aot targets`"][..]),
        ("arm64", &["not a target", "did you mean `aarch64-linux`?"]),
        ("amd64", &["not a target", "did you mean `x86_64-linux`?"]),
        ("wasm32", &["`wasm32` is not supported", "what goes in"]),
        ("armv7-unknown-linux-gnueabihf", &["is not supported", "32-bit addresses"]),
        ("aarch64-unknown-freebsd", &["is not supported", "objects for macOS and Windows"]),
        ("arm64-macos", &["not a target", "did you mean `aarch64-macos`?"]),
        ("aarch64-apple-darwin", &["executables for aarch64-macos cannot be made", "`--emit obj`"]),
    ] {
        sandbox.run(&["build", "hello.wat", "--target", target]).fails(1, parts);
    }
    let foreign = if cfg!(target_arch = "aarch64") { "x86_64-linux" } else { "aarch64-linux" };
    sandbox.run(&["build", "hello.wat", "--target", foreign, "--cpu", "native"]).fails(1, &["this machine"]);
    let system = ["build", "hello.wat", "--emit", "obj", "--target", "x86_64-windows", "--cpu", "native"];
    sandbox.run(&system).fails(1, &["this machine"]);
    assert_eq!(sandbox.files(), ["hello.wat"]);
    for (target, name) in
        [("s390x-unknown-linux-gnu", "s390x-linux"), ("riscv64gc-unknown-linux-gnu", "riscv64-linux")]
    {
        sandbox.run(&["build", "hello.wat", "--emit", "obj", "--target", target]).succeeds();
        let json: serde_json::Value =
            serde_json::from_slice(&sandbox.run(&["inspect", "--json", "hello.o"]).succeeds().stdout)
                .unwrap();
        assert_eq!(json["target"], name);
    }
}

#[test]
fn bad_input_exits_with_1_and_leaves_nothing() {
    let sandbox = Sandbox::new();
    let module = wat::parse_str(HELLO).unwrap();
    sandbox.write("truncated.wasm", &module[..module.len() - 10]);
    sandbox.write("header.wasm", b"\0asm\x01\0");
    sandbox.write("empty.wasm", b"");
    sandbox.write("component.wasm", b"\0asm\x0d\0\x01\0");
    sandbox.write("syntax.wat", "(module (func $f (result i32)))\n(module)");
    sandbox.write("invalid.wat", "(module (func $f (result i32)))");
    sandbox.write("latin1.wat", b"(module $\xe9)");
    sandbox.write("noise.wasm", b"\xff\xfe\xfd");
    sandbox.write("import.wat", r#"(module (import "env" "missing" (func)))"#);
    sandbox.write("type.wat", r#"(module (import "wasi_snapshot_preview1" "fd_close" (func (param i64))))"#);
    sandbox.write("gc.wat", "(module (type (struct)))");
    fs::create_dir(sandbox.path("directory.wasm")).unwrap();
    let before = sandbox.files();
    for (file, parts) in [
        ("truncated.wasm", &["--> truncated.wasm: "][..]),
        ("header.wasm", &["--> header.wasm"]),
        ("empty.wasm", &["not a WebAssembly module", "help: the file is empty"]),
        ("component.wasm", &["is a component", "wasm32-wasip1"]),
        ("syntax.wat", &["--> syntax.wat:2:"]),
        ("invalid.wat", &["type mismatch", "--> invalid.wat: func 0 `f`, offset 0x"]),
        ("latin1.wat", &["latin1.wat"]),
        ("noise.wasm", &["not a WebAssembly module"]),
        ("import.wat", &["`env` `missing`", "unknown-imports-trap"]),
        ("type.wat", &["`fd_close` has type [i64] -> []"]),
        ("gc.wat", &["--> gc.wat: "]),
        ("directory.wasm", &["cannot read `directory.wasm`: it is a directory"]),
        ("missing.wasm", &["cannot read `missing.wasm`: no such file"]),
    ] {
        sandbox.run(&["build", file, "-o", "out"]).fails(1, parts);
        let outcome = sandbox.run(&["run", file]).fails(1, parts);
        assert!(outcome.stdout.is_empty());
    }
    assert_eq!(sandbox.files(), before);
}

#[test]
fn bad_output_exits_with_1_and_leaves_nothing() {
    let sandbox = Sandbox::new();
    sandbox.write("hello.wat", HELLO);
    fs::create_dir(sandbox.path("directory")).unwrap();
    sandbox.run(&["build", "hello.wat", "-o", "directory"]).fails(1, &["`directory`: it is a directory"]);
    sandbox.run(&["build", "hello.wat", "-o", "none/x"]).fails(1, &["cannot write `none/x`: no such file"]);
    sandbox.run(&["build", "hello.wat", "-o", "hello.wat/x"]).fails(1, &["cannot write `hello.wat/x`"]);
    sandbox
        .run(&["build", "hello.wat", "-o", "/dev/full"])
        .fails(1, &["cannot write `/dev/full`: no space left"]);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = sandbox.command(&["build", "hello.wat", "-o", "-"]).stdout(full).output().unwrap();
    Outcome::of(output).fails(1, &["cannot write to `standard output`"]);
    assert_eq!(sandbox.files(), ["directory", "hello.wat"]);

    // Root may write everywhere, unless the file system itself refuses.
    let read_only = sandbox.path("directory");
    fs::set_permissions(&read_only, fs::Permissions::from_mode(0o555)).unwrap();
    let outcome = sandbox.run(&["build", "hello.wat", "-o", "directory/x"]);
    if outcome.code != Some(0) {
        outcome.fails(1, &["cannot write `directory/x`: permission denied"]);
        assert_eq!(fs::read_dir(&read_only).unwrap().count(), 0);
    }
    fs::set_permissions(&read_only, fs::Permissions::from_mode(0o755)).unwrap();
    sandbox.run(&["build", "hello.wat", "-o", "/proc/aot-out"]).fails(1, &["cannot write `/proc/aot-out`"]);
}

#[test]
fn a_failed_build_keeps_the_former_result() {
    let sandbox = Sandbox::new();
    sandbox.write("bad.wat", "(module (func (result i32)))");
    sandbox.write("out", "former");
    sandbox.run(&["build", "bad.wat", "-o", "out"]).fails(1, &[]);
    assert_eq!(fs::read_to_string(sandbox.path("out")).unwrap(), "former");
}

#[test]
fn results_go_through_symbolic_links() {
    let sandbox = Sandbox::new();
    sandbox.write("hello.wat", HELLO);
    sandbox.write("real", "former");
    symlink("real", sandbox.path("link")).unwrap();
    sandbox.run(&["build", "hello.wat", "-o", "link"]).succeeds();
    assert!(fs::symlink_metadata(sandbox.path("link")).unwrap().is_symlink());
    assert!(fs::read(sandbox.path("real")).unwrap().starts_with(b"\x7fELF"));
}

#[test]
fn a_running_executable_can_be_replaced() {
    let sandbox = Sandbox::new();
    sandbox.write("wait.wat", WAIT);
    sandbox.run(&["build", "wait.wat", "-o", "program"]).succeeds();
    let mut child = Command::new(sandbox.path("program")).stdin(Stdio::piped()).spawn().unwrap();
    sandbox.write("hello.wat", HELLO);
    sandbox.run(&["build", "hello.wat", "-o", "program"]).succeeds();
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    let output = Command::new(sandbox.path("program")).output().unwrap();
    assert_eq!(Outcome::of(output).succeeds().text(), "hello\n");
}

/// Waits for the end of standard input.
const WAIT: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 64))
    (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 20)))))"#;

/// Copies standard input to standard output, then exits with the number of its arguments.
const CAT: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 1024))
    (block $end
      (loop $next
        (i32.store (i32.const 4) (i32.const 4096))
        (br_if $end (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4)))
        (br_if $end (i32.eqz (i32.load (i32.const 4))))
        ;; An error of writing is the exit code.
        (i32.store (i32.const 12) (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
        (if (i32.load (i32.const 12)) (then (call $proc_exit (i32.load (i32.const 12)))))
        (br $next)))
    (drop (call $args_sizes_get (i32.const 8) (i32.const 12)))
    (call $proc_exit (i32.load (i32.const 8)))))"#;

#[test]
fn run_passes_streams_arguments_and_exit_code() {
    let sandbox = Sandbox::new();
    sandbox.write("cat.wat", CAT);
    for words in [&["run", "cat.wat", "--help", "-V", "--"][..], &["cat.wat", "--help", "-V", "--"]] {
        let mut child = sandbox.command(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"some\0bytes").unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.stdout, b"some\0bytes");
        assert_eq!(output.status.code(), Some(4), "the program's name and three arguments");
    }
    assert_eq!(sandbox.files(), ["cat.wat"]);
}

#[test]
fn a_closed_pipe_is_an_error_of_the_guest() {
    /// `errno` of WASI.
    const EPIPE: i32 = 64;
    let sandbox = Sandbox::new();
    sandbox.write("cat.wat", CAT);
    let mut child =
        sandbox.command(&["run", "cat.wat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    child.stdin.take().unwrap().write_all(b"x").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(EPIPE));
}

#[test]
fn run_reports_traps_and_signals() {
    let sandbox = Sandbox::new();
    sandbox.write("trap.wat", r#"(module (func $boom (export "_start") unreachable))"#);
    let outcome = sandbox.run(&["run", "trap.wat"]);
    assert_eq!(outcome.code, Some(134), "{outcome:?}");
    assert!(outcome.stderr.contains("unreachable") && outcome.stderr.contains("boom"), "{outcome:?}");

    sandbox.write("wait.wat", WAIT);
    let mut child = sandbox.command(&["wait.wat"]).stdin(Stdio::piped()).spawn().unwrap();
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(Outcome::of(Output { status, stdout: Vec::new(), stderr: Vec::new() }).signal, Some(9));
}

#[test]
fn misspelt_commands_are_explained() {
    let sandbox = Sandbox::new();
    sandbox
        .run(&["buidl", "app.wasm"])
        .fails(1, &["`buidl`: no such file", "help: did you mean the command `aot build`?"]);
    sandbox.run(&["app.wasm"]).fails(1, &["cannot read `app.wasm`: no such file"]);
}

#[test]
fn inspect_knows_all_kinds_of_files() {
    let sandbox = Sandbox::new();
    let module = wat::parse_str(HELLO).unwrap();
    sandbox.write("hello.wat", HELLO);
    sandbox.run(&["build", "hello.wat", "--emit", "exe=exe", "--emit", "obj=obj"]).succeeds();
    sandbox.write("module", &module);
    sandbox.write("truncated", &module[..module.len() - 3]);
    sandbox.write("component", b"\0asm\x0d\0\x01\0");
    sandbox.write("empty", b"");
    sandbox.write("unknown", b"\xff");
    sandbox.write("syntax", b"(module");
    let mut foreign = fs::read(sandbox.path("obj")).unwrap();
    foreign[7] = 200;
    sandbox.write("cwasm", &foreign);
    fs::copy(env!("CARGO_BIN_EXE_aot"), sandbox.path("elf")).unwrap();
    for (file, kind) in [
        ("module", "module"),
        ("truncated", "module"),
        ("hello.wat", "text"),
        ("syntax", "text"),
        ("component", "component"),
        ("exe", "executable"),
        ("obj", "object"),
        ("cwasm", "wasmtime-image"),
        ("elf", "elf"),
        ("empty", "empty"),
        ("unknown", "unknown"),
    ] {
        let outcome = sandbox.run(&["inspect", "--json", file]).succeeds();
        let json: serde_json::Value = serde_json::from_slice(&outcome.stdout).unwrap();
        assert_eq!(json["kind"], kind, "{file}");
        let buildable = ["module", "hello.wat"].contains(&file);
        let artifact = ["exe", "obj"].contains(&file);
        assert_eq!(json["refused"].as_array().is_some_and(|reasons| reasons.is_empty()), buildable, "{json}");
        assert_eq!(json["refused"].is_null(), artifact, "{json}");
        assert!(sandbox.run(&["inspect", file]).succeeds().text().starts_with(&format!("{file}: ")));
    }
}

#[test]
fn objdump_shows_functions_and_traps() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "div.wat",
        r#"(module (func $quotient (export "q") (param i32 i32) (result i32)
            (i32.div_u (local.get 0) (local.get 1))) (func $other (export "o") (drop (call $quotient (i32.const 1) (i32.const 1)))))"#,
    );
    // Inlined, there would be no call to show.
    let inlining = ["-C", "inlining=n"];
    sandbox
        .run(&[&["build", "div.wat", "--emit", "exe", "--emit", "obj"], &inlining[..]].concat())
        .succeeds();
    sandbox
        .run(&[&["build", "div.wat", "-o", "stripped", "--strip", "all"], &inlining[..]].concat())
        .succeeds();
    for file in ["div", "div.o", "stripped"] {
        let outcome = sandbox.run(&["objdump", file]).succeeds();
        for part in
            ["func 0 `quotient`", "trap: integer divide by zero, wasm 0x", "func 1 `other`", "; quotient"]
        {
            assert!(outcome.text().contains(part), "no {part:?} in {}", outcome.text());
        }
        let one = sandbox.run(&["objdump", file, "--funcs", "1"]).succeeds();
        assert!(one.text().contains("func 1 `other`") && !one.text().contains("func 0"));
        sandbox.run(&["objdump", file, "--funcs", "zebra"]).fails(1, &["no function matches `zebra`"]);
    }
    sandbox.run(&["objdump", "div.wat"]).fails(1, &["`div.wat` was not made by aot"]);
}

/// Damaged artifacts are described or refused; nothing panics or hangs.
#[test]
fn damaged_artifacts_are_no_danger() {
    let sandbox = Sandbox::new();
    sandbox.write("hello.wat", HELLO);
    sandbox.run(&["build", "hello.wat", "--emit", "obj"]).succeeds();
    let object = fs::read(sandbox.path("hello.o")).unwrap();
    for step in 0..60 {
        let mut damaged = object.clone();
        let at = object.len() * step / 60;
        damaged[at] ^= 0xff;
        damaged.truncate(object.len() - step % 3 * 100);
        sandbox.write("damaged", &damaged);
        for words in [["inspect", "damaged"], ["objdump", "damaged"]] {
            let outcome = sandbox.run(&words);
            assert!(matches!(outcome.code, Some(0 | 1)), "{step}: {outcome:?}");
            assert!(!outcome.stderr.contains("a check failed"), "{step}: {outcome:?}");
        }
    }
}

#[test]
fn names_cannot_command_the_terminal() {
    let sandbox = Sandbox::new();
    sandbox
        .write("evil.wat", r#"(module (import "\1b[31m" "\0ax" (func)) (func (export "\1b]0;title\07")))"#);
    for words in [["inspect", "evil.wat"], ["build", "evil.wat"]] {
        let outcome = sandbox.run(&words);
        assert!(!outcome.stdout.contains(&0x1b) && !outcome.stderr.contains('\x1b'), "{outcome:?}");
    }
}

#[test]
fn a_closed_standard_output_is_no_error_of_reading_commands() {
    let sandbox = Sandbox::new();
    sandbox.write("hello.wat", HELLO);
    sandbox.run(&["build", "hello.wat"]).succeeds();
    for words in [
        &["--help"][..],
        &["--version"],
        &["build", "--help"],
        &["targets"],
        &["inspect", "hello.wat"],
        &["inspect", "--json", "hello"],
        &["objdump", "hello"],
        &["completion", "bash"],
        &["build", "-O", "help"],
    ] {
        let mut child = sandbox.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""), "{words:?}");
        // No space left is another matter.
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = sandbox.command(words).stdout(full).output().unwrap();
        Outcome::of(output).fails(1, &["cannot write to `standard output`"]);
    }
    // A build whose result nobody takes has failed.
    let mut child = sandbox
        .command(&["build", "hello.wat", "-o", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn help_teaches() {
    let sandbox = Sandbox::new();
    for command in ["build", "run", "inspect", "objdump", "completion"] {
        let outcome = sandbox.run(&[command, "--help"]).succeeds();
        assert!(outcome.text().contains("Examples:"), "{command}");
    }
    for (flag, key) in [("-O", "opt-level=0|1|2|s"), ("-W", "max-memory-size=BYTES"), ("-S", "inherit-env")] {
        let outcome = sandbox.run(&["build", flag, "help"]).succeeds();
        assert!(outcome.text().contains(key) && !outcome.text().contains("error"), "{outcome:?}");
        assert!(sandbox.run(&["run", flag, "help"]).succeeds().text().contains(key));
    }
    let version = sandbox.run(&["--version"]).succeeds();
    assert!(version.text().contains("Cranelift"));
    assert!(sandbox.run(&["targets"]).succeeds().text().contains("x86_64-linux"));
    assert!(sandbox.run(&["completion", "fish"]).succeeds().text().contains("inspect"));
    assert!(sandbox.run(&[]).code == Some(2));
}

#[test]
fn verbose_tells_what_is_done() {
    let sandbox = Sandbox::new();
    sandbox.write("hello.wat", HELLO);
    let outcome = sandbox.run(&["build", "hello.wat", "-v"]);
    assert_eq!(outcome.code, Some(0));
    for part in ["compiled", "linked in", "wrote `hello`"] {
        assert!(outcome.stderr.contains(part), "{}", outcome.stderr);
    }
    assert!(outcome.stdout.is_empty());
}

/// The system's tools agree that the executable is what it should be.
#[test]
fn executables_are_static() {
    let sandbox = Sandbox::new();
    sandbox.write("hello.wat", HELLO);
    sandbox.run(&["build", "hello.wat"]).succeeds();
    assert_static(&sandbox.path("hello"));
}

fn assert_static(path: &Path) {
    use object::read::elf::{FileHeader as _, ProgramHeader as _};
    let bytes = fs::read(path).unwrap();
    let header = object::elf::FileHeader64::<object::Endianness>::parse(&*bytes).unwrap();
    let endian = header.endian().unwrap();
    assert_eq!(header.e_type(endian), object::elf::ET_EXEC);
    for segment in header.program_headers(endian, &*bytes).unwrap() {
        let kind = segment.p_type(endian);
        assert!(kind != object::elf::PT_INTERP && kind != object::elf::PT_DYNAMIC);
        let flags = segment.p_flags(endian);
        assert!(!(flags.contains(object::elf::PF_W) && flags.contains(object::elf::PF_X)));
    }
}
