//! What linked modules do, compared with the same modules linked by a host at run time.

use aot_compiler::{Config, LINK_FEATURES, Library, Source, Target};
use aot_runtime::embed::{
    Caller, Engine, Error, Extern, Global, Instance, Limits, Linker, Memory, MemoryType, Module, Store,
    Table, TableType, Val, ValType,
};

/// What happened: calls of `host.log`, how instantiations and calls ended, and what the host's memory and table are like
/// in the end.
type Transcript = Vec<String>;

/// A store, and what modules import from `host`.
struct Host {
    store: Store<Transcript>,
    linker: Linker<Transcript>,
    memory: Memory,
    table: Table,
}

impl Host {
    fn new() -> Host {
        let mut store = Store::new(&Engine::default(), Transcript::new());
        let mut linker = Linker::new();
        let log = |mut caller: Caller<'_, Transcript>, value: i32| {
            // Which memory is the caller's shows which module calls.
            let first = caller.memory_and_data().0.first().copied();
            caller.data_mut().push(format!("log {value}, memory {first:?}"));
        };
        linker.func_wrap("host", "log", log).unwrap();
        let memory = MemoryType { limits: Limits { min: 1, max: Some(4) } };
        let memory = Memory::new(&mut store, &memory).unwrap();
        let table = TableType { element: ValType::FuncRef, limits: Limits { min: 8, max: None } };
        let table = Table::new(&mut store, &table, Val::FuncRef(None)).unwrap();
        let base = Global::new(&mut store, Val::I32(3), false).unwrap();
        let counter = Global::new(&mut store, Val::I64(100), true).unwrap();
        linker.define("host", "memory", memory).unwrap();
        linker.define("host", "table", table).unwrap();
        linker.define("host", "base", base).unwrap();
        linker.define("host", "counter", counter).unwrap();
        Host { store, linker, memory, table }
    }

    fn note(&mut self, line: String) {
        self.store.data_mut().push(line);
    }

    fn instantiate(&mut self, module: &Module) -> Option<Instance> {
        let result = self.linker.instantiate(&mut self.store, module);
        result.map_err(|error| self.note_instantiation(&error)).ok()
    }

    /// A segment that does not fit is at no offset, unless it is an instruction that copies it: so only the kind of trap
    /// is noted.
    fn note_instantiation(&mut self, error: &Error) {
        self.note(format!(
            "instantiation: {}",
            error.trap().map_or("no trap".into(), |trap| format!("{:?}", trap.code()))
        ));
    }

    fn call(&mut self, instance: Instance, name: &str) {
        let func = instance.get_func(&self.store, name).unwrap_or_else(|| panic!("no export {name}"));
        let outcome = match func.call_vec(&mut self.store, &[]) {
            Ok(values) => format!("{values:?}"),
            Err(Error::Trap(trap)) => format!("{:?} at {:x?}", trap.code(), trap.wasm_offset()),
            Err(error) => panic!("{error}"),
        };
        self.note(format!("{name}: {outcome}"));
    }

    fn finish(mut self) -> Transcript {
        let bytes = self.memory.data(&self.store).iter().copied().enumerate();
        let bytes: Vec<_> = bytes.filter(|(_, byte)| *byte != 0).collect();
        let element = |index| self.table.get(&self.store, index).unwrap() != Some(Val::FuncRef(None));
        let elements: Vec<u64> = (0..8).filter(|index| element(*index)).collect();
        self.note(format!("host's memory {bytes:?}, elements {elements:?}"));
        self.store.into_data()
    }
}

fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

fn config() -> Config {
    let config = Config::image(Target::host().unwrap());
    Config { features: config.features | LINK_FEATURES, ..config }
}

/// The modules one by one, in the order given, then calls of exports of the main one.
fn at_run_time(libraries: &[(&str, &str)], main: &str, calls: &[&str]) -> Transcript {
    let mut host = Host::new();
    for (name, text) in libraries {
        let module = Module::compile(&wasm(text), &config()).unwrap();
        let Some(instance) = host.instantiate(&module) else { return host.finish() };
        if let Some(Extern::Func(func)) = instance.get_export(&host.store, "_initialize")
            && let Err(error) = func.call_vec(&mut host.store, &[])
        {
            host.note_instantiation(&error);
            return host.finish();
        }
        host.linker.instance(&host.store, name, instance).unwrap();
    }
    let module = Module::compile(&wasm(main), &config()).unwrap();
    let Some(instance) = host.instantiate(&module) else { return host.finish() };
    calls.iter().for_each(|name| host.call(instance, name));
    host.finish()
}

/// The same, linked.
fn linked(libraries: &[(&str, &str)], main: &str, calls: &[&str]) -> Transcript {
    let modules: Vec<(&str, Vec<u8>)> = libraries.iter().map(|(name, text)| (*name, wasm(text))).collect();
    let libraries: Vec<Library<'_>> = modules
        .iter()
        .map(|(name, wasm)| Library { name, source: Source { file: name, wasm }, reexport: false })
        .collect();
    let main = wasm(main);
    let merged = aot_compiler::merge(Source { file: "main", wasm: &main }, &libraries, config().features);
    let merged = merged.unwrap_or_else(|error| panic!("{}: {error}", error.file().unwrap_or("?")));
    let module = Module::compile(&merged.wasm, &config()).unwrap_or_else(|error| panic!("{error}"));
    let mut host = Host::new();
    let Some(instance) = host.instantiate(&module) else { return host.finish() };
    calls.iter().for_each(|name| host.call(instance, name));
    host.finish()
}

/// Checks that linked modules do what they do at run time. The lines of `expected` are in the transcript, in this order.
#[track_caller]
fn check(libraries: &[(&str, &str)], main: &str, calls: &[&str], expected: &[&str]) {
    let at_run_time = at_run_time(libraries, main, calls);
    assert_eq!(linked(libraries, main, calls), at_run_time);
    let mut rest = at_run_time.iter();
    for line in expected {
        assert!(rest.any(|found| found == line), "no {line:?} in its place in {at_run_time:#?}");
    }
}

#[test]
fn functions_are_called_with_the_state_of_their_module() {
    let math = r#"(module
        (memory (export "memory") 1)
        (global $calls (mut i32) (i32.const 0))
        (data (i32.const 0) "\07")
        (func $add (export "add") (param i32 i32) (result i32)
            (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
            (i32.add (i32.load8_u (i32.const 0)) (i32.add (local.get 0) (local.get 1))))
        (func (export "calls") (result i32) (global.get $calls))
        (func (export "fail") (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0))))"#;
    let main = r#"(module
        (import "math" "add" (func $add (param i32 i32) (result i32)))
        (import "math" "calls" (func $calls (result i32)))
        (import "math" "fail" (func $fail (param i32) (result i32)))
        (memory 1)
        (data (i32.const 0) "\2a")
        (func (export "sum") (result i32)
            (call $add (i32.load8_u (i32.const 0)) (call $add (i32.const 1) (i32.const 2))))
        (func (export "tail") (result i32) (return_call $add (i32.const 3) (i32.const 4)))
        (func (export "fail") (result i32) (call $fail (i32.const 0)))
        (export "calls" (func $calls)))"#;
    let calls = ["sum", "tail", "fail", "calls", "sum", "calls"];
    let expected = ["sum: [I32(59)]", "tail: [I32(14)]", "calls: [I32(3)]", "calls: [I32(5)]"];
    check(&[("math", math)], main, &calls, &expected);
}

#[test]
fn memories_are_shared_or_separate() {
    let shared = r#"(module (memory (export "memory") 1 3) (data (i32.const 8) "shared"))"#;
    let writer = r#"(module
        (import "env" "memory" (memory $shared 1))
        (memory $own 1)
        (func (export "write") (param i32)
            (i32.store8 $shared (i32.const 8) (local.get 0))
            (i32.store8 $own (i32.const 8) (i32.const 99))
            (memory.copy $own $shared (i32.const 20) (i32.const 0) (i32.const 10)))
        (func (export "own") (result i32) (i32.load8_u $own (i32.const 28)))
        (func (export "grow") (result i32) (memory.grow $shared (i32.const 1)))
        (func (export "grow own") (result i32) (memory.grow $own (i32.const 1)))
        (func (export "fill") (memory.fill $own (i32.const 0) (i32.const 1) (i32.const 70000))))"#;
    let main = r#"(module
        (import "env" "memory" (memory $shared 0))
        (import "writer" "write" (func $write (param i32)))
        (import "writer" "own" (func $own (result i32)))
        (import "writer" "grow" (func $grow (result i32)))
        (import "writer" "grow own" (func $grow_own (result i32)))
        (import "writer" "fill" (func $fill))
        (func (export "byte") (result i32) (i32.load8_u (i32.const 8)))
        (func (export "write") (call $write (i32.const 65)))
        (func (export "size") (result i32) (memory.size))
        (func (export "far") (result i32) (i32.load (i32.const 65536)))
        (export "own" (func $own))
        (export "grow" (func $grow))
        (export "grow own" (func $grow_own))
        (export "fill" (func $fill)))"#;
    let calls = [
        "byte", "write", "byte", "own", "size", "far", "fill", "grow own", "fill", "size", "grow", "grow",
        "grow", "size", "far", "own",
    ];
    let expected = [
        "byte: [I32(115)]",
        "byte: [I32(65)]",
        "own: [I32(65)]",
        "size: [I32(1)]",
        "grow own: [I32(1)]",
        "grow: [I32(2)]",
        "grow: [I32(-1)]",
        "size: [I32(3)]",
        "far: [I32(0)]",
        "own: [I32(1)]",
    ];
    check(&[("env", shared), ("writer", writer)], main, &calls, &expected);
}

#[test]
fn tables_are_shared() {
    let table = r#"(module
        (table (export "table") 4 funcref)
        (elem (i32.const 0) $zero)
        (func $zero (result i32) (i32.const 10)))"#;
    let one = r#"(module
        (import "t" "table" (table 2 funcref))
        (type $wrong (func (result i64)))
        (global $state (mut i32) (i32.const 20))
        (elem (i32.const 1) $one)
        (elem $more funcref (ref.func $three) (ref.null func))
        (func $one (result i32) (global.set $state (i32.add (global.get $state) (i32.const 1))) (global.get $state))
        (func $three (type $wrong) (i64.const 3))
        (func (export "install") (table.init $more (i32.const 2) (i32.const 0) (i32.const 2)))
        (func (export "call") (param i32) (result i32) (call_indirect (result i32) (local.get 0)))
        (func (export "one") (result funcref) (ref.func $one)))"#;
    let main = r#"(module
        (import "t" "table" (table $t 4 funcref))
        (import "one" "install" (func $install))
        (import "one" "call" (func $call (param i32) (result i32)))
        (import "one" "one" (func $get_one (result funcref)))
        (table $own 1 funcref)
        (func $two (result i32) (i32.const 30))
        (elem declare func $two)
        (func (export "zero") (result i32) (call_indirect $t (result i32) (i32.const 0)))
        (func (export "one") (result i32) (call_indirect $t (result i32) (i32.const 1)))
        (func (export "set two") (table.set $t (i32.const 2) (ref.func $two)))
        (func (export "their two") (result i32) (call $call (i32.const 2)))
        (func (export "two") (result i32) (call_indirect $t (result i32) (i32.const 2)))
        (func (export "four") (result i32) (call $call (i32.const 4)))
        (func (export "own") (result i32)
            (table.set $own (i32.const 0) (call $get_one))
            (call_indirect $own (result i32) (i32.const 0)))
        (func (export "null") (result i32) (call_indirect $t (result i32) (i32.const 3)))
        (func (export "size") (result i32) (drop (table.grow $t (ref.null func) (i32.const 3))) (table.size $t))
        (export "install" (func $install)))"#;
    let calls = [
        "zero",
        "one",
        "two",
        "null",
        "set two",
        "two",
        "their two",
        "install",
        "their two",
        "two",
        "null",
        "four",
        "own",
        "one",
        "size",
        "four",
    ];
    let expected = [
        "zero: [I32(10)]",
        "one: [I32(21)]",
        "two: [I32(30)]",
        "their two: [I32(30)]",
        "own: [I32(22)]",
        "one: [I32(23)]",
        "size: [I32(7)]",
    ];
    check(&[("t", table), ("one", one)], main, &calls, &expected);
}

#[test]
fn globals_are_shared_and_their_values_used() {
    let constants = r#"(module
        (import "host" "base" (global $host i32))
        (global (export "page") i32 (i32.const 4096))
        (global (export "host") i32 (global.get $host))
        (global (export "pi") f64 (f64.const 3.14159))
        (global (export "vector") v128 (v128.const i32x4 1 2 3 4))
        (global (export "null") externref (ref.null extern))
        (func $f (result i32) (i32.const 77))
        (global (export "function") funcref (ref.func $f)))"#;
    let middle = r#"(module
        (import "c" "page" (global $page i32))
        (import "c" "host" (global $host i32))
        (global (export "offset") i32 (i32.add (i32.mul (global.get $page) (i32.const 2)) (i32.const 5)))
        (global (export "computed") i32 (i32.sub (global.get $host) (global.get $page)))
        (global (export "state") (mut i64) (i64.const 5)))"#;
    let main = r#"(module
        (import "m" "offset" (global $offset i32))
        (import "m" "computed" (global $computed i32))
        (import "m" "state" (global $state (mut i64)))
        (import "host" "counter" (global $counter (mut i64)))
        (import "c" "pi" (global $pi f64))
        (import "c" "vector" (global $vector v128))
        (import "c" "null" (global $null externref))
        (import "c" "function" (global $function funcref))
        (import "c" "host" (global $host i32))
        (memory 1)
        (data (global.get $offset) "\2a")
        (table 5 funcref)
        (elem (global.get $host) funcref (global.get $function))
        (global $copy i32 (global.get $computed))
        (func (export "data") (result i32) (i32.load8_u (i32.const 8197)))
        (func (export "computed") (result i32 i32) (global.get $copy) (global.get $computed))
        (func (export "function") (result i32) (call_indirect (result i32) (i32.const 3)))
        (func (export "numbers") (result f64 v128) (global.get $pi) (global.get $vector))
        (func (export "null") (result externref) (global.get $null))
        (func (export "count") (result i64)
            (global.set $counter (i64.add (global.get $counter) (i64.const 1)))
            (global.set $state (i64.add (global.get $state) (global.get $counter)))
            (global.get $state)))"#;
    let calls = ["data", "computed", "function", "numbers", "null", "count", "count"];
    let expected = [
        "data: [I32(42)]",
        "computed: [I32(-4093), I32(-4093)]",
        "function: [I32(77)]",
        "count: [I64(106)]",
        "count: [I64(208)]",
    ];
    check(&[("c", constants), ("m", middle)], main, &calls, &expected);
}

/// A module that logs when it starts, is initialised and is called.
fn logging(number: u32, imports: &str, calls: &str) -> String {
    format!(
        r#"(module
        (import "host" "log" (func $log (param i32)))
        {imports}
        (memory (export "memory") 1)
        (data (i32.const 0) "\{number:02x}")
        (func $start (call $log (i32.const {number}00)))
        (start $start)
        (func (export "_initialize") (call $log (i32.const {number}01)))
        (func (export "f") (call $log (i32.const {number}02)) {calls}))"#
    )
}

#[test]
fn modules_start_in_their_order() {
    let base = logging(1, "", "");
    let import = |name: &str| format!(r#"(import "{name}" "f" (func ${name}))"#);
    let left = logging(2, &import("base"), "(call $base)");
    let right = logging(3, &import("base"), "(call $base)");
    let main = logging(4, &(import("left") + &import("right")), "(call $left) (call $right)");
    let (start, initialize) = ("(start $start)", r#"(export "_initialize")"#);
    assert!(main.contains(start) && main.contains(initialize));
    let main = main.replace(initialize, "");
    let libraries = [("base", &*base), ("left", &*left), ("right", &*right)];
    let log = |number: u32| format!("log {number}, memory Some({})", number / 100);
    let lines = [100, 101, 200, 201, 300, 301, 400, 402, 202, 102, 302, 102].map(log);
    let expected: Vec<&str> = lines.iter().map(String::as_str).collect();
    check(&libraries, &main, &["f"], &expected);
    // Chains: each imports from the one before.
    let right = logging(3, &import("left"), "(call $left)");
    let main = logging(4, &import("right"), "(call $right)").replace(initialize, "");
    check(&[("base", &base), ("left", &left), ("right", &right)], &main, &["f"], &expected[..7]);
    // However they are named on the command line.
    let expected = at_run_time(&[("base", &base), ("left", &left), ("right", &right)], &main, &["f"]);
    assert_eq!(linked(&[("right", &right), ("base", &base), ("left", &left)], &main, &["f"]), expected);
    // One start function needs no other.
    check(
        &[("base", &base.replace(start, ""))],
        &logging(4, &import("base"), "").replace(initialize, ""),
        &["f"],
        &[],
    );
    check(
        &[("base", &base.replace(start, "").replace(initialize, ""))],
        &main.replace("right", "base"),
        &["f"],
        &[],
    );
}

#[test]
fn what_is_reexported_is_the_same_thing() {
    let core = r#"(module
        (memory (export "memory") 2)
        (table (export "table") 3 funcref)
        (global (export "global") (mut i32) (i32.const 1))
        (func (export "f") (result i32) (i32.const 5)))"#;
    let facade = r#"(module
        (import "core" "memory" (memory 1))
        (import "core" "table" (table 1 funcref))
        (import "core" "global" (global (mut i32)))
        (import "core" "f" (func (result i32)))
        (import "host" "log" (func $log (param i32)))
        (export "m" (memory 0)) (export "t" (table 0)) (export "g" (global 0)) (export "f" (func 0))
        (export "log" (func $log))
        (memory (export "memory") 1)
        (data (memory 1) (i32.const 0) "\11")
        (func (export "set") (global.set 0 (i32.const 9)) (i32.store8 (i32.const 100) (i32.const 8))))"#;
    let main = r#"(module
        (import "facade" "m" (memory 2))
        (import "facade" "t" (table 3 funcref))
        (import "facade" "g" (global (mut i32)))
        (import "facade" "f" (func $f (result i32)))
        (import "facade" "set" (func $set))
        (import "facade" "log" (func $log (param i32)))
        (import "core" "memory" (memory $core 0))
        (elem (i32.const 2) $f)
        (func (export "all") (result i32 i32 i32 i32 i32)
            (call $set)
            (call $log (i32.const 1))
            (i32.load8_u (i32.const 100))
            (i32.load8_u $core (i32.const 100))
            (memory.size)
            (call_indirect (result i32) (i32.const 2))
            (global.get 0)))"#;
    // A function of the host knows the module that imported it from the host.
    let expected = ["log 1, memory Some(17)", "all: [I32(8), I32(8), I32(2), I32(5), I32(9)]"];
    check(&[("core", core), ("facade", facade)], main, &["all"], &expected);
}

#[test]
fn one_file_under_two_names_is_two_instances() {
    let counter = r#"(module
        (global $n (mut i32) (i32.const 0))
        (func (export "next") (result i32)
            (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))"#;
    let main = r#"(module
        (import "a" "next" (func $a (result i32)))
        (import "b" "next" (func $b (result i32)))
        (func (export "f") (result i32 i32 i32 i32) (call $a) (call $a) (call $b) (call $a)))"#;
    check(&[("a", counter), ("b", counter)], main, &["f"], &["f: [I32(1), I32(2), I32(1), I32(3)]"]);
}

/// Start functions see what was initialised before them, and nothing else.
#[test]
fn segments_and_start_functions_take_turns() {
    let base = r#"(module
        (memory (export "memory") 1)
        (table (export "table") 4 funcref)
        (data (i32.const 0) "\01\01\01\01"))"#;
    let imports = r#"(import "base" "memory" (memory 1)) (import "base" "table" (table $t 4 funcref))
        (import "host" "log" (func $log (param i32)))"#;
    let first = format!(
        r#"(module {imports}
        (data (i32.const 1) "\02\02")
        (func $f (result i32) (i32.const 1))
        (elem (i32.const 1) $f)
        (func $start
            (call $log (i32.load (i32.const 0)))
            (i32.store8 (i32.const 3) (i32.const 3))
            (call $log (ref.is_null (table.get $t (i32.const 2)))))
        (start $start))"#
    );
    let second = format!(
        r#"(module {imports}
        (data (i32.const 2) "\04\04")
        (func $f (result i32) (i32.const 2))
        (elem (i32.const 2) $f)
        (elem $own func $f)
        (memory $private 1)
        (data $private (memory $private) (i32.const 5) "\06")
        (func $start
            (call $log (i32.load (i32.const 0)))
            (call $log (i32.load8_u $private (i32.const 5)))
            (call $log (ref.is_null (table.get $t (i32.const 2)))))
        (start $start)
        (func (export "init dropped") (memory.init $private $private (i32.const 0) (i32.const 0) (i32.const 1)))
        (func (export "init nothing") (memory.init $private $private (i32.const 0) (i32.const 0) (i32.const 0)))
        (func (export "init own") (table.init $t $own (i32.const 3) (i32.const 0) (i32.const 1))))"#
    );
    let main = format!(
        r#"(module {imports}
        (import "second" "init dropped" (func $dropped))
        (import "second" "init nothing" (func $nothing))
        (import "second" "init own" (func $own))
        (import "first" "nothing" (func))
        (data $late (i32.const 0) "\05")
        (func (export "word") (result i32) (i32.load (i32.const 0)))
        (func (export "late") (memory.init $late (i32.const 0) (i32.const 0) (i32.const 1)))
        (func (export "two") (result i32) (call_indirect (result i32) (i32.const 2)))
        (func (export "three") (result i32) (call_indirect (result i32) (i32.const 3)))
        (export "dropped" (func $dropped)) (export "nothing" (func $nothing)) (export "own" (func $own)))"#
    );
    let first = first.replace("(start $start)", r#"(start $start) (func (export "nothing"))"#);
    let libraries = [("base", base), ("first", &*first), ("second", &*second)];
    let calls = ["word", "late", "two", "three", "own", "three", "dropped", "nothing"];
    let expected = [
        &format!("log {}, memory None", 0x01020201),
        "log 1, memory None",
        &format!("log {}, memory None", 0x04040201),
        "log 6, memory None",
        "log 0, memory None",
        &format!("word: [I32({})]", 0x04040205),
        "late: MemoryOutOfBounds at Some(",
        "two: [I32(2)]",
        "three: [I32(2)]",
        "nothing: []",
    ];
    let expected: Vec<&str> = expected.into_iter().filter(|line| !line.ends_with('(')).collect();
    check(&libraries, &main, &calls, &expected);
}

/// What traps during initialisation traps at its point in the order: what came before it stays, nothing after it happens.
#[test]
fn initialisation_traps_at_the_right_point() {
    let log = r#"(import "host" "log" (func $log (param i32)))"#;
    let outside = r#"(import "host" "memory" (memory 1)) (import "host" "table" (table 8 funcref))
        (import "host" "base" (global $base i32))"#;
    let starts = |number: u32| format!("(func $start (call $log (i32.const {number}))) (start $start)");
    let bodies = [
        // Fits.
        r#"(data (i32.const 100) "a") (elem (i32.const 1) $f)"#,
        // Depends on the host, and fits.
        r#"(data (global.get $base) "b") (elem (global.get $base) $f)"#,
        // The second segment does not fit, which cannot be known; then it can.
        r#"(data (i32.const 10) "c") (data (i32.mul (global.get $base) (i32.const 65536)) "d") (data (i32.const 11) "e")"#,
        r#"(data (i32.const 12) "f") (data (i32.const 65536) "g") (elem (i32.const 2) $f) (data (i32.const 13) "h")"#,
        r#"(elem (i32.const 4) $f) (elem (i32.mul (global.get $base) (i32.const 3)) $f) (data (i32.const 14) "i")"#,
        r#"(elem (i32.const 5) $f) (elem (i32.const 8) $f) (data (i32.const 15) "j")"#,
        // An empty segment at the end fits, behind it does not.
        r#"(data (i32.const 65536) "") (elem (i32.const 8)) (data (i32.const 16) "k") (data (i32.const -1) "")"#,
    ];
    let start = "(func $g (unreachable)) (start $g)";
    let ends = [String::new(), starts(7), String::from(start)];
    let module =
        |body: &str, end: &str, rest: &str| format!("(module {log} {outside} (func $f) {body} {end} {rest})");
    let exported = r#"(func (export "f"))"#;
    let mut outcomes = std::collections::BTreeSet::new();
    for first in bodies {
        for second in bodies {
            for (at, end) in ends.iter().enumerate() {
                let a = module(first, end, exported);
                let b = module(second, &ends[(at + 1) % ends.len()], r#"(import "a" "f" (func))"#);
                // Imports come first.
                let b = b.replace("(func $f)", "").replace(r#"(import "a" "f" (func))"#, "");
                let b = b.replacen(outside, &format!(r#"{outside} (import "a" "f" (func $f))"#), 1);
                let main = module("", &starts(9), "").replacen(outside, r#"(import "b" "f" (func $b))"#, 1);
                let b = b.trim_end_matches(')').to_owned() + r#" (export "f" (func $f)))"#;
                let libraries = [("a", &*a), ("b", &*b)];
                let expected = at_run_time(&libraries, &main, &[]);
                assert_eq!(linked(&libraries, &main, &[]), expected, "{a}\n{b}\n{main}");
                outcomes.insert(expected);
            }
        }
    }
    // The cases differ from each other.
    assert!(outcomes.len() > 30, "{}", outcomes.len());
}
