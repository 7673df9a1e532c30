//! What a loop computes for its next round is not computed again behind it.
//!
//! A loop that walks along an array adds to a pointer for the next round. Where the sum is needed behind the loop, or in another
//! of its blocks, Cranelift computes it there once more, from the pointer of this round: both are alive then, so they need two
//! registers, and each round a copy from one to the other. So they are where the sum is compared with a constant, to see if there is a
//! next round: Cranelift compares what is added to instead, with another constant. Here, everything after the addition uses its
//! result, if nothing but such sums and comparisons would keep the other one alive; what else is behind the loop uses the difference
//! of the result and the step. Runs after Cranelift's optimiser.

use super::ssa;
use cranelift_codegen::Context;
use cranelift_codegen::cursor::{Cursor as _, FuncCursor};
use cranelift_codegen::dominator_tree::DominatorTree;
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    Block, BlockArg, DataFlowGraph, Function, Inst, InstBuilder as _, InstructionData, Opcode, Type, Value,
    ValueDef,
};
use cranelift_codegen::loop_analysis::{Loop, LoopAnalysis};
use smallvec::SmallVec;

/// Uses of a parameter that are looked at.
const MAX_USES: usize = 64;

/// Additions of the step that are tried.
const MAX_SUMS: usize = 4;

/// Instructions that an addition is moved behind.
const MAX_DISTANCE: usize = 256;

/// A parameter of a block that a loop begins with, to which a constant is added for the next round.
struct Counter {
    value: Value,
    /// The loop.
    number: Loop,
    step: i64,
    /// The sum, and whether it is used behind the loop, where Cranelift may have computed it again.
    next: Value,
    is_next_needed: bool,
    /// Instructions that use it, or what it is extended to, and how.
    uses: Vec<(Inst, Use)>,
}

/// Rewrites the loops of a function, whose dominator tree and loops are known. `folds_sums` says that the code generator
/// makes one sum of sums, as that of x86-64 does: it would add other constants to the counter again.
pub(crate) fn share_advances(context: &mut Context, folds_sums: bool) {
    let mut counters = counters(context);
    if counters.is_empty() {
        return;
    }
    find_uses(&context.func, &context.loop_analysis, &mut counters);
    let mut changed = false;
    for counter in counters.iter().filter(|counter| counter.uses.len() <= MAX_USES) {
        changed |= share(&mut context.func, &context.domtree, &context.loop_analysis, counter, folds_sums);
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
                    let next = dfg.resolve_aliases(arg);
                    if let Some((value, step)) = sum(dfg, next)
                        && value == *param
                        && counters.iter().rev().take(8).all(|other| other.value != value)
                    {
                        let uses = Vec::new();
                        counters.push(Counter { value, number, step, next, is_next_needed: false, uses });
                    }
                }
            }
        }
    }
    counters
}

/// Notes what uses each counter, and whether its sum is used behind the loop.
fn find_uses(function: &Function, loops: &LoopAnalysis, counters: &mut [Counter]) {
    let dfg = &function.dfg;
    let mut numbers: SecondaryMap<Value, u32> = SecondaryMap::new();
    let mut sums: SecondaryMap<Value, u32> = SecondaryMap::new();
    for (number, counter) in counters.iter().enumerate() {
        numbers[counter.value] = number as u32 + 1;
        sums[counter.next] = number as u32 + 1;
    }
    for block in function.layout.blocks() {
        for inst in function.layout.block_insts(block) {
            for value in dfg.inst_values(inst) {
                let value = dfg.resolve_aliases(value);
                if let Some(counter) = sums[value].checked_sub(1) {
                    let counter = &mut counters[counter as usize];
                    counter.is_next_needed |= !loops.is_in_loop(block, counter.number);
                }
                let value = match dfg.value_def(value).inst().map(|inst| dfg.insts[inst]) {
                    Some(InstructionData::Unary { opcode: Opcode::Uextend, arg }) => dfg.resolve_aliases(arg),
                    _ => value,
                };
                let Some(index) = numbers[value].checked_sub(1) else { continue };
                let Counter { value, step, uses, .. } = &mut counters[index as usize];
                // Operands of an instruction come one after the other.
                if uses.last().is_none_or(|(last, _)| *last != inst) && uses.len() <= MAX_USES {
                    let kind = kind(dfg, inst, *value);
                    uses.push((inst, kind));
                    if kind == Use::Sum(*step) {
                        sums[dfg.first_result(inst)] = index + 1;
                    }
                }
            }
        }
    }
}

/// Lets what comes after an addition use its result, if that ends the life of what is added to. Returns whether it does.
fn share(
    function: &mut Function,
    domtree: &DominatorTree,
    loops: &LoopAnalysis,
    counter: &Counter,
    folds_sums: bool,
) -> bool {
    let steps: Vec<Inst> = counter
        .uses
        .iter()
        .filter(|(_, kind)| *kind == Use::Sum(counter.step))
        .map(|(inst, _)| *inst)
        .take(MAX_SUMS)
        .collect();
    for advance in steps {
        // An addition in an inner loop does not end the life of what it adds to.
        let block = function.layout.inst_block(advance);
        if block.is_none_or(|block| loops.innermost_loop(block) != Some(counter.number)) {
            continue;
        }
        sink(function, counter, advance);
        let round = Round { function, domtree, loops, advance, counter, folds_sums };
        let others = counter.uses.iter().filter(|(inst, _)| *inst != advance);
        let changes: Result<Vec<(Inst, Change)>, LivesOn> = others
            .filter_map(|(inst, kind)| {
                Some(round.change(*inst, *kind).transpose()?.map(|change| (*inst, change)))
            })
            .collect();
        let Ok(changes) = changes else { continue };
        apply(function, counter, advance, &changes);
        return !changes.is_empty();
    }
    false
}

/// Moves an addition behind what uses the counter after it in the same block, as far as nothing uses its result.
fn sink(function: &mut Function, counter: &Counter, advance: Inst) {
    let (layout, dfg) = (&function.layout, &function.dfg);
    let next = dfg.first_result(advance);
    let insts = std::iter::successors(layout.next_inst(advance), |inst| layout.next_inst(*inst));
    let is_use = |inst: &Inst| counter.uses.iter().any(|(user, kind)| user == inst && *kind == Use::Other);
    let place = insts
        .take(MAX_DISTANCE)
        .take_while(|inst| dfg.inst_values(*inst).all(|value| dfg.resolve_aliases(value) != next))
        .filter(is_use)
        .last()
        .and_then(|last| layout.next_inst(last));
    if let Some(place) = place {
        function.layout.remove_inst(advance);
        function.layout.insert_inst(advance, place);
    }
}

/// What becomes of an instruction that uses a counter, so that it does not use it after the addition.
enum Change {
    /// It adds this number to the result of the addition.
    Sum(i64),
    /// It compares the result of the addition with this number, right behind it if that is where it was not.
    Equality { other: i64, moves: bool },
    /// It uses a difference, which is computed at the start of this block.
    Difference(Block),
}

/// An instruction needs the counter after the addition: to change others would gain nothing.
struct LivesOn;

/// A loop, and an addition to its counter for the next round.
struct Round<'f> {
    function: &'f Function,
    domtree: &'f DominatorTree,
    loops: &'f LoopAnalysis,
    advance: Inst,
    counter: &'f Counter,
    folds_sums: bool,
}

impl Round<'_> {
    /// What has to become of an instruction, if anything.
    fn change(&self, inst: Inst, kind: Use) -> Result<Option<Change>, LivesOn> {
        let before = |x: Inst, y: Inst| self.domtree.dominates(x, y, &self.function.layout);
        let is_later = before(self.advance, inst);
        match kind {
            Use::Sum(added) if is_later && self.folds_sums && added != self.counter.step => Err(LivesOn),
            Use::Sum(added) if is_later => Ok(Some(Change::Sum(added))),
            Use::Equality(other) if is_later || self.can_follow(inst) => {
                Ok(Some(Change::Equality { other, moves: !is_later }))
            }
            _ if is_later => {
                self.place_behind(inst).map(|block| Some(Change::Difference(block))).ok_or(LivesOn)
            }
            // A comparison is made where it is branched on.
            Use::Equality(_) | Use::Comparison if !self.is_branched_on(inst) => Err(LivesOn),
            _ if before(inst, self.advance) => Ok(None),
            _ => Err(LivesOn),
        }
    }

    /// The first block behind the loop on the way to an instruction, if it runs no more often than the loop is left. Nothing if the
    /// sum is used behind the loop as well: both would be alive then.
    fn place_behind(&self, inst: Inst) -> Option<Block> {
        let Round { function, domtree, loops, counter, .. } = self;
        let number = counter.number;
        if self.folds_sums
            || counter.is_next_needed
            || function.dfg.first_result(self.advance) != counter.next
        {
            return None;
        }
        let mut values = function.dfg.inst_values(inst).map(|value| function.dfg.resolve_aliases(value));
        let mut block = function.layout.inst_block(inst)?;
        if loops.is_in_loop(block, number) || !values.any(|value| value == counter.value) {
            return None;
        }
        loop {
            let from = domtree.idom(block)?;
            if loops.is_in_loop(from, number) {
                break;
            }
            block = from;
        }
        let is_around = |outer| loops.is_in_loop(loops.loop_header(number), outer);
        loops.innermost_loop(block).is_none_or(is_around).then_some(block)
    }

    /// Whether a comparison decides where its block leads, which is not that of the addition.
    fn is_branched_on(&self, comparison: Inst) -> bool {
        let (layout, dfg) = (&self.function.layout, &self.function.dfg);
        layout.inst_block(comparison).is_some_and(|block| {
            let result = dfg.first_result(comparison);
            let condition = layout.last_inst(block).and_then(|last| dfg.inst_args(last).first());
            layout.inst_block(self.advance) != Some(block)
                && condition.is_some_and(|condition| dfg.resolve_aliases(*condition) == result)
        })
    }

    /// Whether a comparison comes before the addition in the same block, and can be made behind it.
    fn can_follow(&self, comparison: Inst) -> bool {
        let (layout, dfg) = (&self.function.layout, &self.function.dfg);
        let result = dfg.first_result(comparison);
        let between = std::iter::successors(Some(comparison), |inst| layout.next_inst(*inst));
        layout.inst_block(comparison) == layout.inst_block(self.advance)
            && layout.pp_cmp(comparison, self.advance).is_lt()
            && between
                .take_while(|inst| *inst != self.advance)
                .all(|inst| dfg.inst_values(inst).all(|value| dfg.resolve_aliases(value) != result))
    }
}

/// Makes the changes to instructions that use a counter, given the addition whose result replaces it.
fn apply(function: &mut Function, counter: &Counter, advance: Inst, changes: &[(Inst, Change)]) {
    let next = function.dfg.first_result(advance);
    let ty = function.dfg.value_type(next);
    let sum = |cursor: &mut FuncCursor, added: i64| {
        let added = number(cursor, ty, added);
        cursor.ins().iadd(next, added)
    };
    let mut differences: SmallVec<[(Block, Value); 2]> = SmallVec::new();
    for (inst, change) in changes {
        let inst = *inst;
        let mut cursor = FuncCursor::new(function).at_inst(inst);
        cursor.use_srcloc(inst);
        match *change {
            Change::Sum(added) => {
                let rest = added.wrapping_sub(counter.step);
                let value = if rest == 0 { next } else { sum(&mut cursor, rest) };
                let result = function.dfg.first_result(inst);
                ssa::add_labels(&mut function.dfg, value, result);
                function.dfg.clear_results(inst);
                function.dfg.change_to_alias(result, value);
                function.layout.remove_inst(inst);
            }
            Change::Equality { other, moves } => {
                let other = number(&mut cursor, ty, other.wrapping_add(counter.step));
                function.dfg.inst_args_mut(inst).copy_from_slice(&[next, other]);
                if moves && let Some(place) = function.layout.next_inst(advance) {
                    function.layout.remove_inst(inst);
                    function.layout.insert_inst(inst, place);
                }
            }
            Change::Difference(block) => {
                let known = differences.iter().find(|(other, _)| *other == block).map(|(_, value)| *value);
                let value = match known {
                    Some(value) => value,
                    None => {
                        let mut cursor = cursor.at_first_insertion_point(block);
                        let value = sum(&mut cursor, counter.step.wrapping_neg());
                        ssa::add_labels(&mut function.dfg, value, counter.value);
                        differences.push((block, value));
                        value
                    }
                };
                let dfg = &mut function.dfg;
                let is_counter = |arg: &Value| dfg.resolve_aliases(*arg) == counter.value;
                let same: SmallVec<[Value; 2]> = dfg.inst_values(inst).filter(is_counter).collect();
                dfg.map_inst_values(inst, |arg| if same.contains(&arg) { value } else { arg });
            }
        }
    }
}

/// A constant of a type.
fn number(cursor: &mut FuncCursor, ty: Type, number: i64) -> Value {
    cursor.ins().iconst(ty, (number as u64 & (u64::MAX >> (64 - ty.bits()))) as i64)
}

/// What an instruction does with a counter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Adds a constant to it.
    Sum(i64),
    /// Asks whether it is equal to a constant, or is not.
    Equality(i64),
    /// Compares it otherwise.
    Comparison,
    Other,
}

fn kind(dfg: &DataFlowGraph, inst: Inst, counter: Value) -> Use {
    if let Some(result) = dfg.inst_results(inst).first()
        && let Some((value, added)) = sum(dfg, *result)
        && value == counter
    {
        return Use::Sum(added);
    }
    let InstructionData::IntCompare { cond, args, .. } = dfg.insts[inst] else { return Use::Other };
    let [left, right] = args.map(|arg| dfg.resolve_aliases(arg));
    match ssa::constant(dfg, right) {
        Some(other) if left == counter && matches!(cond, IntCC::Equal | IntCC::NotEqual) => {
            Use::Equality(other)
        }
        _ => Use::Comparison,
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
    use crate::passes::ssa::constant;
    use crate::passes::tests::rewritten;
    use cranelift_codegen::ir::{Block, Function, Inst, InstructionData, Opcode, Value};

    /// A loop that walks along memory, and what it does in `round` and behind it.
    fn walk(round: &str, condition: &str, behind: &str) -> Function {
        walked(round, condition, behind, false)
    }

    fn walked(round: &str, condition: &str, behind: &str, folds_sums: bool) -> Function {
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
            share_advances(context, folds_sums);
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
    fn no_sums_of_sums_where_they_are_folded() {
        assert_eq!(uses(&walked("", LOADED, "v20 = iadd v10, v2", true)), 1);
        assert_eq!(uses(&walked("", LOADED, "v20 = iadd v10, v3", true)), 2);
        assert_eq!(uses(&walked("", LOADED, "v20 = imul v10, v10", true)), 2);
    }

    #[test]
    fn the_sum_is_compared() {
        let compared = |round: &str, condition: &str| {
            let function = walk(round, condition, "v20 = iadd v10, v2");
            let insts = function.layout.blocks().flat_map(|block| function.layout.block_insts(block));
            let constants = insts.filter_map(|inst| match function.dfg.insts[inst] {
                InstructionData::IntCompare { args, .. } => {
                    Some((constant(&function.dfg, args[1]), function.dfg.value_def(args[0]).inst()))
                }
                _ => None,
            });
            let compared: Vec<(Option<i64>, bool)> = constants
                .map(|(constant, sum)| {
                    (constant, sum.is_some_and(|sum| function.dfg.insts[sum].opcode() == Opcode::Iadd))
                })
                .collect();
            (compared, uses(&function))
        };
        // 12 + 4; −4 + 4.
        assert_eq!(compared("", "v14 = icmp ne v10, v3"), (vec![(Some(16), true)], 1));
        assert_eq!(compared("v14 = icmp eq v10, v4", ""), (vec![(Some(0), true)], 1));
        // An order is another one if the sum goes past the largest number; and what looks at the result before the sum keeps its place.
        assert_eq!(compared("", "v14 = icmp ult v10, v3"), (vec![(Some(12), false)], 3));
        let kept = compared("v14 = icmp eq v10, v3\n v30 = uextend.i32 v14\n store v30, v1", "");
        assert_eq!(kept, (vec![(Some(12), false)], 3));
    }

    #[test]
    fn the_sum_is_made_after_other_uses() {
        let users = |round: &str| {
            let function = walk(round, LOADED, "v20 = iconst.i32 0");
            let header = function.layout.blocks().nth(1).unwrap();
            let param = function.dfg.block_params(header)[0];
            let insts = function.layout.block_insts(header);
            let users = insts.filter(|inst| function.dfg.inst_args(*inst).contains(&param));
            users.map(|inst| function.dfg.insts[inst].opcode()).collect::<Vec<Opcode>>()
        };
        let (sum, product) = ("v21 = iadd v10, v2", "v22 = imul v10, v2");
        assert_eq!(users(&format!("{sum}\n{product}\nstore v21, v1")), [Opcode::Imul, Opcode::Iadd]);
        // Not past what needs it.
        let needed = users(&format!("{sum}\nstore v21, v1\n{product}"));
        assert_eq!(needed, [Opcode::Iadd, Opcode::Imul, Opcode::Iadd]);
    }

    #[test]
    fn uses_before_the_sum_do_not_matter() {
        let function = walk("v15 = uextend.i64 v10\nv16 = load.i32 v15", LOADED, "v20 = iadd v10, v2");
        assert_eq!(uses(&function), 2, "{}", function.display());
    }

    #[test]
    fn other_uses_behind_a_loop_take_the_difference() {
        let function = walk("", LOADED, "v21 = imul v10, v10\nv20 = bxor v21, v10");
        assert_eq!(uses(&function), 1, "{}", function.display());
        let behind = function.layout.blocks().nth(2).unwrap();
        let insts: Vec<Inst> = function.layout.block_insts(behind).collect();
        // One for both.
        let sums = insts.iter().filter(|inst| function.dfg.insts[**inst].opcode() == Opcode::Iadd);
        let sums: Vec<&[Value]> = sums.map(|inst| function.dfg.inst_args(*inst)).collect();
        assert_eq!(sums.len(), 1, "{}", function.display());
        assert_eq!(constant(&function.dfg, sums[0][1]), Some(0xffff_fffc));
        // Each round of another loop would compute it.
        let function = walk(
            "",
            LOADED,
            "jump block3\nblock3:\nv21 = imul v10, v10\nbrif v21, block3, block4\nblock4:\nv20 = iconst.i32 0",
        );
        assert_eq!(uses(&function), 1, "{}", function.display());
        let blocks: Vec<Block> = function.layout.blocks().collect();
        let sums = |block: Block| {
            let insts = function.layout.block_insts(block);
            insts.filter(|inst| function.dfg.insts[*inst].opcode() == Opcode::Iadd).count()
        };
        assert_eq!((sums(blocks[2]), sums(blocks[3])), (1, 0), "{}", function.display());
    }

    #[test]
    fn what_keeps_the_parameter_alive_leaves_all_as_it_is() {
        // In the branch, and in an address after the sum.
        assert_eq!(uses(&walk("", "v14 = icmp ne v13, v10", "v20 = iadd v10, v2")), 3);
        // The sum is needed behind the loop itself.
        assert_eq!(uses(&walk("", LOADED, "v20 = imul v10, v11")), 2);
        assert_eq!(uses(&walk("", LOADED, "v21 = iadd v10, v2\nv20 = imul v10, v21")), 3);
        let function =
            walk("v17 = iadd v10, v2", "v18 = imul v10, v13\nv14 = icmp ne v13, v18", "v20 = imul v10, v17");
        assert_eq!(uses(&function), 4);
        let function =
            walk("v15 = uextend.i64 v10", "v16 = load.i32 v15\nv14 = icmp ne v13, v16", "v20 = iadd v10, v2");
        assert_eq!(uses(&function), 3, "{}", function.display());
    }
}
