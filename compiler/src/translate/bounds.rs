//! Bounds checks of memories and tables, and nothing else. The sandbox rests on this file.

use super::function::{ModuleContext, extended};
use super::state::{Place, State};
use super::trap::clif_trap_code;
use aot_abi::memory::GUARD_SIZE;
use aot_abi::trap::TrapCode;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value};
use cranelift_frontend::FunctionBuilder;

/// The place of an access of `size` bytes at `index + offset` in a 32-bit memory.
///
/// The runtime reserves 4 GiB and a guard for every memory, and maps only the memory's own bytes as accessible. An
/// index is below 4 GiB, so an access whose last byte is less than a guard's size past its index either is in bounds
/// or faults. Larger offsets are checked.
pub(super) fn memory_access(
    state: &mut dyn State,
    builder: &mut FunctionBuilder<'_>,
    module: &ModuleContext<'_>,
    memory: u32,
    index: Value,
    offset: u64,
    size: u32,
) -> Place {
    let pointer = module.isa.pointer_type();
    let index = extended(builder, pointer, index);
    if offset + u64::from(size) <= GUARD_SIZE {
        return state.memory_place(builder, memory, index, offset);
    }
    // Below 2^32 + 2^32 + 16: the sum cannot wrap.
    let end = builder.ins().iadd_imm_s(index, (offset + u64::from(size)) as i64);
    let len = state.memory_len(builder, memory);
    let outside = builder.ins().icmp(IntCC::UnsignedGreaterThan, end, len);
    builder.ins().trapnz(outside, clif_trap_code(TrapCode::MemoryOutOfBounds));
    // Under misprediction the access goes to the start of the guard, which is never mapped.
    let zero = builder.ins().iconst(pointer, 0);
    let index = builder.ins().select_spectre_guard(outside, zero, index);
    state.memory_place(builder, memory, index, offset)
}

/// Checks that `[start, start + len)` lies in a memory; all three values are 32 bits wide. Returns the address of
/// `start` and `len`, in pointer width.
pub(super) fn memory_range(
    state: &mut dyn State,
    builder: &mut FunctionBuilder<'_>,
    module: &ModuleContext<'_>,
    memory: u32,
    start: Value,
    len: Value,
) -> (Value, Value) {
    let pointer = module.isa.pointer_type();
    let start = extended(builder, pointer, start);
    let len = extended(builder, pointer, len);
    let end = builder.ins().iadd(start, len);
    let memory_len = state.memory_len(builder, memory);
    let outside = builder.ins().icmp(IntCC::UnsignedGreaterThan, end, memory_len);
    builder.ins().trapnz(outside, clif_trap_code(TrapCode::MemoryOutOfBounds));
    let place = state.memory_place(builder, memory, start, 0);
    let address = match place.offset {
        0 => place.base,
        offset => builder.ins().iadd_imm_s(place.base, i64::from(offset)),
    };
    (address, len)
}

/// The address of element `index` (32 bits wide) of a table; traps with `code` if it is out of bounds.
pub(super) fn table_element(
    state: &mut dyn State,
    builder: &mut FunctionBuilder<'_>,
    table: u32,
    index: Value,
    code: TrapCode,
    module: &ModuleContext<'_>,
) -> Value {
    let pointer = module.isa.pointer_type();
    let index = builder.ins().uextend(pointer, index);
    let len = state.table_len(builder, table);
    let base = state.table_base(builder, table);
    let outside = builder.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, index, len);
    builder.ins().trapnz(outside, clif_trap_code(code));
    let scaled = builder.ins().imul_imm_s(index, i64::from(pointer.bytes()));
    let address = builder.ins().iadd(base, scaled);
    // Under misprediction element 0 is read: no address that the guest chose.
    builder.ins().select_spectre_guard(outside, base, address)
}
