//! Constants, and instructions that move lanes without computing.

use super::super::function::FunctionTranslator;
use super::shuffle::shuffle;
use cranelift_codegen::ir::{ConstantData, InstBuilder, Type, Value, types};
use wasmparser::Operator;

impl FunctionTranslator<'_, '_> {
    /// Translates an operator of this family; `false` if it is of another.
    pub(super) fn lane_operator(&mut self, op: &Operator<'_>) -> bool {
        use types::{F32X4, F64X2, I8X16, I16X8, I32X4, I64X2};
        match *op {
            Operator::V128Const { value } => {
                let constant = ConstantData::from(value.bytes().as_slice());
                let constant = self.builder.func.dfg.constants.insert(constant);
                let value = self.builder.ins().vconst(I8X16, constant);
                self.push(value);
            }
            Operator::I8x16Shuffle { lanes } => {
                let [x, y] = self.pop_vectors(I8X16);
                let value = match self.module.shuffles_bytes {
                    true => {
                        let lanes =
                            self.builder.func.dfg.immediates.push(ConstantData::from(lanes.as_slice()));
                        self.builder.ins().shuffle(x, y, lanes)
                    }
                    false => shuffle(&mut self.builder, x, y, lanes),
                };
                self.push_vector(value);
            }
            Operator::I8x16Swizzle => self.vector_binary(I8X16, |ins, x, y| ins.swizzle(x, y)),

            Operator::I8x16Splat => self.splat(I8X16),
            Operator::I16x8Splat => self.splat(I16X8),
            Operator::I32x4Splat => self.splat(I32X4),
            Operator::I64x2Splat => self.splat(I64X2),
            Operator::F32x4Splat => self.splat(F32X4),
            Operator::F64x2Splat => self.splat(F64X2),

            Operator::I8x16ExtractLaneS { lane } => self.extract_narrow_lane(I8X16, lane, Signedness::Signed),
            Operator::I8x16ExtractLaneU { lane } => {
                self.extract_narrow_lane(I8X16, lane, Signedness::Unsigned);
            }
            Operator::I16x8ExtractLaneS { lane } => self.extract_narrow_lane(I16X8, lane, Signedness::Signed),
            Operator::I16x8ExtractLaneU { lane } => {
                self.extract_narrow_lane(I16X8, lane, Signedness::Unsigned);
            }
            Operator::I32x4ExtractLane { lane } => self.extract_lane(I32X4, lane),
            Operator::I64x2ExtractLane { lane } => self.extract_lane(I64X2, lane),
            Operator::F32x4ExtractLane { lane } => self.extract_lane(F32X4, lane),
            Operator::F64x2ExtractLane { lane } => self.extract_lane(F64X2, lane),

            Operator::I8x16ReplaceLane { lane } => self.replace_lane(I8X16, lane),
            Operator::I16x8ReplaceLane { lane } => self.replace_lane(I16X8, lane),
            Operator::I32x4ReplaceLane { lane } => self.replace_lane(I32X4, lane),
            Operator::I64x2ReplaceLane { lane } => self.replace_lane(I64X2, lane),
            Operator::F32x4ReplaceLane { lane } => self.replace_lane(F32X4, lane),
            Operator::F64x2ReplaceLane { lane } => self.replace_lane(F64X2, lane),
            _ => return false,
        }
        true
    }

    /// Pops a number as the contents of a lane of a vector of type `ty`: narrow lanes are `i32` on the stack.
    fn pop_lane(&mut self, ty: Type) -> Value {
        let value = self.pop();
        match ty.lane_type() {
            narrow @ (types::I8 | types::I16) => self.builder.ins().ireduce(narrow, value),
            _ => value,
        }
    }

    fn splat(&mut self, ty: Type) {
        let scalar = self.pop_lane(ty);
        let value = self.builder.ins().splat(ty, scalar);
        self.push_vector(value);
    }

    fn extract_lane(&mut self, ty: Type, lane: u8) {
        let vector = self.pop_vector(ty);
        let scalar = self.builder.ins().extractlane(vector, lane);
        self.push(scalar);
    }

    /// Extracts a lane that is narrower than any number on the stack.
    fn extract_narrow_lane(&mut self, ty: Type, lane: u8, signedness: Signedness) {
        let vector = self.pop_vector(ty);
        let scalar = self.builder.ins().extractlane(vector, lane);
        let scalar = match signedness {
            Signedness::Signed => self.builder.ins().sextend(types::I32, scalar),
            Signedness::Unsigned => self.builder.ins().uextend(types::I32, scalar),
        };
        self.push(scalar);
    }

    fn replace_lane(&mut self, ty: Type, lane: u8) {
        let scalar = self.pop_lane(ty);
        let vector = self.pop_vector(ty);
        let value = self.builder.ins().insertlane(vector, scalar, lane);
        self.push_vector(value);
    }
}

enum Signedness {
    Signed,
    Unsigned,
}
