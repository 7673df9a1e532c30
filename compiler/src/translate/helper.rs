//! Bodies, in CLIF, of the operations that Cranelift calls where the CPU has no instruction for them: byte shuffles that data
//! decides, on x86-64 machines without SSSE3.
//!
//! The bodies use only operations that every x86-64 machine has an instruction for. None of them refers to a helper.

use super::function::ModuleContext;
use super::trampoline;
use crate::error::{Error, Result};
use cranelift_codegen::ir::{
    Endianness, Function, InstBuilder, LibCall, MemFlagsData, StackSlotData, StackSlotKind, Type, Value,
    types,
};
use cranelift_frontend::FunctionBuilder;

/// The helper for an operation.
///
/// # Errors
/// If Cranelift is not expected to call the operation.
pub(crate) fn helper(module: &ModuleContext<'_>, libcall: LibCall) -> Result<Function> {
    if libcall != LibCall::X86Pshufb {
        return Err(Error::internal(format!("no helper for `{libcall}`")));
    }
    let pointer = module.isa.pointer_type();
    let signature = libcall.signature(module.isa.default_call_conv(), pointer);
    Ok(trampoline::build(signature, |builder| {
        let args = builder.block_params(builder.current_block().expect("entry")).to_vec();
        let result = pshufb(builder, pointer, args[0], args[1]);
        builder.ins().return_(&[result]);
    })(module))
}

/// `pshufb`: each byte of the mask picks a byte of the source by its low 4 bits, or zero if its sign bit is set.
fn pshufb(builder: &mut FunctionBuilder<'_>, pointer: Type, source: Value, mask: Value) -> Value {
    const LANES: i32 = 16;
    let flags = MemFlagsData::trusted();
    // The source, and a second row of zeros.
    let table = StackSlotData::new(StackSlotKind::ExplicitSlot, 2 * LANES as u32, 4);
    let table = builder.create_sized_stack_slot(table);
    let table = builder.ins().stack_addr(pointer, table, 0);
    let zero = builder.func.dfg.constants.insert(vec![0; LANES as usize].into());
    let zero = builder.ins().vconst(types::I8X16, zero);
    builder.ins().store(flags, source, table, 0);
    builder.ins().store(flags, zero, table, LANES);
    let bitcast = MemFlagsData::new().with_endianness(Endianness::Little);
    let mask = builder.ins().bitcast(types::I64X2, bitcast, mask);
    let halves = [0, 1].map(|half| {
        let mask = builder.ins().extractlane(mask, half);
        // Of eight bytes at once: column and row in the table.
        let columns = builder.ins().band_imm_u(mask, 0x0f0f_0f0f_0f0f_0f0f);
        let signs = builder.ins().band_imm_u(mask, 0x8080_8080_8080_8080_u64 as i64);
        let rows = builder.ins().ushr_imm_u(signs, 3);
        let mut cells = builder.ins().bor(columns, rows);
        let mut bytes = None;
        for lane in 0..8 {
            let cell = builder.ins().band_imm_u(cells, 0xff);
            cells = builder.ins().ushr_imm_u(cells, 8);
            let address = builder.ins().iadd(table, cell);
            // Put together here: bytes that are stored are not there yet when a vector of them is loaded.
            let byte = builder.ins().uload8(types::I64, flags, address, 0);
            let byte = builder.ins().ishl_imm_u(byte, 8 * lane);
            bytes = Some(match bytes {
                Some(bytes) => builder.ins().bor(bytes, byte),
                None => byte,
            });
        }
        bytes.expect("there are lanes")
    });
    let low = builder.ins().scalar_to_vector(types::I64X2, halves[0]);
    let picked = builder.ins().insertlane(low, halves[1], 1);
    builder.ins().bitcast(types::I8X16, bitcast, picked)
}
