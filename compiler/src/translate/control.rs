//! Structured control: blocks, branches, and what is unreachable.

use super::function::FunctionTranslator;
use super::profile::Point;
use super::types::{clif_type, clif_type_of};
use crate::error::Result;
use aot_abi::trap::TrapCode;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    Block, BlockArg, InstBuilder, InstructionData, JumpTableData, Opcode, Type, Value, types,
};
use wasmparser::{BlockType, BrTable, Operator};

/// A control construct that is open.
pub(super) struct Frame {
    kind: FrameKind,
    /// Where execution goes on after the construct's `end`. Its parameters are the construct's results.
    end: Block,
    /// Height of the operand stack below the construct's parameters.
    height: usize,
    results: usize,
    /// Whether anything jumps to `end`.
    end_reached: bool,
    /// How often that was so, by the profile.
    arrivals: u64,
    /// How often the loop around it, or the function, was entered, by the profile.
    around: u64,
}

/// A condition: whether `value` is not zero, or is zero if `inverted`.
#[derive(Clone, Copy)]
pub(super) struct Condition {
    pub value: Value,
    pub inverted: bool,
}

impl Condition {
    /// What to take if `value` is not zero, and if it is.
    pub fn order<T>(self, if_true: T, if_false: T) -> (T, T) {
        if self.inverted { (if_false, if_true) } else { (if_true, if_false) }
    }
}

/// How a `br_table` finds its target. A jump through a table costs eight instructions and a prediction.
#[derive(Debug, PartialEq, Eq)]
enum Switch {
    /// Few runs of equal targets: the end of each, and its depth.
    Ranges(Vec<(u32, u32)>),
    /// Two targets, and an index that fits the bits of a word: those with a set bit go to `target`.
    Bits {
        bits: u64,
        target: u32,
        other: u32,
    },
    Table,
}

impl Switch {
    const MAX_RANGES: usize = 3;

    /// Chooses by the depths of the indices and of the default.
    fn of(depths: &[u32], default: u32) -> Switch {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for (index, depth) in depths.iter().enumerate() {
            match ranges.last_mut() {
                Some((end, last)) if last == depth => *end = index as u32 + 1,
                _ => ranges.push((index as u32 + 1, *depth)),
            }
        }
        // What is left over goes to the default anyway.
        if ranges.len() > 1 && ranges.last().is_some_and(|(_, depth)| *depth == default) {
            ranges.pop();
        }
        if ranges.len() <= Self::MAX_RANGES {
            return Switch::Ranges(ranges);
        }
        let target = depths[0];
        let others = || depths.iter().copied().filter(|depth| *depth != target);
        match others().next() {
            Some(other) if depths.len() <= 64 && others().all(|depth| depth == other) => {
                let bits = depths.iter().enumerate().filter(|(_, depth)| **depth == target);
                Switch::Bits { bits: bits.fold(0, |bits, (index, _)| bits | 1 << index), target, other }
            }
            _ => Switch::Table,
        }
    }
}

enum FrameKind {
    Block,
    /// The target of branches to a loop is its start; `params` is how many values they take along.
    Loop {
        header: Block,
        params: usize,
    },
    /// An `if` before its `else`, if it has one. The parameters are kept for the other branch.
    If {
        otherwise: Block,
        params: Vec<Value>,
        /// Where a profile counts the other branch.
        point: Point,
    },
    Else,
}

impl Frame {
    /// The frame of the function body: its `end` returns.
    pub(super) fn function(end: Block, results: usize, count: u64) -> Frame {
        let kind = FrameKind::Block;
        Frame { kind, end, height: 0, results, end_reached: false, arrivals: 0, around: count }
    }

    /// Block and number of arguments of a branch to this construct.
    fn branch_target(&self) -> (Block, usize) {
        match self.kind {
            FrameKind::Loop { header, params } => (header, params),
            _ => (self.end, self.results),
        }
    }
}

impl FunctionTranslator<'_, '_> {
    /// Translates an operator of this family; `false` if it is of another.
    pub(super) fn control_operator(&mut self, op: &Operator<'_>) -> Result<bool> {
        match op {
            Operator::Block { blockty } => {
                let (params, results) = self.block_type(*blockty)?;
                let end = self.block_with_params(&results);
                self.push_frame(FrameKind::Block, end, params.len(), results.len());
            }
            Operator::Loop { blockty } => {
                let (params, results) = self.block_type(*blockty)?;
                let header = self.block_with_params(&params);
                let end = self.block_with_params(&results);
                let args = self.pop_list(params.len());
                self.jump(header, &args);
                self.builder.switch_to_block(header);
                self.begin_at(header, self.counting.point(0));
                self.stack.extend_from_slice(self.builder.block_params(header));
                self.push_frame(
                    FrameKind::Loop { header, params: params.len() },
                    end,
                    params.len(),
                    results.len(),
                );
                self.enter_loop();
            }
            Operator::If { blockty } => {
                let (params, results) = self.block_type(*blockty)?;
                let condition = self.pop_condition();
                let then = self.builder.create_block();
                let otherwise = self.builder.create_block();
                let end = self.block_with_params(&results);
                let (taken, other) = condition.order(then, otherwise);
                self.builder.ins().brif(condition.value, taken, &[], other, &[]);
                self.builder.switch_to_block(then);
                self.builder.seal_block(then);
                self.builder.seal_block(otherwise);
                let saved = self.stack[self.stack.len() - params.len()..].to_vec();
                let point = self.counting.point(1);
                let kind = FrameKind::If { otherwise, params: saved, point };
                self.push_frame(kind, end, params.len(), results.len());
                self.begin_at(then, self.counting.point(0));
            }
            Operator::Else => self.otherwise(),
            Operator::End => self.end(),
            Operator::Br { relative_depth } => {
                let (target, args) = self.branch(*relative_depth);
                self.jump(target, &args);
                self.end_reachable_code();
            }
            Operator::BrIf { relative_depth } => {
                let condition = self.pop_condition();
                let (target, args) = self.counted_branch(*relative_depth, self.counting.point(0));
                let next = self.builder.create_block();
                let ((taken, taken_args), (other, other_args)) =
                    condition.order((target, &args[..]), (next, &[][..]));
                self.builder.ins().brif(condition.value, taken, taken_args, other, other_args);
                self.fill_counted();
                self.builder.switch_to_block(next);
                self.builder.seal_block(next);
                self.begin_at(next, self.counting.point(1));
            }
            Operator::BrTable { targets } => self.br_table(targets)?,
            Operator::Return => {
                let results = self.frames[0].results;
                let values = self.pop_list(results);
                self.builder.ins().return_(&values);
                self.end_reachable_code();
            }
            Operator::Unreachable => {
                self.trap(TrapCode::Unreachable);
                self.end_reachable_code();
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Follows the control structure through code that cannot be reached.
    pub(super) fn unreachable_operator(&mut self, op: &Operator<'_>) {
        match op {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => self.dead_frames += 1,
            Operator::Else if self.dead_frames == 0 => self.otherwise(),
            Operator::End if self.dead_frames == 0 => self.end(),
            Operator::End => self.dead_frames -= 1,
            _ => {}
        }
    }

    /// Marks what follows in this construct as unreachable.
    pub(super) fn end_reachable_code(&mut self) {
        self.reachable = false;
    }

    fn push_frame(&mut self, kind: FrameKind, end: Block, params: usize, results: usize) {
        let height = self.stack.len() - params;
        let around = match kind {
            FrameKind::Loop { .. } => {
                let place = self.frames.len();
                self.loops.truncate(self.loops.partition_point(|(frame, _)| *frame < place));
                self.loops.push((place, self.at));
                self.counting.now
            }
            _ => self.around(),
        };
        self.frames.push(Frame { kind, end, height, results, end_reached: false, arrivals: 0, around });
    }

    fn block_type(&self, ty: BlockType) -> Result<(Vec<Type>, Vec<Type>)> {
        Ok(match ty {
            BlockType::Empty => (Vec::new(), Vec::new()),
            BlockType::Type(ty) => (Vec::new(), vec![clif_type_of(ty, self.pointer)?]),
            BlockType::FuncType(index) => {
                let ty = &self.module.info.types[index as usize];
                let clif = |types: &[_]| types.iter().map(|ty| clif_type(*ty, self.pointer)).collect();
                (clif(&ty.params), clif(&ty.results))
            }
        })
    }

    pub(super) fn block_with_params(&mut self, types: &[Type]) -> Block {
        let block = self.builder.create_block();
        for ty in types {
            self.builder.append_block_param(block, *ty);
        }
        block
    }

    fn jump(&mut self, target: Block, args: &[Value]) {
        let args: Vec<BlockArg> = args.iter().copied().map(BlockArg::from).collect();
        self.builder.ins().jump(target, &args);
    }

    /// Target and arguments of a branch; the arguments stay on the stack.
    fn branch(&mut self, depth: u32) -> (Block, Vec<Value>) {
        let index = self.frames.len() - 1 - depth as usize;
        let frame = &mut self.frames[index];
        let (target, count) = frame.branch_target();
        if target == frame.end {
            frame.end_reached = true;
            frame.arrivals = frame.arrivals.saturating_add(self.counting.now);
        }
        (target, self.stack[self.stack.len() - count..].to_vec())
    }

    fn otherwise(&mut self) {
        let frame = self.frames.last_mut().expect("validated: `else` is inside an `if`");
        let FrameKind::If { otherwise, params, point } = std::mem::replace(&mut frame.kind, FrameKind::Else)
        else {
            unreachable!("validated: `else` follows an `if`");
        };
        let (end, height, results) = (frame.end, frame.height, frame.results);
        if self.reachable {
            frame.end_reached = true;
            frame.arrivals = frame.arrivals.saturating_add(self.counting.now);
            let values = self.pop_list(results);
            self.jump(end, &values);
        }
        self.stack.truncate(height);
        self.stack.extend(params);
        self.builder.switch_to_block(otherwise);
        self.reachable = true;
        self.begin_at(otherwise, point);
    }

    fn end(&mut self) {
        let frame = self.frames.pop().expect("validated: `end` closes a construct");
        let mut reached = frame.end_reached;
        let mut arrivals = frame.arrivals;
        if self.reachable {
            arrivals = arrivals.saturating_add(self.counting.now);
            let values = self.pop_list(frame.results);
            self.jump(frame.end, &values);
            reached = true;
        }
        match frame.kind {
            FrameKind::Loop { header, .. } => self.builder.seal_block(header),
            // Without an `else` the parameters are the results.
            FrameKind::If { otherwise, params, point } => {
                self.builder.switch_to_block(otherwise);
                self.begin_at(otherwise, point);
                arrivals = arrivals.saturating_add(self.counting.now);
                self.jump(frame.end, &params);
                reached = true;
            }
            FrameKind::Block | FrameKind::Else => {}
        }
        self.stack.truncate(frame.height);
        self.builder.seal_block(frame.end);
        self.reachable = reached;
        if reached {
            self.builder.switch_to_block(frame.end);
            self.begin(frame.end, arrivals);
            self.stack.extend_from_slice(self.builder.block_params(frame.end));
        }
    }

    fn br_table(&mut self, targets: &BrTable<'_>) -> Result<()> {
        let index = self.pop();
        let mut depths = targets.targets().collect::<std::result::Result<Vec<_>, _>>()?;
        depths.push(targets.default());
        // A table of one target is a jump, and needs no index.
        if depths.iter().all(|depth| *depth == depths[0]) {
            let (target, args) = self.branch(depths[0]);
            self.jump(target, &args);
            self.end_reachable_code();
            return Ok(());
        }
        if self.counting.is_counting() {
            self.counted_table(index, &depths);
            return Ok(());
        }
        self.count_arrivals(&depths);
        let default = depths.pop().expect("pushed above");
        match Switch::of(&depths, default) {
            Switch::Ranges(ranges) => self.branch_by_ranges(index, &ranges, default),
            Switch::Bits { bits, target, other } => {
                let len = depths.len() as i64;
                self.branch_by_bits(index, len, bits, [target, other, default]);
            }
            Switch::Table => {
                let default = self.block_call(default);
                let table: Vec<_> = depths.into_iter().map(|depth| self.block_call(depth)).collect();
                let table = self.builder.create_jump_table(JumpTableData::new(default, &table));
                self.builder.ins().br_table(index, table);
            }
        }
        self.end_reachable_code();
        Ok(())
    }

    /// Compares the index with the end of each range in turn.
    fn branch_by_ranges(&mut self, index: Value, ranges: &[(u32, u32)], default: u32) {
        for (position, (end, depth)) in ranges.iter().enumerate() {
            let is_last = position + 1 == ranges.len();
            let inside = self.builder.ins().icmp_imm_u(IntCC::UnsignedLessThan, index, i64::from(*end));
            let (target, args) = self.branch_args(*depth);
            if is_last {
                let (other, other_args) = self.branch_args(default);
                self.builder.ins().brif(inside, target, &args, other, &other_args);
            } else {
                let next = self.builder.create_block();
                self.builder.ins().brif(inside, target, &args, next, &[]);
                self.builder.switch_to_block(next);
                self.builder.seal_block(next);
            }
        }
    }

    /// Looks the index up in a set of bits: two targets for the indices below `len`, a third for the rest.
    fn branch_by_bits(&mut self, index: Value, len: i64, bits: u64, [target, other, default]: [u32; 3]) {
        let inside = self.builder.ins().icmp_imm_u(IntCC::UnsignedLessThan, index, len);
        let lookup = self.builder.create_block();
        let (outside, args) = self.branch_args(default);
        self.builder.ins().brif(inside, lookup, &[], outside, &args);
        self.builder.switch_to_block(lookup);
        self.builder.seal_block(lookup);
        let bits = self.builder.ins().iconst(types::I64, bits as i64);
        let shifted = self.builder.ins().ushr(bits, index);
        let bit = self.builder.ins().band_imm_u(shifted, 1);
        let (target, args) = self.branch_args(target);
        let (other, other_args) = self.branch_args(other);
        self.builder.ins().brif(bit, target, &args, other, &other_args);
    }

    /// A branch on a table, each of whose ways is counted. The last one is the default.
    fn counted_table(&mut self, index: Value, depths: &[u32]) {
        let calls: Vec<_> = (0..)
            .zip(depths)
            .map(|(way, depth)| {
                let (block, args) = self.counted_branch(*depth, self.counting.point(way));
                self.builder.func.dfg.block_call(block, &args)
            })
            .collect();
        let (default, table) = calls.split_last().expect("there is a default");
        let table = self.builder.create_jump_table(JumpTableData::new(*default, table));
        self.builder.ins().br_table(index, table);
        self.fill_counted();
        self.end_reachable_code();
    }

    /// Adds what the profile says of the ways of a branch on a table to their targets.
    fn count_arrivals(&mut self, depths: &[u32]) {
        for (way, depth) in (0..).zip(depths) {
            let index = self.frames.len() - 1 - *depth as usize;
            let count = self.counting.count(self.counting.point(way));
            self.frames[index].arrivals = self.frames[index].arrivals.saturating_add(count);
        }
        self.counting.now = 0;
    }

    /// How often the innermost loop around what comes next, or the function, was entered, by the profile.
    pub(super) fn around(&self) -> u64 {
        self.frames.last().map_or(self.counting.now, |frame| frame.around)
    }

    pub(super) fn branch_args(&mut self, depth: u32) -> (Block, Vec<BlockArg>) {
        let (target, args) = self.branch(depth);
        (target, args.into_iter().map(BlockArg::from).collect())
    }

    /// Pops the condition of a branch, without the conversion of a comparison to an integer and back: the machine
    /// compares and branches at once.
    pub(super) fn pop_condition(&mut self) -> Condition {
        let mut condition = Condition { value: self.pop(), inverted: false };
        let dfg = &self.builder.func.dfg;
        let data = |value| dfg.value_def(value).inst().map(|inst| dfg.insts[inst]);
        // A comparison has 8 bits and is extended to be a value of wasm.
        while let Some(InstructionData::Unary { opcode: Opcode::Uextend, arg }) = data(condition.value) {
            match data(arg) {
                Some(InstructionData::IntCompare { cond: IntCC::Equal, args: [x, zero], .. })
                    if dfg.value_type(x) == types::I32
                        && matches!(data(zero), Some(InstructionData::UnaryImm { opcode: Opcode::Iconst, imm }) if imm.bits() == 0)
                        && matches!(
                            data(x),
                            Some(InstructionData::Unary { opcode: Opcode::Uextend, .. })
                        ) =>
                {
                    condition = Condition { value: x, inverted: !condition.inverted };
                }
                Some(InstructionData::IntCompare { .. } | InstructionData::FloatCompare { .. }) => {
                    condition.value = arg;
                    break;
                }
                _ => break,
            }
        }
        condition
    }

    fn block_call(&mut self, depth: u32) -> cranelift_codegen::ir::BlockCall {
        let (target, args) = self.branch(depth);
        self.builder.func.dfg.block_call(target, &args.into_iter().map(BlockArg::from).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::Switch;

    #[test]
    fn small_tables_are_comparisons() {
        assert_eq!(Switch::of(&[1], 0), Switch::Ranges(vec![(1, 1)]));
        assert_eq!(Switch::of(&[1, 1, 2, 0, 0], 0), Switch::Ranges(vec![(2, 1), (3, 2)]));
        assert_eq!(Switch::of(&[0, 0], 0), Switch::Ranges(vec![(2, 0)]));
        let bits = Switch::Bits { bits: 0b1_0110_0101, target: 4, other: 2 };
        assert_eq!(Switch::of(&[4, 2, 4, 2, 2, 4, 4, 2, 4], 0), bits);
        assert_eq!(Switch::of(&[4, 2, 4, 2, 3, 4], 0), Switch::Table);
        let alternating: Vec<u32> = (0..65).map(|index| index % 2).collect();
        assert_eq!(Switch::of(&alternating, 0), Switch::Table);
        assert!(matches!(
            Switch::of(&alternating[..64], 0),
            Switch::Bits { bits: 0x5555_5555_5555_5555, .. }
        ));
    }
}
