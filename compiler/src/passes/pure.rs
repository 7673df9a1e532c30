//! Instructions that only compute a value, and can do so in another block.

use super::ssa;
use cranelift_codegen::dominator_tree::DominatorTree;
use cranelift_codegen::ir::function::FunctionStencil;
use cranelift_codegen::ir::{Block, DataFlowGraph, Function, Inst, InstructionData, Value};
use smallvec::SmallVec;

/// Whether an instruction only computes a value from values, which are no list.
pub(super) fn is_pure(dfg: &DataFlowGraph, inst: Inst) -> bool {
    let data = &dfg.insts[inst];
    let is_list = matches!(data, InstructionData::MultiAry { .. });
    !ssa::has_effect(data.opcode()) && !is_list && dfg.inst_results(inst).len() == 1
}

/// Moves the first of some pure instructions that compute the same to the end of a block that dominates them, and lets its
/// result stand for those of the others. Not if the block can't have what it takes. Constants are made there again.
pub(super) fn move_up(function: &mut Function, domtree: &DominatorTree, to: Block, places: &[Inst]) -> bool {
    let inst = places[0];
    let args: SmallVec<[Value; 4]> =
        function.dfg.inst_args(inst).iter().map(|arg| function.dfg.resolve_aliases(*arg)).collect();
    let is_there =
        |value: &Value| ssa::home(function, *value).is_some_and(|home| domtree.block_dominates(home, to));
    let missing = || args.iter().filter(|arg| !is_there(arg));
    let constants: Option<SmallVec<[Inst; 4]>> = missing()
        .map(|arg| {
            let inst = function.dfg.value_def(*arg).inst()?;
            ssa::is_constant(function.dfg.insts[inst].opcode()).then_some(inst)
        })
        .collect();
    let Some(constants) = constants else { return false };
    let missing: SmallVec<[Value; 4]> = missing().copied().collect();
    let Some(end) = function.layout.last_inst(to) else { return false };
    function.layout.remove_inst(inst);
    function.dfg.overwrite_inst_values(inst, args.iter().copied());
    for (value, constant) in missing.into_iter().zip(constants) {
        let copy = function.dfg.clone_inst(constant);
        function.layout.insert_inst(copy, end);
        let copied = function.dfg.first_result(copy);
        let takes = function.dfg.inst_args_mut(inst);
        takes.iter_mut().filter(|arg| **arg == value).for_each(|arg| *arg = copied);
    }
    function.layout.insert_inst(inst, end);
    let FunctionStencil { dfg, layout, .. } = &mut function.stencil;
    let result = dfg.first_result(inst);
    for other in &places[1..] {
        let replaced = dfg.first_result(*other);
        ssa::add_labels(dfg, result, replaced);
        dfg.clear_results(*other);
        dfg.change_to_alias(replaced, result);
        layout.remove_inst(*other);
    }
    true
}
