//! Loading of images, what modules tell, threads.

use super::{module, store};
use aot_compiler::{Config, Target};
use aot_runtime::embed::{Engine, Error, ExternType, Linker, Module, Registry, Store, ValType};
use std::fs;

const LIBRARY: &str = r#"(module
    (import "env" "f" (func (param i32) (result f64)))
    (import "env" "g" (global i32))
    (memory (export "memory") 2 5)
    (data (i32.const 65540) "initial")
    (table (export "table") 3 funcref)
    (func (export "sum") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (global (export "version") (mut i64) (i64.const 7)))"#;

fn image(text: &str) -> Vec<u8> {
    let wasm = aot_compiler::parse_text(text.as_bytes(), "test").unwrap();
    let config = Config::image(Target::host().unwrap());
    aot_compiler::compile(&wasm, &config).unwrap().cwasm().unwrap()
}

#[test]
fn modules_tell_imports_and_exports() {
    let module = module(LIBRARY);
    let imports: Vec<String> =
        module.imports().map(|import| format!("{}.{}: {}", import.module, import.name, import.ty)).collect();
    assert_eq!(imports, ["env.f: function of type (i32) -> (f64)", "env.g: global of type i32"]);
    let exports: Vec<String> =
        module.exports().map(|export| format!("{}: {}", export.name, export.ty)).collect();
    assert_eq!(
        exports,
        [
            "memory: memory of 2 to 5 pages",
            "table: table of funcref, 3 elements and more",
            "sum: function of type (i32, i32) -> (i32)",
            "version: mutable global of type i64"
        ]
    );
    let Some(ExternType::Func(ty)) = module.get_export("sum") else { panic!("a function") };
    assert_eq!(ty.params, [ValType::I32, ValType::I32]);
    assert_eq!(module.get_export("nothing"), None);
}

#[test]
fn images_are_loaded_from_files_and_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lib.cwasm");
    let text = r#"(module (memory (export "memory") 2) (data (i32.const 65540) "initial")
        (func (export "sum") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))"#;
    let bytes = image(text);
    fs::write(&path, &bytes).unwrap();
    // SAFETY: the compiler made the image just now.
    let modules = unsafe { [Module::deserialize_file(&path).unwrap(), Module::deserialize(&bytes).unwrap()] };
    // The mapping does not need the name.
    fs::remove_file(&path).unwrap();
    for module in modules {
        let mut store = store();
        let instance = Linker::new().instantiate(&mut store, &module).unwrap();
        let sum = instance.get_typed_func::<(i32, i32), i32>(&store, "sum").unwrap();
        assert_eq!(sum.call(&mut store, (40, 2)).unwrap(), 42);
        let memory = instance.get_memory(&store, "memory").unwrap();
        assert_eq!(memory.data(&store)[65540..65547], *b"initial");
        assert_eq!(memory.data(&store).len(), 131072);
    }
}

#[test]
fn what_is_no_image_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.cwasm");
    let good = image(LIBRARY);
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 4;
    for (bytes, expected) in [
        (&b""[..], "empty"),
        (b"\0asm\x01\0\0\0", "aot build"),
        (b"\x7fELF", "cut off"),
        (&good[..good.len() - 1], "cut off"),
        (&flipped, "hash"),
        (b"no image at all", "aot build"),
    ] {
        fs::write(&path, bytes).unwrap();
        // SAFETY: none of these is executed.
        let error = unsafe { Module::deserialize_file(&path) }.unwrap_err();
        let message = error.to_string();
        assert!(message.contains("x.cwasm") && message.contains(expected), "{expected}: {message}");
    }
    // SAFETY: it does not exist.
    let error = unsafe { Module::deserialize_file(directory.path().join("none")) }.unwrap_err();
    assert!(error.to_string().contains("none"), "{error}");
}

#[test]
fn registries_load_on_demand() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("lib.cwasm"), image(LIBRARY)).unwrap();
    fs::write(directory.path().join("broken.cwasm"), b"\x7fELF").unwrap();
    fs::write(directory.path().join("other.txt"), b"").unwrap();
    // SAFETY: the images are ours.
    let registry = unsafe { Registry::new([directory.path()]) };
    assert_eq!(registry.names(), ["broken", "lib"]);
    assert!(registry.loaded().is_empty());
    let library = registry.get("lib").unwrap();
    assert!(library.get_export("sum").is_some());
    assert_eq!(registry.loaded(), ["lib"]);
    fs::remove_file(directory.path().join("lib.cwasm")).unwrap();
    assert!(registry.get("lib").is_ok());
    assert!(registry.unload("lib") && !registry.unload("lib"));
    for name in ["lib", "broken", "../x", "", "a/b", "/etc/passwd"] {
        assert!(registry.get(name).is_err(), "{name}");
    }
    registry.insert("own", library);
    assert!(registry.get("own").is_ok());
}

#[test]
fn instances_run_on_many_threads() {
    let module = module(
        r#"(module (memory 1) (func (export "run") (param i32) (result i32)
            (i32.store (i32.const 0) (local.get 0))
            (if (i32.eq (local.get 0) (i32.const 13)) (then unreachable))
            (i32.mul (i32.load (i32.const 0)) (i32.const 2))))"#,
    );
    let engine = Engine::default();
    let pre = Linker::<()>::new().instantiate_pre(&module).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for round in 0..200 {
                    let mut store = Store::new(&engine, ());
                    let run = pre.instantiate(&mut store).unwrap();
                    let run = run.get_typed_func::<i32, i32>(&store, "run").unwrap();
                    let result = run.call(&mut store, round);
                    assert_eq!(result.ok(), (round != 13).then_some(round * 2));
                }
            });
        }
    });
    // A store moves from one thread to another, whose stack is elsewhere.
    let mut store = Store::new(&engine, ());
    let instance = pre.instantiate(&mut store).unwrap();
    let run = instance.get_typed_func::<i32, i32>(&store, "run").unwrap();
    for round in 20..30 {
        assert_eq!(run.call(&mut store, round).unwrap(), round * 2);
        store = std::thread::spawn(move || {
            assert_eq!(run.call(&mut store, round).unwrap(), round * 2);
            store
        })
        .join()
        .unwrap();
    }
}

#[test]
fn start_functions_run_and_may_trap() {
    let mut linker: Linker<u32> = Linker::new();
    linker
        .func_wrap("h", "f", |mut caller: aot_runtime::embed::Caller<'_, u32>| *caller.data_mut() += 1)
        .unwrap();
    let mut store = Store::new(&Engine::default(), 0);
    let module = module(r#"(module (import "h" "f" (func $f)) (start $f))"#);
    linker.instantiate(&mut store, &module).unwrap();
    assert_eq!(*store.data(), 1);
    let module = super::module(r#"(module (func $f unreachable) (start $f))"#);
    assert!(matches!(linker.instantiate(&mut store, &module), Err(Error::Trap(_))));
    let module = super::module(r#"(module (memory 1) (data (i32.const 65536) "x"))"#);
    assert!(matches!(linker.instantiate(&mut store, &module), Err(Error::Trap(_))));
    let module = super::module(r#"(module (table 1 funcref) (func $f) (elem (i32.const 1) $f))"#);
    assert!(matches!(linker.instantiate(&mut store, &module), Err(Error::Trap(_))));
}
