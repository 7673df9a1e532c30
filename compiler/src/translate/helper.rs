//! Bodies, in CLIF, of the operations that Cranelift calls where the CPU has no instruction for them: rounding on
//! x86-64 machines without SSE4.1, byte shuffles on those without SSSE3.
//!
//! The bodies use only operations that every x86-64 machine has an instruction for. None of them refers to a helper.

use super::function::ModuleContext;
use super::trampoline;
use crate::error::{Error, Result};
use cranelift_codegen::ir::condcodes::FloatCC;
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
    let direction = match libcall {
        LibCall::CeilF32 | LibCall::CeilF64 => Some(Direction::Up),
        LibCall::FloorF32 | LibCall::FloorF64 => Some(Direction::Down),
        LibCall::TruncF32 | LibCall::TruncF64 => Some(Direction::Zero),
        LibCall::NearestF32 | LibCall::NearestF64 => Some(Direction::Nearest),
        LibCall::X86Pshufb => None,
        _ => return Err(Error::internal(format!("no helper for `{libcall}`"))),
    };
    let pointer = module.isa.pointer_type();
    let signature = libcall.signature(module.isa.default_call_conv(), pointer);
    Ok(trampoline::build(signature, |builder| {
        let args = builder.block_params(builder.current_block().expect("entry")).to_vec();
        let result = match direction {
            Some(direction) => round(builder, direction, args[0]),
            None => pshufb(builder, pointer, args[0], args[1]),
        };
        builder.ins().return_(&[result]);
    })(module))
}

/// Which integral number a number is rounded to.
enum Direction {
    Up,
    Down,
    Zero,
    /// To the nearest one; of two, to the even one.
    Nearest,
}

/// Rounds `x` to an integral number. The sign of a zero is that of `x`, and a NaN becomes a quiet NaN.
fn round(builder: &mut FunctionBuilder<'_>, direction: Direction, x: Value) -> Value {
    let ty = builder.func.dfg.value_type(x);
    let mut constant = |value: f32| match ty {
        types::F32 => builder.ins().f32const(value),
        _ => builder.ins().f64const(f64::from(value)),
    };
    // From here on there are no fractions: numbers have 24 and 53 significant bits.
    let limit = constant(if ty == types::F32 { 2_f32.powi(23) } else { 2_f32.powi(52) });
    let one = constant(1.0);
    let zero = constant(0.0);
    let magnitude = builder.ins().fabs(x);
    // The sum has no bits left for a fraction: the addition rounds to the nearest integral number, ties to even.
    let sum = builder.ins().fadd(magnitude, limit);
    let nearest = builder.ins().fsub(sum, limit);
    let rounded = match direction {
        Direction::Nearest => nearest,
        Direction::Zero => {
            let too_large = builder.ins().fcmp(FloatCC::GreaterThan, nearest, magnitude);
            let less = builder.ins().fsub(nearest, one);
            builder.ins().select(too_large, less, nearest)
        }
        Direction::Down => {
            let nearest = builder.ins().fcopysign(nearest, x);
            let too_large = builder.ins().fcmp(FloatCC::GreaterThan, nearest, x);
            let less = builder.ins().fsub(nearest, one);
            builder.ins().select(too_large, less, nearest)
        }
        Direction::Up => {
            let nearest = builder.ins().fcopysign(nearest, x);
            let too_small = builder.ins().fcmp(FloatCC::LessThan, nearest, x);
            let more = builder.ins().fadd(nearest, one);
            builder.ins().select(too_small, more, nearest)
        }
    };
    // No direction leads across zero, but a zero that was computed may have the other sign.
    let rounded = builder.ins().fcopysign(rounded, x);
    // Large numbers and infinities stay what they are; the addition makes signalling NaNs quiet.
    let unchanged = builder.ins().fadd(x, zero);
    let has_fraction = builder.ins().fcmp(FloatCC::LessThan, magnitude, limit);
    builder.ins().select(has_fraction, rounded, unchanged)
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
