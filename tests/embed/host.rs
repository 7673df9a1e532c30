//! Host functions.

use super::{module, store};
use aot_runtime::embed::{
    Caller, Engine, Error, Func, FuncType, HostError, Linker, Memory, MemoryType, Store, TrapCode, V128, Val,
    ValType,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn closures_take_and_return_numbers() {
    let mut linker: Linker<Vec<String>> = Linker::new();
    linker
        .func_wrap("h", "i", |a: i32, b: i64| i64::from(a) - b)
        .and_then(|linker| linker.func_wrap("h", "f", |a: f32, b: f64| (f64::from(a) * b) as f32))
        .and_then(|linker| linker.func_wrap("h", "b", |a: bool| !a))
        .and_then(|linker| {
            linker.func_wrap("h", "note", |mut caller: Caller<'_, Vec<String>>, a: u32| {
                let note = format!("noted {a}");
                caller.data_mut().push(note);
            })
        })
        .and_then(|linker| linker.func_wrap("h", "two", |a: i32| (a + 1, a as f32)))
        .and_then(|linker| {
            linker.func_wrap("h", "many", |a: i32, b: i32, c: i32, d: i32, e: i32, f: i32, g: i32, x: f64| {
                f64::from(a - b + c - d + e - f + g) + x
            })
        })
        .unwrap();
    let module = module(
        r#"(module
            (import "h" "i" (func $i (param i32 i64) (result i64)))
            (import "h" "f" (func $f (param f32 f64) (result f32)))
            (import "h" "b" (func $b (param i32) (result i32)))
            (import "h" "note" (func $note (param i32)))
            (import "h" "two" (func $two (param i32) (result i32 f32)))
            (import "h" "many" (func $many (param i32 i32 i32 i32 i32 i32 i32 f64) (result f64)))
            (func (export "run") (result f64) (local f32)
                (call $note (i32.const -1))
                (f64.convert_i64_s (call $i (i32.const 5) (i64.const 3)))
                (f64.promote_f32 (call $f (f32.const 2) (f64.const 1.5)))
                f64.add
                (f64.convert_i32_s (call $b (i32.const 0)))
                f64.add
                (call $two (i32.const 9))
                local.set 0
                f64.convert_i32_s
                f64.add
                (f64.promote_f32 (local.get 0))
                f64.add
                (call $many (i32.const 1) (i32.const 2) (i32.const 3) (i32.const 4) (i32.const 5) (i32.const 6)
                    (i32.const 7) (f64.const 0.25))
                f64.add))"#,
    );
    let mut store = Store::new(&Engine::default(), Vec::new());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.get_typed_func::<(), f64>(&store, "run").unwrap();
    for round in 1..=3 {
        let expected = 2.0 + 3.0 + 1.0 + 10.0 + 9.0 + 4.0 + 0.25;
        assert_eq!(run.call(&mut store, ()).unwrap(), expected);
        assert_eq!(store.data().len(), round);
    }
    assert_eq!(store.data()[0], "noted 4294967295");
}

#[test]
fn untyped_functions_take_and_return_values() {
    let ty = FuncType {
        params: vec![ValType::I32, ValType::V128, ValType::ExternRef],
        results: vec![ValType::ExternRef, ValType::I64],
    };
    let mut linker: Linker<()> = Linker::new();
    linker
        .func_new("h", "f", ty, |_, args, results| {
            assert_eq!(results, [Val::ExternRef(None), Val::I64(0)]);
            let Val::V128(V128(bytes)) = args[1] else { return Err(HostError::from("no vector")) };
            results[0] = args[2];
            results[1] = Val::I64(i64::from(args[0].i32().unwrap_or(0)) + i64::from(bytes[15]));
            if bytes[0] == 99 {
                results[1] = Val::I32(0);
            }
            Ok(())
        })
        .unwrap();
    let module = module(
        r#"(module
            (import "h" "f" (func $f (param i32 v128 externref) (result externref i64)))
            (func (export "run") (param i32 externref) (result externref i64)
                (call $f (i32.const 40) (i8x16.replace_lane 0 (v128.const i64x2 0 0x0200000000000000) (local.get 0))
                    (local.get 1))))"#,
    );
    let mut store = store();
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.get_func(&store, "run").unwrap();
    let reference = Val::ExternRef(Some(17));
    assert_eq!(run.call_vec(&mut store, &[Val::I32(0), reference]).unwrap(), [reference, Val::I64(42)]);
    let error = run.call_vec(&mut store, &[Val::I32(99), reference]).unwrap_err();
    assert!(error.to_string().contains("results do not fit"), "{error}");
}

#[derive(Debug, PartialEq)]
struct Refusal(i32);

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "refused {}", self.0)
    }
}

impl std::error::Error for Refusal {}

/// A module that calls `h.f` from a nested function, by a type that fits registers or by one that does not.
fn caller(wide: bool) -> String {
    let (params, args) = if wide { ("i32 v128", "(v128.const i64x2 0 0)") } else { ("i32", "") };
    format!(
        r#"(module
            (import "h" "f" (func $f (param {params})))
            (func $inner (param i32) (call $f (local.get 0) {args}))
            (func (export "run") (param i32) (result i32) (call $inner (local.get 0)) (i32.const 1)))"#
    )
}

#[test]
fn errors_of_the_host_come_back_as_they_are() {
    for wide in [false, true] {
        let mut linker: Linker<()> = Linker::new();
        if wide {
            let ty = FuncType { params: vec![ValType::I32, ValType::V128], results: vec![] };
            linker.func_new("h", "f", ty, |_, args, _| match args[0] {
                Val::I32(0) => Ok(()),
                _ => Err(Refusal(args[0].i32().unwrap())),
            })
        } else {
            linker.func_wrap("h", "f", |a: i32| if a == 0 { Ok(()) } else { Err(Refusal(a)) })
        }
        .unwrap();
        let mut store = store();
        let instance = linker.instantiate(&mut store, &module(&caller(wide))).unwrap();
        let run = instance.get_typed_func::<i32, i32>(&store, "run").unwrap();
        for _ in 0..3 {
            assert_eq!(run.call(&mut store, 0).unwrap(), 1);
            let error = run.call(&mut store, 7).unwrap_err();
            assert_eq!(error.to_string(), "host function failed: refused 7");
            let Error::Host(error) = error else { panic!("an error of the host") };
            assert_eq!(*error.downcast::<Refusal>().unwrap(), Refusal(7));
        }
    }
}

#[test]
fn panics_of_the_host_go_on_where_the_host_called() {
    for wide in [false, true] {
        let mut linker: Linker<()> = Linker::new();
        if wide {
            let ty = FuncType { params: vec![ValType::I32, ValType::V128], results: vec![] };
            linker.func_new("h", "f", ty, |_, args, _| -> Result<(), HostError> {
                panic!("panic {}", args[0].i32().unwrap())
            })
        } else {
            linker.func_wrap("h", "f", |a: i32| -> () { panic!("panic {a}") })
        }
        .unwrap();
        let mut store = store();
        let instance = linker.instantiate(&mut store, &module(&caller(wide))).unwrap();
        let run = instance.get_typed_func::<i32, i32>(&store, "run").unwrap();
        for round in 0..3 {
            let payload = catch_unwind(AssertUnwindSafe(|| run.call(&mut store, round))).unwrap_err();
            assert_eq!(*payload.downcast::<String>().unwrap(), format!("panic {round}"));
        }
    }
}

#[test]
fn what_host_functions_own_is_dropped() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let drops = Arc::new(AtomicUsize::new(0));
    let module = module(&caller(false));
    let inside = Arc::clone(&drops);
    let counted = Counted(Arc::clone(&drops));
    {
        let mut linker: Linker<()> = Linker::new();
        linker
            .func_wrap("h", "f", move |a: i32| {
                let _local = Counted(Arc::clone(&inside));
                let _captured = &counted;
                if a == 0 { Ok(()) } else { Err(Refusal(a)) }
            })
            .unwrap();
        let mut store = store();
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let run = instance.get_typed_func::<i32, i32>(&store, "run").unwrap();
        run.call(&mut store, 0).unwrap();
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        run.call(&mut store, 1).unwrap_err();
        assert_eq!(drops.load(Ordering::Relaxed), 2);
        drop(linker);
        assert_eq!(drops.load(Ordering::Relaxed), 2);
        run.call(&mut store, 0).unwrap();
    }
    assert_eq!(drops.load(Ordering::Relaxed), 4);
}

#[test]
fn callers_are_known() {
    let module = module(
        r#"(module
            (import "h" "peek" (func $peek (param i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "id") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 3)))
            (func (export "run") (param i32) (result i32)
                (i32.store8 (i32.const 5) (local.get 0))
                (call $peek (i32.const 5))))"#,
    );
    let mut linker: Linker<u32> = Linker::new();
    linker
        .func_wrap("h", "peek", |mut caller: Caller<'_, u32>, at: u32| -> Result<i32, HostError> {
            let memory =
                caller.get_export("memory").and_then(|item| item.into_memory()).ok_or("no memory")?;
            assert_eq!(caller.memory(), Some(memory));
            let id = caller.get_export("id").and_then(|item| item.into_func()).ok_or("no function")?;
            let id = id.typed::<i32, i32>(&caller)?;
            let (bytes, calls) = caller.memory_and_data();
            *calls += 1;
            let byte = bytes[at as usize];
            Ok(id.call(&mut caller, i32::from(byte))?)
        })
        .unwrap();
    let mut store = Store::new(&Engine::default(), 0);
    let pre = linker.instantiate_pre(&module).unwrap();
    let instances: Vec<_> = (0..4).map(|_| pre.instantiate(&mut store).unwrap()).collect();
    for (number, instance) in instances.iter().enumerate() {
        let run = instance.get_typed_func::<i32, i32>(&store, "run").unwrap();
        assert_eq!(run.call(&mut store, number as i32 + 1).unwrap(), 3 * (number as i32 + 1));
    }
    // The same function, made for one store and imported by an instance.
    let func =
        Func::wrap(&mut store, |mut caller: Caller<'_, u32>, _: i32| caller.memory_and_data().0.len() as i32);
    let instance = aot_runtime::embed::Instance::new(&mut store, &module, &[func.into()]).unwrap();
    let run = instance.get_typed_func::<i32, i32>(&store, "run").unwrap();
    assert_eq!(run.call(&mut store, 1).unwrap(), 65536);
    assert_eq!(func.call_vec(&mut store, &[Val::I32(0)]).unwrap(), [Val::I32(0)]);
    assert_eq!(store.into_data(), 4);
}

#[test]
fn traps_pass_through_the_host() {
    let module = module(
        r#"(module
            (import "h" "again" (func $again (param i32) (result i32)))
            (func (export "run") (param i32) (result i32)
                (if (i32.eqz (local.get 0)) (then unreachable))
                (call $again (i32.sub (local.get 0) (i32.const 1)))))"#,
    );
    let mut linker: Linker<u32> = Linker::new();
    linker
        .func_wrap("h", "again", |mut caller: Caller<'_, u32>, depth: i32| -> Result<i32, HostError> {
            *caller.data_mut() += 1;
            let run = caller.get_export("run").and_then(|item| item.into_func()).ok_or("no function")?;
            let result = run.typed::<i32, i32>(&caller)?.call(&mut caller, depth);
            match result {
                // The host may go on after a trap of the guest.
                Err(_) if depth == 50 => Ok(-1),
                other => Ok(other?),
            }
        })
        .unwrap();
    let mut store = Store::new(&Engine::default(), 0);
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.get_typed_func::<i32, i32>(&store, "run").unwrap();
    let error = run.call(&mut store, 40).unwrap_err();
    assert_eq!(error.trap().unwrap().code(), TrapCode::Unreachable);
    assert_eq!(*store.data(), 40);
    assert_eq!(run.call(&mut store, 60).unwrap(), -1);
}

#[test]
fn imports_that_do_not_fit_are_named() {
    let module = module(
        r#"(module (import "env" "f" (func (param i32) (result i64))) (import "env" "m" (memory 2 4)))"#,
    );
    let mut linker: Linker<()> = Linker::new();
    let error = linker.instantiate_pre(&module).err().unwrap();
    assert_eq!(error.to_string(), "unknown import: `env` `f`, a function of type (i32) -> (i64)");
    linker.func_wrap("env", "f", |_: i64| {}).unwrap();
    let error = linker.instantiate_pre(&module).err().unwrap();
    assert_eq!(
        error.to_string(),
        "incompatible import type: `env` `f` has to be a function of type (i32) -> (i64), and is a function of type \
         (i64) -> ()"
    );
    assert!(linker.func_wrap("env", "f", || {}).is_err());
    linker.allow_shadowing(true).func_wrap("env", "f", |_: i32| 0i64).unwrap();
    let mut store = store();
    let limits = aot_runtime::embed::Limits { min: 1, max: Some(4) };
    let small = Memory::new(&mut store, &MemoryType { limits }).unwrap();
    linker.define("env", "m", small).unwrap();
    let error = linker.instantiate(&mut store, &module).unwrap_err();
    assert_eq!(
        error.to_string(),
        "incompatible import type: `env` `m` has to be a memory of 2 to 4 pages, and is a memory of 1 to 4 pages"
    );
    small.grow(&mut store, 1).unwrap();
    linker.instantiate(&mut store, &module).unwrap();
    linker.define("env", "m", Func::wrap(&mut store, || {})).unwrap();
    let error = linker.instantiate(&mut store, &module).unwrap_err();
    assert!(error.to_string().ends_with("and is a function of type () -> ()"), "{error}");
}

#[test]
fn unknown_imports_can_be_traps() {
    let module = module(
        r#"(module (import "a" "b" (func $f (param v128))) (func (export "run") (call $f (v128.const i64x2 0 0))))"#,
    );
    let mut linker: Linker<()> = Linker::new();
    linker.define_unknown_imports_as_traps(&module).unwrap();
    let mut store = store();
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.get_typed_func::<(), ()>(&store, "run").unwrap();
    let error = run.call(&mut store, ()).unwrap_err();
    assert_eq!(error.to_string(), "host function failed: call of the unknown import `a` `b`");
}
