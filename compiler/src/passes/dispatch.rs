//! Gives each case of a switch in a loop its own jump to the next case.
//!
//! An interpreter is a loop around a `br_table`: all its steps go through one indirect jump, and how well the machine
//! predicts that one is a matter of history and placement (docs/speed.md). With a copy of the block that dispatches at
//! the end of each case, each has a jump of its own, and the jump to the start of the loop is gone. Compilers of C do
//! the same to computed `goto`s. Runs after Cranelift's optimiser, since the loop has no single start any more.

use super::ssa::{Copies, Edge, is_small, remove_unreachable, resolve_aliases};
use cranelift_codegen::ir::{Block, Function, InstructionData, Opcode, Value};
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::{CodegenResult, Context};
use std::collections::HashSet;

mod budget {
    /// Instructions that are copied at most, but for the branch.
    pub const BLOCK: usize = 16;
    /// The same of blocks that cases join in before they go to the dispatching one.
    pub const JOIN: usize = 6;
    /// What all copies of a function may have in instructions and table entries. Large interpreters lose more by the
    /// moves on so many edges than they gain (docs/speed.md).
    pub const GROWTH: usize = 1024;
    /// Targets that a switch has at least; smaller ones predict well.
    pub const TARGETS: usize = 4;
    /// CLIF instructions of a function, and blocks times copied values: what the repair may cost.
    pub const FUNCTION: usize = 200_000;
    pub const REPAIR: usize = 4_000_000;
    /// Switches of one function.
    pub const SWITCHES: usize = 8;
}

/// Copies the dispatching blocks of a function. The control-flow graph, the dominator tree and the loops of the context have to
/// be those of the function, and are so again.
///
/// # Errors
/// Of the verifier, if it is on.
pub(crate) fn thread_dispatch(context: &mut Context, isa: &dyn TargetIsa) -> CodegenResult<()> {
    if context.func.dfg.num_insts() > budget::FUNCTION {
        return Ok(());
    }
    let switches: Vec<Block> =
        context.func.layout.blocks().filter(|block| is_switch(&context.func, *block)).collect();
    if switches.is_empty() {
        return Ok(());
    }
    resolve_aliases(&mut context.func);
    let mut copies = Copies::default();
    let mut left = budget::GROWTH;
    let mut copied = 0;
    for switch in switches {
        if copied < budget::SWITCHES && copy_switch(context, switch, &mut copies, &mut left) {
            copied += 1;
        }
    }
    if copies.is_empty() {
        return Ok(());
    }
    remove_unreachable(context);
    copies.repair(&mut context.func, &context.cfg);
    context.flowgraph();
    context.compute_loop_analysis();
    context.remove_constant_phis(isa)?;
    resolve_aliases(&mut context.func);
    Ok(())
}

/// Whether a block does little but dispatch.
fn is_switch(function: &Function, block: Block) -> bool {
    let last = function.layout.last_inst(block).map(|last| function.dfg.insts[last]);
    let Some(InstructionData::BranchTable { arg, .. }) = last else { return false };
    table(function, block).1.len() >= budget::TARGETS
        && is_small(function, block, budget::BLOCK)
        && is_loaded(function, block, arg)
}

/// Length of the table that a block ends with, and its targets.
fn table(function: &Function, block: Block) -> (usize, HashSet<Block>) {
    match function.layout.last_inst(block).map(|last| function.dfg.insts[last]) {
        Some(InstructionData::BranchTable { table, .. }) => {
            let calls = function.dfg.jump_tables[table].all_branches();
            (calls.len(), calls.iter().map(|call| call.block(&function.dfg.value_lists)).collect())
        }
        _ => (0, HashSet::new()),
    }
}

/// Whether a value comes from a load in the block: the switch goes by what it reads, as interpreters do. Where the cases
/// set it, there are few ways from one to the other, and often a program counter of coroutines that seldom changes.
fn is_loaded(function: &Function, block: Block, value: Value) -> bool {
    let mut queue = vec![value];
    let mut seen = HashSet::new();
    while let Some(value) = queue.pop() {
        let Some(inst) = function.dfg.value_def(value).inst() else { continue };
        if function.layout.inst_block(inst) != Some(block) || !seen.insert(inst) {
            continue;
        }
        if function.dfg.insts[inst].opcode().can_load() {
            return true;
        }
        queue.extend(function.dfg.inst_values(inst));
    }
    false
}

/// Copies a switch to the ends of the blocks of its loop, if these are many, and there is room.
fn copy_switch(context: &mut Context, switch: Block, copies: &mut Copies, left: &mut usize) -> bool {
    let joins = joins(context, switch);
    let mut jumps = edges(context, switch).len();
    for join in &joins {
        jumps += edges(context, *join).len() - 1;
    }
    let (entries, targets) = table(&context.func, switch);
    // In an interpreter most cases come back here.
    if jumps * 2 < targets.len() {
        return false;
    }
    let insts = context.func.layout.block_insts(switch).count();
    let size = insts + entries;
    let params = context.func.dfg.block_params(switch).len() + insts;
    let blocks = context.func.dfg.num_blocks() + jumps;
    let growth = jumps * (size + budget::JOIN + 1);
    if (copies.len() + params).saturating_mul(blocks) > budget::REPAIR || *left < growth {
        return false;
    }
    *left -= growth;
    for block in joins.into_iter().chain([switch]) {
        for edge in edges(context, block) {
            copies.split(&mut context.func, edge, None);
        }
        context.flowgraph();
    }
    true
}

/// Small blocks of the loop in which several ways join and go on to the switch; those that lead to others come first.
fn joins(context: &Context, switch: Block) -> Vec<Block> {
    const DEPTH: usize = 3;
    let mut joins = Vec::new();
    let mut ends = vec![switch];
    for _ in 0..DEPTH {
        let mut next = Vec::new();
        for end in ends {
            for edge in context.cfg.pred_iter(end) {
                let function = &context.func;
                let is_join = function.dfg.insts[edge.inst].opcode() == Opcode::Jump
                    && edge.block != switch
                    && !joins.contains(&edge.block)
                    && context.domtree.block_dominates(switch, edge.block)
                    && edges(context, edge.block).len() > 1
                    && is_small(function, edge.block, budget::JOIN);
                if is_join {
                    joins.push(edge.block);
                    next.push(edge.block);
                }
            }
        }
        ends = next;
    }
    joins.reverse();
    joins
}

/// The jumps and conditional branches to a block from inside of its loop; of a block that no loop starts at, all.
fn edges(context: &Context, block: Block) -> Vec<Edge> {
    let is_inside = |from: Block| context.domtree.block_dominates(block, from);
    let starts_loop = context.cfg.pred_iter(block).any(|edge| is_inside(edge.block));
    let preds = context.cfg.pred_iter(block).map(|edge| edge.block);
    let mut preds: Vec<Block> = preds.filter(|from| !starts_loop || is_inside(*from)).collect();
    preds.sort_unstable();
    preds.dedup();
    let edges = preds.into_iter().flat_map(|from| Edge::out_of(&context.func, from));
    edges.filter(|edge| edge.to(&context.func) == block).collect()
}

#[cfg(test)]
mod tests {
    use super::thread_dispatch;
    use crate::target::Target;
    use cranelift_codegen::Context;
    use cranelift_codegen::ir::{
        AbiParam, Block, BlockArg, Function, InstBuilder, JumpTableData, MemFlagsData, Opcode, Signature,
        Value, types,
    };
    use cranelift_codegen::isa::CallConv;
    use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};

    /// An interpreter: a loop around a switch over `cases` operations. Two of them join before they go on, each uses
    /// what the switch computed, and so does the end.
    fn interpreter(cases: u32) -> Function {
        let mut function = Function::new();
        function.signature = Signature::new(CallConv::Tail);
        function.signature.params.push(AbiParam::new(types::I64));
        function.signature.returns.push(AbiParam::new(types::I64));
        let mut context = FunctionBuilderContext::new();
        let mut builder = FunctionBuilder::new(&mut function, &mut context);
        let (entry, header, join, end) =
            (builder.create_block(), builder.create_block(), builder.create_block(), builder.create_block());
        builder.append_block_params_for_function_params(entry);
        for block in [header, join] {
            builder.append_block_param(block, types::I64);
            builder.append_block_param(block, types::I64);
        }
        builder.switch_to_block(entry);
        let start = builder.block_params(entry)[0];
        let jump = |builder: &mut FunctionBuilder<'_>, block: Block, args: [Value; 2]| {
            builder.ins().jump(block, &args.map(BlockArg::from));
        };
        let zero = builder.ins().iconst(types::I64, 0);
        jump(&mut builder, header, [start, zero]);

        builder.switch_to_block(header);
        let [at, sum] = *builder.block_params(header) else { unreachable!() };
        let code = builder.ins().load(types::I32, MemFlagsData::trusted(), at, 0);
        let next = builder.ins().iadd_imm_s(at, 4);
        let blocks: Vec<Block> = (0..cases).map(|_| builder.create_block()).collect();
        let calls: Vec<_> = blocks.iter().map(|block| builder.func.dfg.block_call(*block, &[])).collect();
        let default = builder.func.dfg.block_call(end, &[]);
        let table = builder.create_jump_table(JumpTableData::new(default, &calls));
        builder.ins().br_table(code, table);
        for (case, block) in blocks.into_iter().enumerate() {
            builder.switch_to_block(block);
            let changed = builder.ins().iadd_imm_s(sum, case as i64 + 1);
            jump(&mut builder, if case < 2 { join } else { header }, [next, changed]);
        }
        builder.switch_to_block(join);
        let [joined, changed] = *builder.block_params(join) else { unreachable!() };
        let further = builder.ins().iadd_imm_s(joined, 4);
        jump(&mut builder, header, [further, changed]);
        builder.switch_to_block(end);
        let result = builder.ins().imul(sum, next);
        builder.ins().return_(&[result]);
        builder.seal_all_blocks();
        let isa = Target::host().unwrap().isa(|_| ()).unwrap();
        builder.finalize(isa.frontend_config());
        function
    }

    /// Runs the pass between two calls of the verifier; the number of dispatching blocks, and of jumps to one from a
    /// block that only jumps.
    fn threaded(function: Function) -> (Context, usize) {
        let isa = Target::host().unwrap().isa(|_| ()).unwrap();
        let mut context = Context::for_function(function);
        context.flowgraph();
        context.verify(&*isa).unwrap();
        thread_dispatch(&mut context, &*isa).unwrap();
        context.verify(&*isa).unwrap();
        let function = &context.func;
        let last = |block| function.dfg.insts[function.layout.last_inst(block).unwrap()].opcode();
        let switches = function.layout.blocks().filter(|block| last(*block) == Opcode::BrTable).count();
        (context, switches)
    }

    #[test]
    fn each_case_dispatches() {
        let (context, switches) = threaded(interpreter(6));
        // One for each case, and the first.
        assert_eq!(switches, 7);
        // No case goes back: what dispatches comes after one block each.
        for block in context.func.layout.blocks() {
            let last = context.func.layout.last_inst(block).unwrap();
            if context.func.dfg.insts[last].opcode() == Opcode::BrTable {
                assert_eq!(context.cfg.pred_iter(block).count(), 1, "{}", context.func.display());
            }
        }
    }

    #[test]
    fn what_is_large_or_no_switch_stays() {
        assert_eq!(threaded(interpreter(200)).1, 1);
        assert_eq!(threaded(interpreter(2)).1, 1);
        let mut straight = Function::new();
        straight.signature = Signature::new(CallConv::Tail);
        let mut context = FunctionBuilderContext::new();
        let mut builder = FunctionBuilder::new(&mut straight, &mut context);
        let entry = builder.create_block();
        builder.switch_to_block(entry);
        builder.ins().return_(&[]);
        builder.seal_all_blocks();
        builder.finalize(Target::host().unwrap().isa(|_| ()).unwrap().frontend_config());
        assert_eq!(threaded(straight).1, 0);
    }
}
