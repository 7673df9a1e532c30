//! Moves out of a loop what each of its rounds computes anew from the same values.
//!
//! Cranelift takes what does not change out of loops, but for sums and bit operations with a constant and for complements, which
//! it computes again in each block that uses them (`remat.isle`): that spares a register, where there are few. Here they
//! leave the innermost loops that have registers to spare, and no calls. Runs after Cranelift's optimiser.

use super::immediate::Machine;
use super::loops::{self, class, innermost_loops, spare_registers};
use super::pure::{is_pure, move_up};
use super::ssa::{self, constant};
use cranelift_codegen::Context;
use cranelift_codegen::ir::{Block, DataFlowGraph, Function, Inst, Opcode, Value, types};
use rustc_hash::FxHashMap;
use smallvec::{SmallVec, smallvec};

/// How often a loop is gone through: what has been moved may be what others take.
const ROUNDS: usize = 3;

/// What can be moved.
struct Invariant {
    /// Instructions that compute it.
    places: SmallVec<[Inst; 2]>,
    /// Whether what it is computed from is used for nothing else in the loop: its register is free then.
    replaces_operands: bool,
}

/// Rewrites the loops of a function, whose control-flow graph, dominator tree and loops are known.
pub(crate) fn move_invariants(context: &mut Context, machine: Machine) {
    let mut changed = false;
    for (header, blocks) in innermost_loops(context) {
        let Some(to) = context.domtree.idom(header) else { continue };
        if context.func.layout.is_cold(header) {
            continue;
        }
        for _ in 0..ROUNDS {
            let Some(found) = invariants(&context.func, machine, &blocks).filter(|found| !found.is_empty())
            else {
                break;
            };
            let left = spare_registers(&context.func, &context.cfg, machine, &blocks);
            let Some(mut left) = left else { break };
            let mut moved = false;
            for Invariant { places, replaces_operands } in found {
                let ty = context.func.dfg.value_type(context.func.dfg.first_result(places[0]));
                let left = &mut left[class(ty)];
                let needs = usize::from(!replaces_operands);
                if *left >= needs && move_up(&mut context.func, &context.domtree, to, &places) {
                    *left -= needs;
                    moved = true;
                }
            }
            if !moved {
                break;
            }
            changed = true;
        }
    }
    if changed {
        ssa::resolve_aliases(&mut context.func);
    }
}

/// What each round computes from values of before the loop. Nothing for loops that are too large, or that call.
fn invariants(function: &Function, machine: Machine, blocks: &[Block]) -> Option<Vec<Invariant>> {
    let dfg = &function.dfg;
    let is_invariant = |value: &Value| {
        let value = dfg.resolve_aliases(*value);
        let is_outside = || ssa::home(function, value).is_some_and(|home| !blocks.contains(&home));
        constant(dfg, value).is_some() || is_outside()
    };
    let mut candidates: Vec<Inst> = Vec::new();
    let mut left = loops::MAX_INSTS;
    for block in blocks {
        let is_cold = function.layout.is_cold(*block);
        for inst in function.layout.block_insts(*block) {
            left = left.checked_sub(1)?;
            if dfg.insts[inst].opcode().is_call() {
                return None;
            }
            if !is_cold && is_made_again(dfg, inst, machine) && dfg.inst_args(inst).iter().all(is_invariant) {
                candidates.push(inst);
            }
        }
    }
    if candidates.is_empty() {
        return Some(Vec::new());
    }
    // By value, the instructions that use it, and those that need it for more than a test.
    let mut uses: FxHashMap<Value, (usize, usize)> = FxHashMap::default();
    for inst in blocks.iter().flat_map(|block| function.layout.block_insts(*block)) {
        let needs = usize::from(!tests(dfg, inst));
        for value in dfg.inst_values(inst) {
            let (used, needed) = uses.entry(dfg.resolve_aliases(value)).or_default();
            *used += 1;
            *needed += needs;
        }
    }
    let mut found: Vec<Invariant> = Vec::new();
    for inst in candidates {
        if uses.get(&dfg.first_result(inst)).is_none_or(|(_, needed)| *needed == 0) {
            continue;
        }
        match found.iter_mut().find(|found| is_same(dfg, found.places[0], inst)) {
            Some(found) => found.places.push(inst),
            None => found.push(Invariant { places: smallvec![inst], replaces_operands: false }),
        }
    }
    for Invariant { places, replaces_operands } in &mut found {
        *replaces_operands = dfg.inst_args(places[0]).iter().all(|arg| {
            let value = dfg.resolve_aliases(*arg);
            constant(dfg, value).is_some() || uses.get(&value).is_some_and(|(used, _)| *used == places.len())
        });
    }
    Some(found)
}

/// Whether Cranelift computes something again wherever it is used, as an instruction of its own.
fn is_made_again(dfg: &DataFlowGraph, inst: Inst, machine: Machine) -> bool {
    if !is_pure(dfg, inst) {
        return false;
    }
    let takes_constant = || dfg.inst_args(inst).iter().any(|arg| constant(dfg, *arg).is_some());
    match dfg.insts[inst].opcode() {
        Opcode::Band | Opcode::Bor | Opcode::Bxor => takes_constant(),
        // Of 64 bits, they are part of addresses; on x86-64, of further sums.
        Opcode::Iadd | Opcode::Isub => {
            machine != Machine::X64
                && takes_constant()
                && dfg.value_type(dfg.first_result(inst)) == types::I32
        }
        // Other machines have operations with a complement.
        Opcode::Bnot => machine == Machine::X64,
        _ => false,
    }
}

/// Whether an instruction only asks if its operand is zero, for which bit operations have set flags.
fn tests(dfg: &DataFlowGraph, inst: Inst) -> bool {
    dfg.insts[inst].opcode() == Opcode::Icmp
        && dfg.inst_args(inst).iter().any(|arg| constant(dfg, *arg) == Some(0))
}

/// Whether two instructions compute the same.
fn is_same(dfg: &DataFlowGraph, a: Inst, b: Inst) -> bool {
    let is_same_value = |(a, b): (&Value, &Value)| {
        let (a, b) = (dfg.resolve_aliases(*a), dfg.resolve_aliases(*b));
        let constants = constant(dfg, a).zip(constant(dfg, b));
        a == b || constants.is_some_and(|(a, b)| a == b)
    };
    let ty = |inst| dfg.value_type(dfg.first_result(inst));
    dfg.insts[a].opcode() == dfg.insts[b].opcode()
        && ty(a) == ty(b)
        && dfg.inst_args(a).iter().zip(dfg.inst_args(b)).all(is_same_value)
}

#[cfg(test)]
mod tests {
    use super::{Machine, move_invariants};
    use crate::passes::tests::rewritten;
    use cranelift_codegen::ir::{Function, Opcode};

    /// A loop with this body, in a function with `v0: i32` and `v1: i64`; `v5` is what its rounds sum up.
    fn moved(machine: Machine, body: &str, sum: &str) -> Function {
        let clif = format!(
            "function %sum(i32, i64) -> i32 {{
                sig0 = ()
                fn0 = u0:0 sig0
            block0(v0: i32, v1: i64):
                brif v0, block1(v0, v0), block2(v0)
            block1(v4: i32, v5: i32):
                v6 = iconst.i32 254
                v7 = iconst.i32 1
                v8 = iconst.i32 0
                {body}
                v9 = isub v4, v7
                brif v9, block1(v9, {sum}), block2({sum})
            block2(v10: i32):
                return v10
            }}"
        );
        rewritten(cranelift_reader::parse_functions(&clif).unwrap().remove(0), |context| {
            context.flowgraph();
            context.compute_loop_analysis();
            move_invariants(context, machine);
        })
    }

    /// How many instructions of an opcode are before the loop, and in it.
    fn counts(function: &Function, opcode: Opcode) -> (usize, usize) {
        let mut counts = function.layout.blocks().map(|block| {
            let insts = function.layout.block_insts(block);
            insts.filter(|inst| function.dfg.insts[*inst].opcode() == opcode).count()
        });
        (counts.next().unwrap(), counts.next().unwrap())
    }

    #[test]
    fn what_does_not_change_is_computed_before() {
        let body = "v20 = band v0, v6\n v21 = iadd v5, v20";
        assert_eq!(counts(&moved(Machine::X64, body, "v21"), Opcode::Band), (1, 0));
        // Twice, and what takes it.
        let body = "v20 = band v0, v6\n v21 = bor v20, v7\n v22 = band v0, v6\n v23 = imul v22, v21\n v24 = iadd v5, v23";
        let function = moved(Machine::X64, body, "v24");
        assert_eq!(counts(&function, Opcode::Band), (1, 0));
        assert_eq!(counts(&function, Opcode::Bor), (1, 0));
        // Sums of x86-64 are part of others.
        let body = "v20 = iadd v0, v6\n v21 = imul v5, v20";
        assert_eq!(counts(&moved(Machine::X64, body, "v21"), Opcode::Iadd), (0, 1));
        assert_eq!(counts(&moved(Machine::Aarch64, body, "v21"), Opcode::Iadd), (1, 0));
    }

    #[test]
    fn what_changes_stays() {
        let body = "v20 = band v5, v6\n v21 = iadd v4, v20";
        assert_eq!(counts(&moved(Machine::X64, body, "v21"), Opcode::Band), (0, 1));
    }

    #[test]
    fn what_costs_nothing_stays() {
        let body = "v20 = band v0, v6\n v21 = icmp eq v20, v8\n v22 = uextend.i32 v21\n v23 = iadd v5, v22";
        assert_eq!(counts(&moved(Machine::X64, body, "v23"), Opcode::Band), (0, 1));
    }

    #[test]
    fn loops_that_call_stay() {
        let body = "v20 = band v0, v6\n v21 = iadd v5, v20\n call fn0()";
        assert_eq!(counts(&moved(Machine::X64, body, "v21"), Opcode::Band), (0, 1));
    }

    #[test]
    fn registers_have_to_be_left() {
        // All of these are alive at once.
        let loads = |count: usize| {
            let loads: String =
                (0..count).map(|index| format!("v{0} = load.i32 v1+{0}\n", 40 + index)).collect();
            let stores: String =
                (0..count).map(|index| format!("store v{0}, v1+{0}\n", 40 + index)).collect();
            format!("{loads}{stores} v20 = band v0, v6\n v21 = iadd v5, v20\n v22 = iadd v21, v0")
        };
        assert_eq!(counts(&moved(Machine::X64, &loads(4), "v22"), Opcode::Band), (1, 0));
        assert_eq!(counts(&moved(Machine::X64, &loads(14), "v22"), Opcode::Band), (0, 1));
        // What it is computed from leaves its register.
        let last = loads(14).replace("v22 = iadd v21, v0", "v22 = iadd v21, v4");
        assert_eq!(counts(&moved(Machine::X64, &last, "v22"), Opcode::Band), (1, 0));
    }
}
