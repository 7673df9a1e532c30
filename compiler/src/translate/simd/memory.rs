//! Loads and stores of vectors and of single lanes.

use super::super::function::FunctionTranslator;
use super::super::state::Place;
use super::Ins;
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};
use wasmparser::{MemArg, Operator};

impl FunctionTranslator<'_, '_> {
    /// Translates an operator of this family; `false` if it is of another.
    pub(super) fn vector_memory_operator(&mut self, op: &Operator<'_>) -> bool {
        use types::{I8X16, I16X8, I32X4, I64X2};
        match *op {
            Operator::V128Load { memarg } => {
                let place = self.access(memarg, I8X16.bytes());
                let value = self.builder.ins().load(I8X16, place.flags, place.base, place.offset);
                self.push_vector(value);
            }
            Operator::V128Store { memarg } => {
                let value = self.pop();
                self.store(memarg, value);
            }
            Operator::V128Load8x8S { memarg } => {
                self.load_extended(memarg, |ins, at| ins.sload8x8(at.flags, at.base, at.offset));
            }
            Operator::V128Load8x8U { memarg } => {
                self.load_extended(memarg, |ins, at| ins.uload8x8(at.flags, at.base, at.offset));
            }
            Operator::V128Load16x4S { memarg } => {
                self.load_extended(memarg, |ins, at| ins.sload16x4(at.flags, at.base, at.offset));
            }
            Operator::V128Load16x4U { memarg } => {
                self.load_extended(memarg, |ins, at| ins.uload16x4(at.flags, at.base, at.offset));
            }
            Operator::V128Load32x2S { memarg } => {
                self.load_extended(memarg, |ins, at| ins.sload32x2(at.flags, at.base, at.offset));
            }
            Operator::V128Load32x2U { memarg } => {
                self.load_extended(memarg, |ins, at| ins.uload32x2(at.flags, at.base, at.offset));
            }
            Operator::V128Load8Splat { memarg } => self.load_splat(memarg, I8X16),
            Operator::V128Load16Splat { memarg } => self.load_splat(memarg, I16X8),
            Operator::V128Load32Splat { memarg } => self.load_splat(memarg, I32X4),
            Operator::V128Load64Splat { memarg } => self.load_splat(memarg, I64X2),
            Operator::V128Load32Zero { memarg } => self.load_zero(memarg, I32X4),
            Operator::V128Load64Zero { memarg } => self.load_zero(memarg, I64X2),
            Operator::V128Load8Lane { memarg, lane } => self.load_lane(memarg, I8X16, lane),
            Operator::V128Load16Lane { memarg, lane } => self.load_lane(memarg, I16X8, lane),
            Operator::V128Load32Lane { memarg, lane } => self.load_lane(memarg, I32X4, lane),
            Operator::V128Load64Lane { memarg, lane } => self.load_lane(memarg, I64X2, lane),
            Operator::V128Store8Lane { memarg, lane } => self.store_lane(memarg, I8X16, lane),
            Operator::V128Store16Lane { memarg, lane } => self.store_lane(memarg, I16X8, lane),
            Operator::V128Store32Lane { memarg, lane } => self.store_lane(memarg, I32X4, lane),
            Operator::V128Store64Lane { memarg, lane } => self.store_lane(memarg, I64X2, lane),
            _ => return false,
        }
        true
    }

    /// Loads 64 bits whose lanes become twice as wide.
    fn load_extended(&mut self, memarg: MemArg, emit: impl FnOnce(Ins<'_, '_>, Place) -> Value) {
        let place = self.access(memarg, types::I64.bytes());
        let value = emit(self.builder.ins(), place);
        self.push_vector(value);
    }

    /// Loads one lane of a vector of type `ty`.
    fn load_scalar(&mut self, memarg: MemArg, ty: Type) -> Value {
        let lane = ty.lane_type();
        let place = self.access(memarg, lane.bytes());
        self.builder.ins().load(lane, place.flags, place.base, place.offset)
    }

    fn load_splat(&mut self, memarg: MemArg, ty: Type) {
        let scalar = self.load_scalar(memarg, ty);
        let value = self.builder.ins().splat(ty, scalar);
        self.push_vector(value);
    }

    /// Loads lane 0; the other lanes are zero.
    fn load_zero(&mut self, memarg: MemArg, ty: Type) {
        let scalar = self.load_scalar(memarg, ty);
        let value = self.builder.ins().scalar_to_vector(ty, scalar);
        self.push_vector(value);
    }

    fn load_lane(&mut self, memarg: MemArg, ty: Type, lane: u8) {
        let vector = self.pop_vector(ty);
        let scalar = self.load_scalar(memarg, ty);
        let value = self.builder.ins().insertlane(vector, scalar, lane);
        self.push_vector(value);
    }

    fn store_lane(&mut self, memarg: MemArg, ty: Type, lane: u8) {
        let vector = self.pop_vector(ty);
        let scalar = self.builder.ins().extractlane(vector, lane);
        self.store(memarg, scalar);
    }
}
