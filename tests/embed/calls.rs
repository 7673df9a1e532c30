//! Calls of wasm functions, values, traps.

use super::{instance, module, store};
use aot_runtime::embed::{
    AsContext, Error, Extern, Func, HostError, Instance, Linker, Store, TrapCode, V128, Val, ValType,
};

#[test]
fn typed_calls_pass_every_number_type() {
    let (mut store, instance) = instance(
        r#"(module
            (func (export "i") (param i32 i64) (result i64) (i64.add (i64.extend_i32_s (local.get 0)) (local.get 1)))
            (func (export "f") (param f32 f64) (result f64) (f64.mul (f64.promote_f32 (local.get 0)) (local.get 1)))
            (func (export "u") (param i32) (result i32) (i32.shr_u (local.get 0) (i32.const 1)))
            (func (export "none"))
            (func (export "two") (param i32) (result i32 f32) (local.get 0) (f32.const 0.5))
            (func (export "many")
                (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 f64 f64 f64 f64 f64 f64) (result f64)
                (f64.add
                    (f64.convert_i32_s (i32.sub (local.get 0) (local.get 9)))
                    (f64.sub (local.get 10) (local.get 15)))))"#,
    );
    let i = instance.get_typed_func::<(i32, i64), i64>(&store, "i").unwrap();
    assert_eq!(i.call(&mut store, (-3, 1 << 40)).unwrap(), (1 << 40) - 3);
    let f = instance.get_typed_func::<(f32, f64), f64>(&store, "f").unwrap();
    assert_eq!(f.call(&mut store, (1.5, 4.0)).unwrap(), 6.0);
    let u = instance.get_typed_func::<u32, u32>(&store, "u").unwrap();
    assert_eq!(u.call(&mut store, u32::MAX).unwrap(), u32::MAX / 2);
    instance.get_typed_func::<(), ()>(&store, "none").unwrap().call(&mut store, ()).unwrap();
    let two = instance.get_typed_func::<i32, (i32, f32)>(&store, "two").unwrap();
    assert_eq!(two.call(&mut store, 7).unwrap(), (7, 0.5));
    type Many = (i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, f64, f64, f64, f64, f64, f64);
    let many = instance.get_typed_func::<Many, f64>(&store, "many").unwrap();
    let result = many.call(&mut store, (10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 100.0, 1.0, 2.0, 3.0, 4.0, 60.0));
    assert_eq!(result.unwrap(), 41.0);
}

#[test]
fn untyped_calls_pass_every_type() {
    let (mut store, instance) = instance(
        r#"(module
            (func (export "all") (param i32 i64 f32 f64 v128 funcref externref)
                (result externref funcref v128 f64 f32 i64 i32)
                (local.get 6) (local.get 5) (local.get 4) (local.get 3) (local.get 2) (local.get 1) (local.get 0)))"#,
    );
    let all = instance.get_func(&store, "all").unwrap();
    let nan = 0x7fa0_0001;
    let args = [
        Val::I32(-1),
        Val::I64(i64::MIN),
        Val::F32(nan),
        Val::from(2.5f64),
        Val::V128(V128(std::array::from_fn(|byte| byte as u8))),
        Val::FuncRef(Some(all)),
        Val::ExternRef(Some(u32::MAX - 1)),
    ];
    let mut expected = args.to_vec();
    expected.reverse();
    assert_eq!(all.call_vec(&mut store, &args).unwrap(), expected);
    let nulls = [Val::FuncRef(None), Val::ExternRef(None)];
    let args = [&args[..5], &nulls].concat();
    let mut expected = args.clone();
    expected.reverse();
    assert_eq!(all.call_vec(&mut store, &args).unwrap(), expected);
}

#[test]
fn wrong_types_are_named() {
    let (mut store, instance) =
        instance(r#"(module (func (export "f") (param i32) (result i64) i64.const 0))"#);
    let error = instance.get_typed_func::<(i32, i32), ()>(&store, "f").err().unwrap();
    assert_eq!(
        error.to_string(),
        "export `f`: the function has the type (i32) -> (i64), not (i32, i32) -> ()"
    );
    let error = instance.get_typed_func::<(), ()>(&store, "g").err().unwrap();
    assert_eq!(error.to_string(), "the instance exports no function `g`");
    let f = instance.get_func(&store, "f").unwrap();
    for args in [&[][..], &[Val::I64(1)], &[Val::I32(1), Val::I32(1)]] {
        assert!(matches!(f.call(&mut store, args, &mut [Val::I32(0)]), Err(Error::Usage(_))));
    }
    assert!(matches!(f.call(&mut store, &[Val::I32(1)], &mut []), Err(Error::Usage(_))));
}

#[test]
fn handles_of_another_store_are_refused() {
    let (mut one, instance) = instance(
        r#"(module (memory (export "m") 1) (table (export "t") 1 funcref) (global (export "g") (mut i32) (i32.const 1))
            (func (export "f") (param funcref)))"#,
    );
    let mut other = store();
    let f = instance.get_func(&one, "f").unwrap();
    let typed = instance.get_func(&one, "f").unwrap();
    assert!(f.call(&mut other, &[Val::FuncRef(None)], &mut []).is_err());
    assert!(typed.typed::<(), ()>(&other).is_err());
    assert!(instance.get_func(&other, "f").is_none());
    let memory = instance.get_memory(&one, "m").unwrap();
    assert!(memory.read(&other, 0, &mut [0]).is_err());
    assert!(memory.grow(&mut other, 1).is_err());
    assert!(instance.get_global(&one, "g").unwrap().set(&mut other, Val::I32(1)).is_err());
    let foreign = Func::wrap(&mut other, || {});
    assert!(f.call(&mut one, &[Val::FuncRef(Some(foreign))], &mut []).is_err());
    let table = instance.get_table(&one, "t").unwrap();
    assert!(table.set(&mut one, 0, Val::FuncRef(Some(foreign))).is_err());
    let importer = module(r#"(module (import "a" "m" (memory 1)))"#);
    let error = Instance::new(&mut other, &importer, &[Extern::Memory(memory)]).unwrap_err();
    assert!(error.to_string().contains("another store"), "{error}");
}

#[test]
fn traps_tell_code_place_and_functions() {
    let (mut store, instance) = instance(
        r#"(module
            (memory 1)
            (func $inner (param i32) (result i32) (i32.load (local.get 0)))
            (func $outer (export "outer") (param i32) (result i32) (i32.add (i32.const 1) (call $inner (local.get 0))))
            (func (export "div") (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0))))"#,
    );
    let outer = instance.get_typed_func::<i32, i32>(&store, "outer").unwrap();
    assert_eq!(outer.call(&mut store, 0).unwrap(), 1);
    for _ in 0..3 {
        let error = outer.call(&mut store, 65533).unwrap_err();
        let trap = error.trap().expect("a trap");
        assert_eq!(trap.code(), TrapCode::MemoryOutOfBounds);
        assert!(trap.wasm_offset().is_some());
        let names: Vec<_> = trap.frames().iter().map(|frame| frame.name.as_deref().unwrap()).collect();
        assert_eq!(names, ["inner", "outer"]);
        assert!(format!("{error}").starts_with("wasm trap: out of bounds memory access (wasm offset 0x"));
    }
    let div = instance.get_func(&store, "div").unwrap();
    let error = div.call_vec(&mut store, &[Val::I32(0)]).unwrap_err();
    assert_eq!(error.trap().unwrap().code(), TrapCode::IntegerDivideByZero);
    // The store is as good as before.
    assert_eq!(outer.call(&mut store, 4).unwrap(), 1);
}

#[test]
fn endless_recursion_ends() {
    let (mut store, instance) = instance(
        r#"(module
            (func $f (export "f") (param i32) (result i32) (i32.add (i32.const 1) (call $f (local.get 0))))
            (func (export "g") (result i32) (i32.const 5)))"#,
    );
    let f = instance.get_typed_func::<i32, i32>(&store, "f").unwrap();
    let g = instance.get_typed_func::<(), i32>(&store, "g").unwrap();
    for _ in 0..20 {
        let error = f.call(&mut store, 0).unwrap_err();
        assert_eq!(error.trap().unwrap().code(), TrapCode::StackOverflow);
        assert_eq!(g.call(&mut store, ()).unwrap(), 5);
    }
}

#[test]
fn instances_call_each_other_directly() {
    let mut store = store();
    let mut linker = Linker::new();
    let exporter = module(
        r#"(module
            (global $calls (export "calls") (mut i32) (i32.const 0))
            (memory (export "memory") 1)
            (table (export "table") 2 funcref)
            (func (export "add") (param i32 i32) (result i32)
                (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
                (i32.store (i32.const 0) (local.get 0))
                (i32.add (local.get 0) (local.get 1))))"#,
    );
    let first = linker.instantiate(&mut store, &exporter).unwrap();
    linker.instance(&store, "lib", first).unwrap();
    let importer = module(
        r#"(module
            (import "lib" "add" (func $add (param i32 i32) (result i32)))
            (import "lib" "memory" (memory 1))
            (import "lib" "calls" (global $calls (mut i32)))
            (import "lib" "table" (table 2 funcref))
            (elem (i32.const 1) $add)
            (type $binary (func (param i32 i32) (result i32)))
            (func (export "run") (param i32) (result i32)
                (call $add (local.get 0) (i32.const 1))
                (call_indirect (type $binary) (i32.load (i32.const 0)) (i32.const 10) (i32.const 1))
                i32.add
                global.get $calls
                i32.add))"#,
    );
    let second = linker.instantiate(&mut store, &importer).unwrap();
    let run = second.get_typed_func::<i32, i32>(&store, "run").unwrap();
    assert_eq!(run.call(&mut store, 100).unwrap(), 101 + 110 + 2);
    let table = first.get_table(&store, "table").unwrap();
    let Some(Val::FuncRef(Some(func))) = table.get(&store, 1).unwrap() else { panic!("a function") };
    assert_eq!(func.ty(&store).unwrap().params, [ValType::I32, ValType::I32]);
    let typed = func.typed::<(i32, i32), i32>(&store).unwrap();
    assert_eq!(typed.call(&mut store, (2, 3)).unwrap(), 5);
    assert_eq!(first.get_global(&store, "calls").unwrap().get(&store).unwrap(), Val::I32(3));
}

#[test]
fn memories_tables_and_globals_are_the_hosts_too() {
    let (mut store, instance) = instance(
        r#"(module
            (memory (export "memory") 1 3)
            (table (export "table") 2 5 externref)
            (global (export "global") (mut f64) (f64.const 1))
            (global (export "constant") i64 (i64.const 3))
            (func (export "sum") (result i32) (i32.add (i32.load8_u (i32.const 70000)) (i32.load8_u (i32.const 1))))
            (func (export "at") (param i32) (result externref) (table.get (local.get 0)))
            (func (export "g") (result f64) (global.get 0)))"#,
    );
    let memory = instance.get_memory(&store, "memory").unwrap();
    let sum = instance.get_typed_func::<(), i32>(&store, "sum").unwrap();
    assert!(sum.call(&mut store, ()).is_err());
    assert_eq!(memory.grow(&mut store, 1).unwrap(), 1);
    assert!(memory.grow(&mut store, 2).is_err());
    assert_eq!(memory.size(&store).unwrap(), 2);
    memory.write(&mut store, 70000, &[40]).unwrap();
    memory.data_mut(&mut store)[1] = 2;
    assert_eq!(sum.call(&mut store, ()).unwrap(), 42);
    assert_eq!(memory.data(&store)[70000], 40);
    assert!(memory.write(&mut store, 131071, &[1, 2]).is_err());
    assert!(memory.read(&store, u64::MAX, &mut [0]).is_err());

    let table = instance.get_table(&store, "table").unwrap();
    table.set(&mut store, 1, Val::ExternRef(Some(9))).unwrap();
    assert!(table.set(&mut store, 2, Val::ExternRef(Some(9))).is_err());
    assert!(table.set(&mut store, 1, Val::I32(9)).is_err());
    assert_eq!(table.grow(&mut store, 3, Val::ExternRef(Some(4))).unwrap(), 2);
    assert!(table.grow(&mut store, 1, Val::ExternRef(None)).is_err());
    let at = instance.get_func(&store, "at").unwrap();
    let mut result = [Val::I32(0)];
    for (index, expected) in [(0, None), (1, Some(9)), (4, Some(4))] {
        at.call(&mut store, &[Val::I32(index)], &mut result).unwrap();
        assert_eq!(result, [Val::ExternRef(expected)]);
    }

    let global = instance.get_global(&store, "global").unwrap();
    global.set(&mut store, Val::from(2.5f64)).unwrap();
    assert!(global.set(&mut store, Val::I32(1)).is_err());
    let g = instance.get_typed_func::<(), f64>(&store, "g").unwrap();
    assert_eq!(g.call(&mut store, ()).unwrap(), 2.5);
    let constant = instance.get_global(&store, "constant").unwrap();
    assert!(constant.set(&mut store, Val::I64(1)).is_err());
    assert_eq!(constant.get(&store).unwrap(), Val::I64(3));
}

#[test]
fn host_functions_travel_through_tables() {
    let mut store: Store<i32> = Store::new(&aot_runtime::embed::Engine::default(), 0);
    let module = module(
        r#"(module
            (table (export "table") 3 funcref)
            (type $t (func (param i32) (result i32)))
            (type $v (func (param v128) (result v128)))
            (func (export "call") (param i32 i32) (result i32)
                (call_indirect (type $t) (local.get 1) (local.get 0)))
            (func (export "vector") (result i32)
                (i32x4.extract_lane 1
                    (call_indirect (type $v) (v128.const i32x4 1 2 3 4) (i32.const 2)))))"#,
    );
    let instance = Linker::new().instantiate(&mut store, &module).unwrap();
    let table = instance.get_table(&store, "table").unwrap();
    let double = Func::wrap(&mut store, |mut caller: aot_runtime::embed::Caller<'_, i32>, value: i32| {
        *caller.data_mut() += 1;
        value * 2
    });
    let ty = aot_runtime::embed::FuncType { params: vec![ValType::V128], results: vec![ValType::V128] };
    let reverse = Func::new(&mut store, ty, |_, args, results| {
        let Val::V128(V128(mut bytes)) = args[0] else { return Err(HostError::from("no vector")) };
        bytes.reverse();
        results[0] = Val::V128(V128(bytes));
        Ok(())
    });
    table.set(&mut store, 0, Val::FuncRef(Some(double))).unwrap();
    table.set(&mut store, 2, Val::FuncRef(Some(reverse))).unwrap();
    let call = instance.get_typed_func::<(i32, i32), i32>(&store, "call").unwrap();
    assert_eq!(call.call(&mut store, (0, 21)).unwrap(), 42);
    assert_eq!(
        call.call(&mut store, (1, 21)).unwrap_err().trap().unwrap().code(),
        TrapCode::UninitializedElement
    );
    assert_eq!(
        call.call(&mut store, (2, 21)).unwrap_err().trap().unwrap().code(),
        TrapCode::IndirectCallTypeMismatch
    );
    let vector = instance.get_typed_func::<(), i32>(&store, "vector").unwrap();
    assert_eq!(vector.call(&mut store, ()).unwrap(), 3 << 24);
    assert_eq!(*store.data(), 1);
    assert_eq!(store.as_context().data(), &1);
    // The host calls its own functions as well.
    assert_eq!(double.call_vec(&mut store, &[Val::I32(4)]).unwrap(), [Val::I32(8)]);
    assert_eq!(double.typed::<i32, i32>(&store).unwrap().call(&mut store, 5).unwrap(), 10);
    assert_eq!(store.into_data(), 3);
}
