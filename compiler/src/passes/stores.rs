//! Where a part of a constant is stored, the constant is that part.
//!
//! x86-64 stores constants without a register, but Cranelift sees to that only where all of one is stored, and a module has
//! none of 8 or 16 bits. Runs after Cranelift's optimiser.

use super::ssa::constant;
use cranelift_codegen::cursor::{Cursor as _, FuncCursor};
use cranelift_codegen::ir::{Function, Inst, InstBuilder as _, InstructionData, Opcode, Type, types};

/// Rewrites the stores of a function.
pub(crate) fn store_constants(function: &mut Function) {
    let mut stores: Vec<(Inst, Type, i64)> = Vec::new();
    for block in function.layout.blocks() {
        for inst in function.layout.block_insts(block) {
            let InstructionData::Store { opcode, args: [value, _], .. } = function.dfg.insts[inst] else {
                continue;
            };
            let ty = match opcode {
                Opcode::Istore8 => types::I8,
                Opcode::Istore16 => types::I16,
                Opcode::Istore32 => types::I32,
                _ => continue,
            };
            let value = function.dfg.resolve_aliases(value);
            stores.extend(constant(&function.dfg, value).map(|bits| (inst, ty, bits)));
        }
    }
    for (inst, ty, bits) in stores {
        let mut cursor = FuncCursor::new(function).at_inst(inst);
        cursor.use_srcloc(inst);
        let part = cursor.ins().iconst(ty, (bits as u64 & (u64::MAX >> (64 - ty.bits()))) as i64);
        if let InstructionData::Store { opcode, args, .. } = &mut function.dfg.insts[inst] {
            *opcode = Opcode::Store;
            args[0] = part;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::store_constants;
    use crate::passes::tests::rewritten;

    #[test]
    fn parts_of_constants_are_constants() {
        let clif = "function %f(i64, i32) {
            block0(v0: i64, v1: i32):
                v2 = iconst.i32 -2
                v3 = iconst.i64 0x1_2345_6789
                istore8 v2, v0+1
                istore16 v3, v0+2
                istore32 v3, v0+4
                istore8 v1, v0
                return
            }";
        let function = cranelift_reader::parse_functions(clif).unwrap().remove(0);
        let text = rewritten(function, |context| store_constants(&mut context.func)).display().to_string();
        for expected in [
            "v4 = iconst.i8 -2",
            "store v4, v0+1",
            "v5 = iconst.i16 0x6789",
            "store v5, v0+2",
            "v6 = iconst.i32 0x2345_6789",
            "store v6, v0+4",
            "istore8 v1, v0",
        ] {
            assert!(text.lines().any(|line| line.trim().starts_with(expected)), "{expected}\n{text}");
        }
    }
}
