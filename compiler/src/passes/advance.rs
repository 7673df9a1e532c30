//! What a loop computes for its next round is not computed again behind it.
//!
//! A loop that walks along an array adds to a pointer for the next round. Where the sum is needed behind the loop, or in another
//! of its blocks, Cranelift computes it there once more, from the pointer of this round: both are alive then, so they need two
//! registers, and each round a copy from one to the other. Here, everything after the addition uses its result, if nothing
//! but sums with constants would keep the other one alive. Runs after Cranelift's optimiser.

use cranelift_codegen::Context;
use cranelift_codegen::cursor::{Cursor as _, FuncCursor};
use cranelift_codegen::dominator_tree::DominatorTree;
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::{
    BlockArg, DataFlowGraph, Function, Inst, InstBuilder as _, InstructionData, Opcode, Value, ValueDef,
};
use cranelift_codegen::loop_analysis::LoopAnalysis;
use rustc_hash::FxHashMap;

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
    for counter in counters.iter().filter(|counter| counter.uses.len() <= MAX_USES) {
        share(&mut context.func, &context.domtree, &context.loop_analysis, counter);
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
                if let Some(counter) = numbers[value].checked_sub(1) {
                    counters[counter as usize].uses.push(inst);
                }
            }
        }
    }
}

/// Lets what comes after an addition use its result, if that ends the life of what is added to.
fn share(function: &mut Function, domtree: &DominatorTree, loops: &LoopAnalysis, counter: &Counter) {
    let dfg = &function.dfg;
    let is_sum = |inst: &Inst| {
        let result = dfg.inst_results(*inst).first();
        result.and_then(|result| sum(dfg, *result)).filter(|(value, _)| *value == counter.value)
    };
    let sums: Vec<Option<i64>> = counter.uses.iter().map(|inst| Some(is_sum(inst)?.1)).collect();
    let Some(home) = super::ssa::home(function, counter.value) else { return };
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
    let Some(advance) = advance else { return };
    let later: Vec<(Inst, i64)> = counter
        .uses
        .iter()
        .zip(&sums)
        .filter(|(inst, _)| **inst != advance && before(advance, **inst))
        .filter_map(|(inst, added)| Some((*inst, (*added)?)))
        .collect();
    let next = function.dfg.first_result(advance);
    let mut rewritten: FxHashMap<Inst, ()> = FxHashMap::default();
    for (inst, added) in later {
        if rewritten.insert(inst, ()).is_some() {
            continue;
        }
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
        function.dfg.clear_results(inst);
        function.dfg.change_to_alias(result, value);
        function.layout.remove_inst(inst);
    }
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
    let constant = |value| {
        let InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } = dfg.insts[dfg.value_def(value).inst()?]
        else {
            return None;
        };
        Some(imm.bits() << unused >> unused)
    };
    match opcode {
        Opcode::Iadd => match constant(right) {
            Some(added) => Some((left, added)),
            None => Some((right, constant(left)?)),
        },
        Opcode::Isub => Some((left, constant(right)?.wrapping_neg())),
        _ => None,
    }
}
