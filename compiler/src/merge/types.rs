//! Types and constant expressions as the encoder has them.

use aot_abi::module::ConstOp;
use aot_abi::types::{GlobalType, MemoryType, TableType, ValType};
use wasm_encoder as out;

pub(super) fn val_type(ty: ValType) -> out::ValType {
    match ty {
        ValType::I32 => out::ValType::I32,
        ValType::I64 => out::ValType::I64,
        ValType::F32 => out::ValType::F32,
        ValType::F64 => out::ValType::F64,
        ValType::V128 => out::ValType::V128,
        ValType::FuncRef | ValType::ExternRef => out::ValType::Ref(ref_type(ty)),
    }
}

pub(super) fn ref_type(ty: ValType) -> out::RefType {
    if ty == ValType::ExternRef { out::RefType::EXTERNREF } else { out::RefType::FUNCREF }
}

pub(super) fn table_type(ty: &TableType) -> out::TableType {
    out::TableType {
        element_type: ref_type(ty.element),
        table64: false,
        minimum: ty.limits.min,
        maximum: ty.limits.max,
        shared: false,
    }
}

pub(super) fn memory_type(ty: &MemoryType) -> out::MemoryType {
    out::MemoryType {
        minimum: ty.limits.min,
        maximum: ty.limits.max,
        memory64: false,
        shared: false,
        page_size_log2: None,
    }
}

pub(super) fn global_type(ty: &GlobalType) -> out::GlobalType {
    out::GlobalType { val_type: val_type(ty.content), mutable: ty.mutable, shared: false }
}

pub(super) fn const_expr(expr: &[ConstOp], ty: ValType) -> out::ConstExpr {
    out::ConstExpr::raw(instructions(expr, ty))
}

/// The instructions of an expression that gives a value of a type.
pub(super) fn instructions(expr: &[ConstOp], ty: ValType) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut sink = out::InstructionSink::new(&mut bytes);
    for op in expr {
        match *op {
            ConstOp::I32Const(value) => sink.i32_const(value),
            ConstOp::I64Const(value) => sink.i64_const(value),
            ConstOp::F32Const(bits) => sink.f32_const(out::Ieee32::new(bits)),
            ConstOp::F64Const(bits) => sink.f64_const(out::Ieee64::new(bits)),
            ConstOp::V128Const(bytes) => sink.v128_const(i128::from_le_bytes(bytes)),
            ConstOp::GlobalGet(global) => sink.global_get(global),
            ConstOp::RefNull => sink.ref_null(ref_type(ty).heap_type),
            ConstOp::RefFunc(func) => sink.ref_func(func),
            ConstOp::I32Add => sink.i32_add(),
            ConstOp::I32Sub => sink.i32_sub(),
            ConstOp::I32Mul => sink.i32_mul(),
            ConstOp::I64Add => sink.i64_add(),
            ConstOp::I64Sub => sink.i64_sub(),
            ConstOp::I64Mul => sink.i64_mul(),
        };
    }
    bytes
}
