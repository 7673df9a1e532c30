//! Hostile and absurd input: damaged modules, sizes at and past every limit, guests that trap.
//!
//! Whatever comes in, the compiler answers with code or with one clear error, in bounded time and memory.

use aot_compiler::{Config, ErrorKind, Target};
use std::fs;
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A module that uses most kinds of sections and instructions, so that damage hits all of the parser.
const MEDIUM: &str = r#"(module $medium
  (type $binary (func (param i32 i32) (result i32)))
  (import "env" "host" (func $host (param i64 f32) (result f64)))
  (import "env" "limit" (global $limit i32))
  (table $table (export "table") 8 16 funcref)
  (table $objects 4 externref)
  (memory (export "memory") 1 4)
  (global $counter (mut i64) (i64.const -7))
  (global $vector v128 (v128.const i32x4 1 2 3 4))
  (global $sum i32 (i32.add (global.get $limit) (i32.const 3)))
  (elem $active (table $table) (i32.const 1) func $add $sub)
  (elem $passive funcref (ref.func $add) (ref.null func))
  (elem declare func $main)
  (data $hello (i32.const 16) "hello \00\ff")
  (data $later "passive bytes")
  (start $init)
  (func $add (type $binary) (i32.add (local.get 0) (local.get 1)))
  (func $sub (type $binary) (i32.sub (local.get 0) (local.get 1)))
  (func $init (memory.init $later (i32.const 64) (i32.const 0) (i32.const 13)) (data.drop $later))
  (func $tail (param i32 i32) (result i32)
    (return_call_indirect $table (type $binary) (local.get 0) (local.get 1) (i32.const 1)))
  (func $pair (param i32) (result i32 i64) (local.get 0) (i64.extend_i32_s (local.get 0)))
  (func $vectors (param v128) (result v128)
    (i8x16.shuffle 0 17 2 19 4 21 6 23 8 25 10 27 12 29 14 31
      (f32x4.mul (local.get 0) (global.get $vector))
      (i16x8.add (local.get 0) (v128.load offset=8 align=4 (i32.const 0)))))
  (func $main (export "main") (param $n i32) (result i32)
    (local $i i32) (local $f f64) (local $object externref)
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $i) (local.get $n)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (local.set $f (f64.add (local.get $f) (call $host (i64.const 5) (f32.const 1.5))))
        (if (i32.and (local.get $i) (i32.const 3))
          (then (i32.store offset=4 (local.get $i) (call_indirect $table (type $binary)
            (local.get $i) (i32.const 7) (i32.const 2))))
          (else (br $next)))
        (br_table $next $done $next (i32.rem_u (local.get $i) (i32.const 5)))))
    (table.set $objects (i32.const 0) (local.get $object))
    (drop (table.grow $table (ref.func $main) (i32.const 1)))
    (table.init $table $passive (i32.const 3) (i32.const 0) (i32.const 2))
    (memory.copy (i32.const 0) (i32.const 16) (i32.const 8))
    (call $pair (local.get $i)) (global.set $counter)
    (drop (select (local.get $f) (f64.const nan) (memory.grow (i32.const 1))))
    (i32.add (i32.trunc_sat_f64_u (local.get $f)))))"#;

/// SplitMix64: the same sequence everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) % end as u64) as usize
    }
}

/// Compiles in this process, for executables and for images in turn; damage must be an error of the input.
fn compile(wasm: &[u8], what: &str) -> Result<(), ErrorKind> {
    let target = Target::host().unwrap();
    let mut config = Config::image(target);
    config.opt_level = aot_compiler::OptLevel::None;
    let start = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(|| aot_compiler::compile(wasm, &config)));
    assert!(start.elapsed() < Duration::from_secs(30), "{what}: it took {:?}", start.elapsed());
    let result = result.unwrap_or_else(|_| panic!("{what}: a panic; the module: {wasm:02x?}"));
    result.map(drop).map_err(|error| {
        assert_ne!(error.kind(), ErrorKind::Internal, "{what}: {error}; the module: {wasm:02x?}");
        assert!(!error.message().is_empty(), "{what}");
        error.kind()
    })
}

#[test]
fn truncated_modules_are_errors() {
    let wasm = wat::parse_str(MEDIUM).unwrap();
    compile(&wasm, "the whole module").unwrap();
    // A module may end after any section, unless it has functions without code.
    let ends = section_ends(&wasm);
    let mut built = 0;
    for len in 0..wasm.len() {
        let result = compile(&wasm[..len], &format!("the first {len} bytes"));
        assert!(result.is_err() || ends.contains(&len), "{len} bytes are a module");
        built += usize::from(result.is_ok());
    }
    assert!(built >= 4, "the header, the types, the imports and all but the names are modules");
}

#[test]
fn damaged_modules_never_panic() {
    let wasm = wat::parse_str(MEDIUM).unwrap();
    let mut random = Random(1);
    let (mut built, mut refused) = (0, 0);
    for round in 0..4_000 {
        let mut damaged = wasm.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(damaged.len());
            match random.below(5) {
                0 | 1 => damaged[at] ^= 1 << random.below(8),
                2 => damaged[at] = [0, 1, 0x7f, 0x80, 0xff, 0x0b][random.below(6)],
                3 => drop(damaged.remove(at)),
                _ => damaged.insert(at, random.below(256) as u8),
            }
        }
        match compile(&damaged, &format!("round {round}")) {
            Ok(()) => built += 1,
            Err(_) => refused += 1,
        }
    }
    // The damage must be neither harmless nor stop the parser at once.
    assert!(built > 200 && refused > 1_000, "{built} built, {refused} refused");
}

/// Where the header and each section end.
fn section_ends(wasm: &[u8]) -> Vec<usize> {
    let mut ends = vec![8];
    let mut at = 8;
    while at < wasm.len() {
        let (mut len, mut shift) = (0, 0);
        at += 1;
        loop {
            len |= usize::from(wasm[at] & 0x7f) << shift;
            shift += 7;
            at += 1;
            if wasm[at - 1] & 0x80 == 0 {
                break;
            }
        }
        at += len;
        ends.push(at);
    }
    ends
}

/// Encodes a number as LEB128.
fn leb(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id][..], &leb(content.len() as u64), content].concat()
}

fn module(sections: &[Vec<u8>]) -> Vec<u8> {
    [b"\0asm\x01\0\0\0".to_vec(), sections.concat()].concat()
}

/// A module whose only function has this body; `locals` are the encoded groups of locals.
fn with_body(locals: &[u8], code: &[u8]) -> Vec<u8> {
    let body = [locals, code, &[0x0b]].concat();
    let body = [&[1][..], &leb(body.len() as u64), &body].concat();
    let exports = b"\x01\x06_start\0\0";
    module(&[section(1, &[1, 0x60, 0, 0]), section(3, &[1, 0]), section(7, exports), section(10, &body)])
}

#[test]
fn odd_sections() {
    let ty = section(1, &[1, 0x60, 0, 0]);
    let name = |content: &[u8]| section(0, &[b"\x04name", content].concat());
    let ok = [
        ("a module without sections", module(&[])),
        ("an unknown custom section", module(&[section(0, b"\x05other\xff\xff")])),
        ("a name section without content", module(&[name(b"")])),
        ("a name section with an unknown part", module(&[name(&[99, 3, 1, 2, 3])])),
        ("names of functions that are not there", module(&[name(&[1, 4, 1, 77, 1, b'x'])])),
        ("a name section that ends too early", module(&[name(&[1, 100, 5])])),
        ("a name that is not UTF-8", module(&[name(&[1, 4, 1, 0, 1, 0xff])])),
        ("two name sections", module(&[name(&[1, 4, 1, 0, 1, b'x']), name(&[1, 4, 1, 0, 1, b'y'])])),
        ("a debug section with noise", module(&[section(0, b"\x0b.debug_info\xff\xff\xff\xff")])),
    ];
    for (what, wasm) in ok {
        assert_eq!(compile(&wasm, what), Ok(()), "{what}");
    }
    let invalid = [
        ("an empty file", Vec::new()),
        ("half a header", b"\0asm\x01".to_vec()),
        ("another version", b"\0asm\x02\0\0\0".to_vec()),
        ("an unknown section", module(&[section(77, b"")])),
        ("two type sections", module(&[ty.clone(), ty.clone()])),
        ("sections in another order", module(&[section(3, &[0]), ty.clone()])),
        ("functions without code", module(&[ty.clone(), section(3, &[1, 0])])),
        ("code without functions", module(&[ty, section(10, &[1, 2, 0, 0x0b])])),
        (
            "an export name that is not UTF-8",
            module(&[section(5, &[1, 0, 1]), section(7, &[1, 1, 0xff, 2, 0])]),
        ),
        ("a custom section without name", module(&[section(0, b"")])),
        ("four thousand million types", module(&[section(1, &leb(0xffff_ffff))])),
        ("a section longer than the file", module(&[vec![1, 0xff, 0xff, 0xff, 0xff, 0x0f]])),
    ];
    for (what, wasm) in invalid {
        let kind = compile(&wasm, what).expect_err(what);
        let expected = [ErrorKind::Invalid, ErrorKind::Limit, ErrorKind::Unsupported];
        assert!(expected.contains(&kind), "{what}: {kind:?}");
    }
    let component = b"\0asm\x0d\0\x01\0".to_vec();
    assert_eq!(compile(&component, "a component"), Err(ErrorKind::Unsupported));
}

/// A directory that goes away with the test.
struct Sandbox(PathBuf);

impl Sandbox {
    fn new() -> Sandbox {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("aot-hostile-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Sandbox(path)
    }

    /// Runs a command in the directory, with bounds on time and on address space.
    fn run(&self, program: &str, args: &[&str]) -> Outcome {
        // The address space is that of a guest's memory and of a generous compiler.
        let script = format!("ulimit -v {}; ulimit -c 0; exec \"$0\" \"$@\"", MAX_ADDRESS_SPACE >> 10);
        let mut child = Command::new("sh")
            .args(["-c", &script, program])
            .args(args)
            .current_dir(&self.0)
            .env_remove("AOT_RUN")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = child.stderr.take().unwrap();
        let reader = std::thread::spawn(move || {
            let mut text = Vec::new();
            pipe.read_to_end(&mut text).map(|_| String::from_utf8_lossy(&text).into_owned())
        });
        let start = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if start.elapsed() > MAX_TIME {
                child.kill().unwrap();
                panic!("`{program}` {args:?} did not end in {MAX_TIME:?}");
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let stderr = reader.join().unwrap().unwrap();
        Outcome { code: status.code(), signal: status.signal(), stderr }
    }

    fn build(&self, name: &str, module: &[u8]) -> Outcome {
        fs::write(self.0.join(name), module).unwrap();
        self.run(env!("CARGO_BIN_EXE_aot"), &["build", "-O", "opt-level=0", name, "-o", "program"])
    }

    /// Builds and runs a module in the text format.
    #[track_caller]
    fn build_and_run(&self, text: &str) -> Outcome {
        let built = self.build("guest.wat", text.as_bytes());
        assert_eq!((built.code, built.stderr.as_str()), (Some(0), ""), "{text}");
        self.run("./program", &[])
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

const MAX_TIME: Duration = Duration::from_secs(100);
const MAX_ADDRESS_SPACE: u64 = 12 << 30;

#[derive(Debug)]
struct Outcome {
    code: Option<i32>,
    signal: Option<i32>,
    stderr: String,
}

impl Outcome {
    /// It is one error with all of the parts.
    #[track_caller]
    fn is_error(&self, what: &str, parts: &[&str]) {
        assert_eq!((self.code, self.signal), (Some(1), None), "{what}: {self:?}");
        assert_eq!(self.stderr.matches("error: ").count(), 1, "{what}: {self:?}");
        for part in parts.iter().chain(&["-->"]) {
            assert!(self.stderr.contains(part), "{what}: no {part:?} in {:?}", self.stderr);
        }
    }

    #[track_caller]
    fn succeeds(&self, what: &str) {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{what}: {self:?}");
    }
}

#[test]
fn absurd_modules_build_or_say_why_not() {
    let sandbox = Sandbox::new();
    let many = |count: usize, code: &[u8]| code.repeat(count);
    let i32_locals = |count: u64| [&[1][..], &leb(count), &[0x7f]].concat();
    let nested = |count: usize| [many(count, &[0x02, 0x40]), many(count, &[0x0b])].concat();
    let table = |count: usize| {
        let labels = many(count, &[0]);
        [&[0x41, 0, 0x0e][..], &leb(count as u64), &labels, &[0]].concat()
    };
    let ifs = |count: usize| {
        let open = many(count, &[0x41, 1, 0x04, 0x7f]);
        let close = many(count, &[0x05, 0x41, 2, 0x0b]);
        [&open[..], &[0x41, 3], &close, &[0x1a]].concat()
    };
    // The validator's limits: 50,000 locals, a body of 7,654,321 bytes.
    sandbox.build("locals.wasm", &with_body(&i32_locals(50_000), &[])).succeeds("50,000 locals");
    sandbox.build("blocks.wasm", &with_body(&[0], &nested(100_000))).succeeds("100,000 nested blocks");
    sandbox.build("ifs.wasm", &with_body(&[0], &ifs(10_000))).succeeds("10,000 nested ifs");
    sandbox.build("labels.wasm", &with_body(&[0], &table(1_000_000))).succeeds("1,000,000 labels");
    sandbox.build("nops.wasm", &with_body(&[0], &many(1_000_000, &[0x01]))).succeeds("1,000,000 nops");
    let sums = many(200_000, &[0x41, 1, 0x41, 2, 0x6a, 0x1a, 0x01]);
    sandbox.build("sums.wasm", &with_body(&[0], &sums)).succeeds("1,000,000 instructions");
    for (what, wasm, parts) in [
        ("1,000,000 locals", with_body(&i32_locals(1_000_000), &[]), &["too many locals", "func 0"][..]),
        ("4,294,967,295 locals", with_body(&i32_locals(0xffff_ffff), &[]), &["too many locals", "func 0"]),
        ("a body of 8 MB", with_body(&[0], &many(8_000_000, &[0x01])), &["size", "offset"]),
    ] {
        sandbox.build("absurd.wasm", &wasm).is_error(what, parts);
    }
}

#[test]
fn absurd_declarations_build_or_say_why_not() {
    let sandbox = Sandbox::new();
    let build = |text: &str| sandbox.build("absurd.wat", text.as_bytes());
    let start = r#"(func (export "_start"))"#;
    let repeat = |count: usize, item: &dyn Fn(usize) -> String| {
        (0..count).fold(String::new(), |mut text, index| {
            text.push_str(&item(index));
            text
        })
    };
    let list = |what: &str, count: usize| format!("({what}{})", " i32".repeat(count));
    let consts = "(i32.const 1)".repeat(1_000);
    for (what, text) in [
        ("a table of 4,294,967,295", format!("(module (table 0xffffffff funcref) {start})")),
        ("a memory of 65,536 pages", format!("(module (memory 65536) {start})")),
        ("100,000 functions", format!("(module {start} {})", repeat(100_000, &|_| "(func)".to_owned()))),
        (
            "100,000 globals",
            format!("(module {start} {})", repeat(100_000, &|_| "(global i32 (i32.const 1))".into())),
        ),
        (
            "100,000 exports",
            format!(
                "(module {start} (func $f) {})",
                repeat(99_000, &|n| format!(r#"(export "{n}" (func $f))"#))
            ),
        ),
        (
            "100,000 types",
            format!(
                "(module {start} {})",
                repeat(100_000, &|n| {
                    let params: String = (0..17).map(|bit| [" i32", " i64"][n >> bit & 1]).collect();
                    format!("(type (func (param{params})))")
                })
            ),
        ),
        ("a data segment far outside", format!(r#"(module (memory 1) (data (i32.const -1) "x") {start})"#)),
        (
            "1,000 parameters and results",
            format!(
                "(module (func $f {} {} {consts}) (func (export \"_start\") {consts} (call $f) {}))",
                list("param", 1_000),
                list("result", 1_000),
                "(drop)".repeat(1_000)
            ),
        ),
    ] {
        build(&text).succeeds(what);
    }
    for (what, text, parts) in [
        ("a memory of 65,537 pages", "(module (memory 65537))".to_owned(), &["memory size", "offset"][..]),
        ("1,001 parameters", format!("(module (func $f {}))", list("param", 1_001)), &["params", "offset"]),
        ("1,000,001 types", format!("(module {})", "(type (func))".repeat(1_000_001)), &["types", "offset"]),
    ] {
        build(&text).is_error(what, parts);
    }
}

#[test]
fn deeply_nested_text() {
    let sandbox = Sandbox::new();
    let build = |text: &str| sandbox.build("deep.wat", text.as_bytes());
    let nested = |open: &str, inner: &str, count: usize| {
        format!("(module (func {}{inner}{}))", open.repeat(count), ")".repeat(count))
    };
    build(&nested("(block ", "", 100_000)).succeeds("nested blocks");
    build(&nested("(drop (i32.eqz ", "(i32.const 0)", 1)).is_error("unbalanced text", &["deep.wat:1:"]);
    let sum = "(i32.eqz ".repeat(100_000) + "(i32.const 0)" + &")".repeat(100_000);
    build(&format!("(module (func (drop {sum})))")).succeeds("nested operands");
    for text in ["(".repeat(1_000_000), "(module ".repeat(100_000), "(;".repeat(1_000_000)] {
        build(&text).is_error("parentheses", &["deep.wat:1:"]);
    }
}

#[test]
fn traps_of_executables() {
    let sandbox = Sandbox::new();
    let guest = |body: &str| {
        format!(
            r#"(module (type $t (func (param i32))) (memory 1) (table 4 funcref) (elem (i32.const 1) $culprit)
              (global $n (mut i32) (i32.const 1)) (global $zero (mut i32) (i32.const 0))
              (func $culprit {body})
              (func $caller (call $culprit))
              (func (export "_start") (call $caller)))"#
        )
    };
    for (body, message) in [
        ("unreachable", "unreachable"),
        ("(drop (i32.div_s (i32.const 1) (global.get $zero)))", "integer divide by zero"),
        ("(drop (i32.rem_u (i32.const 1) (global.get $zero)))", "integer divide by zero"),
        ("(drop (i64.div_s (i64.const 0x8000000000000000) (i64.const -1)))", "integer overflow"),
        ("(drop (i32.trunc_f32_s (f32.const 1e20)))", "integer overflow"),
        ("(drop (i32.trunc_f64_u (f64.const nan)))", "invalid conversion to integer"),
        ("(drop (i32.load (i32.const 65533)))", "out of bounds memory access"),
        ("(i64.store offset=0xffffffff (i32.const -1) (i64.const 1))", "out of bounds memory access"),
        ("(v128.store (i32.const 65535) (v128.const i64x2 1 1))", "out of bounds memory access"),
        ("(memory.fill (i32.const 65535) (i32.const 0) (i32.const 2))", "out of bounds memory access"),
        ("(memory.copy (i32.const -1) (i32.const 0) (i32.const 1))", "out of bounds memory access"),
        ("(drop (table.get 0 (i32.const 4)))", "out of bounds table access"),
        ("(table.set 0 (i32.const -1) (ref.null func))", "out of bounds table access"),
        ("(table.fill 0 (i32.const 3) (ref.null func) (i32.const 2))", "out of bounds table access"),
        ("(table.copy (i32.const 3) (i32.const 0) (i32.const 2))", "out of bounds table access"),
        ("(call_indirect (i32.const 4))", "undefined element"),
        ("(call_indirect (i32.const -1))", "undefined element"),
        ("(call_indirect (i32.const 0))", "uninitialized element"),
        ("(call_indirect (type $t) (i32.const 0) (i32.const 1))", "indirect call type mismatch"),
    ] {
        let outcome = sandbox.build_and_run(&guest(body));
        assert_eq!((outcome.code, outcome.signal), (Some(134), None), "{body}: {outcome:?}");
        assert!(outcome.stderr.contains(message), "{body}: {outcome:?}");
        // The functions on the stack, the innermost first.
        let at = |name: &str| outcome.stderr.find(name).unwrap_or_else(|| panic!("{body}: {outcome:?}"));
        assert!(at("culprit") < at("caller"), "{body}: {outcome:?}");
    }
    let recursion = r#"(module (func $down (param i32) (result i32)
        (i32.add (call $down (local.get 0)) (i32.const 1)))
        (func (export "_start") (drop (call $down (i32.const 0)))))"#;
    let outcome = sandbox.build_and_run(recursion);
    assert_eq!((outcome.code, outcome.signal), (Some(134), None), "{outcome:?}");
    assert!(
        outcome.stderr.contains("call stack exhausted") && outcome.stderr.contains("down"),
        "{outcome:?}"
    );
    assert!(outcome.stderr.len() < 10_000, "the backtrace of endless recursion is cut: {outcome:?}");
}

#[test]
fn failures_before_the_first_instruction() {
    let sandbox = Sandbox::new();
    let start = r#"(func (export "_start"))"#;
    for (what, text, code, parts) in [
        (
            "a data segment outside the memory",
            format!(r#"(module (memory 1) (data (i32.const 65535) "xy") {start})"#),
            134,
            &["out of bounds memory access"][..],
        ),
        (
            "a data segment far outside",
            format!(r#"(module (memory 1) (data (i32.const -1) "xy") {start})"#),
            134,
            &["out of bounds memory access"],
        ),
        (
            "an element segment outside the table",
            format!(r#"(module (table 1 funcref) (func $f) (elem (i32.const 1) $f) {start})"#),
            134,
            &["out of bounds table access"],
        ),
        (
            "`unreachable` in the start function",
            format!(r#"(module (func $init unreachable) (start $init) {start})"#),
            134,
            &["unreachable", "init"],
        ),
        (
            "a table larger than the machine's memory",
            format!("(module (table 0xffffffff funcref) {start})"),
            1,
            &["error: ", "memory", "table"],
        ),
    ] {
        let outcome = sandbox.build_and_run(&text);
        assert_eq!((outcome.code, outcome.signal), (Some(code), None), "{what}: {outcome:?}");
        for part in parts {
            assert!(outcome.stderr.contains(part), "{what}: no {part:?} in {outcome:?}");
        }
    }
    for (what, text) in [
        ("`_start` with parameters", r#"(module (func (export "_start") (param i32)))"#),
        ("`_start` with results", r#"(module (func (export "_start") (result i32) (i32.const 1)))"#),
    ] {
        let mut outcome = sandbox.build("entry.wat", text.as_bytes());
        if outcome.code == Some(0) {
            outcome = sandbox.run("./program", &[]);
        }
        assert_eq!((outcome.code, outcome.signal), (Some(1), None), "{what}: {outcome:?}");
        assert!(
            outcome.stderr.contains("error: ") && outcome.stderr.contains("_start"),
            "{what}: {outcome:?}"
        );
    }
    // A module without entry point has nothing to do, as with other engines.
    sandbox.build_and_run("(module (func))").succeeds("no `_start`");
}
