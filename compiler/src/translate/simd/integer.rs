//! Integer arithmetic, shifts and comparisons, lane by lane.

use super::super::function::FunctionTranslator;
use super::Ins;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};
use wasmparser::Operator;

impl FunctionTranslator<'_, '_> {
    /// Translates an operator of this family; `false` if it is of another.
    pub(super) fn vector_integer_operator(&mut self, op: &Operator<'_>) -> bool {
        use types::{I8X16, I16X8, I32X4, I64X2};
        match op {
            Operator::I8x16Eq => self.vector_compare(I8X16, IntCC::Equal),
            Operator::I8x16Ne => self.vector_compare(I8X16, IntCC::NotEqual),
            Operator::I8x16LtS => self.vector_compare(I8X16, IntCC::SignedLessThan),
            Operator::I8x16LtU => self.vector_compare(I8X16, IntCC::UnsignedLessThan),
            Operator::I8x16GtS => self.vector_compare(I8X16, IntCC::SignedGreaterThan),
            Operator::I8x16GtU => self.vector_compare(I8X16, IntCC::UnsignedGreaterThan),
            Operator::I8x16LeS => self.vector_compare(I8X16, IntCC::SignedLessThanOrEqual),
            Operator::I8x16LeU => self.vector_compare(I8X16, IntCC::UnsignedLessThanOrEqual),
            Operator::I8x16GeS => self.vector_compare(I8X16, IntCC::SignedGreaterThanOrEqual),
            Operator::I8x16GeU => self.vector_compare(I8X16, IntCC::UnsignedGreaterThanOrEqual),

            Operator::I16x8Eq => self.vector_compare(I16X8, IntCC::Equal),
            Operator::I16x8Ne => self.vector_compare(I16X8, IntCC::NotEqual),
            Operator::I16x8LtS => self.vector_compare(I16X8, IntCC::SignedLessThan),
            Operator::I16x8LtU => self.vector_compare(I16X8, IntCC::UnsignedLessThan),
            Operator::I16x8GtS => self.vector_compare(I16X8, IntCC::SignedGreaterThan),
            Operator::I16x8GtU => self.vector_compare(I16X8, IntCC::UnsignedGreaterThan),
            Operator::I16x8LeS => self.vector_compare(I16X8, IntCC::SignedLessThanOrEqual),
            Operator::I16x8LeU => self.vector_compare(I16X8, IntCC::UnsignedLessThanOrEqual),
            Operator::I16x8GeS => self.vector_compare(I16X8, IntCC::SignedGreaterThanOrEqual),
            Operator::I16x8GeU => self.vector_compare(I16X8, IntCC::UnsignedGreaterThanOrEqual),

            Operator::I32x4Eq => self.vector_compare(I32X4, IntCC::Equal),
            Operator::I32x4Ne => self.vector_compare(I32X4, IntCC::NotEqual),
            Operator::I32x4LtS => self.vector_compare(I32X4, IntCC::SignedLessThan),
            Operator::I32x4LtU => self.vector_compare(I32X4, IntCC::UnsignedLessThan),
            Operator::I32x4GtS => self.vector_compare(I32X4, IntCC::SignedGreaterThan),
            Operator::I32x4GtU => self.vector_compare(I32X4, IntCC::UnsignedGreaterThan),
            Operator::I32x4LeS => self.vector_compare(I32X4, IntCC::SignedLessThanOrEqual),
            Operator::I32x4LeU => self.vector_compare(I32X4, IntCC::UnsignedLessThanOrEqual),
            Operator::I32x4GeS => self.vector_compare(I32X4, IntCC::SignedGreaterThanOrEqual),
            Operator::I32x4GeU => self.vector_compare(I32X4, IntCC::UnsignedGreaterThanOrEqual),

            Operator::I64x2Eq => self.vector_compare(I64X2, IntCC::Equal),
            Operator::I64x2Ne => self.vector_compare(I64X2, IntCC::NotEqual),
            Operator::I64x2LtS => self.vector_compare(I64X2, IntCC::SignedLessThan),
            Operator::I64x2GtS => self.vector_compare(I64X2, IntCC::SignedGreaterThan),
            Operator::I64x2LeS => self.vector_compare(I64X2, IntCC::SignedLessThanOrEqual),
            Operator::I64x2GeS => self.vector_compare(I64X2, IntCC::SignedGreaterThanOrEqual),

            Operator::I8x16Abs => self.vector_unary(I8X16, |ins, x| ins.iabs(x)),
            Operator::I16x8Abs => self.vector_unary(I16X8, |ins, x| ins.iabs(x)),
            Operator::I32x4Abs => self.vector_unary(I32X4, |ins, x| ins.iabs(x)),
            Operator::I64x2Abs => self.vector_unary(I64X2, |ins, x| ins.iabs(x)),
            Operator::I8x16Neg => self.vector_unary(I8X16, |ins, x| ins.ineg(x)),
            Operator::I16x8Neg => self.vector_unary(I16X8, |ins, x| ins.ineg(x)),
            Operator::I32x4Neg => self.vector_unary(I32X4, |ins, x| ins.ineg(x)),
            Operator::I64x2Neg => self.vector_unary(I64X2, |ins, x| ins.ineg(x)),
            Operator::I8x16Popcnt => self.vector_unary(I8X16, |ins, x| ins.popcnt(x)),

            Operator::I8x16Shl => self.vector_shift(I8X16, |ins, x, by| ins.ishl(x, by)),
            Operator::I16x8Shl => self.vector_shift(I16X8, |ins, x, by| ins.ishl(x, by)),
            Operator::I32x4Shl => self.vector_shift(I32X4, |ins, x, by| ins.ishl(x, by)),
            Operator::I64x2Shl => self.vector_shift(I64X2, |ins, x, by| ins.ishl(x, by)),
            Operator::I8x16ShrS => self.vector_shift(I8X16, |ins, x, by| ins.sshr(x, by)),
            Operator::I16x8ShrS => self.vector_shift(I16X8, |ins, x, by| ins.sshr(x, by)),
            Operator::I32x4ShrS => self.vector_shift(I32X4, |ins, x, by| ins.sshr(x, by)),
            Operator::I64x2ShrS => self.vector_shift(I64X2, |ins, x, by| ins.sshr(x, by)),
            Operator::I8x16ShrU => self.vector_shift(I8X16, |ins, x, by| ins.ushr(x, by)),
            Operator::I16x8ShrU => self.vector_shift(I16X8, |ins, x, by| ins.ushr(x, by)),
            Operator::I32x4ShrU => self.vector_shift(I32X4, |ins, x, by| ins.ushr(x, by)),
            Operator::I64x2ShrU => self.vector_shift(I64X2, |ins, x, by| ins.ushr(x, by)),

            Operator::I8x16Add => self.vector_binary(I8X16, |ins, x, y| ins.iadd(x, y)),
            Operator::I16x8Add => self.vector_binary(I16X8, |ins, x, y| ins.iadd(x, y)),
            Operator::I32x4Add => self.vector_binary(I32X4, |ins, x, y| ins.iadd(x, y)),
            Operator::I64x2Add => self.vector_binary(I64X2, |ins, x, y| ins.iadd(x, y)),
            Operator::I8x16Sub => self.vector_binary(I8X16, |ins, x, y| ins.isub(x, y)),
            Operator::I16x8Sub => self.vector_binary(I16X8, |ins, x, y| ins.isub(x, y)),
            Operator::I32x4Sub => self.vector_binary(I32X4, |ins, x, y| ins.isub(x, y)),
            Operator::I64x2Sub => self.vector_binary(I64X2, |ins, x, y| ins.isub(x, y)),
            Operator::I16x8Mul => self.vector_binary(I16X8, |ins, x, y| ins.imul(x, y)),
            Operator::I32x4Mul => self.vector_binary(I32X4, |ins, x, y| ins.imul(x, y)),
            Operator::I64x2Mul => self.vector_binary(I64X2, |ins, x, y| ins.imul(x, y)),
            Operator::I8x16AddSatS => self.vector_binary(I8X16, |ins, x, y| ins.sadd_sat(x, y)),
            Operator::I16x8AddSatS => self.vector_binary(I16X8, |ins, x, y| ins.sadd_sat(x, y)),
            Operator::I8x16AddSatU => self.vector_binary(I8X16, |ins, x, y| ins.uadd_sat(x, y)),
            Operator::I16x8AddSatU => self.vector_binary(I16X8, |ins, x, y| ins.uadd_sat(x, y)),
            Operator::I8x16SubSatS => self.vector_binary(I8X16, |ins, x, y| ins.ssub_sat(x, y)),
            Operator::I16x8SubSatS => self.vector_binary(I16X8, |ins, x, y| ins.ssub_sat(x, y)),
            Operator::I8x16SubSatU => self.vector_binary(I8X16, |ins, x, y| ins.usub_sat(x, y)),
            Operator::I16x8SubSatU => self.vector_binary(I16X8, |ins, x, y| ins.usub_sat(x, y)),
            Operator::I8x16MinS => self.vector_binary(I8X16, |ins, x, y| ins.smin(x, y)),
            Operator::I16x8MinS => self.vector_binary(I16X8, |ins, x, y| ins.smin(x, y)),
            Operator::I32x4MinS => self.vector_binary(I32X4, |ins, x, y| ins.smin(x, y)),
            Operator::I8x16MinU => self.vector_binary(I8X16, |ins, x, y| ins.umin(x, y)),
            Operator::I16x8MinU => self.vector_binary(I16X8, |ins, x, y| ins.umin(x, y)),
            Operator::I32x4MinU => self.vector_binary(I32X4, |ins, x, y| ins.umin(x, y)),
            Operator::I8x16MaxS => self.vector_binary(I8X16, |ins, x, y| ins.smax(x, y)),
            Operator::I16x8MaxS => self.vector_binary(I16X8, |ins, x, y| ins.smax(x, y)),
            Operator::I32x4MaxS => self.vector_binary(I32X4, |ins, x, y| ins.smax(x, y)),
            Operator::I8x16MaxU => self.vector_binary(I8X16, |ins, x, y| ins.umax(x, y)),
            Operator::I16x8MaxU => self.vector_binary(I16X8, |ins, x, y| ins.umax(x, y)),
            Operator::I32x4MaxU => self.vector_binary(I32X4, |ins, x, y| ins.umax(x, y)),
            Operator::I8x16AvgrU => self.vector_binary(I8X16, |ins, x, y| ins.avg_round(x, y)),
            Operator::I16x8AvgrU => self.vector_binary(I16X8, |ins, x, y| ins.avg_round(x, y)),
            // Rounding and saturating product of fractions with 15 bits after the point.
            Operator::I16x8Q15MulrSatS => self.vector_binary(I16X8, |ins, x, y| ins.sqmul_round_sat(x, y)),
            _ => return false,
        }
        true
    }

    /// Every bit of a lane is 1 where the condition holds, and 0 elsewhere.
    fn vector_compare(&mut self, ty: Type, condition: IntCC) {
        self.vector_binary(ty, |ins, x, y| ins.icmp(condition, x, y));
    }

    /// Shifts every lane by the same number of bits. CLIF takes it modulo the width of a lane, as wasm does.
    fn vector_shift(&mut self, ty: Type, emit: impl FnOnce(Ins<'_, '_>, Value, Value) -> Value) {
        let by = self.pop();
        self.vector_unary(ty, |ins, x| emit(ins, x, by));
    }
}
