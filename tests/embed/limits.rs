//! Guests that do too much, and many of them.

use super::{module, module_with, store};
use aot_runtime::embed::{
    AsContextMut, Caller, Engine, Error, HostError, Linker, Memory, MemoryType, Store, StoreLimits, TrapCode,
    Val,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const LOOPS: &str = r#"(module
    (global $n (mut i64) (i64.const 0))
    (func (export "empty") (loop (br 0)))
    (func (export "nested") (loop (loop (br_if 1 (i32.const 1)) (br 0))))
    (func (export "work") (loop (global.set $n (i64.add (global.get $n) (i64.const 1))) (br 0)))
    (func $call (export "call") (loop (call $leaf) (br 0)))
    (func $leaf)
    (func (export "count") (param i32) (result i32)
        (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (local.get 0)))"#;

#[test]
fn endless_loops_are_interrupted_from_another_thread() {
    let module = module_with(LOOPS, |config| config.interruptible = true);
    assert!(module.is_interruptible());
    let engine = Engine::default();
    for name in ["empty", "nested", "work", "call"] {
        let mut store = Store::new(&engine, ());
        let instance = Linker::new().instantiate(&mut store, &module).unwrap();
        let handle = store.interrupt_handle();
        let timer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            handle.interrupt();
        });
        let func = instance.get_typed_func::<(), ()>(&store, name).unwrap();
        let error = func.call(&mut store, ()).unwrap_err();
        assert_eq!(error.trap().unwrap().code(), TrapCode::Interrupt, "{name}");
        timer.join().unwrap();
        // The store goes on.
        let count = instance.get_typed_func::<i32, i32>(&store, "count").unwrap();
        assert_eq!(count.call(&mut store, 1000).unwrap(), 0);
        // An interruption that comes when no code runs stops the next call, once.
        store.interrupt_handle().interrupt();
        let error = count.call(&mut store, 1).unwrap_err();
        assert_eq!(error.trap().unwrap().code(), TrapCode::Interrupt, "{name}");
        assert_eq!(count.call(&mut store, 1).unwrap(), 0);
    }
}

#[test]
fn deadlines_pass_by_the_ticks_of_the_engine() {
    let module = module_with(LOOPS, |config| config.interruptible = true);
    let engine = Engine::default();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
                engine.increment_epoch();
            }
        });
        let guests: Vec<_> = (0..3)
            .map(|guest| {
                let (engine, module) = (&engine, &module);
                scope.spawn(move || {
                    let mut store = Store::new(engine, ());
                    let instance = Linker::new().instantiate(&mut store, module).unwrap();
                    let count = instance.get_typed_func::<i32, i32>(&store, "count").unwrap();
                    if guest == 0 {
                        // Without a deadline the others' do not matter.
                        for _ in 0..200 {
                            assert_eq!(count.call(&mut store, 100_000).unwrap(), 0);
                        }
                        return;
                    }
                    for _ in 0..3 {
                        store.set_epoch_deadline(5);
                        let empty = instance.get_typed_func::<(), ()>(&store, "empty").unwrap();
                        let error = empty.call(&mut store, ()).unwrap_err();
                        assert_eq!(error.trap().unwrap().code(), TrapCode::Interrupt);
                    }
                    store.set_epoch_deadline(1);
                    store.clear_epoch_deadline();
                    assert_eq!(count.call(&mut store, 1_000_000).unwrap(), 0);
                })
            })
            .collect();
        for guest in guests {
            guest.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn host_functions_give_their_guests_more_time() {
    let text = r#"(module
        (import "h" "wait" (func $wait (param i64)))
        (func (export "run") (param i64) (local $n i32)
            (call $wait (local.get 0))
            (local.set $n (i32.const 9))
            (loop (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"#;
    let module = module_with(text, |config| config.interruptible = true);
    let engine = Engine::default();
    let clock = engine.clone();
    let mut linker: Linker<()> = Linker::new();
    // Gives that many ticks from now on, if any, and takes two.
    let wait = move |mut caller: Caller<'_, ()>, ticks: u64| {
        if ticks > 0 {
            caller.as_context_mut().set_epoch_deadline(ticks);
        }
        clock.increment_epoch();
        clock.increment_epoch();
    };
    linker.func_wrap("h", "wait", wait).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.get_typed_func::<u64, ()>(&store, "run").unwrap();
    for (ticks, is_enough) in [(0, false), (1, false), (2, false), (3, true), (1000, true)] {
        store.set_epoch_deadline(1);
        let result = run.call(&mut store, ticks);
        assert_eq!(result.is_ok(), is_enough, "{ticks}");
        if let Err(error) = result {
            assert_eq!(error.trap().unwrap().code(), TrapCode::Interrupt);
        }
    }
}

#[test]
fn fuel_is_counted_alike_every_time() {
    let text = r#"(module
        (import "h" "f" (func $f))
        (func $fib (export "fib") (param i32) (result i32)
            (if (result i32) (i32.lt_s (local.get 0) (i32.const 2))
                (then (local.get 0))
                (else (i32.add
                    (call $fib (i32.sub (local.get 0) (i32.const 1)))
                    (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
        (func (export "line") (nop) (drop (i32.const 1)) (call $f))
        (func (export "forever") (loop (br 0))))"#;
    let mut linker: Linker<()> = Linker::new();
    linker.func_wrap("h", "f", || {}).unwrap();
    let mut used = Vec::new();
    for opt_level in [aot_compiler::OptLevel::None, aot_compiler::OptLevel::Speed] {
        let module = module_with(text, |config| {
            config.fuel = true;
            config.opt_level = opt_level;
        });
        assert!(module.counts_fuel());
        let mut store = store();
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let line = instance.get_typed_func::<(), ()>(&store, "line").unwrap();
        store.set_fuel(100);
        line.call(&mut store, ()).unwrap();
        // `i32.const` and `call`.
        assert_eq!(store.fuel(), 98);
        store.set_fuel(1 << 40);
        let fib = instance.get_typed_func::<i32, i32>(&store, "fib").unwrap();
        for _ in 0..2 {
            let before = store.fuel();
            assert_eq!(fib.call(&mut store, 15).unwrap(), 610);
            used.push(before - store.fuel());
        }
        store.set_fuel(1000);
        for name in ["forever", "line"] {
            let func = instance.get_typed_func::<(), ()>(&store, name).unwrap();
            let error = func.call(&mut store, ()).unwrap_err();
            assert_eq!(error.trap().unwrap().code(), TrapCode::OutOfFuel);
            assert_eq!(store.fuel(), 0);
        }
        store.set_fuel(10);
        line.call(&mut store, ()).unwrap();
    }
    assert!(used[0] > 1000);
    assert_eq!(used, [used[0]; 4]);
}

#[test]
fn memories_and_tables_stop_growing() {
    let module = module(
        r#"(module (memory (export "m") 1) (table (export "t") 10 funcref)
            (func (export "grow") (result i32)
                (loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
                (loop (br_if 0 (i32.ne (table.grow (ref.null func) (i32.const 1)) (i32.const -1))))
                (i32.add (memory.size) (table.size))))"#,
    );
    let mut store = store();
    store.set_limits(StoreLimits {
        memory_bytes: Some(5 * 65536 + 1),
        table_elements: Some(12),
        ..StoreLimits::default()
    });
    let instance = Linker::new().instantiate(&mut store, &module).unwrap();
    let grow = instance.get_typed_func::<(), i32>(&store, "grow").unwrap();
    assert_eq!(grow.call(&mut store, ()).unwrap(), 5 + 12);
    assert!(instance.get_memory(&store, "m").unwrap().grow(&mut store, 1).is_err());
    store.set_limits(StoreLimits { memory_bytes: Some(65535), ..StoreLimits::default() });
    assert!(matches!(Linker::new().instantiate(&mut store, &module), Err(Error::OutOfMemory(_))));
    store.set_limits(StoreLimits { table_elements: Some(9), ..StoreLimits::default() });
    assert!(matches!(Linker::new().instantiate(&mut store, &module), Err(Error::OutOfMemory(_))));
}

#[test]
fn stores_hold_as_much_as_they_may() {
    let module = module(r#"(module (memory 1) (table 1 funcref))"#);
    let cases = [
        (StoreLimits { instances: Some(2), ..StoreLimits::default() }, "instances"),
        (StoreLimits { memories: Some(2), ..StoreLimits::default() }, "memories"),
        (StoreLimits { tables: Some(2), ..StoreLimits::default() }, "tables"),
    ];
    for (limits, what) in cases {
        let mut store = store();
        store.set_limits(limits);
        let linker = Linker::new();
        linker.instantiate(&mut store, &module).unwrap();
        linker.instantiate(&mut store, &module).unwrap();
        let error = linker.instantiate(&mut store, &module).unwrap_err();
        assert_eq!(error.to_string(), format!("the store may have no more {what}"));
        // What could not be made takes no place.
        let raise = |limit: Option<usize>| limit.map(|limit| limit + 1);
        store.set_limits(StoreLimits {
            instances: raise(limits.instances),
            memories: raise(limits.memories),
            tables: raise(limits.tables),
            ..limits
        });
        linker.instantiate(&mut store, &module).unwrap();
    }
    let mut store = store();
    store.set_limits(StoreLimits { memories: Some(0), ..StoreLimits::default() });
    let limits = aot_runtime::embed::Limits { min: 1, max: None };
    assert!(Memory::new(&mut store, &MemoryType { limits }).is_err());
}

/// Each way to go on forever, in threads of their own, while other instances do their work.
#[test]
fn hostile_guests_end_and_others_go_on() {
    let module = module_with(
        r#"(module
            (import "h" "again" (func $again (param i32) (result i32)))
            (memory 1)
            (func (export "loop") (result i32) (loop (br 0)) (i32.const 0))
            (func $deep (export "deep") (result i32) (i32.add (i32.const 1) (call $deep)))
            (func (export "grow") (result i32) (loop (drop (memory.grow (i32.const 1))) (br 0)) (i32.const 0))
            (func (export "reenter") (param i32) (result i32) (i32.add (call $again (local.get 0)) (i32.const 1)))
            (func (export "sum") (param i32) (result i32) (local i32)
                (loop
                    (local.set 1 (i32.add (local.get 1) (local.get 0)))
                    (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
                (local.get 1)))"#,
        |config| config.interruptible = true,
    );
    let mut linker: Linker<()> = Linker::new();
    linker
        .func_wrap("h", "again", |mut caller: Caller<'_, ()>, depth: i32| -> Result<i32, HostError> {
            let func = caller.get_export("reenter").and_then(|item| item.into_func()).ok_or("no function")?;
            let mut result = [Val::I32(0)];
            func.call(&mut caller, &[Val::I32(depth + 1)], &mut result)?;
            Ok(result[0].i32().unwrap_or(0))
        })
        .unwrap();
    let engine = Engine::default();
    let pre = linker.instantiate_pre(&module).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for round in 1..100 {
                    let mut store = Store::new(&engine, ());
                    let instance = pre.instantiate(&mut store).unwrap();
                    let sum = instance.get_typed_func::<i32, i32>(&store, "sum").unwrap();
                    assert_eq!(
                        sum.call(&mut store, round * 100).unwrap(),
                        round * 100 * (round * 100 + 1) / 2
                    );
                }
            });
        }
        for (name, expected) in [
            ("loop", TrapCode::Interrupt),
            ("deep", TrapCode::StackOverflow),
            ("grow", TrapCode::Interrupt),
            ("reenter", TrapCode::StackOverflow),
        ] {
            let (engine, pre) = (&engine, &pre);
            scope.spawn(move || {
                for _ in 0..3 {
                    let mut store = Store::new(engine, ());
                    store.set_limits(StoreLimits { memory_bytes: Some(1 << 20), ..StoreLimits::default() });
                    let instance = pre.instantiate(&mut store).unwrap();
                    let handle = store.interrupt_handle();
                    if expected == TrapCode::Interrupt {
                        std::thread::spawn(move || {
                            std::thread::sleep(Duration::from_millis(30));
                            handle.interrupt();
                        });
                    }
                    let func = instance.get_func(&store, name).unwrap();
                    let args = &[Val::I32(0)][..usize::from(name == "reenter")];
                    let error = func.call_vec(&mut store, args).unwrap_err();
                    assert_eq!(error.trap().unwrap().code(), expected, "{name}: {error}");
                }
            });
        }
    });
}

#[test]
fn ten_thousand_instances_live_at_once() {
    let module = module(
        r#"(module (memory (export "memory") 1) (data (i32.const 8) "\2a")
            (func (export "run") (param i32) (result i32)
                (i32.store (i32.const 64) (i32.add (i32.load (i32.const 64)) (local.get 0)))
                (i32.add (i32.load (i32.const 64)) (i32.load8_u (i32.const 8)))))"#,
    );
    let engine = Engine::default();
    let pre = Linker::<()>::new().instantiate_pre(&module).unwrap();
    let mut guests: Vec<_> = (0..10_000)
        .map(|_| {
            let mut store = Store::new(&engine, ());
            let instance = pre.instantiate(&mut store).unwrap();
            let run = instance.get_typed_func::<i32, i32>(&store, "run").unwrap();
            (store, run)
        })
        .collect();
    for round in 1..=2 {
        for (number, (store, run)) in guests.iter_mut().enumerate() {
            assert_eq!(run.call(store, number as i32).unwrap(), round * number as i32 + 42);
        }
    }
}
