//! Repairs SSA form after blocks were duplicated.
//!
//! A value of a block that now has copies has several definitions. Its uses elsewhere get the one that reaches them;
//! where several do, a block parameter joins them (Braun et al., Simple and Efficient Construction of Static Single
//! Assignment Form, 2013: for all of a complete graph at once, without recursion).

use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::{Block, BlockArg, Function, Inst, Value};
use std::collections::HashMap;

/// Which blocks are copies of which, and of which values.
#[derive(Default)]
pub(super) struct Copies {
    /// The block that defines a value that was duplicated, before it was.
    home: HashMap<Value, Block>,
    /// What stands for such a value in a copy of its block.
    in_copy: HashMap<(Block, Value), Value>,
}

impl Copies {
    pub fn is_empty(&self) -> bool {
        self.home.is_empty() && self.in_copy.is_empty()
    }

    /// Number of values that have several definitions.
    pub fn len(&self) -> usize {
        self.home.len()
    }

    /// Copies a block: parameters, instructions, and the branch that ends it. The copy is not reached yet.
    pub fn duplicate(&mut self, function: &mut Function, block: Block) -> Block {
        let copy = function.dfg.make_block();
        function.layout.insert_block_after(copy, block);
        if function.layout.is_cold(block) {
            function.layout.set_cold(copy);
        }
        let mut names = HashMap::new();
        for param in function.dfg.block_params(block).to_vec() {
            let ty = function.dfg.value_type(param);
            names.insert(param, function.dfg.append_block_param(copy, ty));
        }
        let mut next = function.layout.first_inst(block);
        while let Some(inst) = next {
            let new = clone_inst(function, inst);
            let dfg = &mut function.dfg;
            dfg.map_inst_values(new, |value| *names.get(&value).unwrap_or(&value));
            let results = dfg.inst_results(inst).iter().copied().zip(dfg.inst_results(new).iter().copied());
            names.extend(results);
            function.layout.append_inst(new, copy);
            function.set_srcloc(new, function.srcloc(inst));
            next = function.layout.next_inst(inst);
        }
        for (value, in_copy) in names {
            self.home.insert(value, block);
            self.in_copy.insert((copy, value), in_copy);
        }
        copy
    }

    /// Gives every use the definition that reaches it. All blocks of the layout have to be reachable, and `cfg` has to
    /// be theirs. Some of the parameters that it adds may always get the same value.
    pub fn repair(&self, function: &mut Function, cfg: &ControlFlowGraph) {
        let mut repair =
            Repair { copies: self, cfg, at_start: HashMap::new(), joined: Vec::new(), arguments: Vec::new() };
        let blocks: Vec<Block> = function.layout.blocks().collect();
        for block in blocks {
            let mut next = function.layout.first_inst(block);
            while let Some(inst) = next {
                next = function.layout.next_inst(inst);
                let uses = function.dfg.inst_values(inst);
                let foreign = |value: &Value| self.home.get(value).is_some_and(|home| *home != block);
                let foreign: Vec<Value> = uses.filter(foreign).collect();
                if foreign.is_empty() {
                    continue;
                }
                let reaching: HashMap<Value, Value> = foreign
                    .into_iter()
                    .map(|value| (value, repair.at_start(function, block, value)))
                    .collect();
                function.dfg.map_inst_values(inst, |value| *reaching.get(&value).unwrap_or(&value));
            }
        }
        repair.finish(function);
    }
}

struct Repair<'c> {
    copies: &'c Copies,
    cfg: &'c ControlFlowGraph,
    at_start: HashMap<(Block, Value), Value>,
    /// Parameters that were added: block, value that they stand for. Their arguments are missing yet.
    joined: Vec<(Block, Value)>,
    /// Arguments to add to a branch, for edges to a block.
    arguments: Vec<(Inst, Block, Value)>,
}

impl Repair<'_> {
    /// What stands for a value at the end of a block.
    fn at_end(&mut self, function: &mut Function, block: Block, value: Value) -> Value {
        match self.defined(block, value) {
            Some(definition) => definition,
            None => self.at_start(function, block, value),
        }
    }

    fn defined(&self, block: Block, value: Value) -> Option<Value> {
        if self.copies.home.get(&value) == Some(&block) {
            return Some(value);
        }
        self.copies.in_copy.get(&(block, value)).copied()
    }

    fn at_start(&mut self, function: &mut Function, mut block: Block, value: Value) -> Value {
        let mut passed = Vec::new();
        let found = loop {
            if let Some(found) = self.at_start.get(&(block, value)) {
                break *found;
            }
            passed.push(block);
            let mut predecessors = self.cfg.pred_iter(block).map(|edge| edge.block);
            let first = predecessors.next();
            match first {
                Some(only) if predecessors.all(|other| other == only) => match self.defined(only, value) {
                    Some(definition) => break definition,
                    None => block = only,
                },
                // Without predecessors there is no definition: what was valid before has none of these.
                _ => {
                    self.joined.push((block, value));
                    let ty = function.dfg.value_type(value);
                    break function.dfg.append_block_param(block, ty);
                }
            }
        };
        self.at_start.extend(passed.into_iter().map(|block| ((block, value), found)));
        found
    }

    /// Finds the arguments of all parameters that were added; finding them may add more.
    fn finish(mut self, function: &mut Function) {
        let mut done = 0;
        while let Some((block, value)) = self.joined.get(done).copied() {
            done += 1;
            for edge in self.cfg.pred_iter(block) {
                let argument = self.at_end(function, edge.block, value);
                self.arguments.push((edge.inst, block, argument));
            }
        }
        let dfg = &mut function.dfg;
        for (inst, block, argument) in self.arguments {
            let calls =
                dfg.insts[inst].branch_destination_mut(&mut dfg.jump_tables, &mut dfg.exception_tables);
            for call in calls {
                if call.block(&dfg.value_lists) == block {
                    call.append_argument(BlockArg::Value(argument), &mut dfg.value_lists);
                }
            }
        }
    }
}

/// Clones an instruction with the lists that it refers to.
fn clone_inst(function: &mut Function, inst: Inst) -> Inst {
    use cranelift_codegen::ir::InstructionData;
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
