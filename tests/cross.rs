//! Executables for other machines: they do under QEMU what those for this machine do, and are the same bytes however
//! they are built.

#[path = "emulator.rs"]
mod emulator;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const AOT: &str = env!("CARGO_BIN_EXE_aot");

/// A program around a body of `_start`. What it can trap in lies two calls deep.
fn program(body: &str) -> String {
    format!(
        r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (type $other (func (param i64) (result i64)))
  (memory (export "memory") 1 2)
  (table 3 3 funcref)
  (elem (i32.const 1) $inner)
  (global $vector (mut v128) (v128.const i8x16 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15))
  (data (i32.const 8) "hello\n")
  (func $inner {body})
  (func $middle (call $inner) (call $write))
  (func $recurse (param i32) (result i32) (i32.add (call $recurse (local.get 0)) (i32.const 1)))
  (func $write
    (i32.store (i32.const 0) (i32.const 8))
    (i32.store (i32.const 4) (i32.const 6))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20))))
  (func (export "_start") (call $middle)))"#
    )
}

/// Bodies, and how the program ends.
const PROGRAMS: &[(&str, &str, i32)] = &[
    ("hello", "", 0),
    ("exit-code", "(call $write) (call $proc_exit (i32.const 7))", 7),
    ("unreachable", "unreachable", 134),
    ("load", "(drop (i32.load (i32.const 65533)))", 134),
    ("far-load", "(drop (i64.load offset=4294967295 (i32.const -1)))", 134),
    ("store", "(i64.store8 (i32.const 65536) (i64.const 1))", 134),
    ("vector-store", "(v128.store (i32.const 65521) (global.get $vector))", 134),
    ("copy", "(memory.copy (i32.const 0) (i32.const 65530) (i32.const 7))", 134),
    ("divide", "(drop (i32.div_s (i32.const 1) (i32.load (i32.const 100))))", 134),
    ("divide-64", "(drop (i64.rem_u (i64.const 1) (i64.load (i32.const 100))))", 134),
    ("overflow", "(drop (i32.div_s (i32.const -2147483648) (i32.sub (i32.load (i32.const 100)) (i32.const 1))))", 134),
    ("convert", "(drop (i32.trunc_f64_s (f64.div (f64.const 0) (f64.convert_i32_s (i32.load (i32.const 100))))))", 134),
    ("null", "(call_indirect (i32.const 0))", 134),
    ("wrong-type", "(drop (call_indirect (type $other) (i64.const 0) (i32.const 1)))", 134),
    ("no-element", "(call_indirect (i32.const 3))", 134),
    ("stack", "(drop (call $recurse (i32.const 0)))", 134),
    (
        "vector",
        "(if (i64.ne (i64x2.extract_lane 0 (global.get $vector)) (i64.const 0x0706050403020100)) (then unreachable))
         (v128.store (i32.const 64) (i8x16.add (global.get $vector) (i8x16.splat (i32.const 1))))
         (if (i32.ne (i32.load (i32.const 68)) (i32.const 0x08070605)) (then unreachable))",
        0,
    ),
    (
        "grow",
        "(drop (memory.grow (i32.const 1))) (i32.store16 (i32.const 131070) (i32.const 0x1234))
         (if (i32.ne (i32.load8_u (i32.const 131071)) (i32.const 0x12)) (then unreachable))
         (if (i32.ne (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))",
        0,
    ),
];

fn scratch(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cross").join(name);
    drop(fs::remove_dir_all(&path));
    fs::create_dir_all(&path).unwrap();
    path
}

#[track_caller]
fn build(input: &Path, output: &Path, target: &str, words: &[&str]) {
    let mut command = Command::new(AOT);
    command.arg("build").arg(input).arg("-o").arg(output).args(["--target", target]).args(words);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{target}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The output, with no more of the stack than the machines have in common: frames are not of the same size, and the stack ends
/// before or within calls that were inlined.
fn parts(output: &Output) -> (String, String, Option<i32>) {
    const LINES: usize = 8;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let is_inlined = |line: &&str| line.starts_with("      ");
    let stderr: Vec<&str> = stderr.lines().filter(|line| !is_inlined(line)).take(LINES).collect();
    (String::from_utf8_lossy(&output.stdout).into_owned(), stderr.join("\n"), output.status.code())
}

fn programs_behave_as_here(target: &str) {
    if !emulator::is_ready(target) {
        return;
    }
    let dir = scratch(target);
    let mut wrong = Vec::new();
    for (name, body, code) in PROGRAMS {
        let source = dir.join(format!("{name}.wat"));
        fs::write(&source, program(body)).unwrap();
        let (here, there) = (dir.join(format!("{name}.here")), dir.join(name));
        build(&source, &here, "x86_64-linux", &[]);
        build(&source, &there, target, &[]);
        let expected = Command::new(&here).stdin(Stdio::null()).output().unwrap();
        assert_eq!(expected.status.code(), Some(*code), "{name}: {}", parts(&expected).1);
        let actual = emulator::command(target, &there).stdin(Stdio::null()).output().unwrap();
        if parts(&actual) != parts(&expected) {
            wrong.push(format!("{name}: expected {:#?}, got {:#?}", parts(&expected), parts(&actual)));
        }
    }
    assert!(wrong.is_empty(), "{target}: {}", wrong.join("\n"));
}

#[test]
fn programs_behave_on_aarch64_as_here() {
    programs_behave_as_here("aarch64-linux");
}

#[test]
fn programs_behave_on_riscv64_as_here() {
    programs_behave_as_here("riscv64-linux");
}

#[test]
fn programs_behave_on_s390x_as_here() {
    programs_behave_as_here("s390x-linux");
}

/// A module with state: name, data segments, what else is in it and in `_start`, and whether the kernel maps part of its
/// memory.
type Stateful = (&'static str, Vec<(u32, Vec<u8>)>, &'static str, &'static str, bool);

fn initial_states() -> Vec<Stateful> {
    let pattern = |len: u32| (0..len).map(|at| (at.wrapping_mul(at) >> 3 | 1) as u8).collect::<Vec<u8>>();
    let small = vec![(70_000, b"a\0\0b".to_vec()), (70_001, b"c".to_vec()), (200_000, b"d".to_vec())];
    let large = vec![(70_000, pattern(150_000)), (100_000, b"later".to_vec()), (300_000, pattern(30_000))];
    let references = "(table.set 0 (i32.const 2) (table.get 0 (i32.const 1)))
        (if (i32.ne (call_indirect (type $number) (i32.const 2)) (i32.const 5)) (then unreachable))";
    let passive = r#"(data $passive "xyz")"#;
    let init = r#"(memory.init $passive (i32.const 10) (i32.const 0) (i32.const 3))
        (if (i32.ne (i32.load8_u (i32.const 12)) (i32.const 122)) (then unreachable))
        (memory.fill (i32.const 10) (i32.const 0) (i32.const 3))"#;
    vec![
        ("empty", vec![], "", "", false),
        ("small", small.clone(), "", "", false),
        ("large", large.clone(), "", "", true),
        ("small-references", small.clone(), "", references, false),
        ("large-references", large.clone(), "", references, true),
        ("small-passive", small, passive, init, false),
        ("large-passive", large, passive, init, true),
    ]
}

/// A program that ends with a checksum of its memory as it was at first, which it changes then.
fn checksum_program(segments: &[(u32, Vec<u8>)], items: &str, body: &str) -> String {
    let segment = |(at, bytes): &(u32, Vec<u8>)| {
        let text: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
        format!("(data (i32.const {at}) \"{text}\")\n")
    };
    let segments: String = segments.iter().map(segment).collect();
    format!(
        r#"(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (type $number (func (result i32)))
  (memory (export "memory") 8 10)
  (table 4 funcref)
  (elem (i32.const 1) $five)
  (global $a (mut i32) (i32.const -7))
  (global $b (mut i64) (i64.const 0x123456789abcdef))
  (global $c (mut f64) (f64.const 0.5))
  (global $d (mut v128) (v128.const i8x16 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15))
  (global $started (mut i32) (i32.const 0))
  {segments}
  {items}
  (start $start)
  (func $start (global.set $started (i32.const 1)))
  (func $five (result i32) (i32.const 5))
  (func (export "_start") (local $at i32) (local $sum i32)
    (if (i32.eqz (global.get $started)) (then unreachable))
    (if (i32.ne (global.get $a) (i32.const -7)) (then unreachable))
    (if (i64.ne (global.get $b) (i64.const 0x123456789abcdef)) (then unreachable))
    (if (f64.ne (global.get $c) (f64.const 0.5)) (then unreachable))
    (if (i32.ne (i8x16.extract_lane_u 9 (global.get $d)) (i32.const 9)) (then unreachable))
    (if (i32.ne (table.size) (i32.const 4)) (then unreachable))
    (if (i32.ne (call_indirect (type $number) (i32.const 1)) (i32.const 5)) (then unreachable))
    {body}
    (local.set $sum (i32.const 1))
    (loop $next
      (local.set $sum (i32.mul (i32.const 16777619)
        (i32.xor (local.get $sum) (i32.load8_u (local.get $at)))))
      (i32.store8 (local.get $at) (i32.const 255))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $at) (i32.shl (memory.size) (i32.const 16)))))
    (if (i32.ne (memory.grow (i32.const 1)) (i32.const 8)) (then unreachable))
    (if (i32.load (i32.const 524288)) (then unreachable))
    (call $proc_exit (i32.shr_u (local.get $sum) (i32.const 26)))))"#
    )
}

/// Memory, globals and tables have their first values, whether the compiler, the kernel or the runtime makes them.
#[test]
fn initial_state_is_as_the_module_says() {
    let dir = scratch("initial");
    let targets = ["x86_64-linux"].into_iter().chain(emulator::FOREIGN);
    for target in targets.filter(|target| *target == "x86_64-linux" || emulator::is_ready(target)) {
        for (name, segments, items, body, is_mapped) in initial_states() {
            let mut memory = vec![0; 8 << 16];
            for (at, bytes) in &segments {
                memory[*at as usize..][..bytes.len()].copy_from_slice(bytes);
            }
            let sum = memory.iter().fold(1u32, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(16_777_619));
            let (source, executable) = (dir.join(format!("{name}.wat")), dir.join(name));
            fs::write(&source, checksum_program(&segments, items, body)).unwrap();
            for options in [&[][..], &["--strip", "all"], &["-C", "model=instance"]] {
                build(&source, &executable, target, options);
                let bytes = fs::read(&executable).unwrap();
                let has_section = bytes.windows(12).any(|window| window == b".aot.memory\0");
                assert_eq!(
                    has_section,
                    is_mapped && !options.contains(&"model=instance"),
                    "{target}: {name}"
                );
                for _ in 0..2 {
                    let mut command = match target {
                        "x86_64-linux" => Command::new(&executable),
                        _ => emulator::command(target, &executable),
                    };
                    let (_, stderr, code) = parts(&command.stdin(Stdio::null()).output().unwrap());
                    assert_eq!(code, Some((sum >> 26) as i32), "{target}: {name} {options:?}: {stderr}");
                }
            }
        }
    }
}

/// Executables that are mapped anywhere do what others do, traps and their backtraces included.
#[test]
fn executables_can_be_mapped_anywhere() {
    let dir = scratch("pie");
    let targets = ["x86_64-linux"].into_iter().chain(emulator::FOREIGN);
    for target in targets.filter(|target| *target == "x86_64-linux" || emulator::is_ready(target)) {
        let command = |path: &Path| match target {
            "x86_64-linux" => Command::new(path),
            _ => emulator::command(target, path),
        };
        for name in ["hello", "unreachable", "store", "stack", "null", "vector", "grow"] {
            let (_, body, _) = PROGRAMS.iter().find(|(other, ..)| *other == name).unwrap();
            let source = dir.join(format!("{name}.wat"));
            fs::write(&source, program(body)).unwrap();
            let (fixed, anywhere) = (dir.join("fixed"), dir.join("anywhere"));
            build(&source, &fixed, target, &["-C", "model=instance"]);
            for strip in ["none", "all"] {
                build(&source, &anywhere, target, &["--pie", "--strip", strip]);
                let run = |path: &Path| parts(&command(path).stdin(Stdio::null()).output().unwrap());
                assert_eq!(run(&anywhere), run(&fixed), "{target}: {name}, --strip {strip}");
            }
            // The type of the file: one that can be mapped anywhere.
            let kind = fs::read(&anywhere).unwrap()[16..18].to_vec();
            assert!(kind == [3, 0] || kind == [0, 3], "{target}: {kind:?}");
            let inspected = Command::new(AOT).arg("inspect").arg(&anywhere).output().unwrap();
            let text = String::from_utf8_lossy(&inspected.stdout);
            assert!(text.contains("executable made by aot") && text.contains("fd_write"), "{target}: {text}");
        }
    }
}

/// Modules with vectors need an extension of riscv64, others do not.
#[test]
fn missing_vectors_are_an_error() {
    let target = "riscv64-linux";
    if !emulator::is_ready(target) {
        return;
    }
    let dir = scratch("no-vectors");
    for (name, code) in [("hello", 0), ("vector", 1)] {
        let (_, body, _) = PROGRAMS.iter().find(|(other, ..)| *other == name).unwrap();
        let (source, executable) = (dir.join(format!("{name}.wat")), dir.join(name));
        fs::write(&source, program(body)).unwrap();
        build(&source, &executable, target, &[]);
        let mut command = emulator::command(target, &executable);
        let output = command.env("QEMU_CPU", "rv64,v=false").stdin(Stdio::null()).output().unwrap();
        let (_, stderr, actual) = parts(&output);
        assert_eq!(actual, Some(code), "{name}: {stderr}");
        assert_eq!(stderr.contains("features that this machine lacks: v"), code == 1, "{name}: {stderr}");
    }
}

/// The same bytes with one and with several threads, from another directory and under another name.
#[test]
fn executables_are_reproducible() {
    let (one, other) = (scratch("one"), scratch("other-directory"));
    let repo = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let source = fs::read(repo.join("examples/top-words.wat")).unwrap();
    fs::write(one.join("a.wat"), &source).unwrap();
    fs::write(other.join("b.wat"), &source).unwrap();
    const OBJECTS_ONLY: [&str; 4] = ["aarch64-macos", "x86_64-macos", "x86_64-windows", "aarch64-windows"];
    for target in ["x86_64-linux"].iter().chain(&emulator::FOREIGN).chain(&OBJECTS_ONLY) {
        for emit in ["obj", "exe"] {
            let is_foreign = emulator::FOREIGN.contains(target);
            if emit == "exe" && (OBJECTS_ONLY.contains(target) || is_foreign && !emulator::is_ready(target)) {
                continue;
            }
            let bytes = |dir: &Path, input: &str, threads: &str| {
                let mut command = Command::new(AOT);
                command.current_dir(dir).env("RAYON_NUM_THREADS", threads);
                command.args(["build", input, "--no-cache", "-o", "out", "--emit", emit, "--target", target]);
                let output = command.output().unwrap();
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                fs::read(dir.join("out")).unwrap()
            };
            let first = bytes(&one, "a.wat", "1");
            assert!(first == bytes(&other, "b.wat", "4"), "{target}: {emit} differs");
        }
    }
}

/// The script for CI: an executable for each target, and checksums that hold.
#[test]
fn the_script_for_ci_builds_for_all_targets() {
    if !emulator::FOREIGN.iter().all(|target| emulator::is_ready(target)) {
        return;
    }
    let dir = scratch("ci");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("examples");
    let mut script = Command::new(examples.join("ci/build-all.sh"));
    script.env("AOT", AOT).arg(examples.join("top-words.wat")).arg(dir.join("dist"));
    let output = script.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut check = Command::new("sha256sum");
    let checked =
        check.args(["--check", "--strict", "SHA256SUMS"]).current_dir(dir.join("dist")).output().unwrap();
    let checked = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert_eq!(checked.lines().filter(|line| line.ends_with(": OK")).count(), 4, "{checked}");
    for target in emulator::FOREIGN {
        let executable = dir.join("dist").join(format!("top-words-{target}"));
        let mut program = emulator::command(target, &executable);
        let output = program.stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{target}");
    }
}

/// By the unwind information: a debugger knows nothing else of wasm code.
#[test]
fn debuggers_walk_the_frames_of_wasm_code() {
    for target in emulator::FOREIGN.into_iter().filter(|target| emulator::is_ready(target)) {
        // Without inlining.
        debugger_walks_frames(target, &["-O", "opt-level=0"]);
        debugger_walks_frames(target, &["-O", "opt-level=0", "--pie"]);
    }
}

fn debugger_walks_frames(target: &str, options: &[&str]) {
    let dir = scratch(&format!("{target}-debugger"));
    let (source, executable) = (dir.join("in.wat"), dir.join("out"));
    fs::write(&source, program("(i32.store (i32.const 0) (i32.const 1))")).unwrap();
    build(&source, &executable, target, options);
    // Too long a name for a socket, were it in the scratch directory.
    let socket = std::env::temp_dir().join(format!("aot-gdb-{}-{target}", std::process::id()));
    let mut emulator = emulator::command_for_debugger(target, &executable, &socket).spawn().unwrap();
    let words = [format!("file {}", executable.display()), format!("target remote {}", socket.display())];
    let commands = words.iter().map(String::as_str).chain(["break inner", "continue", "backtrace"]);
    while !socket.exists() && emulator.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let mut gdb = Command::new("gdb-multiarch");
    gdb.args(["-nx", "-batch"]).args(commands.flat_map(|command| ["-ex", command]));
    let output = gdb.output().expect("gdb-multiarch runs");
    drop(emulator.kill());
    emulator.wait().unwrap();
    drop(fs::remove_file(&socket));
    let text = String::from_utf8_lossy(&output.stdout);
    let names: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with('#'))
        // The address is left out where it is the first of a line.
        .filter_map(|line| Some(line.split_once(' ')?.1.trim_start()))
        .map(|frame| frame.split_once(" in ").map_or(frame, |(_, frame)| frame))
        .filter_map(|frame| frame.split([' ', '[']).next())
        .take(4)
        .collect();
    assert_eq!(names, ["inner", "middle", "_start", "wasm-entry"], "{target} {options:?}: {text}");
}

/// What the binutils of LLVM read in objects: machine, relocations that are known, unwind information for each function.
#[test]
fn objects_are_as_the_machine_wants_them() {
    let dir = scratch("objects");
    let source = dir.join("in.wat");
    fs::write(&source, program("unreachable")).unwrap();
    for (target, machine, call) in [
        ("x86_64-linux", "Advanced Micro Devices X86-64", "R_X86_64_P"),
        ("aarch64-linux", "AArch64", "R_AARCH64_CALL26"),
        ("riscv64-linux", "RISC-V", "R_RISCV_CALL_PLT"),
        ("s390x-linux", "IBM S/390", "R_390_PLT32DBL"),
    ] {
        let object = dir.join(format!("{target}.o"));
        build(&source, &object, target, &["--emit", "obj"]);
        let read = |words: &[&str]| {
            let output = Command::new("readelf").args(words).arg(&object).output().expect("readelf runs");
            assert!(output.stderr.is_empty(), "{target}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        assert!(read(&["-h"]).contains(machine), "{target}: {}", read(&["-h"]));
        let relocations = read(&["-rW"]);
        assert!(relocations.contains(call), "{target}: {relocations}");
        assert!(!relocations.contains("unrecognized"), "{target}: {relocations}");
        let frames = read(&["--debug-dump=frames"]);
        let functions = read(&["-sW"]).lines().filter(|line| line.contains(" FUNC ")).count();
        let described = frames.lines().filter(|line| line.contains(" FDE ")).count();
        assert!(described >= 4 && described <= functions, "{target}: {described} of {functions}");
    }
}
