//! Rounding to integral numbers, also on x86-64 machines without SSE4.1, which have no instruction for it.
//!
//! There, an addition rounds, and what it rounded in the wrong direction is corrected: in place, without a call.

use super::function::FunctionTranslator;
use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::{ConstantData, Endianness, InstBuilder as _, MemFlagsData, Type, Value, types};
use cranelift_frontend::FunctionBuilder;

/// Which integral number a number is rounded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Up,
    Down,
    Zero,
    /// To the nearest one; of two, to the even one.
    Nearest,
}

impl FunctionTranslator<'_, '_> {
    /// Rounds a float, or the lanes of a vector of them.
    pub(super) fn rounded(&mut self, direction: Direction, x: Value) -> Value {
        if !self.module.rounds {
            return round(&mut self.builder, direction, x);
        }
        let ins = self.builder.ins();
        match direction {
            Direction::Up => ins.ceil(x),
            Direction::Down => ins.floor(x),
            Direction::Zero => ins.trunc(x),
            Direction::Nearest => ins.nearest(x),
        }
    }
}

/// Rounds without an instruction for it. The sign of a zero is that of `x`, and a NaN becomes a quiet NaN.
fn round(builder: &mut FunctionBuilder<'_>, direction: Direction, x: Value) -> Value {
    match builder.func.dfg.value_type(x).is_vector() {
        true => round_lanes(builder, direction, x),
        false => round_number(builder, direction, x),
    }
}

/// Rounds one number. What is selected is branched on by the machine's code, and branches that are foreseen take no time.
fn round_number(builder: &mut FunctionBuilder<'_>, direction: Direction, x: Value) -> Value {
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

/// The same for all lanes at once.
fn round_lanes(builder: &mut FunctionBuilder<'_>, direction: Direction, x: Value) -> Value {
    let ty = builder.func.dfg.value_type(x);
    let limit = splat(builder, ty, if ty == types::F32X4 { 2_f64.powi(23) } else { 2_f64.powi(52) });
    let sign = splat(builder, ty, -0.0);
    let sign = builder.ins().band(x, sign);
    let magnitude = builder.ins().bxor(x, sign);
    let sum = builder.ins().fadd(magnitude, limit);
    let nearest = builder.ins().fsub(sum, limit);
    // What was rounded the wrong way is one off.
    let corrected = match direction {
        Direction::Nearest => nearest,
        Direction::Zero => {
            let excess = one_where(builder, FloatCC::GreaterThan, nearest, magnitude);
            builder.ins().fsub(nearest, excess)
        }
        Direction::Down => {
            let nearest = builder.ins().bor(nearest, sign);
            let excess = one_where(builder, FloatCC::GreaterThan, nearest, x);
            builder.ins().fsub(nearest, excess)
        }
        Direction::Up => {
            let nearest = builder.ins().bor(nearest, sign);
            let want = one_where(builder, FloatCC::LessThan, nearest, x);
            builder.ins().fadd(nearest, want)
        }
    };
    // The sign is wrong for no number but a zero that should be negative.
    let rounded = builder.ins().bor(corrected, sign);
    let zero = splat(builder, ty, 0.0);
    let unchanged = builder.ins().fadd(x, zero);
    let has_fraction = builder.ins().fcmp(FloatCC::LessThan, magnitude, limit);
    let has_fraction = cast(builder, ty, has_fraction);
    builder.ins().bitselect(has_fraction, rounded, unchanged)
}

/// 1.0 in the lanes where a comparison is true, and 0.0 in the others.
fn one_where(builder: &mut FunctionBuilder<'_>, condition: FloatCC, x: Value, y: Value) -> Value {
    let ty = builder.func.dfg.value_type(x);
    let is_so = builder.ins().fcmp(condition, x, y);
    let is_so = cast(builder, ty, is_so);
    let one = splat(builder, ty, 1.0);
    builder.ins().band(is_so, one)
}

/// Truncates two `f64` to unsigned 32-bit numbers with saturation; the high lanes are zero, and NaN becomes zero.
pub(super) fn truncate_unsigned(builder: &mut FunctionBuilder<'_>, x: Value) -> Value {
    let ty = types::F64X2;
    let zero = splat(builder, ty, 0.0);
    let is_positive = builder.ins().fcmp(FloatCC::GreaterThan, x, zero);
    let is_positive = cast(builder, ty, is_positive);
    let x = builder.ins().band(x, is_positive);
    let largest = splat(builder, ty, f64::from(u32::MAX));
    let is_less = builder.ins().fcmp(FloatCC::LessThan, x, largest);
    let is_less = cast(builder, ty, is_less);
    let x = builder.ins().bitselect(is_less, x, largest);
    // The sum has the number, rounded to the nearest, in its low bits, and nothing else is in the lower half.
    let limit = splat(builder, ty, 2_f64.powi(52));
    let sum = builder.ins().fadd(x, limit);
    let nearest = builder.ins().fsub(sum, limit);
    // -1 where that was up.
    let excess = builder.ins().fcmp(FloatCC::GreaterThan, nearest, x);
    let sum = cast(builder, types::I64X2, sum);
    let sum = builder.ins().iadd(sum, excess);
    let sum = cast(builder, types::I8X16, sum);
    let zero = cast(builder, types::I8X16, zero);
    let lanes: [u8; 16] = [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 16, 17, 18, 19];
    let lanes = builder.func.dfg.immediates.push(ConstantData::from(lanes.as_slice()));
    let value = builder.ins().shuffle(sum, zero, lanes);
    cast(builder, types::I32X4, value)
}

fn splat(builder: &mut FunctionBuilder<'_>, ty: Type, value: f64) -> Value {
    let bytes: Vec<u8> = match ty {
        types::F32X4 => (value as f32).to_le_bytes().repeat(4),
        _ => value.to_le_bytes().repeat(2),
    };
    let constant = builder.func.dfg.constants.insert(ConstantData::from(bytes));
    builder.ins().vconst(ty, constant)
}

fn cast(builder: &mut FunctionBuilder<'_>, ty: Type, value: Value) -> Value {
    builder.ins().bitcast(ty, MemFlagsData::new().with_endianness(Endianness::Little), value)
}
