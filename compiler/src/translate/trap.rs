//! Trap codes in CLIF, and back.

use aot_abi::trap::TrapCode;
use cranelift_codegen::ir;

/// The CLIF trap code of a trap.
pub(super) const fn clif_trap_code(code: TrapCode) -> ir::TrapCode {
    ir::TrapCode::unwrap_user(code as u8)
}

/// The trap that a CLIF trap code stands for; Cranelift raises some under names of its own.
pub(crate) fn abi_trap_code(code: ir::TrapCode) -> Option<TrapCode> {
    Some(match code {
        ir::TrapCode::STACK_OVERFLOW => TrapCode::StackOverflow,
        ir::TrapCode::INTEGER_OVERFLOW => TrapCode::IntegerOverflow,
        ir::TrapCode::HEAP_OUT_OF_BOUNDS => TrapCode::MemoryOutOfBounds,
        ir::TrapCode::INTEGER_DIVISION_BY_ZERO => TrapCode::IntegerDivideByZero,
        ir::TrapCode::BAD_CONVERSION_TO_INTEGER => TrapCode::InvalidConversionToInteger,
        user => return TrapCode::from_u8(user.as_raw().get()),
    })
}
