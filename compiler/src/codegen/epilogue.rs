//! Shorter epilogues for x86-64.
//!
//! Cranelift's epilogue gives back what the prologue took from the stack, then copies `rbp` to `rsp`, where it is
//! already. With the copy, each return waits for the `rbp` that the function before it has just popped: a store and a load
//! on the way of every chain of calls. Here the copy becomes a no-op.
//!
//! Bytes that look like an epilogue may be a constant of the program. What is an epilogue is therefore known by the
//! source locations: those of returns have a mark, and where a marked range ends, a return ends.

use cranelift_codegen::ir::{Function, Opcode, SourceLoc};
use cranelift_codegen::{Final, MachSrcLoc};

/// In a source location: the instruction returns. No wasm offset has this bit, but those of modules past 2 GiB.
const RETURNS: u32 = 1 << 31;

/// `mov rsp, rbp; pop rbp`, with the opcode of `ret` and that of a `ret` that pops arguments.
const EPILOGUE: [u8; 5] = [0x48, 0x89, 0xec, 0x5d, 0xc3];
const EPILOGUE_POPS: [u8; 5] = [0x48, 0x89, 0xec, 0x5d, 0xc2];
/// Bytes after the opcode of the latter.
const POPPED: u32 = 2;

/// A no-op as long as the copy.
const NOP: [u8; 3] = [0x0f, 0x1f, 0x00];

/// Marks the returns of a function that is about to be lowered; not, if a mark could be mistaken.
pub(super) fn mark(function: &mut Function) -> bool {
    let mut returns = Vec::new();
    for block in function.layout.blocks() {
        for inst in function.layout.block_insts(block) {
            let location = function.srcloc(inst);
            if is_marked(location) {
                return false;
            }
            if function.dfg.insts[inst].opcode() == Opcode::Return {
                returns.push((inst, location));
            }
        }
    }
    for (inst, location) in returns {
        let offset = if location.is_default() { 0 } else { location.bits() };
        function.set_srcloc(inst, SourceLoc::new(offset | RETURNS));
    }
    true
}

/// Where the copies are, ascending, in the epilogues of a function whose returns are marked.
pub(super) fn copies(code: &[u8], locations: &[MachSrcLoc<Final>]) -> Vec<u32> {
    let copy = |range: &MachSrcLoc<Final>| {
        [(EPILOGUE, 0), (EPILOGUE_POPS, POPPED)].into_iter().find_map(|(epilogue, after)| {
            let start = range.end.checked_sub(epilogue.len() as u32 + after)?;
            (start >= range.start && code[start as usize..].starts_with(&epilogue)).then_some(start)
        })
    };
    locations.iter().filter(|range| is_marked(range.loc)).filter_map(copy).collect()
}

/// Lets the copies do nothing.
pub(super) fn fill(code: &mut [u8], copies: &[u32]) {
    for copy in copies {
        let start = *copy as usize;
        code[start..start + NOP.len()].copy_from_slice(&NOP);
    }
}

fn is_marked(location: SourceLoc) -> bool {
    !location.is_default() && location.bits() & RETURNS != 0
}

/// The offset in the wasm file that a location of a function with marks means.
pub(super) fn without_mark(location: SourceLoc) -> SourceLoc {
    match location.bits() {
        // The mark alone: the return had no location.
        RETURNS => SourceLoc::default(),
        bits if is_marked(location) => SourceLoc::new(bits & !RETURNS),
        _ => location,
    }
}

#[cfg(test)]
mod tests {
    use super::{EPILOGUE, EPILOGUE_POPS, NOP};
    use crate::codegen::{Options, Scratch, compile};
    use crate::config::{Pass, Passes};
    use cranelift_codegen::ir::{AbiParam, Function, InstBuilder, Signature, SourceLoc, types};
    use cranelift_codegen::isa::CallConv;
    use cranelift_codegen::settings;
    use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};

    /// Machine code of a function that returns in two places: one of its parameters, or a constant.
    fn code(params: usize, constant: i64, location: SourceLoc, epilogue: bool) -> Vec<u8> {
        let isa = cranelift_codegen::isa::lookup_by_name("x86_64").unwrap();
        let isa = isa.finish(settings::Flags::new(settings::builder())).unwrap();
        let mut function = Function::new();
        function.signature = Signature::new(CallConv::Tail);
        function.signature.params = vec![AbiParam::new(types::I64); params];
        function.signature.returns.push(AbiParam::new(types::I64));
        let mut context = FunctionBuilderContext::new();
        let mut builder = FunctionBuilder::new(&mut function, &mut context);
        let [entry, one, other] = [(); 3].map(|()| builder.create_block());
        builder.append_block_params_for_function_params(entry);
        builder.switch_to_block(entry);
        builder.set_srcloc(location);
        let param = *builder.block_params(entry).last().unwrap();
        builder.ins().brif(param, one, &[], other, &[]);
        builder.switch_to_block(one);
        builder.ins().return_(&[param]);
        builder.switch_to_block(other);
        let constant = builder.ins().iconst(types::I64, constant);
        builder.ins().return_(&[constant]);
        builder.seal_all_blocks();
        builder.finalize(isa.frontend_config());
        let mut passes = Passes::ALL;
        passes.set(Pass::Epilogue, epilogue);
        let options = Options { passes, keep_clif: false, keep_asm: false };
        compile(function, &*isa, &mut Scratch::default(), options).unwrap().code
    }

    fn count(code: &[u8], bytes: &[u8]) -> usize {
        code.windows(bytes.len()).filter(|window| *window == bytes).count()
    }

    #[test]
    fn copies_are_gone() {
        for location in [SourceLoc::default(), SourceLoc::new(77)] {
            let before = code(1, 5, location, false);
            let after = code(1, 5, location, true);
            assert_eq!((count(&before, &EPILOGUE), before.len()), (2, after.len()));
            assert_eq!((count(&after, &EPILOGUE), count(&after, &NOP)), (0, 2));
        }
    }

    #[test]
    fn so_they_are_where_arguments_are_popped() {
        assert_eq!(count(&code(12, 5, SourceLoc::new(77), false), &EPILOGUE_POPS), 2);
        assert_eq!(count(&code(12, 5, SourceLoc::new(77), true), &EPILOGUE_POPS), 0);
    }

    #[test]
    fn constants_that_look_like_epilogues_stay() {
        let constant = i64::from_le_bytes([1, 2, 3, 0x48, 0x89, 0xec, 0x5d, 0xc3]);
        let after = code(1, constant, SourceLoc::new(77), true);
        assert_eq!((count(&after, &EPILOGUE), count(&after, &NOP)), (1, 2));
    }

    #[test]
    fn locations_that_look_marked_stay() {
        let location = SourceLoc::new(super::RETURNS + 77);
        assert_eq!(code(1, 5, location, true), code(1, 5, location, false));
    }
}
