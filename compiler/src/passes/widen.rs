//! Keeps values of 32 bits that serve as addresses zero-extended.
//!
//! An access extends the index that it is given. Cranelift knows that on x86-64 additions and their like leave the upper half
//! of a register empty, but not so of loads, of block parameters and of `select`: each gets a second register for the
//! extended value, and an instruction to fill it. On machines whose additions extend the sign, or leave the upper half alone,
//! so does all that is computed.
//!
//! Here, loads extend what they load, block parameters and the results of `select` have 64 bits where that costs less than it
//! spares, and what takes an instruction to extend is extended once, where it is made. The lower half of a value is had for
//! nothing. Runs after Cranelift's optimiser.

use super::ssa::{destinations, given, has_aliases, home, label_like, resolve_aliases};
use cranelift_codegen::Context;
use cranelift_codegen::cursor::{Cursor as _, FuncCursor};
use cranelift_codegen::dominator_tree::DominatorTree;
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::{
    Block, BlockArg, Function, Inst, InstBuilder as _, InstructionData, Opcode, Value, ValueDef, types,
};
use cranelift_codegen::loop_analysis::LoopAnalysis;
use rustc_hash::FxHashMap;

/// Arguments that are looked at, in one function.
const MAX_ARGUMENTS: usize = 1 << 20;

/// Instructions that extend the same value, of which one may be there already where it is wanted.
const MAX_EXTENSIONS: usize = 16;

/// Extends values where they are made. The control-flow graph, the dominator tree and the loops of the context have to be those
/// of the function, which has no aliases, and has none again.
pub(crate) fn widen(context: &mut Context, halves: Halves) {
    let Context { func: function, cfg, domtree, loop_analysis: loops, .. } = context;
    debug_assert!(!has_aliases(function));
    let extensions = extensions(function);
    if extensions.iter().all(|(_, value)| source(function, *value, halves) == Source::Free) {
        return;
    }
    let plan = Plan::new(function, halves, cfg, loops, &extensions);
    let mut widener = Widener::new(function, domtree, &plan, &extensions);
    widener.widen_definitions();
    // Definitions come before what uses them.
    for block in domtree.cfg_rpo() {
        widener.rewrite(*block);
    }
    resolve_aliases(function);
}

/// The instructions that extend a value of 32 bits, with the value.
fn extensions(function: &Function) -> Vec<(Inst, Value)> {
    let insts = function.layout.blocks().flat_map(|block| function.layout.block_insts(block));
    insts.filter_map(|inst| Some((inst, extended(function, inst)?))).collect()
}

/// The value of 32 bits that an instruction extends to 64.
fn extended(function: &Function, inst: Inst) -> Option<Value> {
    let dfg = &function.dfg;
    match dfg.insts[inst] {
        InstructionData::Unary { opcode: Opcode::Uextend, arg }
            if dfg.value_type(arg) == types::I32 && dfg.value_type(dfg.first_result(inst)) == types::I64 =>
        {
            Some(arg)
        }
        _ => None,
    }
}

/// What becomes of the upper half of a register by an addition, or the like, of 32 bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Halves {
    Cleared,
    /// It has the sign, or what it had before.
    Other,
}

/// Where a value of 32 bits comes from, as far as extending it goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The instruction that makes it leaves the upper half empty, or it is a constant.
    Free,
    /// A load, which can extend.
    Load,
    /// It has 64 bits if what it is chosen from has.
    Join,
    /// Extending it takes an instruction.
    Other,
}

fn source(function: &Function, value: Value, halves: Halves) -> Source {
    let dfg = &function.dfg;
    match dfg.value_def(value) {
        ValueDef::Param(block, _) if function.layout.entry_block() != Some(block) => Source::Join,
        ValueDef::Result(inst, _) => match dfg.insts[inst].opcode() {
            Opcode::Iconst => Source::Free,
            Opcode::Iadd
            | Opcode::Isub
            | Opcode::Imul
            | Opcode::Band
            | Opcode::Bor
            | Opcode::Bxor
            | Opcode::Ishl
            | Opcode::Ushr
                if halves == Halves::Cleared =>
            {
                Source::Free
            }
            Opcode::Load | Opcode::Uload8 | Opcode::Uload16 => Source::Load,
            Opcode::Select | Opcode::SelectSpectreGuard => Source::Join,
            _ => Source::Other,
        },
        _ => Source::Other,
    }
}

/// A value that may get 64 bits.
struct Node {
    value: Value,
    /// How often it would have to be extended, if it does not.
    wanted: f32,
    /// How often it, or what it is given, has to be extended if it does.
    cost: f32,
    is_wide: bool,
    /// What it is given, and how much of that one's `wanted` is its own.
    takes: Vec<(usize, f32)>,
    /// What it is given to, and how often.
    given_to: Vec<(usize, f32)>,
}

/// Which values get 64 bits.
struct Plan {
    halves: Halves,
    nodes: Vec<Node>,
    /// The nodes of values.
    places: FxHashMap<Value, usize>,
}

impl Plan {
    fn new(
        function: &Function,
        halves: Halves,
        cfg: &ControlFlowGraph,
        loops: &LoopAnalysis,
        extensions: &[(Inst, Value)],
    ) -> Plan {
        let frequency = |block: Option<Block>| {
            let often = block.map_or(1.0, |block| 8f32.powi(loops.loop_level(block).level().min(6) as i32));
            match block.is_some_and(|block| function.layout.is_cold(block)) {
                true => often / 64.0,
                false => often,
            }
        };
        let mut plan = Plan { halves, nodes: Vec::new(), places: FxHashMap::default() };
        for (inst, value) in extensions {
            plan.want(function, *value, frequency(function.layout.inst_block(*inst)));
        }
        let mut left = MAX_ARGUMENTS;
        let mut index = 0;
        while let Some(node) = plan.nodes.get(index) {
            let value = node.value;
            match source(function, value, halves) {
                Source::Join => match given(function, cfg, value, &mut left) {
                    Some(given) => {
                        for (block, value) in given {
                            plan.give(function, index, value, frequency(Some(block)));
                        }
                    }
                    None => plan.nodes[index].is_wide = false,
                },
                _ => plan.nodes[index].cost = frequency(home(function, value)),
            }
            index += 1;
        }
        plan.give_up_what_costs();
        plan
    }

    /// Whether a value is to have 64 bits.
    fn is_wide(&self, value: Value) -> bool {
        self.places.get(&value).is_some_and(|index| self.nodes[*index].is_wide)
    }

    /// Notes that a value is extended somewhere, so often. Says which node it is.
    fn want(&mut self, function: &Function, value: Value, often: f32) -> Option<usize> {
        if matches!(source(function, value, self.halves), Source::Free | Source::Load) {
            return None;
        }
        let next = self.nodes.len();
        let index = *self.places.entry(value).or_insert(next);
        if index == next {
            let (takes, given_to) = (Vec::new(), Vec::new());
            self.nodes.push(Node { value, wanted: 0.0, cost: 0.0, is_wide: true, takes, given_to });
        }
        self.nodes[index].wanted += often;
        Some(index)
    }

    /// Notes that a node is given a value, so often.
    fn give(&mut self, function: &Function, index: usize, value: Value, often: f32) {
        if value == self.nodes[index].value {
            return;
        }
        // What it spares is no more than what the node itself does.
        let part = often.min(self.nodes[index].wanted);
        if let Some(other) = self.want(function, value, part) {
            self.nodes[index].takes.push((other, part));
            self.nodes[other].given_to.push((index, often));
        }
    }

    /// Leaves those nodes at 32 bits that would cost more than they spare.
    fn give_up_what_costs(&mut self) {
        let mut gone: Vec<usize> =
            (0..self.nodes.len()).filter(|index| !self.nodes[*index].is_wide).collect();
        let mut check: Vec<usize> = (0..self.nodes.len()).collect();
        loop {
            while let Some(index) = gone.pop() {
                for (other, often) in std::mem::take(&mut self.nodes[index].given_to) {
                    self.nodes[other].cost += often;
                    check.push(other);
                }
                for (other, often) in std::mem::take(&mut self.nodes[index].takes) {
                    self.nodes[other].wanted -= often;
                    check.push(other);
                }
            }
            let Some(index) = check.pop() else { break };
            let node = &mut self.nodes[index];
            if node.is_wide && node.wanted < node.cost {
                node.is_wide = false;
                gone.push(index);
            }
        }
    }
}

/// Rewrites a function.
struct Widener<'f> {
    function: &'f mut Function,
    domtree: &'f DominatorTree,
    plan: &'f Plan,
    /// Values of 64 bits, by those that are their lower halves.
    wide: FxHashMap<Value, Value>,
    /// Instructions that extend what takes an instruction to extend.
    extensions: FxHashMap<Value, Vec<Inst>>,
    /// Indices of the parameters of blocks that have 64 bits.
    parameters: FxHashMap<Block, Vec<usize>>,
}

impl<'f> Widener<'f> {
    fn new(
        function: &'f mut Function,
        domtree: &'f DominatorTree,
        plan: &'f Plan,
        all: &[(Inst, Value)],
    ) -> Self {
        let mut extensions: FxHashMap<Value, Vec<Inst>> = FxHashMap::default();
        for (inst, value) in all {
            let has_node = matches!(source(function, *value, plan.halves), Source::Join | Source::Other);
            if has_node && !plan.is_wide(*value) {
                extensions.entry(*value).or_default().push(*inst);
            }
        }
        let (wide, parameters) = (FxHashMap::default(), FxHashMap::default());
        Widener { function, domtree, plan, wide, extensions, parameters }
    }

    /// Gives the parameters of blocks their types, and extends what takes an instruction.
    fn widen_definitions(&mut self) {
        for node in self.plan.nodes.iter().filter(|node| node.is_wide) {
            let value = node.value;
            let is_join = source(self.function, value, self.plan.halves) == Source::Join;
            let function = &mut *self.function;
            let (definition, mut cursor) = match function.dfg.value_def(value) {
                ValueDef::Param(block, index) if is_join => {
                    self.parameters.entry(block).or_default().push(index);
                    let definition = function.dfg.replace_block_param(value, types::I64);
                    (definition, FuncCursor::new(function).at_first_insertion_point(block))
                }
                ValueDef::Param(block, _) => {
                    let definition = function.dfg.replace_block_param(value, types::I32);
                    (definition, FuncCursor::new(function).at_first_insertion_point(block))
                }
                ValueDef::Result(inst, _) if !is_join => {
                    let definition = function.dfg.replace_result(value, types::I32);
                    (definition, FuncCursor::new(function).after_inst(inst))
                }
                _ => continue,
            };
            if let Some(inst) = cursor.func.dfg.value_def(definition).inst() {
                cursor.set_srcloc(cursor.func.srcloc(inst));
            }
            let wide = if is_join { definition } else { cursor.ins().uextend(types::I64, definition) };
            let low = cursor.ins().ireduce(types::I32, wide);
            self.found(value, low, wide);
        }
    }

    /// Lets a value of 64 bits, and its lower half, stand for a value that is defined no more.
    fn found(&mut self, value: Value, low: Value, wide: Value) {
        let dfg = &mut self.function.dfg;
        label_like(dfg, low, value);
        dfg.change_to_alias(value, low);
        self.wide.insert(value, wide);
        self.wide.insert(low, wide);
    }

    fn rewrite(&mut self, block: Block) {
        let mut next = self.function.layout.first_inst(block);
        while let Some(inst) = next {
            next = self.function.layout.next_inst(inst);
            if let Some(value) = extended(self.function, inst) {
                self.rewrite_extension(inst, value);
                continue;
            }
            match self.function.dfg.insts[inst].opcode() {
                Opcode::Select | Opcode::SelectSpectreGuard => self.rewrite_select(inst),
                opcode if opcode.is_branch() => self.rewrite_branch(inst),
                _ => {}
            }
        }
    }

    fn rewrite_extension(&mut self, inst: Inst, value: Value) {
        let Some(wide) = self.made_wide(value) else { return };
        let dfg = &mut self.function.dfg;
        let result = dfg.first_result(inst);
        label_like(dfg, wide, result);
        dfg.clear_results(inst);
        dfg.change_to_alias(result, wide);
        self.function.layout.remove_inst(inst);
    }

    fn rewrite_select(&mut self, inst: Inst) {
        let result = self.function.dfg.first_result(inst);
        if !self.plan.is_wide(result) {
            return;
        }
        let [condition, x, y] = *self.function.dfg.inst_args(inst) else { return };
        let (x, y) = (self.widened(x, inst), self.widened(y, inst));
        let wide = self.function.dfg.replace_result(result, types::I64);
        self.function.dfg.inst_args_mut(inst).copy_from_slice(&[condition, x, y]);
        self.add_low_half(inst, result, wide);
    }

    /// Gives the parameters of 64 bits of the blocks that a branch leads to what they want.
    fn rewrite_branch(&mut self, branch: Inst) {
        let count = destinations(self.function, branch).len();
        let mut known: FxHashMap<Value, Value> = FxHashMap::default();
        for number in 0..count {
            let call = destinations(self.function, branch)[number];
            let lists = &self.function.dfg.value_lists;
            let Some(parameters) = self.parameters.get(&call.block(lists)) else { continue };
            let mut args: Vec<BlockArg> = call.args(lists).collect();
            for index in parameters.clone() {
                let BlockArg::Value(value) = args[index] else { continue };
                let wide = match known.get(&value) {
                    Some(wide) => *wide,
                    None => self.widened(value, branch),
                };
                known.insert(value, wide);
                args[index] = BlockArg::Value(wide);
            }
            let dfg = &mut self.function.dfg;
            let (tables, exceptions) = (&mut dfg.jump_tables, &mut dfg.exception_tables);
            let call = &mut dfg.insts[branch].branch_destination_mut(tables, exceptions)[number];
            call.clear(&mut dfg.value_lists);
            call.extend(args, &mut dfg.value_lists);
        }
    }

    /// A value extended, for use by an instruction.
    fn widened(&mut self, value: Value, user: Inst) -> Value {
        if let Some(wide) = self.made_wide(value) {
            return wide;
        }
        let function = &mut *self.function;
        let is_there = |inst: &&Inst| self.domtree.dominates(**inst, user, &function.layout);
        let mut known = self.extensions.get(&value).into_iter().flatten().take(MAX_EXTENSIONS);
        if let Some(inst) = known.find(is_there) {
            return function.dfg.first_result(*inst);
        }
        let constant = function.dfg.value_def(value).inst().map(|inst| function.dfg.insts[inst]);
        let mut cursor = FuncCursor::new(function).at_inst(user);
        cursor.set_srcloc(cursor.func.srcloc(user));
        match constant {
            Some(InstructionData::UnaryImm { opcode: Opcode::Iconst, imm }) => {
                cursor.ins().iconst(types::I64, i64::from(imm.bits() as u32))
            }
            _ => cursor.ins().uextend(types::I64, value),
        }
    }

    /// The extended value that is made where the value is, if it is.
    fn made_wide(&mut self, value: Value) -> Option<Value> {
        if let Some(wide) = self.wide.get(&value) {
            return Some(*wide);
        }
        if source(self.function, value, self.plan.halves) != Source::Load {
            return None;
        }
        let inst = self.function.dfg.value_def(value).unwrap_inst();
        if let InstructionData::Load { opcode: opcode @ Opcode::Load, .. } =
            &mut self.function.dfg.insts[inst]
        {
            *opcode = Opcode::Uload32;
        }
        let wide = self.function.dfg.replace_result(value, types::I64);
        self.add_low_half(inst, value, wide);
        Some(wide)
    }

    /// Puts the lower half of the result of an instruction behind it, to stand for what the result was before.
    fn add_low_half(&mut self, inst: Inst, value: Value, wide: Value) {
        let mut cursor = FuncCursor::new(self.function).after_inst(inst);
        let low = cursor.ins().ireduce(types::I32, wide);
        self.found(value, low, wide);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::rewritten;
    use super::{Halves, widen};
    use cranelift_codegen::ir::{
        AbiParam, BlockArg, Function, InstBuilder as _, MemFlagsData, Opcode, Signature, Value, types,
    };
    use cranelift_codegen::isa::CallConv;
    use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};

    /// A function with two parameters of 32 bits and such a result, and what it is after the pass.
    fn widened(halves: Halves, body: impl FnOnce(&mut FunctionBuilder<'_>, Value, Value)) -> Function {
        let mut function = Function::new();
        function.signature = Signature::new(CallConv::Tail);
        function.signature.params.extend([AbiParam::new(types::I32); 2]);
        function.signature.returns.push(AbiParam::new(types::I32));
        let mut context = FunctionBuilderContext::new();
        let mut builder = FunctionBuilder::new(&mut function, &mut context);
        let entry = builder.create_block();
        builder.append_block_params_for_function_params(entry);
        builder.switch_to_block(entry);
        let (x, y) = (builder.block_params(entry)[0], builder.block_params(entry)[1]);
        body(&mut builder, x, y);
        builder.seal_all_blocks();
        let isa = cranelift_codegen::isa::lookup_by_name("x86_64").unwrap();
        let flags = cranelift_codegen::settings::builder();
        let isa = isa.finish(cranelift_codegen::settings::Flags::new(flags)).unwrap();
        builder.finalize(isa.frontend_config());
        rewritten(function, |context| {
            context.flowgraph();
            context.compute_loop_analysis();
            widen(context, halves);
        })
    }

    fn load(builder: &mut FunctionBuilder<'_>, index: Value) -> Value {
        let address = builder.ins().uextend(types::I64, index);
        builder.ins().load(types::I32, MemFlagsData::new(), address, 8)
    }

    fn count(function: &Function, opcode: Opcode) -> usize {
        let insts = function.layout.blocks().flat_map(|block| function.layout.block_insts(block));
        insts.filter(|inst| function.dfg.insts[*inst].opcode() == opcode).count()
    }

    /// The types of the parameters of the second block.
    fn parameters(function: &Function) -> Vec<types::Type> {
        let block = function.layout.blocks().nth(1).unwrap();
        function.dfg.block_param_types(block).collect()
    }

    /// A loop that takes a number and comes back with another one, until that is zero.
    fn walk(
        builder: &mut FunctionBuilder<'_>,
        start: Value,
        step: impl FnOnce(&mut FunctionBuilder<'_>, Value) -> Value,
    ) {
        let (header, end) = (builder.create_block(), builder.create_block());
        let place = builder.append_block_param(header, types::I32);
        builder.ins().jump(header, &[BlockArg::Value(start)]);
        builder.switch_to_block(header);
        let next = step(builder, place);
        builder.ins().brif(next, header, &[BlockArg::Value(next)], end, &[]);
        builder.switch_to_block(end);
        builder.ins().return_(&[place]);
    }

    #[test]
    fn a_list_is_walked_by_extended_pointers() {
        let function = widened(Halves::Cleared, |builder, x, _| walk(builder, x, load));
        assert_eq!(parameters(&function), [types::I64]);
        assert_eq!(count(&function, Opcode::Uload32), 1);
        assert_eq!(count(&function, Opcode::Load), 0);
        // The argument, before the loop.
        assert_eq!(count(&function, Opcode::Uextend), 1);
    }

    #[test]
    fn sums_are_extended_where_the_machine_does_so() {
        for (halves, added) in [(Halves::Cleared, 1), (Halves::Other, 1)] {
            let function = widened(halves, |builder, x, _| {
                walk(builder, x, |builder, place| {
                    load(builder, place);
                    builder.ins().iadd_imm_s(place, 4)
                });
            });
            assert_eq!(parameters(&function), [types::I64]);
            let before_loop = 1;
            assert_eq!(count(&function, Opcode::Uextend), before_loop + added);
        }
    }

    #[test]
    fn what_is_seldom_an_address_stays() {
        let function = widened(Halves::Cleared, |builder, x, y| {
            let (header, end) = (builder.create_block(), builder.create_block());
            let number = builder.append_block_param(header, types::I32);
            builder.ins().jump(header, &[BlockArg::Value(x)]);
            builder.switch_to_block(header);
            let next = builder.ins().rotl(number, y);
            builder.ins().brif(next, header, &[BlockArg::Value(next)], end, &[]);
            builder.switch_to_block(end);
            let value = load(builder, number);
            builder.ins().return_(&[value]);
        });
        assert_eq!(parameters(&function), [types::I32]);
        assert_eq!(count(&function, Opcode::Uextend), 1);
    }

    #[test]
    fn choices_and_arguments() {
        let function = widened(Halves::Cleared, |builder, x, y| {
            let (first, second) = (load(builder, x), load(builder, y));
            let one = builder.ins().select(x, first, second);
            let value = load(builder, one);
            let sum = builder.ins().iadd(value, x);
            builder.ins().return_(&[sum]);
        });
        assert_eq!(count(&function, Opcode::Uload32), 2);
        // Of both arguments.
        assert_eq!(count(&function, Opcode::Uextend), 2);
        let selects = function.layout.blocks().flat_map(|block| function.layout.block_insts(block));
        let select = selects.into_iter().find(|inst| function.dfg.insts[*inst].opcode() == Opcode::Select);
        let result = function.dfg.first_result(select.unwrap());
        assert_eq!(function.dfg.value_type(result), types::I64);
    }

    #[test]
    fn guarded_indices_are_extended_before_the_guard() {
        let function = widened(Halves::Cleared, |builder, x, y| {
            let index = load(builder, x);
            let none = builder.ins().iconst(types::I32, 0);
            let index = builder.ins().select_spectre_guard(y, none, index);
            let value = load(builder, index);
            builder.ins().return_(&[value]);
        });
        // Of the argument.
        assert_eq!(count(&function, Opcode::Uextend), 1);
        assert_eq!(count(&function, Opcode::SelectSpectreGuard), 1);
    }

    #[test]
    fn a_constant_is_extended_by_the_compiler() {
        let function = widened(Halves::Cleared, |builder, _, _| {
            let start = builder.ins().iconst(types::I32, -16);
            walk(builder, start, load);
        });
        assert_eq!(count(&function, Opcode::Uextend), 0);
        let entry = function.layout.entry_block().unwrap();
        let wide = function.layout.block_insts(entry).find_map(|inst| match function.dfg.insts[inst] {
            cranelift_codegen::ir::InstructionData::UnaryImm { imm, .. }
                if function.dfg.value_type(function.dfg.first_result(inst)) == types::I64 =>
            {
                Some(imm.bits())
            }
            _ => None,
        });
        assert_eq!(wide, Some(0xffff_fff0));
    }
}
