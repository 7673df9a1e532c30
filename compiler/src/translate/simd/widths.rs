//! Instructions whose result has lanes twice or half as wide as their operands.

use super::super::function::FunctionTranslator;
use super::super::round;
use super::Ins;
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};
use wasmparser::Operator;

impl FunctionTranslator<'_, '_> {
    /// Translates an operator of this family; `false` if it is of another.
    pub(super) fn vector_width_operator(&mut self, op: &Operator<'_>) -> bool {
        use types::{F32X4, F64X2, I8X16, I16X8, I32X4};
        match op {
            Operator::I8x16NarrowI16x8S => self.vector_binary(I16X8, |ins, x, y| ins.snarrow(x, y)),
            Operator::I8x16NarrowI16x8U => self.vector_binary(I16X8, |ins, x, y| ins.unarrow(x, y)),
            Operator::I16x8NarrowI32x4S => self.vector_binary(I32X4, |ins, x, y| ins.snarrow(x, y)),
            Operator::I16x8NarrowI32x4U => self.vector_binary(I32X4, |ins, x, y| ins.unarrow(x, y)),

            Operator::I16x8ExtendLowI8x16S => self.vector_unary(I8X16, |ins, x| ins.swiden_low(x)),
            Operator::I16x8ExtendLowI8x16U => self.vector_unary(I8X16, |ins, x| ins.uwiden_low(x)),
            Operator::I16x8ExtendHighI8x16S => self.vector_unary(I8X16, |ins, x| ins.swiden_high(x)),
            Operator::I16x8ExtendHighI8x16U => self.vector_unary(I8X16, |ins, x| ins.uwiden_high(x)),
            Operator::I32x4ExtendLowI16x8S => self.vector_unary(I16X8, |ins, x| ins.swiden_low(x)),
            Operator::I32x4ExtendLowI16x8U => self.vector_unary(I16X8, |ins, x| ins.uwiden_low(x)),
            Operator::I32x4ExtendHighI16x8S => self.vector_unary(I16X8, |ins, x| ins.swiden_high(x)),
            Operator::I32x4ExtendHighI16x8U => self.vector_unary(I16X8, |ins, x| ins.uwiden_high(x)),
            Operator::I64x2ExtendLowI32x4S => self.vector_unary(I32X4, |ins, x| ins.swiden_low(x)),
            Operator::I64x2ExtendLowI32x4U => self.vector_unary(I32X4, |ins, x| ins.uwiden_low(x)),
            Operator::I64x2ExtendHighI32x4S => self.vector_unary(I32X4, |ins, x| ins.swiden_high(x)),
            Operator::I64x2ExtendHighI32x4U => self.vector_unary(I32X4, |ins, x| ins.uwiden_high(x)),

            Operator::I16x8ExtMulLowI8x16S => self.extended_multiply(I8X16, |ins, x| ins.swiden_low(x)),
            Operator::I16x8ExtMulLowI8x16U => self.extended_multiply(I8X16, |ins, x| ins.uwiden_low(x)),
            Operator::I16x8ExtMulHighI8x16S => self.extended_multiply(I8X16, |ins, x| ins.swiden_high(x)),
            Operator::I16x8ExtMulHighI8x16U => self.extended_multiply(I8X16, |ins, x| ins.uwiden_high(x)),
            Operator::I32x4ExtMulLowI16x8S => self.extended_multiply(I16X8, |ins, x| ins.swiden_low(x)),
            Operator::I32x4ExtMulLowI16x8U => self.extended_multiply(I16X8, |ins, x| ins.uwiden_low(x)),
            Operator::I32x4ExtMulHighI16x8S => self.extended_multiply(I16X8, |ins, x| ins.swiden_high(x)),
            Operator::I32x4ExtMulHighI16x8U => self.extended_multiply(I16X8, |ins, x| ins.uwiden_high(x)),
            Operator::I64x2ExtMulLowI32x4S => self.extended_multiply(I32X4, |ins, x| ins.swiden_low(x)),
            Operator::I64x2ExtMulLowI32x4U => self.extended_multiply(I32X4, |ins, x| ins.uwiden_low(x)),
            Operator::I64x2ExtMulHighI32x4S => self.extended_multiply(I32X4, |ins, x| ins.swiden_high(x)),
            Operator::I64x2ExtMulHighI32x4U => self.extended_multiply(I32X4, |ins, x| ins.uwiden_high(x)),

            Operator::I16x8ExtAddPairwiseI8x16S => {
                self.extended_add(I8X16, |ins, x| ins.swiden_low(x), |ins, x| ins.swiden_high(x))
            }
            Operator::I16x8ExtAddPairwiseI8x16U => {
                self.extended_add(I8X16, |ins, x| ins.uwiden_low(x), |ins, x| ins.uwiden_high(x))
            }
            Operator::I32x4ExtAddPairwiseI16x8S => {
                self.extended_add(I16X8, |ins, x| ins.swiden_low(x), |ins, x| ins.swiden_high(x))
            }
            Operator::I32x4ExtAddPairwiseI16x8U => {
                self.extended_add(I16X8, |ins, x| ins.uwiden_low(x), |ins, x| ins.uwiden_high(x))
            }
            Operator::I32x4DotI16x8S => {
                let [x, y] = self.pop_vectors(I16X8);
                let value = self.dot(x, y);
                self.push_vector(value);
            }

            Operator::F32x4DemoteF64x2Zero => self.vector_unary(F64X2, |ins, x| ins.fvdemote(x)),
            Operator::F64x2PromoteLowF32x4 => self.vector_unary(F32X4, |ins, x| ins.fvpromote_low(x)),
            Operator::F64x2ConvertLowI32x4S => {
                let x = self.pop_vector(I32X4);
                let wide = self.builder.ins().swiden_low(x);
                let value = self.builder.ins().fcvt_from_sint(F64X2, wide);
                self.push_vector(value);
            }
            Operator::F64x2ConvertLowI32x4U => {
                let x = self.pop_vector(I32X4);
                let wide = self.builder.ins().uwiden_low(x);
                let value = self.builder.ins().fcvt_from_uint(F64X2, wide);
                self.push_vector(value);
            }
            Operator::I32x4TruncSatF64x2SZero => self.truncate_signed_zero(),
            Operator::I32x4TruncSatF64x2UZero => self.truncate_unsigned_zero(),
            _ => return false,
        }
        true
    }

    /// Multiplies one half of the lanes of two vectors, without losing bits of the products.
    fn extended_multiply(&mut self, ty: Type, widen: impl Fn(Ins<'_, '_>, Value) -> Value) {
        let [x, y] = self.pop_vectors(ty);
        let x = widen(self.builder.ins(), x);
        let y = widen(self.builder.ins(), y);
        let value = self.builder.ins().imul(x, y);
        self.push_vector(value);
    }

    /// Adds neighbouring lanes, without losing bits of the sums.
    fn extended_add(
        &mut self,
        ty: Type,
        widen_low: impl FnOnce(Ins<'_, '_>, Value) -> Value,
        widen_high: impl FnOnce(Ins<'_, '_>, Value) -> Value,
    ) {
        let x = self.pop_vector(ty);
        let low = widen_low(self.builder.ins(), x);
        let high = widen_high(self.builder.ins(), x);
        let value = self.builder.ins().iadd_pairwise(low, high);
        self.push_vector(value);
    }

    /// Multiplies lanes as signed numbers of twice their width, and adds neighbouring products.
    pub(super) fn dot(&mut self, x: Value, y: Value) -> Value {
        let (low_x, low_y) = (self.builder.ins().swiden_low(x), self.builder.ins().swiden_low(y));
        let low = self.builder.ins().imul(low_x, low_y);
        let (high_x, high_y) = (self.builder.ins().swiden_high(x), self.builder.ins().swiden_high(y));
        let high = self.builder.ins().imul(high_x, high_y);
        self.builder.ins().iadd_pairwise(low, high)
    }

    /// Truncates two `f64` to `i32` with saturation; the high lanes are zero.
    pub(super) fn truncate_signed_zero(&mut self) {
        let x = self.pop_vector(types::F64X2);
        // Saturating twice, to 64 bits and then to 32, is saturating once.
        let wide = self.builder.ins().fcvt_to_sint_sat(types::I64X2, x);
        let zero = self.zero(types::I64X2);
        let value = self.builder.ins().snarrow(wide, zero);
        self.push_vector(value);
    }

    /// Truncates two `f64` to unsigned 32-bit numbers with saturation; the high lanes are zero.
    pub(super) fn truncate_unsigned_zero(&mut self) {
        let x = self.pop_vector(types::F64X2);
        if !self.module.rounds {
            let value = round::truncate_unsigned(&mut self.builder, x);
            return self.push_vector(value);
        }
        let wide = self.builder.ins().fcvt_to_uint_sat(types::I64X2, x);
        let zero = self.zero(types::I64X2);
        let value = self.builder.ins().uunarrow(wide, zero);
        self.push_vector(value);
    }
}
