//! Puts the body of a small function in place of the one call of it in a trampoline.

use super::call_graph;
use super::location::{Located, Locations};
use crate::error::{Error, Result};
use cranelift_codegen::Context;
use cranelift_codegen::inline::{Inline, InlineCommand};
use cranelift_codegen::ir::{Block, FuncRef, Function, Inst, Opcode, SourceLoc, Value};
use std::borrow::Cow;
use std::ops::Range;

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

/// Inlines `leaf`, which is the function `func` of the module, where `function` calls it. `range` is where its body is in the
/// wasm file; the start of it is the location of the call. `imported` functions have the lowest indices.
///
/// # Errors
/// If Cranelift's inliner refuses.
pub(crate) fn inline_leaf(
    function: Function,
    func: u32,
    imported: u32,
    leaf: &Function,
    range: &Range<u64>,
) -> Result<Located> {
    let mut context = Context::for_function(function);
    let mut inliner = Leaf { func, imported, body: leaf, blocks: None };
    let result = context.inline(&mut inliner);
    result.map_err(|error| Error::internal(format!("inlining failed: {error}")))?;
    let blocks = inliner.blocks;
    let mut function = context.func;
    let mut locations = Locations::new(&(range.start..range.start + 1));
    let call = SourceLoc::new(u32::try_from(range.start).unwrap_or(!0));
    let moved = locations.add(func - imported, &Locations::new(range), call, false);
    for block in leaf.layout.blocks() {
        let (Some(before), Some(moved)) = (blocks, moved) else { break };
        // The same instructions, in the same order.
        let mut next = function.layout.first_inst(Block::from_u32(before + block.as_u32()));
        for original in leaf.layout.block_insts(block) {
            let Some(inst) = next else { break };
            let location = leaf.srcloc(original);
            function.set_srcloc(inst, if location.is_default() { call } else { moved.location(location) });
            next = function.layout.next_inst(inst);
        }
    }
    Ok(Located { function, locations })
}

struct Leaf<'l> {
    func: u32,
    imported: u32,
    body: &'l Function,
    /// Blocks that the caller had: those of the leaf come after them.
    blocks: Option<u32>,
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
        // The trampoline has one call of it.
        if call_graph::callee(caller, callee, self.imported) != self.func.checked_sub(self.imported)
            || self.blocks.is_some()
        {
            return InlineCommand::KeepCall;
        }
        self.blocks = Some(caller.dfg.num_blocks() as u32);
        InlineCommand::Inline { callee: Cow::Borrowed(self.body), visit_callee: false }
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
