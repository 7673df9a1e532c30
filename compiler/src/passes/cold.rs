//! Moves code that only leads to a trap out of the way.
//!
//! Compilers end a panic, an abort or a failed assertion with `unreachable`. Blocks from which all ways end there are
//! marked as cold, so that Cranelift puts them behind the others, and the way past them goes straight on.

use cranelift_codegen::entity::EntitySet;
use cranelift_codegen::ir::{Block, Function, Opcode};

/// Marks the blocks of a function, but for its first.
pub(crate) fn mark_doomed(function: &mut Function) {
    let mut doomed: EntitySet<Block> = EntitySet::new();
    let mut next = function.layout.last_block();
    // Ways out mostly lead forward. A way back leads to a loop, which is doomed only if it never ends.
    while let Some(block) = next {
        next = function.layout.prev_block(block);
        if next.is_some() && is_doomed(function, block, &doomed) {
            doomed.insert(block);
            function.layout.set_cold(block);
        }
    }
}

fn is_doomed(function: &Function, block: Block, doomed: &EntitySet<Block>) -> bool {
    let Some(last) = function.layout.last_inst(block) else { return false };
    let inst = &function.dfg.insts[last];
    let calls = inst.branch_destination(&function.dfg.jump_tables, &function.dfg.exception_tables);
    match inst.opcode() {
        Opcode::Trap => true,
        Opcode::Jump | Opcode::Brif | Opcode::BrTable => {
            calls.iter().all(|call| doomed.contains(call.block(&function.dfg.value_lists)))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::mark_doomed;

    #[test]
    fn ways_to_traps_are_cold() {
        let text = "function %f(i32) -> i32 {
            block0(v0: i32):
                brif v0, block1, block2
            block1:
                brif v0, block3, block4
            block2:
                jump block5
            block3:
                trap user1
            block4:
                jump block3
            block5:
                brif v0, block5, block6
            block6:
                return v0
            }";
        let mut function = cranelift_reader::parse_functions(text).unwrap().remove(0);
        mark_doomed(&mut function);
        let cold = function.layout.blocks().filter(|block| function.layout.is_cold(*block));
        assert_eq!(cold.map(|block| block.as_u32()).collect::<Vec<_>>(), [1, 3, 4]);
    }

    #[test]
    fn the_first_block_and_loops_stay() {
        let text = "function %f(i32) {
            block0(v0: i32):
                jump block1
            block1:
                brif v0, block1, block2
            block2:
                trap user1
            }";
        let mut function = cranelift_reader::parse_functions(text).unwrap().remove(0);
        mark_doomed(&mut function);
        let cold = function.layout.blocks().filter(|block| function.layout.is_cold(*block));
        assert_eq!(cold.map(|block| block.as_u32()).collect::<Vec<_>>(), [2]);
    }
}
