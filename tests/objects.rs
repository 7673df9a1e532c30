//! Objects for macOS and Windows: LLVM's tools read them, linkers link them with C, every call lands at its function,
//! every function can be unwound; and code for Windows runs here, called as Windows' C functions call each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const AOT: &str = env!("CARGO_BIN_EXE_aot");

/// Calls of all kinds: of functions, imports, the runtime, and helpers for what the baseline has no instruction for;
/// tail calls that move the frame; registers that are saved; a frame larger than a page.
const MODULE: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_seek" (func $fd_seek (param i32 i64 i32 i32) (result i32)))
  (memory 1)
  (type $wide (func (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (func $sum (type $wide)
    (i32.add (local.get 0) (i32.add (local.get 5) (i32.add (local.get 10) (local.get 11)))))
  (func $more (param i32) (result i32)
    (return_call $sum (local.get 0) (i32.const 1) (i32.const 2) (i32.const 3) (i32.const 4) (i32.const 5)
      (i32.const 6) (i32.const 7) (i32.const 8) (i32.const 9) (i32.const 10) (i32.const 11)))
  (func $round (param f64) (result f64) (f64.nearest (f64.floor (local.get 0))))
  (func $busy (param i32 i32) (result i32)
    (local i32 i32 i32 i32 i32)
    (local.set 2 (call $fd_write (local.get 0) (local.get 1) (i32.const 7) (i32.const 8)))
    (local.set 3 (call $fd_seek (local.get 2) (i64.const 0x123456789) (local.get 0) (local.get 1)))
    (local.set 4 (call $more (local.get 3)))
    (local.set 5 (i32.wrap_i64 (i64.extend_i32_u (memory.grow (local.get 4)))))
    (i32.add (i32.add (local.get 0) (local.get 1))
      (i32.add (i32.add (local.get 2) (local.get 3)) (i32.add (local.get 4) (local.get 5)))))
  (func (export "run") (param i32 f64) (result i32 f64)
    (call $busy (local.get 0) (i32.const 1000))
    (call $round (local.get 1)))
  (func (export "large") (param i32) (result i32) LARGE))
"#;

/// A function whose results lie on the stack: more than a page of them, so that the guard page has to be probed.
fn module() -> String {
    const RESULTS: usize = 700;
    let results = " i32".repeat(RESULTS);
    let values = " (local.get 0)".repeat(RESULTS);
    let sum = "i32.add ".repeat(RESULTS - 1);
    MODULE.replace(
        "LARGE))",
        &format!("(call $many (local.get 0)) {sum})\n (func $many (param i32) (result{results}){values}))"),
    )
}

/// The C side: what the object refers to, and a function that calls `run` through its entry trampoline.
const HOST: &str = r#"
typedef unsigned long long word;
typedef unsigned int u32;
/* Address and length of the code come first. */
extern const word aot_module[11];
static u32 errors;
#ifdef _WIN32
/* Code with floating point numbers asks for it. */
int _fltused;
#endif
static void *const context = (void *)0x1000;
static void expect(int holds) { if (!holds) errors++; }
word aot_memory_grow(void *c, u32 memory, word pages) { expect(c == context && memory == 0 && pages == 30); return 2; }
u32 aot_wasi_fd_write(void *c, u32 a, u32 b, u32 n, u32 d) { expect(c == context && a == 5 && b == 1000 && n == 7 && d == 8); return 3; }
u32 aot_wasi_fd_seek(void *c, u32 fd, word at, u32 a, u32 b) {
  expect(c == context && fd == 3 && at == 0x123456789ULL && a == 5 && b == 1000);
  return 4;
}
typedef u32 (*entry)(void *activation, const void *code, void *context, void *values);
/* 0 if all was as expected. */
u32 start(void) {
  union { u32 i; double d; word w[2]; } values[2] = {{ .i = 5 }, { .d = 2.5 }};
  word activation[4];
  const char *text = (const char *)aot_module[0];
  u32 trapped = ((entry)(text + ENTRY))(activation, text + RUN, context, values);
  /* 5 + 1000 + 3 + 4 + (4 + 5 + 10 + 11) + 2 */
  expect(trapped == 0 && values[0].i == 1044 && values[1].d == 2.0);
  values[0].i = 3;
  trapped = ((entry)(text + LARGE_ENTRY))(activation, text + LARGE, context, values);
  expect(trapped == 0 && values[0].i == 2100);
  return errors;
}
"#;

/// Runs a command that has to succeed, and returns its standard output.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Whether commands are there. If not, says so; and on CI that is a failure.
fn are_there(commands: &[&str]) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &&&str| std::env::split_paths(&paths).any(|path| path.join(name).is_file());
    let Some(missing) = commands.iter().find(|name| !is_there(name)) else { return true };
    let remedy = "`cargo xtask setup` installs it";
    assert!(std::env::var_os("CI").is_none(), "on CI nothing may be skipped: no `{missing}`; {remedy}");
    println!("SKIPPED objects: no `{missing}`; {remedy}");
    false
}

const TOOLS: [&str; 4] = ["clang-19", "llvm-nm-19", "llvm-objdump-19", "llvm-readobj-19"];

/// An object, the C object beside it, and the directory that they are in.
struct Pair {
    dir: PathBuf,
    aot: PathBuf,
    host: PathBuf,
}

fn build(test: &str, target: &str, clang_target: &str) -> Pair {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("objects").join(format!("{test}-{target}"));
    drop(fs::remove_dir_all(&dir));
    fs::create_dir_all(&dir).unwrap();
    let (source, aot, host) = (dir.join("in.wat"), dir.join("in.o"), dir.join("host.o"));
    fs::write(&source, module()).unwrap();
    let mut build = Command::new(AOT);
    // Without inlining, so that there are calls.
    build.args(["build", "--no-cache", "--emit", "obj", "-O", "opt-level=0", "--target", target]);
    run(build.arg(&source).arg("-o").arg(&aot));
    let names = symbols(&aot);
    let types = entry_types(&aot);
    let define = |name: &str, symbol: &str| format!("-D{name}={}", names[symbol]);
    fs::write(dir.join("host.c"), HOST).unwrap();
    let mut clang = Command::new("clang-19");
    clang
        .args(["-ffreestanding", "-fno-stack-protector", "-O1", "-c"])
        .arg(format!("--target={clang_target}"));
    clang.args([define("RUN", "run"), define("LARGE", "large")]);
    clang.args([define("ENTRY", &types[0]), define("LARGE_ENTRY", &types[1])]);
    run(clang.arg(dir.join("host.c")).arg("-o").arg(&host));
    Pair { dir, aot, host }
}

/// Symbols of the code of an object, by their names in C, with their addresses.
fn symbols(object: &Path) -> BTreeMap<String, u64> {
    let text = run(Command::new("llvm-nm-19").arg("--format=posix").arg(object));
    let is_macho = text.lines().any(|line| line.starts_with("_aot_module "));
    let symbol = |line: &str| {
        let [name, kind, value, ..] = *line.split(' ').collect::<Vec<_>>() else { return None };
        let name = if is_macho { name.strip_prefix('_')? } else { name };
        let is_code = matches!(kind, "t" | "T");
        is_code.then(|| (name.to_owned(), u64::from_str_radix(value, 16).unwrap()))
    };
    text.lines().filter_map(symbol).collect()
}

/// The entry trampolines of the types of `run` and `large`, which are in the order of their types.
fn entry_types(object: &Path) -> [String; 2] {
    let mut names: Vec<String> =
        symbols(object).into_keys().filter(|name| name.starts_with("wasm-entry[")).collect();
    // `large` has the type of `more`, which comes first.
    names.sort_by_key(|name| name["wasm-entry[".len()..name.len() - 1].parse::<u32>().unwrap());
    let [large, run] = <[String; 2]>::try_from(names).unwrap();
    [run, large]
}

/// The functions that each function calls or jumps to, in order; of code that is linked or not.
fn calls(file: &Path) -> BTreeMap<String, Vec<String>> {
    let text = run(Command::new("llvm-objdump-19").args(["-dr", "--no-show-raw-insn"]).arg(file));
    let is_relocation = |word: &str| word.contains("_RELOC_BRANCH") || word.starts_with("IMAGE_REL_");
    let mut calls: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut function = String::new();
    let c_name = |name: &str| name.trim_start_matches('_').to_owned();
    for line in text.lines() {
        if let Some(name) = line.strip_suffix(">:").and_then(|line| line.split_once(" <")) {
            function = c_name(name.1);
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let target = if let Some(at) = words.iter().position(|word| is_relocation(word)) {
            words[at + 1]
        } else if words.iter().any(|word| matches!(*word, "callq" | "bl" | "jmp" | "b")) {
            // What has an offset is a place in a function, or a call whose relocation comes next.
            let target = line.rsplit_once('<').map(|(_, name)| name.trim_end_matches('>'));
            let Some(target) = target.filter(|name| !name.contains('+')) else { continue };
            target
        } else {
            continue;
        };
        calls.entry(function.clone()).or_default().push(c_name(target));
    }
    calls
}

/// Every call of the module's code in a linked file lands where the object, or a relocation of it, says.
#[track_caller]
fn assert_calls_land(pair: &Pair, linked: &Path) {
    let (mut expected, actual) = (calls(&pair.aot), calls(linked));
    // In objects for macOS, the first function has other names too: those of the start of the code.
    let (first, _) = symbols(&pair.aot).into_iter().min_by_key(|(_, address)| *address).unwrap();
    let starts =
        expected.values_mut().flatten().filter(|callee| *callee == "l_aot_start_text" || *callee == "ltmp0");
    starts.for_each(|callee| callee.clone_from(&first));
    let run: BTreeSet<&str> = expected.values().flatten().map(String::as_str).collect();
    for callee in
        ["busy", "aot_memory_grow", "aot_wasi_fd_write", "aot_wasi_fd_seek", "fd_write", "round", "many"]
    {
        assert!(run.contains(callee), "nothing calls {callee}: {expected:?}");
    }
    for (function, calls) in &expected {
        assert_eq!(actual.get(function), Some(calls), "{function}");
    }
}

fn windows(target: &str, clang_target: &str, linkers: &[&[&str]]) {
    if !are_there(&TOOLS) {
        return;
    }
    let pair = build("link", target, clang_target);
    let readobj = |file: &Path| run(Command::new("llvm-readobj-19").args(["--unwind", "--relocs"]).arg(file));
    let described = readobj(&pair.aot).matches("RuntimeFunction {").count();
    assert_eq!(described, symbols(&pair.aot).len(), "{}", readobj(&pair.aot));
    for linker in linkers {
        if !are_there(&linker[..1]) {
            continue;
        }
        let image = pair.dir.join(format!("{}.exe", linker[0]));
        let mut link = Command::new(linker[0]);
        let words = linker[1..].iter().map(|word| word.replace("OUT", &image.display().to_string()));
        run(link.args(words).arg(&pair.aot).arg(&pair.host));
        assert_calls_land(&pair, &image);
        // Each of the module's functions, and those of the C side that have a frame.
        let text = readobj(&image);
        assert!(text.matches("RuntimeFunction {").count() >= described, "{text}");
    }
}

const LLD_LINK: &[&str] =
    &["lld-link-19", "/entry:start", "/subsystem:console", "/nodefaultlib", "/debug:symtab", "/out:OUT"];

#[test]
fn windows_x86_64_objects_are_linked() {
    let mingw = &["x86_64-w64-mingw32-ld", "-e", "start", "--subsystem", "console", "-o", "OUT"];
    windows("x86_64-windows", "x86_64-pc-windows-msvc", &[LLD_LINK, mingw]);
}

#[test]
fn windows_aarch64_objects_are_linked() {
    windows("aarch64-windows", "aarch64-pc-windows-msvc", &[LLD_LINK]);
}

/// What unwinds a frame on Windows x86-64: where the frame register is, and where it saved which registers.
#[test]
fn windows_x86_64_frames_are_described() {
    if !are_there(&TOOLS) {
        return;
    }
    let pair = build("frames", "x86_64-windows", "x86_64-pc-windows-msvc");
    let text = run(Command::new("llvm-readobj-19").arg("--unwind").arg(&pair.aot));
    let code = run(Command::new("llvm-objdump-19").args(["-d", "--no-show-raw-insn"]).arg(&pair.aot));
    let mut compared = 0;
    for record in text.split("RuntimeFunction {").skip(1) {
        let name = record.split("StartAddress: ").nth(1).unwrap().split(" (0x").next().unwrap();
        let body = code.split(&format!("<{name}>:")).nth(1).unwrap().split("\n\n").next().unwrap();
        let distance = hex_after(record, "SET_FPREG reg=RBP, offset=0x").unwrap();
        let body: Vec<&str> = body.lines().collect();
        for line in record.lines().filter(|line| line.contains("SAVE_")) {
            let register = line.split("reg=").nth(1).unwrap().split(',').next().unwrap().to_lowercase();
            let offset = hex_after(line, "offset=0x").unwrap();
            let is_store = |line: &&str| line.contains("mov") && line.contains(&format!("%{register}, "));
            let store = body.iter().position(is_store).unwrap();
            let at = hex_after(body[store], ", 0x").unwrap_or(0);
            let size = body[..store].iter().rev().find_map(|line| hex_after(line, "subq\t$0x")).unwrap();
            // From `rbp`, both ways.
            assert_eq!(at - size, offset - distance, "{name}: {line}: {}", body[store]);
            compared += 1;
        }
    }
    // The entry trampolines save all that C functions want kept: 7 registers and the lower halves of 10 vectors.
    assert!(compared >= 2 * 17, "{compared}: {text}");
}

fn hex_after(text: &str, before: &str) -> Option<i64> {
    let rest = text.split(before).nth(1)?;
    let digits = rest.split(|c: char| !c.is_ascii_hexdigit()).next()?;
    i64::from_str_radix(digits, 16).ok()
}

fn macos(target: &str, machine: &str) {
    if !are_there(&TOOLS) || !are_there(&["ld64.lld-19", "llvm-dwarfdump-19"]) {
        return;
    }
    let pair = build("link", target, &format!("{machine}-apple-macosx11.0"));
    let library = pair.dir.join("linked.dylib");
    let mut link = Command::new("ld64.lld-19");
    link.args([
        "-arch",
        machine,
        "-platform_version",
        "macos",
        "11.0",
        "11.0",
        "-dylib",
        "-fatal_warnings",
        "-o",
    ]);
    run(link.arg(&library).arg(&pair.aot).arg(&pair.host));
    assert_calls_land(&pair, &library);

    // Every function has an entry; those that refer to DWARF have a description there, before and after linking.
    let dump = |file: &Path| run(Command::new("llvm-objdump-19").arg("--unwind-info").arg(file));
    let described = |file: &Path| {
        let text = run(Command::new("llvm-dwarfdump-19").arg("--eh-frame").arg(file));
        text.matches(" FDE ").count()
    };
    let entries = dump(&pair.aot);
    assert_eq!(entries.matches("Entry at offset").count(), symbols(&pair.aot).len(), "{entries}");
    let dwarf = if machine == "arm64" { "compact encoding:     0x03" } else { "compact encoding:     0x04" };
    let wanted = entries.matches(dwarf).count();
    assert_eq!(described(&pair.aot), wanted, "{entries}");
    assert_eq!(described(&library), wanted, "{}", dump(&library));
    let linked = dump(&library);
    assert!(linked.contains("Contents of __unwind_info section"), "{linked}");
    // Frames with saved registers need DWARF on arm64, as our pairs lie the other way round; on x86-64 none does.
    assert_eq!(wanted > 0, machine == "arm64", "{entries}");
}

#[test]
fn macos_x86_64_objects_are_linked() {
    macos("x86_64-macos", "x86_64");
}

#[test]
fn macos_aarch64_objects_are_linked() {
    macos("aarch64-macos", "arm64");
}

/// Maps the image as Windows would, and calls it with Windows' convention. All registers that the convention keeps are
/// compared before and after.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn code_for_windows_runs() {
    const LOADER: &str = r#"
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
static unsigned char file[1 << 20];
static uint32_t u32(size_t at) { uint32_t value; memcpy(&value, file + at, 4); return value; }
static uint16_t u16(size_t at) { uint16_t value; memcpy(&value, file + at, 2); return value; }
int main(int argc, char **argv) {
  FILE *input = fopen(argv[1], "rb");
  if (!input || !fread(file, 1, sizeof file, input)) return 100;
  size_t header = u32(0x3c), optional = header + 24, sections = optional + u16(header + 20);
  uint64_t base; memcpy(&base, file + optional + 24, 8);
  unsigned char *image = mmap((void *)base, u32(optional + 56), PROT_READ | PROT_WRITE | PROT_EXEC,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (image != (void *)base) return 101;
  for (int i = 0; i < u16(header + 6); i++) {
    size_t section = sections + 40 * i;
    uint32_t size = u32(section + 8), raw = u32(section + 16);
    memcpy(image + u32(section + 12), file + u32(section + 20), size < raw ? size : raw);
  }
  uint32_t (__attribute__((ms_abi)) *start)(void) = (void *)(image + u32(optional + 16));
  /* All that is kept across a call: r12 to r15, rbx, rdi, rsi; xmm6 to xmm15. */
  uint64_t before[17][2], after[17][2];
  for (int i = 0; i < 17; i++) before[i][0] = before[i][1] = 0x0123456789abcdefULL * (i + 1);
  void *function = (void *)start, *from = before, *to = after;
  __asm__ volatile(
    "push %%rbx; push %%rbp; push %%r12; push %%r13; push %%r14; push %%r15; mov %%rsp, %%rbp\n\t"
    "and $-16, %%rsp; push %%rdx; push %%rbp; sub $32, %%rsp\n\t"
    "movdqu 112(%%rcx), %%xmm6; movdqu 128(%%rcx), %%xmm7; movdqu 144(%%rcx), %%xmm8; movdqu 160(%%rcx), %%xmm9\n\t"
    "movdqu 176(%%rcx), %%xmm10; movdqu 192(%%rcx), %%xmm11; movdqu 208(%%rcx), %%xmm12; movdqu 224(%%rcx), %%xmm13\n\t"
    "movdqu 240(%%rcx), %%xmm14; movdqu 256(%%rcx), %%xmm15\n\t"
    "mov 0(%%rcx), %%rbx; mov 16(%%rcx), %%rdi; mov 32(%%rcx), %%rsi\n\t"
    "mov 48(%%rcx), %%r12; mov 64(%%rcx), %%r13; mov 80(%%rcx), %%r14; mov 96(%%rcx), %%r15\n\t"
    "call *%%rax\n\t"
    "mov 40(%%rsp), %%rcx\n\t"
    "movdqu %%xmm6, 112(%%rcx); movdqu %%xmm7, 128(%%rcx); movdqu %%xmm8, 144(%%rcx); movdqu %%xmm9, 160(%%rcx)\n\t"
    "movdqu %%xmm10, 176(%%rcx); movdqu %%xmm11, 192(%%rcx); movdqu %%xmm12, 208(%%rcx); movdqu %%xmm13, 224(%%rcx)\n\t"
    "movdqu %%xmm14, 240(%%rcx); movdqu %%xmm15, 256(%%rcx)\n\t"
    "mov %%rbx, 0(%%rcx); mov %%rdi, 16(%%rcx); mov %%rsi, 32(%%rcx)\n\t"
    "mov %%r12, 48(%%rcx); mov %%r13, 64(%%rcx); mov %%r14, 80(%%rcx); mov %%r15, 96(%%rcx)\n\t"
    "mov 32(%%rsp), %%rsp; pop %%r15; pop %%r14; pop %%r13; pop %%r12; pop %%rbp; pop %%rbx"
    : "+a"(function), "+c"(from), "+d"(to) :
    : "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4",
      "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
  for (int i = 0; i < 17; i++)
    if (before[i][0] != after[i][0] || (i >= 7 && before[i][1] != after[i][1])) return 50 + i;
  return (uint32_t)(uintptr_t)function;
}
"#;
    if !are_there(&TOOLS) || !are_there(&["lld-link-19", "cc"]) {
        return;
    }
    let pair = build("run", "x86_64-windows", "x86_64-pc-windows-msvc");
    let image = pair.dir.join("out.exe");
    let mut link = Command::new("lld-link-19");
    link.args(["/entry:start", "/subsystem:console", "/nodefaultlib", "/fixed", "/base:0x140000000"]);
    run(link.arg(format!("/out:{}", image.display())).arg(&pair.aot).arg(&pair.host));
    let (source, loader) = (pair.dir.join("loader.c"), pair.dir.join("loader"));
    fs::write(&source, LOADER).unwrap();
    // Registers that the code below the call may not keep are none of the compiler's.
    run(Command::new("cc")
        .args(["-O1", "-mno-red-zone", "-fomit-frame-pointer", "-o"])
        .arg(&loader)
        .arg(&source));
    let status = Command::new(&loader).arg(&image).status().unwrap();
    assert_eq!(status.code(), Some(0));
}

/// Our own tools read them too.
#[test]
fn objects_are_inspected() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("objects");
    fs::create_dir_all(&dir).unwrap();
    let source = dir.join("inspected.wat");
    fs::write(&source, module()).unwrap();
    for (target, feature) in [
        ("aarch64-linux", "lse"),
        ("aarch64-macos", "lse"),
        ("x86_64-macos", "avx2"),
        ("x86_64-windows", "avx2"),
        ("aarch64-windows", "lse"),
    ] {
        let object = dir.join(format!("inspected-{target}.o"));
        let mut build = Command::new(AOT);
        build.args(["build", "--no-cache", "--emit", "obj", "--target", target, "-O", "opt-level=0"]);
        build.args(["--cpu-features", &format!("+{feature}")]);
        run(build.arg(&source).arg("-o").arg(&object));
        let told = run(Command::new(AOT).arg("inspect").arg(&object));
        assert!(told.contains(&format!("target: {target}\n")), "{told}");
        assert!(told.contains(&format!("CPU features: {feature}\n")), "{told}");
        assert!(told.contains("wasi_snapshot_preview1.fd_seek"), "{told}");
        let code = run(Command::new(AOT).args(["objdump", "--funcs", "busy"]).arg(&object));
        // The first function is called by its name, not by one for the start of the code.
        let whole = run(Command::new(AOT).arg("objdump").arg(&object));
        assert!(!whole.contains("l_aot_start") && !whole.contains("ltmp"), "{target}: {whole}");
        for callee in ["fd_write", "fd_seek", "more", "aot_memory_grow"] {
            assert!(code.lines().any(|line| line.ends_with(&format!("; {callee}"))), "{target}: {code}");
        }
    }
}

/// Damaged objects are read or refused.
#[test]
fn damaged_objects_never_panic() {
    const DAMAGES: u64 = 25;
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("objects");
    fs::create_dir_all(&dir).unwrap();
    let source = dir.join("damaged.wat");
    fs::write(&source, MODULE.replace("LARGE", "(local.get 0)")).unwrap();
    let mut state = 7_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for target in ["x86_64-windows", "aarch64-windows", "x86_64-macos", "aarch64-macos"] {
        let object = dir.join(format!("damaged-{target}.o"));
        let mut build = Command::new(AOT);
        build.args(["build", "--no-cache", "--emit", "obj", "--target", target]);
        run(build.arg(&source).arg("-o").arg(&object));
        let whole = fs::read(&object).unwrap();
        for damage in 0..DAMAGES {
            let mut bytes = whole.clone();
            // Headers are hit more often.
            let near = [64, 700, bytes.len()][random(3)];
            for _ in 0..=random(4) {
                bytes[random(near)] = random(256) as u8;
            }
            if damage % 5 == 0 {
                bytes.truncate(random(whole.len()));
            }
            fs::write(&object, &bytes).unwrap();
            for command in ["inspect", "objdump"] {
                let output = Command::new(AOT).arg(command).arg(&object).output().unwrap();
                let text = String::from_utf8_lossy(&output.stderr);
                assert!(matches!(output.status.code(), Some(0 | 1)), "{target} {damage} {command}: {text}");
                assert!(!text.contains("panicked"), "{target} {damage} {command}: {text}");
            }
        }
    }
}

/// Executables need the runtime library, and that is for Linux.
#[test]
fn executables_for_other_systems_are_refused() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("objects");
    fs::create_dir_all(&dir).unwrap();
    let (source, out) = (dir.join("refused.wat"), dir.join("refused"));
    fs::write(&source, "(module)").unwrap();
    for target in ["aarch64-macos", "x86_64-macos", "x86_64-windows", "aarch64-windows"] {
        let output = Command::new(AOT)
            .args(["build", "--target", target, "-o"])
            .args([&out, &source])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{target}: {text}");
        assert!(text.contains(target) && text.contains("--emit obj"), "{target}: {text}");
        assert!(!out.exists());
    }
}
