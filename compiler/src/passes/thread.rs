//! Jumps past branches whose way is known on the way to them.
//!
//! A state machine sets its state and jumps to the switch on it; a Go function has a loop around a `br_table` of all its
//! blocks, and each of its jumps sets a number and goes through that. Where a jump passes what decides the branch of
//! the block that it goes to, the block is copied for this jump, and the copy goes where the branch would. Runs before
//! Cranelift's optimiser, for which loops are then what they were in the source.

use super::ssa::{Copies, Edge, ensure_flowgraph, home, is_small, remove_unreachable, resolve_aliases};
use cranelift_codegen::Context;
use cranelift_codegen::entity::EntitySet;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    Block, BlockArg, BlockCall, Function, InstructionData, Opcode, Type, Value, ValueDef,
};
use smallvec::SmallVec;

mod budget {
    /// Instructions of a block that is copied at most, but for the branch.
    pub const BLOCK: usize = 12;
    /// Blocks that one jump is threaded through.
    pub const PATH: usize = 8;
    /// Blocks without a decision that a jump may go through to one.
    pub const AHEAD: usize = 2;
    /// Operations between what is known and what decides.
    pub const DEPTH: usize = 6;
    /// What all copies of a function may have in instructions: at least this, and a part of the function.
    pub const GROWTH: usize = 200;
    pub const GROWTH_PART: usize = 4;
    /// CLIF instructions of a function, and blocks times copied values: what the repair may cost.
    pub const FUNCTION: usize = 400_000;
    pub const REPAIR: usize = 4_000_000;
}

/// Threads the jumps of a function. If the context has a control-flow graph, it is, and stays, that of the function.
pub(crate) fn thread_jumps(context: &mut Context) {
    let function = &context.func;
    if function.dfg.num_insts() > budget::FUNCTION {
        return;
    }
    let edges = function.layout.blocks().flat_map(|block| Edge::out_of(function, block));
    let edges: Vec<Edge> =
        edges.filter(|edge| decided(function, *edge, &Known::default()).is_some()).collect();
    if edges.is_empty() {
        return;
    }
    resolve_aliases(&mut context.func);
    ensure_flowgraph(context);
    let mut threading = Threading {
        left: budget::GROWTH + context.func.dfg.num_insts() / budget::GROWTH_PART,
        copies: Copies::default(),
        escaping: escaping(&context.func),
        loops: loops(context),
        context,
    };
    for edge in edges {
        threading.thread(edge);
    }
    let Threading { copies, context, .. } = threading;
    if !copies.is_empty() {
        remove_unreachable(context);
        copies.repair(&mut context.func, &context.cfg);
    }
}

/// Blocks that define what other blocks use. All values have to have their own names.
fn escaping(function: &Function) -> EntitySet<Block> {
    let mut blocks = EntitySet::new();
    for block in function.layout.blocks() {
        for inst in function.layout.block_insts(block) {
            for value in function.dfg.inst_values(inst) {
                if let Some(home) = home(function, value).filter(|home| *home != block) {
                    blocks.insert(home);
                }
            }
        }
    }
    blocks
}

/// Blocks that loops begin with: that a block goes to which they dominate.
fn loops(context: &Context) -> EntitySet<Block> {
    let mut loops = EntitySet::new();
    for block in context.func.layout.blocks() {
        let dominates = |from: Block| context.domtree.block_dominates(block, from);
        if context.cfg.pred_iter(block).any(|edge| dominates(edge.block)) {
            loops.insert(block);
        }
    }
    loops
}

/// Values that are constant on a path: a few at most.
#[derive(Clone, Default)]
struct Known(SmallVec<[(Value, u64); 4]>);

impl Known {
    /// What is known in the block that a call goes to. Its values are new ones.
    fn enter(&mut self, function: &Function, call: BlockCall) {
        let dfg = &function.dfg;
        let block = call.block(&dfg.value_lists);
        let params = dfg.block_params(block).iter();
        let args: SmallVec<[(Value, u64); 4]> = params
            .zip(call.args(&dfg.value_lists))
            .filter_map(|(param, arg)| match arg {
                BlockArg::Value(arg) => Some((*param, self.evaluate(function, arg)?)),
                _ => None,
            })
            .collect();
        self.0.retain(|(value, _)| home(function, *value) != Some(block));
        self.0.extend(args);
    }

    fn evaluate(&self, function: &Function, value: Value) -> Option<u64> {
        self.evaluate_within(function, value, budget::DEPTH)
    }

    /// The bits of an integer, if they are known.
    fn evaluate_within(&self, function: &Function, value: Value, depth: usize) -> Option<u64> {
        let dfg = &function.dfg;
        let value = dfg.resolve_aliases(value);
        if let Some((_, constant)) = self.0.iter().find(|(known, _)| *known == value) {
            return Some(*constant);
        }
        let ValueDef::Result(inst, 0) = dfg.value_def(value) else { return None };
        let ty = int(dfg.value_type(value))?;
        let depth = depth.checked_sub(1)?;
        let of = |value: Value| {
            let ty = int(dfg.value_type(value))?;
            Some((self.evaluate_within(function, value, depth)?, ty))
        };
        let bits = match dfg.insts[inst] {
            InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } => imm.bits() as u64,
            InstructionData::Unary { opcode, arg } => unary(opcode, of(arg)?)?,
            InstructionData::Binary { opcode, args: [left, right] } => {
                binary(opcode, ty, of(left)?.0, of(right)?.0)?
            }
            InstructionData::IntCompare { cond, args: [left, right], .. } => {
                let (left, ty) = of(left)?;
                u64::from(compare(cond, ty, left, of(right)?.0))
            }
            InstructionData::Ternary { opcode: Opcode::Select, args: [condition, yes, no] } => {
                of(if of(condition)?.0 != 0 { yes } else { no })?.0
            }
            _ => return None,
        };
        Some(bits & mask(ty))
    }
}

/// An integer type that a machine word holds.
fn int(ty: Type) -> Option<Type> {
    (ty.is_int() && ty.bits() <= 64).then_some(ty)
}

fn mask(ty: Type) -> u64 {
    u64::MAX >> (64 - ty.bits())
}

fn signed(bits: u64, ty: Type) -> i64 {
    let unused = 64 - ty.bits();
    ((bits << unused) as i64) >> unused
}

fn unary(opcode: Opcode, (bits, ty): (u64, Type)) -> Option<u64> {
    Some(match opcode {
        Opcode::Uextend | Opcode::Ireduce => bits,
        Opcode::Sextend => signed(bits, ty) as u64,
        Opcode::Bnot => !bits,
        Opcode::Ineg => bits.wrapping_neg(),
        _ => return None,
    })
}

fn binary(opcode: Opcode, ty: Type, left: u64, right: u64) -> Option<u64> {
    let amount = right & u64::from(ty.bits() - 1);
    Some(match opcode {
        Opcode::Iadd => left.wrapping_add(right),
        Opcode::Isub => left.wrapping_sub(right),
        Opcode::Imul => left.wrapping_mul(right),
        Opcode::Band => left & right,
        Opcode::Bor => left | right,
        Opcode::Bxor => left ^ right,
        Opcode::Ishl => left << amount,
        Opcode::Ushr => left >> amount,
        Opcode::Sshr => (signed(left, ty) >> amount) as u64,
        _ => return None,
    })
}

fn compare(cond: IntCC, ty: Type, left: u64, right: u64) -> bool {
    let (left_signed, right_signed) = (signed(left, ty), signed(right, ty));
    match cond {
        IntCC::Equal => left == right,
        IntCC::NotEqual => left != right,
        IntCC::SignedLessThan => left_signed < right_signed,
        IntCC::SignedGreaterThanOrEqual => left_signed >= right_signed,
        IntCC::SignedGreaterThan => left_signed > right_signed,
        IntCC::SignedLessThanOrEqual => left_signed <= right_signed,
        IntCC::UnsignedLessThan => left < right,
        IntCC::UnsignedGreaterThanOrEqual => left >= right,
        IntCC::UnsignedGreaterThan => left > right,
        IntCC::UnsignedLessThanOrEqual => left <= right,
    }
}

/// Which way the branch of a block goes, if what decides it is known: an index of its destinations.
fn decision(function: &Function, block: Block, known: &Known) -> Option<usize> {
    match function.dfg.insts[function.layout.last_inst(block)?] {
        InstructionData::Brif { arg, .. } => Some(usize::from(known.evaluate(function, arg)? == 0)),
        InstructionData::BranchTable { arg, table, .. } => {
            let entries = function.dfg.jump_tables[table].as_slice().len();
            let entry = usize::try_from(known.evaluate(function, arg)?).ok().filter(|entry| *entry < entries);
            // The first destination is the default.
            Some(entry.map_or(0, |entry| entry + 1))
        }
        _ => None,
    }
}

/// The block at the end of an edge whose branch is decided, or the one that it leads to by jumps alone.
fn decided(function: &Function, edge: Edge, known: &Known) -> Option<Block> {
    let mut known = known.clone();
    let mut call = edge.call(function);
    for _ in 0..=budget::AHEAD {
        known.enter(function, call);
        if known.0.is_empty() {
            return None;
        }
        let block = call.block(&function.dfg.value_lists);
        let last = function.layout.last_inst(block)?;
        if let InstructionData::Jump { destination, .. } = function.dfg.insts[last] {
            call = destination;
        } else {
            decision(function, block, &known)?;
            return is_small(function, block, budget::BLOCK).then_some(block);
        }
        if !is_small(function, block, budget::BLOCK) {
            return None;
        }
    }
    None
}

struct Threading<'c> {
    context: &'c mut Context,
    copies: Copies,
    /// Blocks with values that other blocks use.
    escaping: EntitySet<Block>,
    /// Blocks that loops begin with.
    loops: EntitySet<Block>,
    /// Instructions that may still be copied.
    left: usize,
}

impl Threading<'_> {
    /// Threads one edge as far as it goes.
    fn thread(&mut self, mut edge: Edge) {
        let Some(mut from) = self.context.func.layout.inst_block(edge.branch) else { return };
        let mut known = Known::default();
        let mut path = Vec::new();
        while path.len() < budget::PATH {
            let function = &self.context.func;
            let call = edge.call(function);
            let block = call.block(&function.dfg.value_lists);
            let Some(decided) = decided(function, edge, &known) else { return };
            if path.contains(&block) || !self.is_worth(from, decided) {
                return;
            }
            known.enter(function, call);
            let decision = decision(function, block, &known);
            // A jump that is threaded whatever comes before it needs no copy.
            let mut ways = Edge::out_of(function, block);
            if decision.is_none() && ways.any(|way| self::decided(function, way, &Known::default()).is_some())
            {
                return;
            }
            let Some(copy) = self.copy(block, edge, decision) else { return };
            let Some(branch) = self.context.func.layout.last_inst(copy) else { return };
            path.push(block);
            edge = Edge { branch, index: 0 };
            from = block;
        }
    }

    /// Whether a way to a block that decides on it should be threaded. A switch, such as that on a state, is always worth
    /// it. A conditional branch is not where others use values of its block, which parameters would have to join from
    /// then on; nor where the block begins a loop, which would have two beginnings, and be none to the optimiser.
    fn is_worth(&self, from: Block, block: Block) -> bool {
        let (function, domtree) = (&self.context.func, &self.context.domtree);
        let last = function.layout.last_inst(block).map(|last| function.dfg.insts[last].opcode());
        last != Some(Opcode::Brif)
            || !self.escaping.contains(block)
                && (!self.loops.contains(block) || domtree.block_dominates(block, from))
    }

    /// A copy of a block for an edge to it, if there is room; and the way that its branch goes, if that is known.
    fn copy(&mut self, block: Block, edge: Edge, way: Option<usize>) -> Option<Block> {
        let function = &mut self.context.func;
        let insts = function.layout.block_insts(block).count();
        let values = self.copies.len() + function.dfg.block_params(block).len() + insts;
        if values.saturating_mul(function.dfg.num_blocks()) > budget::REPAIR {
            return None;
        }
        self.left = self.left.checked_sub(insts)?;
        self.copies.split(function, edge, way)
    }
}

#[cfg(test)]
mod tests {
    use super::thread_jumps;
    use crate::passes::ssa::destinations;
    use crate::passes::tests::rewritten;
    use cranelift_codegen::ir::{
        Block, Function, Opcode, RelSourceLoc, Value, ValueLabel, ValueLabelAssignments, ValueLabelStart,
    };

    /// Threads the jumps of a function, which is valid before and after.
    fn threaded(clif: &str) -> Function {
        threaded_from(cranelift_reader::parse_functions(clif).unwrap().remove(0))
    }

    fn threaded_from(function: Function) -> Function {
        rewritten(function, thread_jumps)
    }

    fn count(function: &Function, opcode: Opcode) -> usize {
        let insts = |block: Block| function.layout.block_insts(block);
        function
            .layout
            .blocks()
            .flat_map(insts)
            .filter(|inst| function.dfg.insts[*inst].opcode() == opcode)
            .count()
    }

    /// States go 0 → 2 → 1 → end; the switch is only needed if the first state is not known.
    fn machine(first: &str) -> String {
        format!(
            "function %machine(i32, i32) -> i32 {{
            block0(v0: i32, v1: i32):
                v2 = iconst.i32 0
                v3 = iconst.i32 1
                v4 = iconst.i32 2
                jump block1({first}, v1)
            block1(v10: i32, v11: i32):
                v12 = iadd v11, v10
                br_table v10, block5(v12), [block2, block3, block4]
            block2:
                jump block1(v4, v12)
            block3:
                jump block1(v0, v11)
            block4:
                v13 = isub v12, v11
                brif v13, block1(v3, v13), block5(v11)
            block5(v20: i32):
                return v20
            }}"
        )
    }

    #[test]
    fn known_states_need_no_switch() {
        // From state 1 the way on is not known; the switch stays for it, and is gone where none comes to it.
        let function = threaded(&machine("v2"));
        assert_eq!(count(&function, Opcode::BrTable), 1, "{}", function.display());
        let without = machine("v2").replace("jump block1(v0, v11)", "jump block5(v11)");
        let function = threaded(&without);
        assert_eq!(count(&function, Opcode::BrTable), 0, "{}", function.display());
    }

    /// Debuggers find a variable whose value has several definitions in all of them.
    #[test]
    fn labels_are_those_of_all_definitions() {
        let mut function = cranelift_reader::parse_functions(&machine("v2")).unwrap().remove(0);
        let sum = Value::from_u32(12);
        let start = ValueLabelStart { from: RelSourceLoc::default(), label: ValueLabel::from_u32(5) };
        function.dfg.collect_debug_info();
        function.dfg.values_labels.as_mut().unwrap().insert(sum, ValueLabelAssignments::Starts(vec![start]));
        let function = threaded_from(function);
        let dfg = &function.dfg;
        let is_labelled = |value: &Value| dfg.values_labels.as_ref().unwrap().contains_key(value);
        let insts = function.layout.blocks().flat_map(|block| function.layout.block_insts(block));
        let sums: Vec<_> = insts.filter(|inst| dfg.insts[*inst].opcode() == Opcode::Iadd).collect();
        assert!(sums.len() > 1 && sums.iter().all(|inst| is_labelled(&dfg.first_result(*inst))));
        let params = function.layout.blocks().flat_map(|block| dfg.block_params(block));
        assert!(params.filter(|param| is_labelled(param)).count() > 0, "{}", function.display());
    }

    #[test]
    fn an_unknown_state_keeps_its_switch() {
        let function = threaded(&machine("v0"));
        assert_eq!(count(&function, Opcode::BrTable), 1, "{}", function.display());
        // Both jumps with a known state went past it.
        let to_switch = function.layout.blocks().filter(|block| {
            let calls = destinations(&function, function.layout.last_inst(*block).unwrap());
            calls.iter().any(|call| call.block(&function.dfg.value_lists).as_u32() == 1)
        });
        assert_eq!(to_switch.count(), 2, "{}", function.display());
    }

    /// Two flags that branches meet in, and are asked for at once.
    #[test]
    fn flags_are_not_asked_twice() {
        let function = threaded(
            "function %flags(i32) -> i32 {
            block0(v0: i32):
                v1 = iconst.i32 0
                v2 = iconst.i32 1
                brif v0, block1, block2
            block1:
                jump block3(v1)
            block2:
                jump block3(v2)
            block3(v3: i32):
                v4 = icmp eq v3, v1
                brif v4, block4, block5
            block4:
                return v1
            block5:
                return v2
            }",
        );
        assert_eq!(count(&function, Opcode::Brif), 1, "{}", function.display());
    }

    /// The first test of a loop's condition is known, but the loop keeps its one beginning.
    #[test]
    fn loops_keep_their_beginning() {
        let function = threaded(
            "function %count(i32) -> i32 {
            block0(v0: i32):
                v1 = iconst.i32 10
                jump block1(v1)
            block1(v2: i32):
                brif v2, block2, block3
            block2:
                v3 = isub v2, v0
                jump block1(v3)
            block3:
                return v2
            }",
        );
        assert_eq!(function.layout.blocks().count(), 4, "{}", function.display());
    }

    /// What was known of a value is not known of the one that it has in the next round.
    #[test]
    fn knowledge_ends_with_a_round() {
        let function = threaded(
            "function %again(i32) -> i32 {
            block0(v0: i32):
                v1 = iconst.i32 0
                v2 = iconst.i32 3
                jump block1(v1, v0)
            block1(v3: i32, v4: i32):
                v5 = iadd v3, v2
                br_table v3, block4, [block2, block3, block4]
            block2:
                jump block1(v2, v5)
            block3:
                jump block1(v4, v3)
            block4:
                return v5
            }",
        );
        // 0 and 3 are known; v4 is not.
        assert_eq!(count(&function, Opcode::BrTable), 0, "{}", function.display());
    }
}
