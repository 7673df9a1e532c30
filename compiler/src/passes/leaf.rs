//! Puts the body of a small function in place of the one call of it in a trampoline.

use super::call_graph;
use crate::error::{Error, Result};
use cranelift_codegen::Context;
use cranelift_codegen::inline::{Inline, InlineCommand};
use cranelift_codegen::ir::{FuncRef, Function, Inst, Opcode, Value};
use std::borrow::Cow;

/// CLIF instructions of the largest leaf.
const MOST: usize = 50;

/// Whether a function is small, calls nothing, and cannot trap: it needs no frame that a trap could be found in.
pub(crate) fn is_leaf(function: &Function) -> bool {
    let dfg = &function.dfg;
    let mut count = 0;
    function.layout.blocks().all(|block| {
        function.layout.block_insts(block).all(|inst| {
            let data = &dfg.insts[inst];
            let opcode = data.opcode();
            let may_fault = data.memflags_data(dfg).is_some_and(|flags| !flags.notrap());
            count += 1;
            count <= MOST && !opcode.is_call() && !opcode.can_trap() && !may_fault
        })
    })
}

/// Inlines `leaf`, which is the defined function `func` of the module, wherever `function` calls it.
///
/// # Errors
/// If Cranelift's inliner refuses.
pub(crate) fn inline_leaf(function: Function, func: u32, leaf: &Function) -> Result<Function> {
    let mut context = Context::for_function(function);
    let result = context.inline(Leaf { func, body: leaf });
    result.map_err(|error| Error::internal(format!("inlining failed: {error}")))?;
    Ok(context.func)
}

struct Leaf<'l> {
    func: u32,
    body: &'l Function,
}

impl Inline for Leaf<'_> {
    fn inline(
        &mut self,
        caller: &Function,
        _call: Inst,
        _opcode: Opcode,
        callee: FuncRef,
        _args: &[Value],
    ) -> InlineCommand<'_> {
        match call_graph::callee(caller, callee, 0) == Some(self.func) {
            true => InlineCommand::Inline { callee: Cow::Borrowed(self.body), visit_callee: false },
            false => InlineCommand::KeepCall,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_leaf;
    use cranelift_codegen::ir::Function;

    fn function(body: &str) -> Function {
        let text = format!("function %f(i64, i32) -> i32 tail {{\n{body}\n}}");
        cranelift_reader::parse_functions(&text).unwrap().remove(0)
    }

    #[test]
    fn what_may_trap_or_calls_is_no_leaf() {
        let leaf = |body: &str| is_leaf(&function(body));
        let entry = "block0(v0: i64, v1: i32):";
        assert!(leaf(&format!("{entry} v2 = iadd v1, v1\n return v2")));
        assert!(leaf(&format!("{entry} v2 = load.i32 notrap aligned v0+8\n return v2")));
        assert!(!leaf(&format!("{entry} v2 = load.i32 little v0+8\n return v2")));
        assert!(!leaf(&format!("{entry} store little v1, v0+8\n return v1")));
        assert!(!leaf(&format!("{entry} v2 = udiv v1, v1\n return v2")));
        assert!(!leaf(&format!("{entry} trapnz v1, user1\n return v1")));
        assert!(!leaf(&format!("fn0 = %g() tail\n{entry} call fn0()\n return v1")));
    }

    #[test]
    fn what_is_large_is_no_leaf() {
        let mut body = String::from("block0(v0: i64, v1: i32):\n");
        for value in 2..60 {
            body += &format!("v{value} = iadd v1, v{}\n", value - 1);
        }
        assert!(!is_leaf(&function(&format!("{body} return v59"))));
    }
}
