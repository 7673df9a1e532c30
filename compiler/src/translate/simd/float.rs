//! Floating point arithmetic and comparisons, lane by lane, and conversions that keep the width of lanes.

use super::super::function::FunctionTranslator;
use super::super::round::Direction;
use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::{InstBuilder, Type, types};
use wasmparser::Operator;

impl FunctionTranslator<'_, '_> {
    /// Translates an operator of this family; `false` if it is of another.
    pub(super) fn vector_float_operator(&mut self, op: &Operator<'_>) -> bool {
        use types::{F32X4, F64X2, I32X4};
        match op {
            Operator::F32x4Eq => self.vector_float_compare(F32X4, FloatCC::Equal),
            Operator::F32x4Ne => self.vector_float_compare(F32X4, FloatCC::NotEqual),
            Operator::F32x4Lt => self.vector_float_compare(F32X4, FloatCC::LessThan),
            Operator::F32x4Gt => self.vector_float_compare(F32X4, FloatCC::GreaterThan),
            Operator::F32x4Le => self.vector_float_compare(F32X4, FloatCC::LessThanOrEqual),
            Operator::F32x4Ge => self.vector_float_compare(F32X4, FloatCC::GreaterThanOrEqual),
            Operator::F64x2Eq => self.vector_float_compare(F64X2, FloatCC::Equal),
            Operator::F64x2Ne => self.vector_float_compare(F64X2, FloatCC::NotEqual),
            Operator::F64x2Lt => self.vector_float_compare(F64X2, FloatCC::LessThan),
            Operator::F64x2Gt => self.vector_float_compare(F64X2, FloatCC::GreaterThan),
            Operator::F64x2Le => self.vector_float_compare(F64X2, FloatCC::LessThanOrEqual),
            Operator::F64x2Ge => self.vector_float_compare(F64X2, FloatCC::GreaterThanOrEqual),

            Operator::F32x4Abs => self.vector_unary(F32X4, |ins, x| ins.fabs(x)),
            Operator::F64x2Abs => self.vector_unary(F64X2, |ins, x| ins.fabs(x)),
            Operator::F32x4Neg => self.vector_unary(F32X4, |ins, x| ins.fneg(x)),
            Operator::F64x2Neg => self.vector_unary(F64X2, |ins, x| ins.fneg(x)),
            Operator::F32x4Sqrt => self.vector_unary(F32X4, |ins, x| ins.sqrt(x)),
            Operator::F64x2Sqrt => self.vector_unary(F64X2, |ins, x| ins.sqrt(x)),
            Operator::F32x4Ceil => self.round_vector(F32X4, Direction::Up),
            Operator::F64x2Ceil => self.round_vector(F64X2, Direction::Up),
            Operator::F32x4Floor => self.round_vector(F32X4, Direction::Down),
            Operator::F64x2Floor => self.round_vector(F64X2, Direction::Down),
            Operator::F32x4Trunc => self.round_vector(F32X4, Direction::Zero),
            Operator::F64x2Trunc => self.round_vector(F64X2, Direction::Zero),
            Operator::F32x4Nearest => self.round_vector(F32X4, Direction::Nearest),
            Operator::F64x2Nearest => self.round_vector(F64X2, Direction::Nearest),
            Operator::F32x4Add => self.vector_binary(F32X4, |ins, x, y| ins.fadd(x, y)),
            Operator::F64x2Add => self.vector_binary(F64X2, |ins, x, y| ins.fadd(x, y)),
            Operator::F32x4Sub => self.vector_binary(F32X4, |ins, x, y| ins.fsub(x, y)),
            Operator::F64x2Sub => self.vector_binary(F64X2, |ins, x, y| ins.fsub(x, y)),
            Operator::F32x4Mul => self.vector_binary(F32X4, |ins, x, y| ins.fmul(x, y)),
            Operator::F64x2Mul => self.vector_binary(F64X2, |ins, x, y| ins.fmul(x, y)),
            Operator::F32x4Div => self.vector_binary(F32X4, |ins, x, y| ins.fdiv(x, y)),
            Operator::F64x2Div => self.vector_binary(F64X2, |ins, x, y| ins.fdiv(x, y)),
            Operator::F32x4Min => self.vector_binary(F32X4, |ins, x, y| ins.fmin(x, y)),
            Operator::F64x2Min => self.vector_binary(F64X2, |ins, x, y| ins.fmin(x, y)),
            Operator::F32x4Max => self.vector_binary(F32X4, |ins, x, y| ins.fmax(x, y)),
            Operator::F64x2Max => self.vector_binary(F64X2, |ins, x, y| ins.fmax(x, y)),
            Operator::F32x4PMin => self.pseudo_min(F32X4),
            Operator::F64x2PMin => self.pseudo_min(F64X2),
            Operator::F32x4PMax => self.pseudo_max(F32X4),
            Operator::F64x2PMax => self.pseudo_max(F64X2),

            Operator::F32x4ConvertI32x4S => self.vector_unary(I32X4, |ins, x| ins.fcvt_from_sint(F32X4, x)),
            Operator::F32x4ConvertI32x4U => self.vector_unary(I32X4, |ins, x| ins.fcvt_from_uint(F32X4, x)),
            Operator::I32x4TruncSatF32x4S => {
                self.vector_unary(F32X4, |ins, x| ins.fcvt_to_sint_sat(I32X4, x))
            }
            Operator::I32x4TruncSatF32x4U => {
                self.vector_unary(F32X4, |ins, x| ins.fcvt_to_uint_sat(I32X4, x))
            }
            _ => return false,
        }
        true
    }

    /// Every bit of a lane is 1 where the condition holds, and 0 elsewhere.
    fn vector_float_compare(&mut self, ty: Type, condition: FloatCC) {
        self.vector_binary(ty, |ins, x, y| ins.fcmp(condition, x, y));
    }

    /// `y < x ? y : x`, also for NaN and for zeros.
    fn pseudo_min(&mut self, ty: Type) {
        let [x, y] = self.pop_vectors(ty);
        // The operands of the selection are in the order of the comparison: x86 has one instruction for both.
        let less = self.builder.ins().fcmp(FloatCC::LessThan, y, x);
        let less = self.cast_vector(ty, less);
        let value = self.builder.ins().bitselect(less, y, x);
        self.push_vector(value);
    }

    /// `x < y ? y : x`, also for NaN and for zeros.
    fn pseudo_max(&mut self, ty: Type) {
        let [x, y] = self.pop_vectors(ty);
        let less = self.builder.ins().fcmp(FloatCC::LessThan, x, y);
        let less = self.cast_vector(ty, less);
        let value = self.builder.ins().bitselect(less, y, x);
        self.push_vector(value);
    }

    fn round_vector(&mut self, ty: Type, direction: Direction) {
        let x = self.pop_vector(ty);
        let value = self.rounded(direction, x);
        self.push_vector(value);
    }
}
