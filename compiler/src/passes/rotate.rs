//! Puts the test of a loop at its end.
//!
//! LLVM writes loops that way, Go, AssemblyScript and people who write by hand do not: `loop … br_if out … br loop` takes two
//! branches in each round. Where a loop begins with a short block that decides whether there is a further round, the jump
//! back gets a copy of that block, and so is a branch itself. The first test stays in front of the loop. Runs after jumps
//! are threaded, before Cranelift's optimiser.

use super::ssa::{Copies, Edge, ensure_flowgraph, is_small, resolve_aliases};
use cranelift_codegen::Context;
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::{Block, Function, Opcode};
use cranelift_codegen::loop_analysis::LoopAnalysis;

mod budget {
    /// Instructions of a test, but for the branch.
    pub const TEST: usize = 8;
    /// Jumps back to one test that get a copy.
    pub const COPIES: usize = 2;
    /// Loops of a function, and blocks times copied values: what the repair may cost.
    pub const LOOPS: usize = 1000;
    pub const REPAIR: usize = 4_000_000;
}

/// Rotates the loops of a function. If the context has a control-flow graph, it is, and stays, that of the function.
pub(crate) fn rotate_loops(context: &mut Context) {
    let backward = backward_jumps(&context.func);
    if backward.is_empty() || backward.len() > budget::LOOPS {
        return;
    }
    resolve_aliases(&mut context.func);
    ensure_flowgraph(context);
    let mut loops = LoopAnalysis::new();
    loops.compute(&context.func, &context.cfg, &context.domtree);
    let mut copies = Copies::default();
    let mut done: Vec<Block> = Vec::new();
    for edge in backward {
        let test = edge.to(&context.func);
        let is_done = done.iter().filter(|block| **block == test).count() == budget::COPIES;
        let is_affordable = copies.len().saturating_mul(context.func.dfg.num_blocks()) <= budget::REPAIR;
        if !is_done
            && is_affordable
            && decides_on_round(&context.func, &loops, edge)
            && copies.split(&mut context.func, edge, None).is_some()
        {
            done.push(test);
        }
    }
    if !copies.is_empty() {
        context.flowgraph();
        copies.repair(&mut context.func, &context.cfg);
    }
}

/// The jumps back to what may be the test of a loop.
fn backward_jumps(function: &Function) -> Vec<Edge> {
    let mut seen: SecondaryMap<Block, bool> = SecondaryMap::new();
    let mut backward = Vec::new();
    for block in function.layout.blocks() {
        seen[block] = true;
        let Some(branch) = function.layout.last_inst(block) else { continue };
        if function.dfg.insts[branch].opcode() != Opcode::Jump {
            continue;
        }
        let edge = Edge { branch, index: 0 };
        let test = edge.to(function);
        let last = function.layout.last_inst(test);
        if seen[test]
            && last.is_some_and(|last| function.dfg.insts[last].opcode() == Opcode::Brif)
            && is_small(function, test, budget::TEST)
        {
            backward.push(edge);
        }
    }
    backward
}

/// Whether an edge leads from within a loop to its beginning, which leaves it or goes on to another block of it.
fn decides_on_round(function: &Function, loops: &LoopAnalysis, edge: Edge) -> bool {
    let test = edge.to(function);
    let (Some(of), Some(from)) = (loops.is_loop_header(test), function.layout.inst_block(edge.branch)) else {
        return false;
    };
    let ways = Edge::out_of(function, test).map(|way| way.to(function));
    let stays = |block: Block| loops.is_in_loop(block, of);
    let inside: Vec<Block> = ways.filter(|way| stays(*way)).collect();
    stays(from) && inside.len() == 1 && inside[0] != test
}

#[cfg(test)]
mod tests {
    use super::rotate_loops;
    use crate::passes::tests::rewritten;
    use cranelift_codegen::ir::{Function, Opcode};

    fn rotated(clif: &str) -> Function {
        let function = cranelift_reader::parse_functions(clif).unwrap().remove(0);
        rewritten(function, rotate_loops)
    }

    fn branches(function: &Function) -> usize {
        let insts = function.layout.blocks().flat_map(|block| function.layout.block_insts(block));
        insts.filter(|inst| function.dfg.insts[*inst].opcode() == Opcode::Brif).count()
    }

    /// A loop that sums words; `round` is its body, and `ways` where the test goes.
    fn sum(ways: &str, round: &str) -> String {
        format!(
            "function %sum(i32, i64) -> i32 {{
            block0(v0: i32, v1: i64):
                v2 = iconst.i32 0
                v3 = iconst.i32 1
                v4 = iconst.i64 4
                jump block1(v2, v2, v1)
            block1(v10: i32, v11: i32, v12: i64):
                v13 = icmp ult v10, v0
                brif v13, {ways}
            block2:
                v20 = load.i32 v12
                v21 = iadd v11, v20
                v22 = iadd v10, v3
                v23 = iadd v12, v4
                {round}
            block3:
                v30 = iadd v11, v10
                return v30
            }}"
        )
    }

    #[test]
    fn the_test_is_at_the_end() {
        for ways in ["block2, block3", "block3, block2"] {
            let function = rotated(&sum(ways, "jump block1(v22, v21, v23)"));
            assert_eq!(branches(&function), 2, "{}", function.display());
            // Control does not come back to the first test: only the entry goes there.
            let text = function.display().to_string();
            assert_eq!(text.matches("block1(").count(), 2, "{text}");
        }
    }

    #[test]
    fn what_is_no_test_stays() {
        // The loop ends with a branch already.
        let function = rotated(&sum("block2, block3", "brif v22, block1(v22, v21, v23), block3"));
        assert_eq!(branches(&function), 2, "{}", function.display());
        // Both ways lead on in the loop.
        let function = rotated(
            "function %both(i32) -> i32 {
            block0(v0: i32):
                jump block1(v0)
            block1(v1: i32):
                brif v1, block2, block3
            block2:
                v2 = isub v1, v0
                jump block1(v2)
            block3:
                v3 = iadd v1, v0
                jump block1(v3)
            }",
        );
        assert_eq!(branches(&function), 1, "{}", function.display());
        // A call is not copied.
        let function = rotated(
            "function %calls(i32) -> i32 {
            fn0 = %next(i32) -> i32
            block0(v0: i32):
                jump block1(v0)
            block1(v1: i32):
                v2 = call fn0(v1)
                brif v2, block2, block3
            block2:
                jump block1(v2)
            block3:
                return v1
            }",
        );
        assert_eq!(branches(&function), 1, "{}", function.display());
    }
}
