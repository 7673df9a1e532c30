//! The vector instructions, by what they do to lanes.
//!
//! On the operand stack a `v128` is always an `i8x16`. Every instruction takes its operands in the lane type it wants
//! and gives its result back in the lane type it has; [`FunctionTranslator::pop_vector`] and
//! [`FunctionTranslator::push_vector`] do the casts.

mod float;
mod integer;
mod lanes;
mod logic;
mod memory;
mod relaxed;
mod shuffle;
mod widths;

use super::function::FunctionTranslator;
use crate::error::Result;
use cranelift_codegen::ir::{
    Endianness, InstBuilder, InstructionData, MemFlagsData, Opcode, Type, Value, ValueDef, types,
};
use cranelift_frontend::FuncInstBuilder;
use wasmparser::Operator;

/// What instructions are emitted with.
type Ins<'s, 'f> = FuncInstBuilder<'s, 'f>;

impl FunctionTranslator<'_, '_> {
    /// Translates an operator of this family; `false` if it is of another.
    pub(super) fn simd_operator(&mut self, op: &Operator<'_>) -> Result<bool> {
        Ok(self.vector_memory_operator(op)
            || self.lane_operator(op)
            || self.vector_logic_operator(op)
            || self.vector_integer_operator(op)
            || self.vector_float_operator(op)
            || self.vector_width_operator(op)
            || self.relaxed_operator(op))
    }

    /// Pops a vector as lanes of `ty`.
    fn pop_vector(&mut self, ty: Type) -> Value {
        let value = self.pop();
        self.cast_vector(ty, value)
    }

    /// Pops `N` vectors as lanes of `ty`; the one that was pushed last comes last.
    fn pop_vectors<const N: usize>(&mut self, ty: Type) -> [Value; N] {
        let values = self.pop_n();
        values.map(|value| self.cast_vector(ty, value))
    }

    fn push_vector(&mut self, value: Value) {
        let value = self.cast_vector(types::I8X16, value);
        self.push(value);
    }

    /// The same 128 bits as lanes of another type.
    fn cast_vector(&mut self, ty: Type, value: Value) -> Value {
        let dfg = &self.builder.func.dfg;
        if dfg.value_type(value) == ty {
            return value;
        }
        // Most vectors come from an instruction on the same lanes: take back the cast to `i8x16`.
        if let ValueDef::Result(inst, 0) = dfg.value_def(value)
            && let InstructionData::LoadNoOffset { opcode: Opcode::Bitcast, arg, .. } = dfg.insts[inst]
            && dfg.value_type(arg) == ty
        {
            return arg;
        }
        // Lane 0 is at the lowest address of a vector in memory, whatever the byte order of the machine.
        let flags = MemFlagsData::new().with_endianness(Endianness::Little);
        self.builder.ins().bitcast(ty, flags, value)
    }

    fn vector_unary(&mut self, ty: Type, emit: impl FnOnce(Ins<'_, '_>, Value) -> Value) {
        let x = self.pop_vector(ty);
        let value = emit(self.builder.ins(), x);
        self.push_vector(value);
    }

    fn vector_binary(&mut self, ty: Type, emit: impl FnOnce(Ins<'_, '_>, Value, Value) -> Value) {
        let [x, y] = self.pop_vectors(ty);
        let value = emit(self.builder.ins(), x, y);
        self.push_vector(value);
    }
}
