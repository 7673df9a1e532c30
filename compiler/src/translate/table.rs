//! Table instructions.

use super::bounds;
use super::function::FunctionTranslator;
use crate::error::Result;
use aot_abi::libcall::Libcall;
use aot_abi::trap::TrapCode;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use wasmparser::Operator;

impl FunctionTranslator<'_, '_> {
    /// Translates an operator of this family; `false` if it is of another.
    pub(super) fn table_operator(&mut self, op: &Operator<'_>) -> Result<bool> {
        match *op {
            Operator::TableGet { table } => {
                let index = self.pop();
                let address = self.table_element(table, index);
                let flags = self.state.table_flags(&mut self.builder);
                let value = self.builder.ins().load(self.pointer, flags, address, 0);
                self.push(value);
            }
            Operator::TableSet { table } => {
                let [index, value] = self.pop_n();
                let address = self.table_element(table, index);
                let flags = self.state.table_flags(&mut self.builder);
                self.builder.ins().store(flags, value, address, 0);
            }
            Operator::TableSize { table } => {
                let len = self.state.table_len(&mut self.builder, table);
                let len = self.pointer_to_i32(len);
                self.push(len);
            }
            Operator::TableGrow { table } => {
                let [value, delta] = self.pop_n();
                let delta = self.widen(delta);
                let table = self.i32_const(table);
                let old = self.libcall(Libcall::TableGrow, &[table, delta, value]);
                let old = self.builder.ins().ireduce(types::I32, old);
                self.push(old);
            }
            Operator::TableFill { table } => {
                let [start, value, len] = self.pop_n();
                let (start, len) = (self.widen(start), self.widen(len));
                let table = self.i32_const(table);
                let status = self.libcall(Libcall::TableFill, &[table, start, value, len]);
                self.trap_if(status, TrapCode::TableOutOfBounds);
            }
            Operator::TableCopy { dst_table, src_table } => {
                let [dst, src, len] = self.pop_n();
                let (dst, src, len) = (self.widen(dst), self.widen(src), self.widen(len));
                let (dst_table, src_table) = (self.i32_const(dst_table), self.i32_const(src_table));
                let status = self.libcall(Libcall::TableCopy, &[dst_table, src_table, dst, src, len]);
                self.trap_if(status, TrapCode::TableOutOfBounds);
            }
            Operator::TableInit { elem_index, table } => {
                let [dst, src, len] = self.pop_n();
                let dst = self.widen(dst);
                let (table, segment) = (self.i32_const(table), self.i32_const(elem_index));
                let status = self.libcall(Libcall::TableInit, &[table, segment, dst, src, len]);
                self.trap_if(status, TrapCode::TableOutOfBounds);
            }
            Operator::ElemDrop { elem_index } => {
                let segment = self.i32_const(elem_index);
                self.state.libcall(&mut self.builder, Libcall::ElemDrop, &[segment]);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn table_element(&mut self, table: u32, index: Value) -> Value {
        let code = TrapCode::TableOutOfBounds;
        bounds::table_element(self.state.as_mut(), &mut self.builder, table, index, code, self.module)
    }

    fn widen(&mut self, value: Value) -> Value {
        self.builder.ins().uextend(types::I64, value)
    }
}
