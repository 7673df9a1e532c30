//! References, globals, locals, and the instructions that only move values.

use super::function::FunctionTranslator;
use super::types::clif_type_of;
use crate::error::Result;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, types};
use wasmparser::Operator;

impl FunctionTranslator<'_, '_> {
    /// Translates an operator of this family; `false` if it is of another.
    pub(super) fn variable_operator(&mut self, op: &Operator<'_>) -> Result<bool> {
        match *op {
            Operator::Nop => {}
            Operator::Drop => {
                self.pop();
            }
            Operator::Select | Operator::TypedSelect { .. } => {
                let condition = self.pop_condition();
                let [first, second] = self.pop_n();
                let (if_true, if_false) = condition.order(first, second);
                let value = self.builder.ins().select(condition.value, if_true, if_false);
                self.push(value);
            }
            Operator::LocalGet { local_index } => {
                let value = self.local(local_index);
                self.push(value);
            }
            Operator::LocalSet { local_index } => {
                let value = self.pop();
                self.set_local(local_index, value);
            }
            Operator::LocalTee { local_index } => {
                let value = self.pop();
                self.set_local(local_index, value);
                self.push(value);
            }
            Operator::GlobalGet { global_index } => {
                let place = self.state.global(&mut self.builder, global_index);
                let ty = self.module.info.globals[global_index as usize].ty.content;
                let ty = super::types::clif_type(ty, self.pointer);
                let value = self.builder.ins().load(ty, place.flags, place.base, place.offset);
                self.push(value);
            }
            Operator::GlobalSet { global_index } => {
                let value = self.pop();
                let place = self.state.global(&mut self.builder, global_index);
                self.builder.ins().store(place.flags, value, place.base, place.offset);
            }
            Operator::RefNull { hty } => {
                let ty = wasmparser::RefType::new(true, hty).map(wasmparser::ValType::Ref);
                let ty = ty.map_or(Ok(self.pointer), |ty| clif_type_of(ty, self.pointer))?;
                let null = self.builder.ins().iconst(ty, 0);
                self.push(null);
            }
            Operator::RefIsNull => {
                let value = self.pop();
                let is_null = self.builder.ins().icmp_imm_u(IntCC::Equal, value, 0);
                let is_null = self.builder.ins().uextend(types::I32, is_null);
                self.push(is_null);
            }
            Operator::RefFunc { function_index } => {
                let value = self.state.func_ref(&mut self.builder, function_index);
                self.push(value);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}
