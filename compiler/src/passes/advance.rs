//! What a loop computes for its next round is not computed again behind it.
//!
//! A loop that walks along an array adds to a pointer for the next round. Where the sum is needed behind the loop, or in another
//! of its blocks, Cranelift computes it there once more, from the pointer of this round: both are alive then, so they need two
//! registers, and each round a copy from one to the other. Here, everything after the addition uses its result, if nothing
//! but sums with constants would keep the other one alive. Runs after Cranelift's optimiser.

use super::ssa;
use cranelift_codegen::Context;
use cranelift_codegen::cursor::{Cursor as _, FuncCursor};
use cranelift_codegen::dominator_tree::DominatorTree;
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::{
    BlockArg, DataFlowGraph, Function, Inst, InstBuilder as _, InstructionData, Opcode, Value, ValueDef,
};
use cranelift_codegen::loop_analysis::LoopAnalysis;

/// Uses of a parameter that are looked at.
const MAX_USES: usize = 64;

/// A parameter of a block that a loop begins with, to which a constant is added for the next round.
struct Counter {
    value: Value,
    step: i64,
    /// Instructions that use it, or what it is extended to.
    uses: Vec<Inst>,
}

/// Rewrites the loops of a function, whose dominator tree and loops are known.
pub(crate) fn share_advances(context: &mut Context) {
    let mut counters = counters(context);
    if counters.is_empty() {
        return;
    }
    find_uses(&context.func, &mut counters);
    let mut changed = false;
    for counter in counters.iter().filter(|counter| counter.uses.len() <= MAX_USES) {
        changed |= share(&mut context.func, &context.domtree, &context.loop_analysis, counter);
    }
    if changed {
        ssa::resolve_aliases(&mut context.func);
    }
}

fn counters(context: &Context) -> Vec<Counter> {
    let Context { func: function, cfg, loop_analysis, .. } = context;
    let dfg = &function.dfg;
    let mut counters: Vec<Counter> = Vec::new();
    for number in loop_analysis.loops() {
        let header = loop_analysis.loop_header(number);
        for edge in cfg.pred_iter(header).filter(|edge| loop_analysis.is_in_loop(edge.block, number)) {
            let (tables, exceptions) = (&dfg.jump_tables, &dfg.exception_tables);
            for call in dfg.insts[edge.inst].branch_destination(tables, exceptions) {
                if call.block(&dfg.value_lists) != header {
                    continue;
                }
                for (param, arg) in dfg.block_params(header).iter().zip(call.args(&dfg.value_lists)) {
                    let BlockArg::Value(arg) = arg else { continue };
                    if let Some((value, step)) = sum(dfg, dfg.resolve_aliases(arg))
                        && value == *param
                        && counters.iter().rev().take(8).all(|other| other.value != value)
                    {
                        counters.push(Counter { value, step, uses: Vec::new() });
                    }
                }
            }
        }
    }
    counters
}

fn find_uses(function: &Function, counters: &mut [Counter]) {
    let dfg = &function.dfg;
    let mut numbers: SecondaryMap<Value, u32> = SecondaryMap::new();
    for (number, counter) in counters.iter().enumerate() {
        numbers[counter.value] = number as u32 + 1;
    }
    for block in function.layout.blocks() {
        for inst in function.layout.block_insts(block) {
            for value in dfg.inst_values(inst) {
                let value = dfg.resolve_aliases(value);
                let value = match dfg.value_def(value).inst().map(|inst| dfg.insts[inst]) {
                    Some(InstructionData::Unary { opcode: Opcode::Uextend, arg }) => dfg.resolve_aliases(arg),
                    _ => value,
                };
                let Some(counter) = numbers[value].checked_sub(1) else { continue };
                let uses = &mut counters[counter as usize].uses;
                // Operands of an instruction come one after the other.
                if uses.last() != Some(&inst) && uses.len() <= MAX_USES {
                    uses.push(inst);
                }
            }
        }
    }
}

/// Lets what comes after an addition use its result, if that ends the life of what is added to. Returns whether it does.
fn share(function: &mut Function, domtree: &DominatorTree, loops: &LoopAnalysis, counter: &Counter) -> bool {
    let dfg = &function.dfg;
    let is_sum = |inst: &Inst| {
        let result = dfg.inst_results(*inst).first();
        result.and_then(|result| sum(dfg, *result)).filter(|(value, _)| *value == counter.value)
    };
    let sums: Vec<Option<i64>> = counter.uses.iter().map(|inst| Some(is_sum(inst)?.1)).collect();
    let Some(home) = ssa::home(function, counter.value) else { return false };
    let before = |x: Inst, y: Inst| domtree.dominates(x, y, &function.layout);
    // An addition in an inner loop does not end the life of what it adds to.
    let is_in_same_loop = |inst: Inst| {
        let block = function.layout.inst_block(inst);
        block.is_some_and(|block| loops.innermost_loop(block) == loops.innermost_loop(home))
    };
    let steps = counter.uses.iter().zip(&sums).filter(|(_, added)| **added == Some(counter.step));
    let advance = steps.map(|(inst, _)| *inst).find(|advance| {
        is_in_same_loop(*advance)
            && counter.uses.iter().zip(&sums).all(|(inst, added)| {
                inst == advance
                    || match added {
                        Some(_) => before(*inst, *advance) || before(*advance, *inst),
                        // A comparison is made where it is branched on.
                        None => before(*inst, *advance) && dfg.insts[*inst].opcode() != Opcode::Icmp,
                    }
            })
    });
    let Some(advance) = advance else { return false };
    let later: Vec<(Inst, i64)> = counter
        .uses
        .iter()
        .zip(&sums)
        .filter(|(inst, _)| **inst != advance && before(advance, **inst))
        .filter_map(|(inst, added)| Some((*inst, (*added)?)))
        .collect();
    let next = function.dfg.first_result(advance);
    let changes = !later.is_empty();
    for (inst, added) in later {
        let result = function.dfg.first_result(inst);
        let ty = function.dfg.value_type(result);
        let rest = added.wrapping_sub(counter.step);
        let value = match rest {
            0 => next,
            _ => {
                let mut cursor = FuncCursor::new(function).at_inst(inst);
                cursor.use_srcloc(inst);
                let mask = u64::MAX >> (64 - ty.bits());
                let rest = cursor.ins().iconst(ty, (rest as u64 & mask) as i64);
                cursor.ins().iadd(next, rest)
            }
        };
        ssa::add_labels(&mut function.dfg, value, result);
        function.dfg.clear_results(inst);
        function.dfg.change_to_alias(result, value);
        function.layout.remove_inst(inst);
    }
    changes
}

/// What a value is the sum of: another one and a constant.
fn sum(dfg: &DataFlowGraph, value: Value) -> Option<(Value, i64)> {
    let ValueDef::Result(inst, 0) = dfg.value_def(value) else { return None };
    let InstructionData::Binary { opcode, args } = dfg.insts[inst] else { return None };
    let [left, right] = args.map(|arg| dfg.resolve_aliases(arg));
    let ty = dfg.value_type(value);
    if !ty.is_int() || ty.bits() > 64 {
        return None;
    }
    let unused = 64 - ty.bits();
    let constant = |value| Some(ssa::constant(dfg, value)? << unused >> unused);
    match opcode {
        Opcode::Iadd => match constant(right) {
            Some(added) => Some((left, added)),
            None => Some((right, constant(left)?)),
        },
        Opcode::Isub => Some((left, constant(right)?.wrapping_neg())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::share_advances;
    use crate::passes::tests::rewritten;
    use cranelift_codegen::ir::{Function, Opcode};

    /// A loop that walks along memory, and what it does in `round` and behind it.
    fn walk(round: &str, condition: &str, behind: &str) -> Function {
        let clif = format!(
            "function %walk(i32, i64) -> i32 {{
            block0(v0: i32, v1: i64):
                v2 = iconst.i32 4
                v3 = iconst.i32 12
                v4 = iconst.i32 -4
                jump block1(v0)
            block1(v10: i32):
                {round}
                v11 = iadd v10, v2
                v12 = uextend.i64 v11
                v13 = load.i32 v12
                {condition}
                brif v14, block2, block1(v11)
            block2:
                {behind}
                return v20
            }}"
        );
        rewritten(cranelift_reader::parse_functions(&clif).unwrap().remove(0), |context| {
            context.flowgraph();
            context.compute_loop_analysis();
            share_advances(context);
        })
    }

    /// How many instructions use the parameter of the loop, or what is computed from it before the sum.
    fn uses(function: &Function) -> usize {
        let header = function.layout.blocks().nth(1).unwrap();
        let param = function.dfg.block_params(header)[0];
        let insts = function.layout.blocks().flat_map(|block| function.layout.block_insts(block));
        let uses =
            |inst| function.dfg.inst_values(inst).any(|value| function.dfg.resolve_aliases(value) == param);
        insts.filter(|inst| uses(*inst)).count()
    }

    const LOADED: &str = "v14 = icmp ne v13, v2";

    #[test]
    fn sums_behind_a_loop_are_its_own() {
        assert_eq!(uses(&walk("", LOADED, "v20 = iadd v10, v2")), 1);
        // Another constant is added to the sum: 12 − 4.
        let function = walk("", LOADED, "v20 = iadd v10, v3");
        assert_eq!(uses(&function), 1);
        let insts = function.layout.blocks().flat_map(|block| function.layout.block_insts(block));
        let sums = insts.filter(|inst| function.dfg.insts[*inst].opcode() == Opcode::Iadd);
        assert_eq!(sums.count(), 2, "{}", function.display());
        assert_eq!(uses(&walk("", LOADED, "v20 = isub v10, v4")), 1);
    }

    #[test]
    fn uses_before_the_sum_do_not_matter() {
        let function = walk("v15 = uextend.i64 v10\nv16 = load.i32 v15", LOADED, "v20 = iadd v10, v2");
        assert_eq!(uses(&function), 2, "{}", function.display());
    }

    #[test]
    fn what_keeps_the_parameter_alive_leaves_all_as_it_is() {
        // Behind the loop, in the branch, and in an address after the sum.
        assert_eq!(uses(&walk("", LOADED, "v21 = iadd v10, v2\nv20 = imul v10, v21")), 3);
        assert_eq!(uses(&walk("", "v14 = icmp ne v13, v10", "v20 = iadd v10, v2")), 3);
        let function =
            walk("v15 = uextend.i64 v10", "v16 = load.i32 v15\nv14 = icmp ne v13, v16", "v20 = iadd v10, v2");
        assert_eq!(uses(&function), 3, "{}", function.display());
    }
}
