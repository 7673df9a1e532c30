//! The relaxed vector instructions, with the results of the deterministic profile (core specification, "Relaxed
//! Operations"): the same on every machine, also where a machine has a faster instruction with other results.

use super::super::function::FunctionTranslator;
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};
use wasmparser::Operator;

impl FunctionTranslator<'_, '_> {
    /// Translates an operator of this family; `false` if it is of another.
    pub(super) fn relaxed_operator(&mut self, op: &Operator<'_>) -> bool {
        use types::{F32X4, F64X2, I8X16, I16X8, I32X4, I64X2};
        match op {
            Operator::I8x16RelaxedSwizzle => self.vector_binary(I8X16, |ins, x, y| ins.swizzle(x, y)),
            Operator::I32x4RelaxedTruncF32x4S => {
                self.vector_unary(F32X4, |ins, x| ins.fcvt_to_sint_sat(I32X4, x));
            }
            Operator::I32x4RelaxedTruncF32x4U => {
                self.vector_unary(F32X4, |ins, x| ins.fcvt_to_uint_sat(I32X4, x));
            }
            Operator::I32x4RelaxedTruncF64x2SZero => self.truncate_signed_zero(),
            Operator::I32x4RelaxedTruncF64x2UZero => self.truncate_unsigned_zero(),
            Operator::F32x4RelaxedMadd => self.multiply_add(F32X4),
            Operator::F64x2RelaxedMadd => self.multiply_add(F64X2),
            Operator::F32x4RelaxedNmadd => self.negated_multiply_add(F32X4),
            Operator::F64x2RelaxedNmadd => self.negated_multiply_add(F64X2),
            Operator::I8x16RelaxedLaneselect => self.bitselect(I8X16),
            Operator::I16x8RelaxedLaneselect => self.bitselect(I16X8),
            Operator::I32x4RelaxedLaneselect => self.bitselect(I32X4),
            Operator::I64x2RelaxedLaneselect => self.bitselect(I64X2),
            Operator::F32x4RelaxedMin => self.vector_binary(F32X4, |ins, x, y| ins.fmin(x, y)),
            Operator::F32x4RelaxedMax => self.vector_binary(F32X4, |ins, x, y| ins.fmax(x, y)),
            Operator::F64x2RelaxedMin => self.vector_binary(F64X2, |ins, x, y| ins.fmin(x, y)),
            Operator::F64x2RelaxedMax => self.vector_binary(F64X2, |ins, x, y| ins.fmax(x, y)),
            Operator::I16x8RelaxedQ15mulrS => {
                self.vector_binary(I16X8, |ins, x, y| ins.sqmul_round_sat(x, y));
            }
            Operator::I16x8RelaxedDotI8x16I7x16S => {
                let [x, y] = self.pop_vectors(I8X16);
                let value = self.saturating_dot(x, y);
                self.push_vector(value);
            }
            Operator::I32x4RelaxedDotI8x16I7x16AddS => {
                let addend = self.pop_vector(I32X4);
                let [x, y] = self.pop_vectors(I8X16);
                let pairs = self.saturating_dot(x, y);
                let low = self.builder.ins().swiden_low(pairs);
                let high = self.builder.ins().swiden_high(pairs);
                let sums = self.builder.ins().iadd_pairwise(low, high);
                let value = self.builder.ins().iadd(sums, addend);
                self.push_vector(value);
            }
            _ => return false,
        }
        true
    }

    /// `x * y + z`. Both operations round: rounding once is for CPUs that have an instruction for it.
    fn multiply_add(&mut self, ty: Type) {
        let [x, y, z] = self.pop_vectors(ty);
        let product = self.builder.ins().fmul(x, y);
        let value = self.builder.ins().fadd(product, z);
        self.push_vector(value);
    }

    /// `-(x * y) + z`.
    fn negated_multiply_add(&mut self, ty: Type) {
        let [x, y, z] = self.pop_vectors(ty);
        let x = self.builder.ins().fneg(x);
        let product = self.builder.ins().fmul(x, y);
        let value = self.builder.ins().fadd(product, z);
        self.push_vector(value);
    }

    /// Multiplies the lanes of two `i8x16`, and adds neighbouring products with saturation to 16 bits.
    fn saturating_dot(&mut self, x: Value, y: Value) -> Value {
        let (low_x, low_y) = (self.builder.ins().swiden_low(x), self.builder.ins().swiden_low(y));
        let low = self.dot(low_x, low_y);
        let (high_x, high_y) = (self.builder.ins().swiden_high(x), self.builder.ins().swiden_high(y));
        let high = self.dot(high_x, high_y);
        self.builder.ins().snarrow(low, high)
    }
}
