//! The host module that scripts of the suite import from.

use aot_abi::types::{FuncType, Limits, MemoryType, TableType, ValType};
use aot_runtime::embed::{Error, Extern, Func, Global, HostError, Memory, Store, Table, Val};
use std::collections::HashMap;

pub(super) type Exports = HashMap<&'static str, Extern>;

/// As objects of the host.
pub(super) fn exports(store: &mut Store<()>) -> Result<Exports, Error> {
    use ValType::{F32, F64, I32, I64};
    let mut exports = HashMap::new();
    for (name, params) in [
        ("print", &[][..]),
        ("print_i32", &[I32]),
        ("print_i64", &[I64]),
        ("print_f32", &[F32]),
        ("print_f64", &[F64]),
        ("print_i32_f32", &[I32, F32]),
        ("print_f64_f64", &[F64, F64]),
    ] {
        let ty = FuncType { params: params.to_vec(), results: Vec::new() };
        let print = Func::new(&mut *store, ty, |_, _, _| Ok::<(), HostError>(()));
        exports.insert(name, Extern::Func(print));
    }
    for (name, value) in [
        ("global_i32", Val::I32(666)),
        ("global_i64", Val::I64(666)),
        ("global_f32", Val::F32(666.6f32.to_bits())),
        ("global_f64", Val::F64(666.6f64.to_bits())),
    ] {
        exports.insert(name, Extern::Global(Global::new(&mut *store, value, false)?));
    }
    let limits = Limits { min: 10, max: Some(20) };
    let table = TableType { element: ValType::FuncRef, limits };
    exports.insert("table", Extern::Table(Table::new(&mut *store, &table, Val::FuncRef(None))?));
    let memory = MemoryType { limits: Limits { min: 1, max: Some(2) } };
    exports.insert("memory", Extern::Memory(Memory::new(&mut *store, &memory)?));
    Ok(exports)
}

/// As a module, for machines where there is no host.
pub(super) fn module() -> Result<Vec<u8>, String> {
    const TEXT: &str = r#"(module
        (func (export "print"))
        (func (export "print_i32") (param i32))
        (func (export "print_i64") (param i64))
        (func (export "print_f32") (param f32))
        (func (export "print_f64") (param f64))
        (func (export "print_i32_f32") (param i32 f32))
        (func (export "print_f64_f64") (param f64 f64))
        (global (export "global_i32") i32 (i32.const 666))
        (global (export "global_i64") i64 (i64.const 666))
        (global (export "global_f32") f32 (f32.const 666.6))
        (global (export "global_f64") f64 (f64.const 666.6))
        (table (export "table") 10 20 funcref)
        (memory (export "memory") 1 2))"#;
    match aot_compiler::parse_text(TEXT.as_bytes(), "spectest") {
        Ok(wasm) => Ok(wasm.into_owned()),
        Err(error) => Err(error.to_string()),
    }
}
