//! Loads, stores, and the instructions on whole memories.

use super::bounds;
use super::function::FunctionTranslator;
use crate::error::Result;
use aot_abi::libcall::Libcall;
use aot_abi::trap::TrapCode;
use cranelift_codegen::ir::{InstBuilder, Opcode, Type, Value, types};
use wasmparser::{MemArg, MemArgTarget, Operator};

impl FunctionTranslator<'_, '_> {
    /// Translates an operator of this family; `false` if it is of another.
    pub(super) fn memory_operator(&mut self, op: &Operator<'_>) -> Result<bool> {
        use types::{F32, F64, I8, I16, I32, I64};
        match *op {
            Operator::I32Load { memarg } => self.load(memarg, I32),
            Operator::I64Load { memarg } => self.load(memarg, I64),
            Operator::F32Load { memarg } => self.load(memarg, F32),
            Operator::F64Load { memarg } => self.load(memarg, F64),
            Operator::I32Load8S { memarg } => self.load_extend(memarg, Opcode::Sload8, I32),
            Operator::I32Load8U { memarg } => self.load_extend(memarg, Opcode::Uload8, I32),
            Operator::I32Load16S { memarg } => self.load_extend(memarg, Opcode::Sload16, I32),
            Operator::I32Load16U { memarg } => self.load_extend(memarg, Opcode::Uload16, I32),
            Operator::I64Load8S { memarg } => self.load_extend(memarg, Opcode::Sload8, I64),
            Operator::I64Load8U { memarg } => self.load_extend(memarg, Opcode::Uload8, I64),
            Operator::I64Load16S { memarg } => self.load_extend(memarg, Opcode::Sload16, I64),
            Operator::I64Load16U { memarg } => self.load_extend(memarg, Opcode::Uload16, I64),
            Operator::I64Load32S { memarg } => self.load_extend(memarg, Opcode::Sload32, I64),
            Operator::I64Load32U { memarg } => self.load_extend(memarg, Opcode::Uload32, I64),
            Operator::I32Store { memarg }
            | Operator::I64Store { memarg }
            | Operator::F32Store { memarg }
            | Operator::F64Store { memarg } => {
                let value = self.pop();
                self.store(memarg, value);
            }
            Operator::I32Store8 { memarg } | Operator::I64Store8 { memarg } => self.store_narrow(memarg, I8),
            Operator::I32Store16 { memarg } | Operator::I64Store16 { memarg } => {
                self.store_narrow(memarg, I16)
            }
            Operator::I64Store32 { memarg } => self.store_narrow(memarg, I32),
            Operator::MemorySize { mem } => {
                let len = self.state.memory_len(&mut self.builder, mem);
                let pages = self.builder.ins().ushr_imm_u(len, 16);
                let pages = self.pointer_to_i32(pages);
                self.push(pages);
            }
            Operator::MemoryGrow { mem } => {
                let delta = self.pop();
                let delta = self.builder.ins().uextend(I64, delta);
                let index = self.i32_const(mem);
                let old = self.libcall(Libcall::MemoryGrow, &[index, delta]);
                let old = self.builder.ins().ireduce(I32, old);
                self.push(old);
            }
            Operator::MemoryCopy { dst_mem, src_mem } => {
                let [dst, src, len] = self.pop_n();
                let (src, _) = self.memory_range(src_mem, src, len);
                let (dst, len) = self.memory_range(dst_mem, dst, len);
                self.state.libcall(&mut self.builder, Libcall::MemoryCopy, &[dst, src, len]);
            }
            Operator::MemoryFill { mem } => {
                let [dst, byte, len] = self.pop_n();
                let (dst, len) = self.memory_range(mem, dst, len);
                self.state.libcall(&mut self.builder, Libcall::MemoryFill, &[dst, byte, len]);
            }
            Operator::MemoryInit { data_index, mem } => {
                let [dst, src, len] = self.pop_n();
                let dst = self.builder.ins().uextend(I64, dst);
                let (mem, segment) = (self.i32_const(mem), self.i32_const(data_index));
                let status = self.libcall(Libcall::MemoryInit, &[mem, segment, dst, src, len]);
                self.trap_if(status, TrapCode::MemoryOutOfBounds);
            }
            Operator::DataDrop { data_index } => {
                let segment = self.i32_const(data_index);
                self.state.libcall(&mut self.builder, Libcall::DataDrop, &[segment]);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Pops the index of an access and finds its place.
    pub(super) fn access(&mut self, memarg: MemArg, size: u32) -> super::state::Place {
        let MemArgTarget::Memory(memory) = memarg.target else {
            unreachable!("validated: accesses to GC arrays are not enabled");
        };
        let index = self.pop();
        let state = self.state.as_mut();
        bounds::memory_access(state, &mut self.builder, self.module, memory, index, memarg.offset, size)
    }

    fn memory_range(&mut self, memory: u32, start: Value, len: Value) -> (Value, Value) {
        bounds::memory_range(self.state.as_mut(), &mut self.builder, self.module, memory, start, len)
    }

    fn load(&mut self, memarg: MemArg, ty: Type) {
        let place = self.access(memarg, ty.bytes());
        let value = self.builder.ins().load(ty, place.flags, place.base, place.offset);
        self.push(value);
    }

    fn load_extend(&mut self, memarg: MemArg, opcode: Opcode, ty: Type) {
        let size = match opcode {
            Opcode::Sload8 | Opcode::Uload8 => 1,
            Opcode::Sload16 | Opcode::Uload16 => 2,
            _ => 4,
        };
        let place = self.access(memarg, size);
        let (flags, base, offset) = (place.flags, place.base, place.offset);
        let ins = self.builder.ins();
        let value = match opcode {
            Opcode::Sload8 => ins.sload8(ty, flags, base, offset),
            Opcode::Uload8 => ins.uload8(ty, flags, base, offset),
            Opcode::Sload16 => ins.sload16(ty, flags, base, offset),
            Opcode::Uload16 => ins.uload16(ty, flags, base, offset),
            Opcode::Sload32 => ins.sload32(flags, base, offset),
            _ => ins.uload32(flags, base, offset),
        };
        self.push(value);
    }

    /// Stores a value at the index on the stack.
    pub(super) fn store(&mut self, memarg: MemArg, value: Value) {
        let size = self.builder.func.dfg.value_type(value).bytes();
        let place = self.access(memarg, size);
        self.builder.ins().store(place.flags, value, place.base, place.offset);
    }

    fn store_narrow(&mut self, memarg: MemArg, ty: Type) {
        let value = self.pop();
        let place = self.access(memarg, ty.bytes());
        let (flags, base, offset) = (place.flags, place.base, place.offset);
        match ty {
            types::I8 => self.builder.ins().istore8(flags, value, base, offset),
            types::I16 => self.builder.ins().istore16(flags, value, base, offset),
            _ => self.builder.ins().istore32(flags, value, base, offset),
        };
    }
}
