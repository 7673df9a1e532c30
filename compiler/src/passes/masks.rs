//! Leaves out what clears bits that are zero anyway.
//!
//! LLVM selects instructions block by block: in another block than the one that loads a byte, or compares, it knows nothing of the
//! upper bits of the local that holds it, and masks it again (`i32.const 255`, `i32.and`) wherever it is used. Cranelift
//! keeps these masks. Here, an upper bound is computed for what masks and extensions take, by following what it is computed from; around loops,
//! up to the smallest bounds that agree with each other. Runs before Cranelift's optimiser.

use super::ssa::{add_labels, given, unsigned_constant as constant};
use cranelift_codegen::Context;
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    Function, Inst, InstBuilder as _, InstructionData, Opcode, Type, Value, ValueDef, types,
};
use rustc_hash::FxHashMap;
use smallvec::{SmallVec, smallvec};
use std::collections::hash_map::Entry;

/// Values of a function that are looked at.
const MAX_VALUES: usize = 1 << 14;

/// Arguments of blocks that are looked at.
const MAX_ARGUMENTS: usize = 1 << 16;

/// Rounds after which a bound that still grows may be anything, and rounds after which nothing is known.
const GROWING_ROUNDS: usize = 4;
const MAX_ROUNDS: usize = 64;

/// An instruction that may do nothing.
struct Candidate {
    inst: Inst,
    /// What it has for a result then.
    value: Value,
    /// Significant bits of `value`, at most, for that to be so.
    most: u32,
}

/// Rewrites a function, whose control-flow graph is known.
pub(crate) fn leave_out_masks(context: &mut Context) {
    let function = &context.func;
    let insts = function.layout.blocks().flat_map(|block| function.layout.block_insts(block));
    let candidates: Vec<Candidate> = insts.filter_map(|inst| candidate(function, inst)).collect();
    if candidates.is_empty() {
        return;
    }
    let mut bounds = Bounds::new(&context.func, &context.cfg);
    let numbers: Vec<Option<usize>> =
        candidates.iter().map(|candidate| bounds.add(candidate.value)).collect();
    bounds.add_inputs();
    if !bounds.settle() {
        return;
    }
    let is_idle = |(candidate, number): &(&Candidate, &Option<usize>)| {
        number.is_some_and(|number| bounds.nodes[number].width <= candidate.most)
    };
    let idle: Vec<&Candidate> =
        candidates.iter().zip(&numbers).filter(is_idle).map(|(candidate, _)| candidate).collect();
    for candidate in idle {
        leave_out(&mut context.func, candidate);
    }
}

fn candidate(function: &Function, inst: Inst) -> Option<Candidate> {
    let dfg = &function.dfg;
    match dfg.insts[inst] {
        InstructionData::Binary { opcode: Opcode::Band, args } => {
            let [left, right] = args.map(|arg| dfg.resolve_aliases(arg));
            let (value, mask) = match constant(&function.dfg, right) {
                Some(mask) => (left, mask),
                None => (right, constant(&function.dfg, left)?),
            };
            let most = mask.trailing_ones();
            (most > 0).then_some(Candidate { inst, value, most })
        }
        InstructionData::Binary { opcode: opcode @ (Opcode::Ushr | Opcode::Sshr), args } => {
            let (shifted, bits) = shift(function, args)?;
            let InstructionData::Binary { opcode: Opcode::Ishl, args } = definition(function, shifted)?
            else {
                return None;
            };
            let (value, other) = shift(function, args)?;
            let sign = u32::from(opcode == Opcode::Sshr);
            let most = dfg.value_type(value).bits() - bits - sign;
            (other == bits).then_some(Candidate { inst, value, most })
        }
        // The sign is zero.
        InstructionData::Unary { opcode: opcode @ (Opcode::Sextend | Opcode::Uextend), arg } => {
            let ty = dfg.value_type(dfg.first_result(inst));
            let arg = dfg.resolve_aliases(arg);
            let low = dfg.value_type(arg).bits();
            let sign = u32::from(opcode == Opcode::Sextend);
            match definition(function, arg) {
                Some(InstructionData::Unary { opcode: Opcode::Ireduce, arg: value })
                    if dfg.value_type(value) == ty =>
                {
                    Some(Candidate { inst, value: dfg.resolve_aliases(value), most: low - sign })
                }
                _ if sign == 1 => Some(Candidate { inst, value: arg, most: low - 1 }),
                // What is one already if it is not zero.
                Some(InstructionData::IntCompare { cond: IntCC::NotEqual, args, .. }) => {
                    let [value, zero] = args.map(|arg| dfg.resolve_aliases(arg));
                    let is_it = dfg.value_type(value) == ty && constant(&function.dfg, zero) == Some(0);
                    is_it.then_some(Candidate { inst, value, most: 1 })
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// Lets a value take the place of the result of an instruction, or extends it without its sign.
fn leave_out(function: &mut Function, Candidate { inst, value, .. }: &Candidate) {
    let dfg = &mut function.dfg;
    let result = dfg.first_result(*inst);
    let ty = dfg.value_type(result);
    if dfg.value_type(*value) != ty {
        function.replace(*inst).uextend(ty, *value);
        return;
    }
    // An earlier one may have been left out in favour of another value.
    let value = dfg.resolve_aliases(*value);
    add_labels(dfg, value, result);
    dfg.clear_results(*inst);
    dfg.change_to_alias(result, value);
    function.layout.remove_inst(*inst);
}

fn definition(function: &Function, value: Value) -> Option<InstructionData> {
    let inst = function.dfg.value_def(value).inst()?;
    Some(function.dfg.insts[inst])
}

/// What is shifted, and by how many bits, if that is constant.
fn shift(function: &Function, args: [Value; 2]) -> Option<(Value, u32)> {
    let [value, by] = args.map(|arg| function.dfg.resolve_aliases(arg));
    let bits = is_known(function.dfg.value_type(value))?;
    Some((value, constant(&function.dfg, by)? as u32 & (bits - 1)))
}

/// The bits of a type of which something can be known.
fn is_known(ty: Type) -> Option<u32> {
    (ty.is_int() && ty.bits() <= 64).then_some(ty.bits())
}

/// A value of which is known how many bits are significant.
struct Node {
    value: Value,
    /// It is less than two to the power of this.
    width: u32,
    /// What it is computed from; nothing if that is not known.
    from: Option<SmallVec<[usize; 2]>>,
}

/// Upper bounds of values.
struct Bounds<'f> {
    function: &'f Function,
    cfg: &'f ControlFlowGraph,
    nodes: Vec<Node>,
    numbers: FxHashMap<Value, usize>,
    /// Arguments that may still be looked at.
    left: usize,
}

impl<'f> Bounds<'f> {
    fn new(function: &'f Function, cfg: &'f ControlFlowGraph) -> Bounds<'f> {
        Bounds { function, cfg, nodes: Vec::new(), numbers: FxHashMap::default(), left: MAX_ARGUMENTS }
    }

    /// The node of a value; nothing if there are too many.
    fn add(&mut self, value: Value) -> Option<usize> {
        let value = self.function.dfg.resolve_aliases(value);
        let next = self.nodes.len();
        match self.numbers.entry(value) {
            Entry::Occupied(number) => Some(*number.get()),
            Entry::Vacant(_) if next == MAX_VALUES => None,
            Entry::Vacant(entry) => {
                entry.insert(next);
                self.nodes.push(Node { value, width: 0, from: None });
                Some(next)
            }
        }
    }

    /// Adds all that there are nodes for is computed from.
    fn add_inputs(&mut self) {
        let mut number = 0;
        while let Some(node) = self.nodes.get(number) {
            let inputs = self.inputs(node.value);
            let from = inputs.and_then(|inputs| inputs.into_iter().map(|value| self.add(value)).collect());
            self.nodes[number].from = from;
            number += 1;
        }
    }

    /// The values that the bound of a value depends on; nothing if they are not known.
    fn inputs(&mut self, value: Value) -> Option<SmallVec<[Value; 2]>> {
        let dfg = &self.function.dfg;
        let inst = match dfg.value_def(value) {
            ValueDef::Param(block, _) if self.function.layout.entry_block() == Some(block) => return None,
            ValueDef::Param(..) => {
                let given = given(self.function, self.cfg, value, &mut self.left)?;
                return Some(given.into_iter().map(|(_, value)| value).collect());
            }
            ValueDef::Result(inst, _) => inst,
            ValueDef::Union(..) => return None,
        };
        Some(match dfg.insts[inst] {
            InstructionData::Unary { opcode: Opcode::Uextend | Opcode::Ireduce, arg } => smallvec![arg],
            InstructionData::Binary { opcode, args: [x, y] } => match opcode {
                Opcode::Band
                | Opcode::Bor
                | Opcode::Bxor
                | Opcode::Iadd
                | Opcode::Imul
                | Opcode::Umin
                | Opcode::Umax
                | Opcode::Urem => smallvec![x, y],
                Opcode::Ishl | Opcode::Ushr | Opcode::Sshr | Opcode::Udiv => smallvec![x],
                _ => SmallVec::new(),
            },
            InstructionData::Ternary { opcode: Opcode::Select, args: [_, x, y] } => smallvec![x, y],
            _ => SmallVec::new(),
        })
    }

    /// Computes the bounds; false if that takes too long.
    fn settle(&mut self) -> bool {
        for round in 0..MAX_ROUNDS {
            let mut changed = false;
            // What a value is computed from comes after it, but for loops.
            for number in (0..self.nodes.len()).rev() {
                let width = self.width(&self.nodes[number]);
                let Node { value, width: before, .. } = &mut self.nodes[number];
                if width > *before {
                    let grows = round >= GROWING_ROUNDS;
                    *before = if grows { self.function.dfg.value_type(*value).bits() } else { width };
                    changed = true;
                }
            }
            if !changed {
                return true;
            }
        }
        false
    }

    /// The bound of a value by those of what it is computed from.
    fn width(&self, Node { value, from, .. }: &Node) -> u32 {
        let dfg = &self.function.dfg;
        let ty = dfg.value_type(*value);
        let (Some(bits), Some(from)) = (is_known(ty), from) else { return ty.bits() };
        let widths = from.iter().map(|from| self.nodes[*from].width);
        let ValueDef::Result(inst, _) = dfg.value_def(*value) else { return widths.max().unwrap_or(bits) };
        let first = from.first().map_or(bits, |from| self.nodes[*from].width);
        let by = |args| shift(self.function, args).map(|(_, by)| by);
        let width = match dfg.insts[inst] {
            InstructionData::UnaryImm { opcode: Opcode::Iconst, .. } => constant(&self.function.dfg, *value)
                .map_or(bits, |constant| u64::BITS - constant.leading_zeros()),
            InstructionData::IntCompare { .. } | InstructionData::FloatCompare { .. } => 1,
            InstructionData::Binary { opcode, args } => match opcode {
                Opcode::Band | Opcode::Umin | Opcode::Urem => widths.min().unwrap_or(bits),
                Opcode::Bor | Opcode::Bxor | Opcode::Umax => widths.max().unwrap_or(bits),
                Opcode::Iadd => widths.max().map_or(bits, |most| most + 1),
                Opcode::Imul => widths.sum(),
                Opcode::Udiv => first,
                Opcode::Ishl => by(args).map_or(bits, |by| first + by),
                Opcode::Ushr => first.saturating_sub(by(args).unwrap_or(0)),
                // The sign comes down, unless it is zero.
                Opcode::Sshr if first < bits => first.saturating_sub(by(args).unwrap_or(0)),
                _ => bits,
            },
            InstructionData::Unary { opcode, .. } => match opcode {
                Opcode::Uextend | Opcode::Ireduce => first,
                Opcode::Popcnt | Opcode::Clz | Opcode::Ctz => bits.ilog2() + 1,
                _ => bits,
            },
            InstructionData::Ternary { opcode: Opcode::Select, .. } => widths.max().unwrap_or(bits),
            InstructionData::Load { opcode, .. } => match opcode {
                Opcode::Uload8 => types::I8.bits(),
                Opcode::Uload16 => types::I16.bits(),
                Opcode::Uload32 => types::I32.bits(),
                _ => bits,
            },
            _ => bits,
        };
        width.min(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::leave_out_masks;
    use crate::passes::tests::rewritten;
    use cranelift_codegen::ir::Opcode;

    /// How many of the instructions that clear bits, or extend, a function has left of its body.
    fn left(body: &str) -> usize {
        let clif = format!(
            "function %bits(i32, i64) -> i32 {{
            block0(v0: i32, v1: i64):
                v2 = iconst.i32 255
                v3 = iconst.i32 1
                v4 = iconst.i32 24
                v5 = uload8.i32 v1
                v6 = iconst.i32 0
                {body}
            }}"
        );
        let function = rewritten(cranelift_reader::parse_functions(&clif).unwrap().remove(0), |context| {
            context.flowgraph();
            leave_out_masks(context);
        });
        let insts = function.layout.blocks().flat_map(|block| function.layout.block_insts(block));
        let counts = |opcode| matches!(opcode, Opcode::Band | Opcode::Ushr | Opcode::Sshr | Opcode::Sextend);
        insts.filter(|inst| counts(function.dfg.insts[*inst].opcode())).count()
    }

    #[test]
    fn masks_of_what_is_small_go() {
        assert_eq!(left("v10 = band v5, v2\nreturn v10"), 0);
        assert_eq!(left("v10 = band v2, v5\nreturn v10"), 0);
        // Bits may be set that the mask clears.
        assert_eq!(left("v10 = band v5, v3\nreturn v10"), 1);
        assert_eq!(left("v10 = band v0, v2\nreturn v10"), 1);
        assert_eq!(left("v10 = iadd v5, v3\nv11 = band v10, v2\nreturn v11"), 1);
        assert_eq!(left("v10 = imul v5, v5\nv11 = band v10, v2\nreturn v11"), 1);
        assert_eq!(left("v10 = ishl v5, v3\nv11 = band v10, v2\nreturn v11"), 1);
        assert_eq!(left("v10 = isub v6, v5\nv11 = band v10, v2\nreturn v11"), 1);
        // A mask has ones only.
        assert_eq!(left("v9 = iconst.i32 0xfd\nv10 = band v5, v9\nreturn v10"), 1);
        assert_eq!(left("v9 = iconst.i32 0x1ff\nv10 = iadd v5, v5\nv11 = band v10, v9\nreturn v11"), 0);
    }

    #[test]
    fn what_blocks_are_given_counts() {
        let joined = |value: &str| {
            left(&format!(
                "brif v0, block1(v5), block2
            block2:
                v9 = iadd v5, v3
                jump block1({value})
            block1(v10: i32):
                v11 = band v10, v2
                return v11"
            ))
        };
        assert_eq!(joined("v3"), 0);
        assert_eq!(joined("v9"), 1);
        assert_eq!(joined("v0"), 1);
    }

    #[test]
    fn loops_are_followed() {
        let walked = |next: &str| {
            left(&format!(
                "jump block1(v5)
            block1(v10: i32):
                v11 = band v10, v2
                v12 = uload8.i32 v1
                v13 = bxor v10, v12
                v14 = iadd v10, v3
                brif v0, block1({next}), block2
            block2:
                return v11"
            ))
        };
        assert_eq!(walked("v12"), 0);
        assert_eq!(walked("v13"), 0);
        // It grows with each round.
        assert_eq!(walked("v14"), 1);
    }

    #[test]
    fn signs_that_are_clear_are_not_extended() {
        assert_eq!(left("v10 = ireduce.i8 v5\nv11 = sextend.i32 v10\nreturn v11"), 1);
        let seven = "v9 = ushr v5, v3\n";
        assert_eq!(left(&format!("{seven}v10 = ireduce.i8 v9\nv11 = sextend.i32 v10\nreturn v11")), 1);
        assert_eq!(left(&format!("{seven}v10 = ishl v9, v4\nv11 = sshr v10, v4\nreturn v11")), 1);
        assert_eq!(left("v10 = ishl v5, v4\nv11 = ushr v10, v4\nreturn v11"), 0);
        assert_eq!(left("v10 = ishl v5, v4\nv11 = sshr v10, v4\nreturn v11"), 1);
        assert_eq!(left("v10 = sextend.i64 v5\nv11 = ireduce.i32 v10\nreturn v11"), 0);
        assert_eq!(left("v10 = sextend.i64 v0\nv11 = ireduce.i32 v10\nreturn v11"), 1);
    }
}
