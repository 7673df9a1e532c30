//! Compiled functions are kept from one build to the next: what comes out is the same, and only what changed is compiled.

#[path = "memory_store.rs"]
mod memory_store;

use aot_compiler::{CodeStore, CompiledModule, Config, Share, Target, wasi};
use memory_store::MemoryStore;
use std::path::Path;
use std::sync::Arc;
use wasm_encoder::reencode::{self, Reencode};

/// Small functions that are inlined, in chains and cycles; one that nothing calls, one that only a table has.
const SMALL: &str = r#"(module
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (global $count (mut i32) (i32.const 0))
    (table funcref (elem $twice $in_table))
    (func $leaf (param i32) (result i32) (i32.add (local.get 0) (i32.const 3)))
    (func $middle (param i32) (result i32) (i32.mul (call $leaf (local.get 0)) (call $leaf (i32.const 7))))
    (func $twice (param i32) (result i32)
        (i32.div_u (call $middle (call $middle (local.get 0))) (local.get 0)))
    (func $in_table (param i32) (result i32) (i32.load (local.get 0)))
    (func $dead (param i32) (result i32) (call $middle (local.get 0)))
    (func $even (param i32) (result i32)
        (if (result i32) (local.get 0)
            (then (call $odd (i32.sub (local.get 0) (i32.const 1)))) (else (i32.const 1))))
    (func $odd (param i32) (result i32)
        (if (result i32) (local.get 0)
            (then (call $even (i32.sub (local.get 0) (i32.const 1)))) (else (i32.const 0))))
    (func $fib (param i32) (result i32)
        (if (result i32) (i32.lt_u (local.get 0) (i32.const 2)) (then (local.get 0))
            (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                           (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
    (func (export "_start")
        (global.set $count (call $twice (call $even (call $fib (i32.const 9)))))
        (call_indirect (param i32) (result i32) (global.get $count) (i32.const 1))
        (call $exit)))"#;

/// Modules that are edited here: the one above, and real programs.
fn modules() -> Vec<(&'static str, Vec<u8>)> {
    let mut modules = vec![("small", wat::parse_str(SMALL).unwrap())];
    let programs = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("programs");
    for name in ["bzip2", "zstd"] {
        match std::fs::read(programs.join(format!("{name}.wasm"))) {
            Ok(wasm) => modules.push((name, wasm)),
            Err(error) if std::env::var_os("CI").is_some() => panic!("{name}: {error}"),
            Err(_) => println!("SKIPPED: {name} isn't built; `cargo xtask programs` does it"),
        }
    }
    modules
}

fn configs() -> [(&'static str, Config); 3] {
    let target = || "x86_64-linux".parse::<Target>().unwrap();
    [
        ("executable", Config::executable(target(), wasi::executable_import)),
        ("image", Config::image(target())),
        ("other machine", Config::executable("aarch64-linux".parse().unwrap(), wasi::executable_import)),
    ]
}

fn compile(wasm: &[u8], config: &Config, store: Option<&Arc<MemoryStore>>) -> CompiledModule {
    let code_store = store.map(|store| store.clone() as Arc<dyn CodeStore>);
    aot_compiler::compile(wasm, &Config { code_store, ..config.clone() }).unwrap()
}

/// All that comes of a module.
fn output(module: &CompiledModule, config: &Config) -> Vec<u8> {
    match config.libcalls_by_symbol {
        true => module.object().unwrap(),
        false => module.cwasm().unwrap(),
    }
}

/// Compiles with and without a store, and returns how many functions were compiled with it.
fn check(what: &str, wasm: &[u8], config: &Config, store: &Arc<MemoryStore>) -> usize {
    let (with, without) = (compile(wasm, config, Some(store)), compile(wasm, config, None));
    assert!(output(&with, config) == output(&without, config), "{what}: the store changes the result");
    assert_eq!(without.reused_count(), 0);
    functions(wasm) - with.reused_count()
}

fn functions(wasm: &[u8]) -> usize {
    let payloads = wasmparser::Parser::new(0).parse_all(wasm);
    payloads.filter(|payload| matches!(payload, Ok(wasmparser::Payload::CodeSectionEntry(_)))).count()
}

/// Changes a module: a function gets longer, or one is added in front of it.
struct Edit {
    /// Numbered without imported functions.
    function: u32,
    adds: bool,
    imported: u32,
    done: u32,
}

impl Reencode for Edit {
    type Error = std::convert::Infallible;

    fn function_index(&mut self, func: u32) -> Result<u32, reencode::Error> {
        Ok(func + u32::from(self.adds && func >= self.imported + self.function))
    }

    fn parse_function_section(
        &mut self,
        section: &mut wasm_encoder::FunctionSection,
        types: wasmparser::FunctionSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        for (index, ty) in types.into_iter().enumerate() {
            let ty = ty?;
            if self.adds && index as u32 == self.function {
                section.function(ty);
            }
            section.function(ty);
        }
        Ok(())
    }

    fn parse_function_body(
        &mut self,
        section: &mut wasm_encoder::CodeSection,
        body: wasmparser::FunctionBody<'_>,
    ) -> Result<(), reencode::Error> {
        if self.done == self.function {
            if self.adds {
                let mut function = wasm_encoder::Function::new([]);
                function.instructions().unreachable().end();
                section.function(&function);
            } else {
                let mut function = self.new_function_with_parsed_locals(&body)?;
                function.instructions().nop().i32_const(0x1234).drop();
                let mut reader = body.get_operators_reader()?;
                while !reader.eof() {
                    function.instruction(&self.parse_instruction(&mut reader)?);
                }
                self.done += 1;
                section.function(&function);
                return Ok(());
            }
        }
        self.done += 1;
        reencode::utils::parse_function_body(self, section, body)
    }
}

fn edit(wasm: &[u8], function: u32, adds: bool) -> Vec<u8> {
    let imported = wasmparser::Parser::new(0)
        .parse_all(wasm)
        .find_map(|payload| match payload.unwrap() {
            wasmparser::Payload::ImportSection(section) => {
                let is_func =
                    |import: &wasmparser::Import<'_>| matches!(import.ty, wasmparser::TypeRef::Func(_));
                Some(section.into_imports().filter(|import| is_func(import.as_ref().unwrap())).count())
            }
            _ => None,
        })
        .unwrap_or(0) as u32;
    let mut module = wasm_encoder::Module::new();
    let mut edit = Edit { function, adds, imported, done: 0 };
    edit.parse_core_module(&mut module, wasmparser::Parser::new(0), wasm).unwrap();
    let wasm = module.finish();
    wasmparser::validate(&wasm).unwrap();
    wasm
}

#[test]
fn second_builds_compile_nothing() {
    for (name, wasm) in modules() {
        for (kind, config) in configs() {
            let store = Arc::default();
            let what = format!("{name}, {kind}");
            assert_eq!(check(&what, &wasm, &config, &store), functions(&wasm), "{what}");
            assert_eq!(check(&what, &wasm, &config, &store), 0, "{what}");
        }
    }
}

#[test]
fn edits_compile_what_changed() {
    for (name, wasm) in modules() {
        // What the encoder writes in its own way is not the edit's.
        let wasm = edit(&wasm, u32::MAX, false);
        let count = functions(&wasm) as u32;
        for (kind, config) in &configs()[..2] {
            let store = Arc::default();
            check(name, &wasm, config, &store);
            // The largest programs in one form only: the forms differ in what is inlined.
            if count > 300 && *kind != "executable" {
                continue;
            }
            for function in (0..count).step_by((count as usize / 3).max(1)) {
                for adds in [false, true] {
                    let edited = edit(&wasm, function, adds);
                    let what = format!("{name}, {kind}: function {function}, added: {adds}");
                    let compiled = check(&what, &edited, config, &store);
                    assert!(compiled > 0, "{what}");
                    assert!(count < 300 || compiled < count as usize / 2, "{what}: {compiled} of {count}");
                    // Nothing is inlined there, and the others are found although their chunk has changed: but for what
                    // was edited in the build before and is not now, unless that has a chunk of its own.
                    let changed = 1 + usize::from(adds);
                    assert!(*kind != "image" || compiled <= changed, "{what}: {compiled}");
                    assert_eq!(check(&what, &edited, config, &store), 0, "{what}");
                }
            }
        }
    }
}

/// A function whose address is taken, and which might be inlined, comes from the cache: what it calls stays, although nobody
/// else calls that.
#[test]
fn what_might_be_inlined_keeps_its_callees() {
    let wasm = wat::parse_str(
        r#"(module
            (func $deep (param i32) (result i32)
                (if (result i32) (local.get 0)
                    (then (i32.add (call $deep (i32.sub (local.get 0) (i32.const 1))) (local.get 0)))
                    (else (i32.const 1))))
            (func $shared (param i32) (result i32) (call $deep (local.get 0)))
            (func $dead (param i32) (result i32) (i32.mul (call $shared (local.get 0)) (i32.const 5)))
            (table funcref (elem $shared $other))
            (func $other (param i32) (result i32) (local.get 0))
            (global $index (mut i32) (i32.const 1))
            (func (export "_start")
                (drop (call_indirect (param i32) (result i32) (i32.const 9) (global.get $index)))
                (global.set $index (i32.const 0))))"#,
    );
    let wasm = edit(&wasm.unwrap(), u32::MAX, false);
    let config = &configs()[0].1;
    for function in 0..5 {
        let store = Arc::default();
        check("at first", &wasm, config, &store);
        check(&format!("function {function}"), &edit(&wasm, function, false), config, &store);
    }
}

/// Other options, other code: nothing of one is taken for the other.
#[test]
fn options_do_not_mix() {
    let (name, wasm) = &modules()[0];
    let store = Arc::default();
    let [(_, executable), (_, image), (_, other)] = configs();
    let plain = Config { opt_level: aot_compiler::OptLevel::None, ..executable.clone() };
    let apart = Config { inlining: false, ..executable.clone() };
    let fuel = Config { fuel: true, ..image.clone() };
    let debug = Config { debug_info: aot_compiler::DebugInfo::Full, ..executable.clone() };
    let slots = Config { debug_info: aot_compiler::DebugInfo::Full, ..plain.clone() };
    for config in [executable, image, other, plain, apart, fuel, debug, slots] {
        assert_eq!(check(name, wasm, &config, &store), functions(wasm));
        // With debug information, what was kept has the places of variables too.
        assert_eq!(check(name, wasm, &config, &store), 0);
    }
}

#[test]
fn several_machines_compile_shares() {
    for (name, wasm) in modules() {
        for (kind, config) in &configs()[..2] {
            let store: Arc<MemoryStore> = Arc::default();
            let shared = Config { code_store: Some(store.clone()), ..config.clone() };
            let mut sum = 0;
            for index in 0..3 {
                let result = aot_compiler::compile_share(&wasm, &shared, Share { index, count: 3 }).unwrap();
                assert_eq!((result.functions, result.compiled), (functions(&wasm), result.own));
                sum += result.own;
                let again = aot_compiler::compile_share(&wasm, &shared, Share { index, count: 3 }).unwrap();
                assert_eq!((again.own, again.compiled), (result.own, 0));
            }
            assert_eq!(sum, functions(&wasm));
            assert_eq!(check(&format!("{name}, {kind}"), &wasm, config, &store), 0);
        }
    }
    let (_, config) = &configs()[0];
    let wasm = &modules()[0].1;
    assert!(aot_compiler::compile_share(wasm, config, Share { index: 0, count: 1 }).is_err());
    let config = Config { code_store: Some(Arc::<MemoryStore>::default()), ..config.clone() };
    assert!(aot_compiler::compile_share(wasm, &config, Share { index: 3, count: 3 }).is_err());
}

/// What cannot be read is compiled again. (Entries that say something else are kept out by the store.)
#[test]
fn damaged_entries_are_misses() {
    let (name, wasm) = &modules()[0];
    let (_, config) = &configs()[0];
    let store: Arc<MemoryStore> = Arc::default();
    check(name, wasm, config, &store);
    let sound = store.0.lock().unwrap().clone();
    assert!(!sound.is_empty());
    for cut in 0..40 {
        for value in store.0.lock().unwrap().values_mut() {
            value.truncate(value.len() * cut / 40);
        }
        assert!(check(name, wasm, config, &store) > 0);
        *store.0.lock().unwrap() = sound.clone();
    }
    for value in store.0.lock().unwrap().values_mut() {
        value.push(0);
    }
    assert_eq!(check(name, wasm, config, &store), functions(wasm));
}

/// A module that is not valid is refused, also next to what was kept of a valid one.
#[test]
fn invalid_functions_are_refused() {
    let (_, config) = &configs()[0];
    let store: Arc<MemoryStore> = Arc::default();
    let valid = SMALL.replace("(i32.mul (call", "(i32.sub (call");
    let text = |source: &str| wat::parse_str(source).unwrap();
    compile(&text(&valid), config, Some(&store));
    let invalid = valid.replace("(i32.const 7)", "(i64.const 7)");
    let config = Config { code_store: Some(store), ..config.clone() };
    let error = aot_compiler::compile(&text(&invalid), &config).err().expect("it is refused");
    assert!(error.to_string().contains("type mismatch"), "{error}");
}
