//! Functions of wasm types as C has them.
//!
//! The VM context comes first, then the parameters, vectors by their addresses. One result that is no vector is returned;
//! all others are written to addresses that come after the parameters.

use super::trampoline::value_flags;
use super::types::{CInt, c_param, clif_type};
use aot_abi::types::{FuncType, ValType};
use cranelift_codegen::ir::{
    AbiParam, InstBuilder, Signature, StackSlotData, StackSlotKind, Type, Value, types,
};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::FunctionBuilder;

/// Bytes of the place of a result.
const RESULT_SIZE: u32 = 16;

/// The results that are written to addresses.
pub(crate) fn results_by_address(ty: &FuncType) -> &[ValType] {
    match ty.results[..] {
        [ValType::V128] => &ty.results,
        [_] => &[],
        _ => &ty.results,
    }
}

/// The signature of a C function that has a wasm type.
pub(super) fn signature(ty: &FuncType, isa: &dyn TargetIsa) -> Signature {
    let pointer = isa.pointer_type();
    let number = |ty: ValType| c_param(clif_type(ty, pointer), CInt::Signed, isa);
    let mut sig = Signature::new(isa.default_call_conv());
    sig.params.push(AbiParam::new(pointer));
    for ty in &ty.params {
        sig.params.push(if *ty == ValType::V128 { AbiParam::new(pointer) } else { number(*ty) });
    }
    let by_address = results_by_address(ty);
    sig.params.extend(by_address.iter().map(|_| AbiParam::new(pointer)));
    if by_address.is_empty() {
        sig.returns.extend(ty.results.iter().map(|ty| number(*ty)));
    }
    sig
}

/// A C function that wasm code calls: makes the arguments from those of wasm, the VM context left out. Gives them, and where
/// results will be.
pub(super) fn arguments(
    builder: &mut FunctionBuilder<'_>,
    ty: &FuncType,
    args: &[Value],
    pointer: Type,
) -> (Vec<Value>, Option<Value>) {
    let vectors = ty.params.iter().filter(|ty| **ty == ValType::V128).count();
    let places = vectors + results_by_address(ty).len();
    let base = (places > 0).then(|| {
        let slot = StackSlotData::new(
            StackSlotKind::ExplicitSlot,
            places as u32 * RESULT_SIZE,
            RESULT_SIZE.ilog2() as u8,
        );
        let slot = builder.create_sized_stack_slot(slot);
        builder.ins().stack_addr(pointer, slot, 0)
    });
    let mut next = 0;
    let mut place = |builder: &mut FunctionBuilder<'_>| {
        let offset = i64::from(next * RESULT_SIZE);
        next += 1;
        builder.ins().iadd_imm_s(base.expect("counted above"), offset)
    };
    let mut passed = Vec::new();
    let results: Vec<Value> = results_by_address(ty).iter().map(|_| place(builder)).collect();
    for (ty, arg) in ty.params.iter().zip(args) {
        passed.push(match ty {
            ValType::V128 => {
                let address = place(builder);
                builder.ins().store(value_flags(*ty), *arg, address, 0);
                address
            }
            _ => *arg,
        });
    }
    passed.extend(results);
    (passed, base)
}

/// The results of a call made with [`arguments`], from what the function returned.
pub(super) fn results(
    builder: &mut FunctionBuilder<'_>,
    ty: &FuncType,
    returned: &[Value],
    places: Option<Value>,
    pointer: Type,
) -> Vec<Value> {
    let by_address = results_by_address(ty);
    if by_address.is_empty() {
        return returned.to_vec();
    }
    let base = places.expect("there are results by address");
    let load = |(index, ty): (usize, &ValType)| {
        let offset = (index as u32 * RESULT_SIZE) as i32;
        builder.ins().load(clif_type(*ty, pointer), stored_flags(*ty), base, offset)
    };
    by_address.iter().enumerate().map(load).collect()
}

/// How C stores a value: numbers in the machine's order, vectors with their first byte first.
pub(super) fn stored_flags(ty: ValType) -> cranelift_codegen::ir::MemFlagsData {
    match ty {
        ValType::V128 => value_flags(ty),
        _ => cranelift_codegen::ir::MemFlagsData::trusted(),
    }
}

/// Zero of a type.
pub(super) fn zero(builder: &mut FunctionBuilder<'_>, ty: Type) -> Value {
    match ty {
        types::F32 => builder.ins().f32const(0.0),
        types::F64 => builder.ins().f64const(0.0),
        ty => builder.ins().iconst(ty, 0),
    }
}
