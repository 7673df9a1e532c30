//! Instances leave nothing behind. In a process of its own, since it measures the process's memory.

use aot_runtime::embed::{Caller, Engine, Linker, Module, Store};

/// Resident memory of this process, in pages.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_hundred_thousand_rounds_leave_nothing_behind() {
    let module = Module::new(
        r#"(module
            (import "h" "f" (func $f (param i32) (result i32)))
            (memory (export "memory") 4)
            (data (i32.const 1000) "data")
            (table 10 funcref)
            (elem (i32.const 0) $f $run)
            (func $run (export "run") (param i32) (result i32)
                (i32.store (i32.const 70000) (local.get 0))
                (i32.store8 (i32.const 1000) (i32.const 0))
                (call $f (i32.add (i32.load (i32.const 70000)) (i32.load8_u (i32.const 1001))))))"#
            .as_bytes(),
    )
    .expect("the module is valid");
    let mut linker: Linker<u64> = Linker::new();
    linker
        .func_wrap("h", "f", |mut caller: Caller<'_, u64>, value: i32| {
            *caller.data_mut() += 1;
            value
        })
        .unwrap();
    let engine = Engine::default();
    let pre = linker.instantiate_pre(&module).unwrap();
    let mut round = |number: i32| {
        let mut store = Store::new(&engine, 0);
        let instance = pre.instantiate(&mut store).unwrap();
        let memory = instance.get_memory(&store, "memory").unwrap();
        assert_eq!(memory.data(&store)[1000..1004], *b"data");
        assert_eq!(memory.data(&store)[70000..70004], [0; 4]);
        let run = instance.get_typed_func::<i32, i32>(&store, "run").unwrap();
        assert_eq!(run.call(&mut store, number).unwrap(), number + i32::from(b'a'));
        assert_eq!(store.into_data(), 1);
    };
    (0..1000).for_each(&mut round);
    let before = resident();
    (0..100_000).for_each(&mut round);
    let after = resident();
    assert!(after < before + 256, "{before} pages, then {after}");
}
