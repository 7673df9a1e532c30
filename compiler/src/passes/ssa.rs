//! What several passes do with SSA form: constants, effects, aliases, labels of values; and duplicates of blocks.
//!
//! A value of a block that now has copies has several definitions. Its uses elsewhere get the one that reaches them;
//! where several do, a block parameter joins them (Braun et al., Simple and Efficient Construction of Static Single
//! Assignment Form, 2013: for all of a complete graph at once, without recursion).

use cranelift_codegen::Context;
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::entity::packed_option::PackedOption;
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::function::FunctionStencil;
use cranelift_codegen::ir::{
    Block, BlockArg, BlockCall, DataFlowGraph, Function, Inst, InstructionData, Opcode, Value, ValueDef,
    ValueLabelAssignments,
};
use rustc_hash::FxHashMap;

/// The `index`-th way out of a block, by the branch at its end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Edge {
    pub branch: Inst,
    pub index: usize,
}

impl Edge {
    /// The ways out of a block that a jump or a conditional branch ends; none of other blocks.
    pub fn out_of(function: &Function, block: Block) -> impl Iterator<Item = Edge> + use<> {
        let branch = function.layout.last_inst(block);
        let ways = match branch.map(|branch| function.dfg.insts[branch].opcode()) {
            Some(Opcode::Jump) => 1,
            Some(Opcode::Brif) => 2,
            _ => 0,
        };
        branch.into_iter().flat_map(move |branch| (0..ways).map(move |index| Edge { branch, index }))
    }

    pub fn call(self, function: &Function) -> BlockCall {
        destinations(function, self.branch)[self.index]
    }

    /// The block that it leads to.
    pub fn to(self, function: &Function) -> Block {
        self.call(function).block(&function.dfg.value_lists)
    }
}

/// Where a branch can go.
pub(super) fn destinations(function: &Function, branch: Inst) -> &[BlockCall] {
    let dfg = &function.dfg;
    dfg.insts[branch].branch_destination(&dfg.jump_tables, &dfg.exception_tables)
}

/// Whether an instruction must stay where it is, even if its results are unused.
pub(super) fn has_effect(opcode: Opcode) -> bool {
    opcode.is_terminator()
        || opcode.is_branch()
        || opcode.is_call()
        || opcode.can_store()
        || opcode.can_load()
        || opcode.can_trap()
        || opcode.other_side_effects()
}

/// Whether the result is the same everywhere, and costs little to make anew.
pub(super) fn is_constant(opcode: Opcode) -> bool {
    matches!(opcode, Opcode::Iconst | Opcode::F32const | Opcode::F64const | Opcode::Vconst)
}

/// The bits of a constant; above those of its type they may be anything.
pub(crate) fn constant(dfg: &DataFlowGraph, value: Value) -> Option<i64> {
    match dfg.insts[dfg.value_def(value).inst()?] {
        InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } => Some(imm.bits()),
        _ => None,
    }
}

/// The bits of a constant; above those of its type they are zero.
pub(super) fn unsigned_constant(dfg: &DataFlowGraph, value: Value) -> Option<u64> {
    Some(constant(dfg, value)? as u64 & (u64::MAX >> (64 - dfg.value_type(value).bits())))
}

/// The block that defines a value.
pub(super) fn home(function: &Function, value: Value) -> Option<Block> {
    match function.dfg.value_def(value) {
        ValueDef::Result(inst, _) => function.layout.inst_block(inst),
        ValueDef::Param(block, _) => Some(block),
        ValueDef::Union(..) => None,
    }
}

/// Whether all but the last instruction of a block can be copied, and are at most `most`.
pub(super) fn is_small(function: &Function, block: Block, most: usize) -> bool {
    let mut insts = function.layout.block_insts(block);
    let copyable = |inst: Inst| {
        let opcode = function.dfg.insts[inst].opcode();
        !opcode.is_call() && !opcode.is_branch() && !opcode.is_terminator()
    };
    let last = insts.by_ref().take(most + 1).find(|inst| !copyable(*inst));
    last.is_some() && insts.next().is_none()
}

/// Computes the control-flow graph and the dominator tree, unless there are some. What changes either has to compute them again.
pub(super) fn ensure_flowgraph(context: &mut Context) {
    if !context.cfg.is_valid() || !context.domtree.is_valid() {
        context.flowgraph();
    }
}

/// Computes the control-flow graph and the dominator tree, and removes the blocks that nothing goes to any more.
pub(super) fn remove_unreachable(context: &mut Context) {
    context.flowgraph();
    let blocks = context.func.layout.blocks();
    let unreachable: Vec<Block> = blocks.filter(|block| !context.domtree.is_reachable(*block)).collect();
    if !unreachable.is_empty() {
        for block in unreachable {
            context.func.layout.remove_block_and_insts(block);
        }
        context.flowgraph();
    }
}

/// Which blocks are copies of which, and of which values.
#[derive(Default)]
pub(super) struct Copies {
    /// The block that defines a value, if it has copies.
    home: SecondaryMap<Value, PackedOption<Block>>,
    copies: FxHashMap<Block, Copy>,
    /// What stands for a result of an instruction in a copy of its block.
    in_copy: FxHashMap<(Block, Value), Value>,
    /// Number of values that have several definitions.
    values: usize,
}

/// A copy has no parameters: only one edge leads to it.
struct Copy {
    original: Block,
    /// The block that the edge comes from, and what it passed to the original, by its names for them.
    from: Block,
    args: Vec<Value>,
}

impl Copies {
    pub fn is_empty(&self) -> bool {
        self.copies.is_empty()
    }

    /// Number of values that have several definitions.
    pub fn len(&self) -> usize {
        self.values
    }

    /// Lets an edge lead to a copy of its block: instructions, and the branch that ends it, or a jump where that branch is
    /// known to go, an index of its destinations. `None` if the edge leads to a copy already, or if the copy would.
    pub fn split(&mut self, function: &mut Function, edge: Edge, way: Option<usize>) -> Option<Block> {
        let call = edge.call(function);
        let block = call.block(&function.dfg.value_lists);
        let from = function.layout.inst_block(edge.branch)?;
        let last = function.layout.last_inst(block)?;
        let is_copy = |call: &BlockCall| self.copies.contains_key(&call.block(&function.dfg.value_lists));
        let leads_to_copy = match way {
            Some(index) => is_copy(&Edge { branch: last, index }.call(function)),
            None => destinations(function, last).iter().any(is_copy),
        };
        if is_copy(&call) || leads_to_copy {
            return None;
        }
        let mut args = Vec::new();
        for arg in call.args(&function.dfg.value_lists) {
            let BlockArg::Value(value) = arg else { return None };
            args.push(value);
        }
        let copy = function.dfg.make_block();
        function.layout.insert_block_after(copy, block);
        if function.layout.is_cold(block) {
            function.layout.set_cold(copy);
        }
        let params = function.dfg.block_params(block);
        let mut names: FxHashMap<Value, Value> = params.iter().copied().zip(args.iter().copied()).collect();
        for param in params {
            self.set_home(*param, block);
        }
        let mut next = function.layout.first_inst(block);
        while let Some(inst) = next {
            let new = match way {
                Some(index) if inst == last => clone_way(function, Edge { branch: inst, index }),
                _ => clone_inst(function, inst),
            };
            let dfg = &mut function.dfg;
            dfg.map_inst_values(new, |value| *names.get(&value).unwrap_or(&value));
            for index in 0..dfg.inst_results(inst).len() {
                let (result, copied) = (dfg.inst_results(inst)[index], dfg.inst_results(new)[index]);
                names.insert(result, copied);
                self.in_copy.insert((copy, result), copied);
                self.set_home(result, block);
                label_like(dfg, copied, result);
            }
            function.layout.append_inst(new, copy);
            function.set_srcloc(new, function.srcloc(inst));
            next = function.layout.next_inst(inst);
        }
        let dfg = &mut function.dfg;
        let calls =
            dfg.insts[edge.branch].branch_destination_mut(&mut dfg.jump_tables, &mut dfg.exception_tables);
        calls[edge.index] = BlockCall::new(copy, [], &mut dfg.value_lists);
        self.copies.insert(copy, Copy { original: block, from, args });
        Some(copy)
    }

    fn set_home(&mut self, value: Value, block: Block) {
        let home = &mut self.home[value];
        self.values += usize::from(home.is_none());
        *home = block.into();
    }

    /// Gives every use the definition that reaches it. All blocks of the layout have to be reachable, and `cfg` has to
    /// be theirs. Some of the parameters that it adds may always get the same value.
    pub fn repair(&self, function: &mut Function, cfg: &ControlFlowGraph) {
        let mut repair = Repair {
            copies: self,
            cfg,
            at_start: FxHashMap::default(),
            joined: Vec::new(),
            arguments: Vec::new(),
        };
        let blocks: Vec<Block> = function.layout.blocks().collect();
        let mut reaching: Vec<(Value, Value)> = Vec::new();
        for block in blocks {
            let mut next = function.layout.first_inst(block);
            while let Some(inst) = next {
                next = function.layout.next_inst(inst);
                let uses = function.dfg.inst_values(inst);
                reaching
                    .extend(uses.filter(|value| self.is_foreign(block, *value)).map(|value| (value, value)));
                if reaching.is_empty() {
                    continue;
                }
                for (value, definition) in &mut reaching {
                    *definition = repair.find(function, Place::Start, block, *value);
                }
                let find = |value| reaching.iter().find(|(used, _)| *used == value);
                function
                    .dfg
                    .map_inst_values(inst, |value| find(value).map_or(value, |(_, definition)| *definition));
                reaching.clear();
            }
        }
        repair.finish(function);
    }

    /// Whether a value that is used in a block has several definitions, none of which is in the block for this use.
    fn is_foreign(&self, block: Block, value: Value) -> bool {
        self.home[value].expand().is_some_and(|home| home != block)
    }
}

#[derive(PartialEq, Eq)]
enum Place {
    Start,
    End,
}

struct Repair<'c> {
    copies: &'c Copies,
    cfg: &'c ControlFlowGraph,
    at_start: FxHashMap<(Block, Value), Value>,
    /// Parameters that were added: block, value that they stand for. Their arguments are missing yet.
    joined: Vec<(Block, Value)>,
    /// Arguments to add to a branch, for edges to a block.
    arguments: Vec<(Inst, Block, Value)>,
}

impl Repair<'_> {
    /// What stands for a value at the start or the end of a block.
    fn find(
        &mut self,
        function: &mut Function,
        mut place: Place,
        mut block: Block,
        mut value: Value,
    ) -> Value {
        let mut passed = Vec::new();
        let found = loop {
            if place == Place::End {
                if !self.copies.is_foreign(block, value) {
                    break value;
                }
                if let Some(copy) = self.copies.copies.get(&block)
                    && self.copies.home[value] == copy.original.into()
                {
                    match function.dfg.value_def(value) {
                        ValueDef::Param(_, index) => {
                            (block, value) = (copy.from, copy.args[index]);
                            if !self.copies.is_foreign(block, value) {
                                break value;
                            }
                        }
                        // All results of the original were copied.
                        _ => break self.copies.in_copy.get(&(block, value)).copied().unwrap_or(value),
                    }
                }
            }
            if let Some(found) = self.at_start.get(&(block, value)) {
                break *found;
            }
            passed.push((block, value));
            let mut predecessors = self.cfg.pred_iter(block).map(|edge| edge.block);
            match predecessors.next() {
                Some(only) if predecessors.all(|other| other == only) => block = only,
                // Without predecessors there is no definition: what was valid before has none of these.
                _ => {
                    self.joined.push((block, value));
                    let ty = function.dfg.value_type(value);
                    let joined = function.dfg.append_block_param(block, ty);
                    label_like(&mut function.dfg, joined, value);
                    break joined;
                }
            }
            place = Place::End;
        };
        self.at_start.extend(passed.into_iter().map(|place| (place, found)));
        found
    }

    /// Finds the arguments of all parameters that were added; finding them may add more.
    fn finish(mut self, function: &mut Function) {
        let mut done = 0;
        while let Some((block, value)) = self.joined.get(done).copied() {
            done += 1;
            for edge in self.cfg.pred_iter(block) {
                let argument = self.find(function, Place::End, edge.block, value);
                self.arguments.push((edge.inst, block, argument));
            }
        }
        // Arguments of the same call stay in the order of the parameters.
        self.arguments.sort_by_key(|(inst, block, _)| (*inst, *block));
        let dfg = &mut function.dfg;
        for arguments in self.arguments.chunk_by(|(inst, ..), (next, ..)| inst == next) {
            let (tables, exceptions) = (&mut dfg.jump_tables, &mut dfg.exception_tables);
            for call in dfg.insts[arguments[0].0].branch_destination_mut(tables, exceptions) {
                let block = call.block(&dfg.value_lists);
                let first = arguments.partition_point(|(_, to, _)| *to < block);
                for (.., argument) in arguments[first..].iter().take_while(|(_, to, _)| *to == block) {
                    call.append_argument(BlockArg::Value(*argument), &mut dfg.value_lists);
                }
            }
        }
    }
}

/// Has all that is in the layout use values themselves, not what stands for them. Cranelift's own way to do so also looks at all
/// that ever was in it: that is several times as much behind its optimiser, and lists of arguments may be gone that live
/// instructions shared with it.
pub(super) fn resolve_aliases(function: &mut Function) {
    let mut values: Vec<Value> = Vec::new();
    let FunctionStencil { layout, dfg, .. } = &mut function.stencil;
    for block in layout.blocks() {
        for inst in layout.block_insts(block) {
            if dfg.inst_values(inst).any(|value| dfg.value_is_alias(value)) {
                values.clear();
                values.extend(dfg.inst_values(inst).map(|value| dfg.resolve_aliases(value)));
                dfg.overwrite_inst_values(inst, values.iter().copied());
            }
        }
    }
    if let Some(mut labels) = dfg.values_labels.take() {
        labels.retain(|value, _| !dfg.value_is_alias(*value));
        for label in labels.values_mut() {
            if let ValueLabelAssignments::Alias { value, .. } = label {
                *value = dfg.resolve_aliases(*value);
            }
        }
        dfg.values_labels = Some(labels);
    }
}

/// Whether something in the layout uses what only stands for a value.
pub(super) fn has_aliases(function: &Function) -> bool {
    let dfg = &function.dfg;
    let mut insts = function.layout.blocks().flat_map(|block| function.layout.block_insts(block));
    insts.any(|inst| dfg.inst_values(inst).any(|value| dfg.value_is_alias(value)))
}

/// What a block parameter or a `select` may get its value from, and in which blocks. `left` is how much may be looked at.
/// Nothing if that does not suffice, or if it may be no value.
pub(super) fn given(
    function: &Function,
    cfg: &ControlFlowGraph,
    value: Value,
    left: &mut usize,
) -> Option<Vec<(Block, Value)>> {
    let dfg = &function.dfg;
    match dfg.value_def(value) {
        ValueDef::Param(block, index) => {
            let mut given = Vec::new();
            for predecessor in cfg.pred_iter(block) {
                let calls = destinations(function, predecessor.inst);
                *left = left.checked_sub(calls.len())?;
                for call in calls.iter().filter(|call| call.block(&dfg.value_lists) == block) {
                    given.push((predecessor.block, call.args(&dfg.value_lists).nth(index)?.as_value()?));
                }
            }
            Some(given)
        }
        ValueDef::Result(inst, _) => {
            let block = function.layout.inst_block(inst)?;
            let [_, x, y] = *dfg.inst_args(inst) else { return None };
            Some(vec![(block, x), (block, y)])
        }
        ValueDef::Union(..) => None,
    }
}

/// Lets debuggers take a value for what they take another one for, too.
pub(super) fn add_labels(dfg: &mut DataFlowGraph, value: Value, other: Value) {
    let Some(labels) = &mut dfg.values_labels else { return };
    let Some(ValueLabelAssignments::Starts(more)) = labels.get(&other).cloned() else { return };
    match labels.entry(value).or_insert_with(|| ValueLabelAssignments::Starts(Vec::new())) {
        ValueLabelAssignments::Starts(starts) => starts.extend(more),
        alias => *alias = ValueLabelAssignments::Starts(more),
    }
}

/// Lets debuggers take a value for what they take another one for.
pub(super) fn label_like(dfg: &mut DataFlowGraph, value: Value, other: Value) {
    if let Some(labels) = &mut dfg.values_labels
        && let Some(label) = labels.get(&other).cloned()
    {
        labels.insert(value, label);
    }
}

/// Makes a jump of one way that a branch can go.
fn clone_way(function: &mut Function, way: Edge) -> Inst {
    let destination = way.call(function).deep_clone(&mut function.dfg.value_lists);
    function.dfg.make_inst(InstructionData::Jump { opcode: Opcode::Jump, destination })
}

/// Clones an instruction with the lists that it refers to.
fn clone_inst(function: &mut Function, inst: Inst) -> Inst {
    let dfg = &mut function.dfg;
    let new = dfg.clone_inst(inst);
    if let InstructionData::BranchTable { table, .. } = dfg.insts[new] {
        let mut copy = dfg.jump_tables[table].clone();
        for call in copy.all_branches_mut() {
            *call = call.deep_clone(&mut dfg.value_lists);
        }
        let copy = dfg.jump_tables.push(copy);
        if let InstructionData::BranchTable { table, .. } = &mut dfg.insts[new] {
            *table = copy;
        }
    }
    new
}

#[cfg(test)]
mod tests {
    use super::{has_aliases, resolve_aliases};
    use cranelift_codegen::ir::{BlockArg, Function, InstructionData, Value, types};
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn lists_that_are_gone_are_not_looked_at() {
        let clif = "function %f(i32) -> i32 {
            block0(v0: i32):
                v1 = iadd v0, v0
                v2 -> v1
                jump block1(v2)
            block1(v3: i32):
                return v3
            }";
        let mut function: Function = cranelift_reader::parse_functions(clif).unwrap().remove(0);
        let blocks: Vec<_> = function.layout.blocks().collect();
        let jump = function.layout.last_inst(blocks[0]).unwrap();
        // Not in the layout, with the list of the jump; which then moves to where there is more room.
        let data = function.dfg.insts[jump];
        let dead = function.dfg.make_inst(data);
        let dfg = &mut function.dfg;
        for _ in 0..8 {
            dfg.append_block_param(blocks[1], types::I32);
            let InstructionData::Jump { destination, .. } = &mut dfg.insts[jump] else { panic!("a jump") };
            destination.append_argument(BlockArg::Value(Value::from_u32(2)), &mut dfg.value_lists);
        }
        assert!(catch_unwind(AssertUnwindSafe(|| function.dfg.inst_values(dead).count())).is_err());
        assert!(has_aliases(&function));
        resolve_aliases(&mut function);
        assert!(!has_aliases(&function));
        let args: Vec<Value> = function.dfg.inst_values(jump).collect();
        assert_eq!(args, [Value::from_u32(1); 9]);
    }
}
