//! Branches go past blocks that are out of the way and do nothing.
//!
//! By a profile, what comes behind a loop is rarely run, also if it only jumps to where control goes on. As a block that is laid out
//! at the end of the function, it made two branches of the one that ends the loop on machines where nothing mends that later.
//! Runs before all that looks at the control-flow graph.

use super::pure::is_pure;
use super::ssa::Edge;
use cranelift_codegen::ir::{Block, BlockArg, BlockCall, Function, InstructionData, Opcode};

/// Empty blocks that one way goes past.
const MAX_STEPS: usize = 4;

/// Lets the ways of conditional branches lead to where cold blocks jump that do nothing else.
pub(crate) fn skip_cold(function: &mut Function) {
    let blocks: Vec<Block> = function.layout.blocks().collect();
    if !blocks.iter().any(|block| function.layout.is_cold(*block)) {
        return;
    }
    for block in blocks {
        for edge in Edge::out_of(function, block) {
            if function.dfg.insts[edge.branch].opcode() != Opcode::Brif {
                continue;
            }
            for _ in 0..MAX_STEPS {
                let Some(onward) = onward(function, edge.to(function)) else { break };
                let dfg = &mut function.dfg;
                let onward = onward.deep_clone(&mut dfg.value_lists);
                let (tables, exceptions) = (&mut dfg.jump_tables, &mut dfg.exception_tables);
                dfg.insts[edge.branch].branch_destination_mut(tables, exceptions)[edge.index] = onward;
            }
        }
    }
}

/// Where a cold block jumps that does nothing else. Without parameters, all that it passes on is there before it, too; but what
/// is computed has to be needed for that alone where the way goes past the block, and in the block otherwise: Cranelift computes
/// things where they are needed.
fn onward(function: &Function, block: Block) -> Option<BlockCall> {
    let last = function.layout.last_inst(block)?;
    let is_empty =
        function.layout.first_inst(block) == Some(last) && function.dfg.block_params(block).is_empty();
    match function.dfg.insts[last] {
        InstructionData::Jump { destination, .. } if is_empty && function.layout.is_cold(block) => {
            let dfg = &function.dfg;
            let mut args = destination.args(&dfg.value_lists);
            let is_there = |arg| match arg {
                BlockArg::Value(value) => !dfg.value_def(value).inst().is_some_and(|inst| is_pure(dfg, inst)),
                _ => true,
            };
            args.all(is_there).then_some(destination)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::skip_cold;
    use crate::passes::tests::rewritten;
    use cranelift_codegen::ir::{Block, Function};

    fn skipped(behind: &str) -> String {
        let clif = format!(
            "function %loop(i32) -> i32 {{
            block0(v0: i32):
                v1 = iconst.i32 1
                jump block1(v0)
            block1(v2: i32):
                v3 = isub v2, v1
                brif v3, block1(v3), block2
            block2 cold:
                {behind}
            block3(v4: i32):
                return v4
            }}"
        );
        let function: Function = cranelift_reader::parse_functions(&clif).unwrap().remove(0);
        let function = rewritten(function, |context| skip_cold(&mut context.func));
        let branch = function.layout.last_inst(Block::from_u32(1)).unwrap();
        function.dfg.display_inst(branch).to_string()
    }

    #[test]
    fn empty_blocks_are_skipped() {
        let branch = skipped("jump block3(v2)");
        assert!(branch.ends_with(" v3, block1(v3), block3(v2)"), "{branch}");
    }

    #[test]
    fn what_does_something_stays() {
        let branch = skipped("v5 = iadd v2, v1\n jump block3(v5)");
        assert!(branch.ends_with(" v3, block1(v3), block2"), "{branch}");
    }

    #[test]
    fn what_only_the_block_needs_is_left_to_it() {
        let branch = skipped("jump block3(v1)");
        assert!(branch.ends_with(" v3, block1(v3), block2"), "{branch}");
    }

    #[test]
    fn circles_end() {
        let branch = skipped("jump block2");
        assert!(branch.ends_with("block2"), "{branch}");
    }
}
