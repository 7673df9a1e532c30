//! Bitwise logic on whole vectors, and instructions that reduce a vector to a few bits.

use super::super::function::FunctionTranslator;
use cranelift_codegen::ir::{InstBuilder, Type, types};
use wasmparser::Operator;

impl FunctionTranslator<'_, '_> {
    /// Translates an operator of this family; `false` if it is of another.
    pub(super) fn vector_logic_operator(&mut self, op: &Operator<'_>) -> bool {
        use types::{I8X16, I16X8, I32X4, I64X2};
        match op {
            Operator::V128Not => self.vector_unary(I8X16, |ins, x| ins.bnot(x)),
            Operator::V128And => self.vector_binary(I8X16, |ins, x, y| ins.band(x, y)),
            Operator::V128AndNot => {
                let [x, y] = self.pop_n();
                let not_y = self.builder.ins().bnot(y);
                let value = self.builder.ins().band(x, not_y);
                self.push(value);
            }
            Operator::V128Or => self.vector_binary(I8X16, |ins, x, y| ins.bor(x, y)),
            Operator::V128Xor => self.vector_binary(I8X16, |ins, x, y| ins.bxor(x, y)),
            Operator::V128Bitselect => self.bitselect(I8X16),

            Operator::V128AnyTrue => {
                let x = self.pop();
                let any = self.builder.ins().vany_true(x);
                self.push_bool(any);
            }
            Operator::I8x16AllTrue => self.all_true(I8X16),
            Operator::I16x8AllTrue => self.all_true(I16X8),
            Operator::I32x4AllTrue => self.all_true(I32X4),
            Operator::I64x2AllTrue => self.all_true(I64X2),
            Operator::I8x16Bitmask => self.bitmask(I8X16),
            Operator::I16x8Bitmask => self.bitmask(I16X8),
            Operator::I32x4Bitmask => self.bitmask(I32X4),
            Operator::I64x2Bitmask => self.bitmask(I64X2),
            _ => return false,
        }
        true
    }

    /// Pops two vectors and a mask: the bits of the first where the mask is 1, those of the second elsewhere.
    pub(super) fn bitselect(&mut self, ty: Type) {
        let [ones, zeros, mask] = self.pop_vectors(ty);
        let value = self.builder.ins().bitselect(mask, ones, zeros);
        self.push_vector(value);
    }

    fn all_true(&mut self, ty: Type) {
        let x = self.pop_vector(ty);
        let all = self.builder.ins().vall_true(x);
        self.push_bool(all);
    }

    /// Collects the sign bits of the lanes.
    fn bitmask(&mut self, ty: Type) {
        let x = self.pop_vector(ty);
        let bits = self.builder.ins().vhigh_bits(types::I32, x);
        self.push(bits);
    }
}
