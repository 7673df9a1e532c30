//! Calls and tail calls.

use super::function::FunctionTranslator;
use super::library;
use super::state::Callee;
use crate::error::Result;
use cranelift_codegen::ir::{InstBuilder, Value};
use wasmparser::Operator;

impl FunctionTranslator<'_, '_> {
    /// Translates an operator of this family; `false` if it is of another.
    pub(super) fn call_operator(&mut self, op: &Operator<'_>) -> Result<bool> {
        match *op {
            Operator::Call { function_index } => {
                let args = self.call_args(self.module.info.funcs[function_index as usize]);
                let callee = self.state.callee(&mut self.builder, function_index);
                self.call(callee, args);
            }
            Operator::CallIndirect { type_index, table_index } => {
                let index = self.pop();
                let args = self.call_args(type_index);
                self.count_target(table_index, index);
                let done = self.promote(index, type_index, &args);
                let callee = self.state.indirect_callee(&mut self.builder, table_index, type_index, index);
                self.call(callee, args);
                if let Some(done) = done {
                    self.join_promoted(done);
                }
            }
            Operator::ReturnCall { function_index } => {
                let args = self.call_args(self.module.info.funcs[function_index as usize]);
                let callee = self.state.callee(&mut self.builder, function_index);
                self.return_call(callee, args);
            }
            Operator::ReturnCallIndirect { type_index, table_index } => {
                let index = self.pop();
                let args = self.call_args(type_index);
                self.count_target(table_index, index);
                let callee = self.state.indirect_callee(&mut self.builder, table_index, type_index, index);
                self.return_call(callee, args);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Pops the arguments of a call of a type.
    fn call_args(&mut self, type_index: u32) -> Vec<Value> {
        let params = self.module.info.types[type_index as usize].params.len();
        self.pop_list(params)
    }

    pub(super) fn call(&mut self, callee: Callee, args: Vec<Value>) {
        let inst = match callee {
            Callee::Direct { func, vmctx } => {
                let inst = self.builder.ins().call(func, &with_vmctx(vmctx, args));
                self.count_call(inst);
                inst
            }
            Callee::Indirect { sig, code, vmctx } => {
                self.builder.ins().call_indirect(sig, code, &with_vmctx(vmctx, args))
            }
            Callee::Import { func, vmctx } => {
                let results = library::call_import(self.module, &mut self.builder, func, vmctx, &args);
                self.stack.extend(results);
                return;
            }
        };
        self.stack.extend_from_slice(self.builder.inst_results(inst));
    }

    fn return_call(&mut self, callee: Callee, args: Vec<Value>) {
        match callee {
            Callee::Direct { func, vmctx } => self.builder.ins().return_call(func, &with_vmctx(vmctx, args)),
            Callee::Indirect { sig, code, vmctx } => {
                self.builder.ins().return_call_indirect(sig, code, &with_vmctx(vmctx, args))
            }
            Callee::Import { func, vmctx } => {
                let results = library::call_import(self.module, &mut self.builder, func, vmctx, &args);
                self.builder.ins().return_(&results)
            }
        };
        self.end_reachable_code();
    }
}

fn with_vmctx(vmctx: Option<Value>, mut args: Vec<Value>) -> Vec<Value> {
    if let Some(vmctx) = vmctx {
        args.insert(0, vmctx);
    }
    args
}
