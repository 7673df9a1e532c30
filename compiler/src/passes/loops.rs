//! Loops without other loops in them, and how many registers they have to spare.

use super::immediate::{Literal, Machine};
use cranelift_codegen::Context;
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::{Block, DataFlowGraph, Function, Type, Value};
use rustc_hash::{FxHashMap, FxHashSet};

/// Instructions and blocks of a loop that is looked at.
pub(super) const MAX_INSTS: usize = 512;
const MAX_BLOCKS: usize = 64;

/// Registers that are left for what the code generator needs itself.
const SPARE: usize = 3;

/// How often the blocks of a loop are gone through to find what is alive where.
const ROUNDS: usize = 8;

/// The loops with no other loop in them that are not too large: their first blocks, and all their blocks.
pub(super) fn innermost_loops(context: &Context) -> Vec<(Block, Vec<Block>)> {
    let loops = &context.loop_analysis;
    let mut blocks: Vec<Option<Vec<Block>>> = vec![Some(Vec::new()); loops.loops().len()];
    for number in loops.loops() {
        if let Some(parent) = loops.loop_parent(number) {
            blocks[parent.as_u32() as usize] = None;
        }
    }
    if blocks.iter().any(Option::is_some) {
        for block in context.func.layout.blocks() {
            if let Some(number) = loops.innermost_loop(block)
                && let Some(blocks) = &mut blocks[number.as_u32() as usize]
            {
                blocks.push(block);
            }
        }
    }
    let headers = loops.loops().map(|number| loops.loop_header(number));
    let found = headers.zip(blocks).filter_map(|(header, blocks)| Some((header, blocks?)));
    found.filter(|(_, blocks)| blocks.len() <= MAX_BLOCKS).collect()
}

/// How many values more a loop can keep in registers, of each class. Nothing if it takes too long to find out.
pub(super) fn spare_registers(
    function: &Function,
    cfg: &ControlFlowGraph,
    machine: Machine,
    blocks: &[Block],
) -> Option<[usize; 2]> {
    let mut left = machine.registers();
    for (left, alive) in left.iter_mut().zip(most_alive(function, cfg, blocks)?) {
        *left = left.saturating_sub(alive + SPARE);
    }
    Some(left)
}

/// Which of [`Machine::registers`] hold values of a type.
pub(super) fn class(ty: Type) -> usize {
    usize::from(!ty.is_int())
}

/// How many values are alive at once in a loop, at most, of each class: values that the loop has to do with, without constants.
/// Nothing if it takes too long to find out.
fn most_alive(function: &Function, cfg: &ControlFlowGraph, blocks: &[Block]) -> Option<[usize; 2]> {
    let dfg = &function.dfg;
    let mut at_start: FxHashMap<Block, FxHashSet<Value>> = FxHashMap::default();
    let mut most = [0; 2];
    for _ in 0..ROUNDS {
        let mut changed = false;
        for block in blocks.iter().rev() {
            let mut alive = Alive::default();
            for successor in cfg.succ_iter(*block) {
                at_start.get(&successor).into_iter().flatten().for_each(|value| alive.add(dfg, *value));
            }
            for inst in function.layout.block_insts(*block).rev() {
                dfg.inst_results(inst).iter().for_each(|result| alive.remove(dfg, *result));
                for value in dfg.inst_values(inst).filter(|value| Literal::of(dfg, *value).is_none()) {
                    alive.add(dfg, value);
                }
                for (most, now) in most.iter_mut().zip(alive.count) {
                    *most = now.max(*most);
                }
            }
            dfg.block_params(*block).iter().for_each(|param| alive.remove(dfg, *param));
            let before = at_start.entry(*block).or_default();
            if before.len() != alive.values.len() {
                *before = alive.values;
                changed = true;
            }
        }
        if !changed {
            return Some(most);
        }
    }
    None
}

#[derive(Default)]
struct Alive {
    values: FxHashSet<Value>,
    /// Of each class.
    count: [usize; 2],
}

impl Alive {
    fn add(&mut self, dfg: &DataFlowGraph, value: Value) {
        self.count[class(dfg.value_type(value))] += usize::from(self.values.insert(value));
    }

    fn remove(&mut self, dfg: &DataFlowGraph, value: Value) {
        self.count[class(dfg.value_type(value))] -= usize::from(self.values.remove(&value));
    }
}
