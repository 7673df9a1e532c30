//! Value types of wasm as CLIF types, and signatures.

use super::state::StateModel;
use crate::error::Result;
use crate::module;
use aot_abi::types::{FuncType, ValType};
use cranelift_codegen::ir::{self, AbiParam, Signature, Type, types};
use cranelift_codegen::isa::{CallConv, TargetIsa};

/// The CLIF type of a wasm value. A `v128` rests as `i8x16`; references are pointers.
pub(crate) fn clif_type(ty: ValType, pointer: Type) -> Type {
    match ty {
        ValType::I32 => types::I32,
        ValType::I64 => types::I64,
        ValType::F32 => types::F32,
        ValType::F64 => types::F64,
        ValType::V128 => types::I8X16,
        ValType::FuncRef | ValType::ExternRef => pointer,
    }
}

/// The CLIF type of a wasmparser value type.
pub(crate) fn clif_type_of(ty: wasmparser::ValType, pointer: Type) -> Result<Type> {
    Ok(clif_type(module::val_type(ty)?, pointer))
}

/// The signature of a wasm function: the state model's own parameters, then those of the type.
pub(crate) fn wasm_signature(ty: &FuncType, model: StateModel, pointer: Type) -> Signature {
    let mut sig = Signature::new(CallConv::Tail);
    if model.has_vmctx() {
        sig.params.push(AbiParam::special(pointer, ir::ArgumentPurpose::VMContext));
    }
    sig.params.extend(ty.params.iter().map(|ty| AbiParam::new(clif_type(*ty, pointer))));
    sig.returns.extend(ty.results.iter().map(|ty| AbiParam::new(clif_type(*ty, pointer))));
    sig
}

/// How a C function wants a 32-bit number: some conventions ask the caller to extend it to a whole register.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum CInt {
    Signed,
    Unsigned,
}

/// A parameter or result of a C function.
pub(crate) fn c_param(ty: Type, sign: CInt, isa: &dyn TargetIsa) -> AbiParam {
    use target_lexicon::Architecture;
    let param = AbiParam::new(ty);
    match isa.triple().architecture {
        _ if ty != types::I32 => param,
        // This convention extends unsigned numbers by their sign bit too.
        Architecture::Riscv64(_) => param.sext(),
        Architecture::S390x if sign == CInt::Signed => param.sext(),
        Architecture::S390x => param.uext(),
        _ => param,
    }
}

/// The signature of a function of the runtime library in C: VM context first. Its 32-bit parameters are signed.
pub(crate) fn host_signature(ty: &FuncType, isa: &dyn TargetIsa) -> Signature {
    let pointer = isa.pointer_type();
    let mut sig = Signature::new(isa.default_call_conv());
    sig.params.push(AbiParam::new(pointer));
    let signed = |ty: &ValType| c_param(clif_type(*ty, pointer), CInt::Signed, isa);
    sig.params.extend(ty.params.iter().map(signed));
    sig.returns.extend(ty.results.iter().map(signed));
    sig
}
