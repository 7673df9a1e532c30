//! Puts the bodies of small functions in place of calls, callees first, by Cranelift's inliner.
//!
//! What is inlined where depends on sizes and loops alone, so the result does not depend on the number of threads.

use super::call_graph::{self, CallGraph};
use crate::error::{Error, Result};
use crate::translate::ModuleContext;
use cranelift_codegen::Context;
use cranelift_codegen::dominator_tree::DominatorTree;
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::inline::{Inline, InlineCommand};
use cranelift_codegen::ir::{
    Block, FuncRef, Function, GlobalValue, GlobalValueData, Inst, InstructionData, Opcode, SourceLoc, Value,
};
use cranelift_codegen::loop_analysis::LoopAnalysis;
use rayon::prelude::*;
use std::borrow::Cow;
use std::collections::HashMap;

/// CLIF instructions of the largest function that is inlined …
mod budget {
    /// … anywhere.
    pub const CALLEE: usize = 50;
    /// … into a loop.
    pub const CALLEE_IN_LOOP: usize = 100;
    /// … into its only caller.
    pub const ONLY_CALL: usize = 400;
    /// … into itself.
    pub const RECURSION: usize = 200;
    /// How many instructions a function may get by inlining: this, or as many as it has.
    pub const GROWTH: usize = 4_000;
}

/// Inlines calls. `functions` are the bodies of the defined functions, in index order; those that nothing can call any
/// more become `None`.
///
/// # Errors
/// If a function becomes too large for the code generator.
pub(crate) fn inline(module: &ModuleContext<'_>, functions: Vec<Function>) -> Result<Vec<Option<Function>>> {
    let imported = module.info.imported_funcs;
    let call_sites = functions.par_iter().map(|function| call_graph::callees(function, imported)).collect();
    let graph = CallGraph::new(call_sites);
    let (layers, cycle_of) = graph.layers();
    let mut functions: Vec<Option<Function>> = functions.into_iter().map(Some).collect();
    let sizes: Vec<usize> = functions.iter().map(|function| function.as_ref().map_or(0, size)).collect();
    let mut rules = Rules { imported, graph: &graph, cycle_of: &cycle_of, sizes };
    for layer in layers {
        let callers: Vec<(u32, Function)> = layer
            .into_iter()
            .map(|func| (func, functions[func as usize].take().expect("each function is in one layer")))
            .collect();
        let results: Vec<(u32, Result<Function>)> = callers
            .into_par_iter()
            .map(|(func, function)| (func, inline_into(func, function, &functions, &rules)))
            .collect();
        for (func, result) in results {
            let index = func + imported;
            let function = result.map_err(|error| error.in_function(index, module.info.func_name(index)))?;
            rules.sizes[func as usize] = size(&function);
            functions[func as usize] = Some(function);
        }
    }
    drop_dead(module, &mut functions);
    Ok(functions)
}

/// Removes functions that are neither reachable from outside or by reference, nor called by one that is.
fn drop_dead(module: &ModuleContext<'_>, functions: &mut [Option<Function>]) {
    let info = module.info;
    let mut alive = vec![false; functions.len()];
    let roots = info.escaped.iter().copied().chain(info.start);
    let mut queue: Vec<u32> = roots.filter_map(|func| func.checked_sub(info.imported_funcs)).collect();
    while let Some(func) = queue.pop() {
        let Some(Some(function)) = functions.get(func as usize) else { continue };
        if !std::mem::replace(&mut alive[func as usize], true) {
            queue.extend(call_graph::callees(function, info.imported_funcs));
        }
    }
    for (function, alive) in functions.iter_mut().zip(alive) {
        if !alive {
            *function = None;
        }
    }
}

fn size(function: &Function) -> usize {
    let blocks = function.layout.blocks();
    blocks.map(|block| function.layout.block_insts(block).count()).sum()
}

/// What decides about a call.
struct Rules<'g> {
    imported: u32,
    graph: &'g CallGraph,
    cycle_of: &'g [u32],
    /// Instructions of each function as it is now.
    sizes: Vec<usize>,
}

fn inline_into(
    func: u32,
    function: Function,
    functions: &[Option<Function>],
    rules: &Rules<'_>,
) -> Result<Function> {
    let before = size(&function);
    if rules.graph.callees[func as usize].is_empty() {
        return Ok(function);
    }
    let mut inliner = Inliner {
        caller: func,
        functions,
        itself: None,
        rules,
        limit: before + before.max(budget::GROWTH),
        in_loop: blocks_in_loops(&function),
        in_loop_now: false,
        sites: Vec::new(),
    };
    let function = inliner.run(function)?;
    let is_recursive = rules.graph.callees[func as usize].binary_search(&func).is_ok();
    if !is_recursive || size(&function) > budget::RECURSION {
        return Ok(function);
    }
    // Once with what it is, once with what it has become: up to two levels fewer calls on each way down.
    let body = function.clone();
    let mut function = function;
    for _ in 0..2 {
        inliner.itself = Some(&body);
        inliner.sites.clear();
        inliner.in_loop = blocks_in_loops(&function);
        function = inliner.run(function)?;
    }
    Ok(function)
}

/// The blocks that belong to a loop.
fn blocks_in_loops(function: &Function) -> SecondaryMap<Block, bool> {
    let cfg = ControlFlowGraph::with_function(function);
    let domtree = DominatorTree::with_function(function, &cfg);
    let mut loops = LoopAnalysis::new();
    loops.compute(function, &cfg, &domtree);
    let mut in_loop = SecondaryMap::new();
    for block in function.layout.blocks() {
        in_loop[block] = loops.innermost_loop(block).is_some();
    }
    in_loop.resize(function.dfg.num_blocks());
    in_loop
}

struct Inliner<'g> {
    caller: u32,
    functions: &'g [Option<Function>],
    /// The body to put in place of calls of the function itself; other calls are left alone then.
    itself: Option<&'g Function>,
    rules: &'g Rules<'g>,
    /// Instructions that the caller may have.
    limit: usize,
    /// For the blocks that the caller had.
    in_loop: SecondaryMap<Block, bool>,
    /// Whether the last block of the caller's own was in a loop: what inlining splits off it is, too.
    in_loop_now: bool,
    /// For each inlined call, the first instruction that it may have added, and the location of the call.
    sites: Vec<(usize, SourceLoc)>,
}

impl Inline for Inliner<'_> {
    fn inline(
        &mut self,
        caller: &Function,
        call: Inst,
        _opcode: Opcode,
        callee: FuncRef,
        _args: &[Value],
    ) -> InlineCommand<'_> {
        let Rules { imported, graph, cycle_of, sizes } = self.rules;
        if let Some(block) = caller.layout.inst_block(call)
            && (block.as_u32() as usize) < self.in_loop.keys().len()
        {
            self.in_loop_now = self.in_loop[block];
        }
        let Some(callee) = call_graph::callee(caller, callee, *imported) else {
            return InlineCommand::KeepCall;
        };
        if let Some(body) = self.itself {
            let grown = caller.dfg.num_insts() + body.dfg.num_insts();
            if callee != self.caller || grown > self.limit {
                return InlineCommand::KeepCall;
            }
            self.sites.push((caller.dfg.num_insts(), caller.srcloc(call)));
            return InlineCommand::Inline { callee: Cow::Borrowed(body), visit_callee: false };
        }
        // In a cycle there is no order of callers and callees.
        if cycle_of[callee as usize] == cycle_of[self.caller as usize] {
            return InlineCommand::KeepCall;
        }
        let Some(body) = &self.functions[callee as usize] else { return InlineCommand::KeepCall };
        let size = sizes[callee as usize];
        let is_only_call = graph.call_sites[callee as usize] == 1;
        let most = match (is_only_call, self.in_loop_now) {
            (true, _) => budget::ONLY_CALL,
            (false, true) => budget::CALLEE_IN_LOOP,
            (false, false) => budget::CALLEE,
        };
        if size > most || caller.dfg.num_insts() + size > self.limit {
            return InlineCommand::KeepCall;
        }
        self.sites.push((caller.dfg.num_insts(), caller.srcloc(call)));
        InlineCommand::Inline { callee: Cow::Borrowed(body), visit_callee: false }
    }
}

impl Inliner<'_> {
    fn run(&mut self, function: Function) -> Result<Function> {
        let mut context = Context::for_function(function);
        let result = context.inline(&mut *self);
        result.map_err(|error| Error::internal(format!("inlining failed: {error}")))?;
        let mut function = context.func;
        if !self.sites.is_empty() {
            self.locate(&mut function);
            merge_symbols(&mut function);
        }
        Ok(function)
    }

    /// Gives inlined instructions the location of the call that they replace: a trap is then reported in the function
    /// whose code it is in, at the call.
    fn locate(&self, function: &mut Function) {
        let ends = self.sites.iter().skip(1).map(|site| site.0).chain([function.dfg.num_insts()]);
        let ranges: Vec<_> = self.sites.iter().zip(ends).collect();
        for ((start, location), end) in ranges {
            for index in *start..end {
                let inst = Inst::from_u32(index as u32);
                if function.srcloc(inst).is_default() {
                    function.set_srcloc(inst, *location);
                }
            }
        }
    }
}

/// Makes equal addresses of symbols one value for the optimiser: each inlined body brought declarations of its own.
fn merge_symbols(function: &mut Function) {
    let mut first = HashMap::new();
    let mut canonical = SecondaryMap::with_default(GlobalValue::from_u32(0));
    for (global, data) in function.global_values.iter() {
        canonical[global] = match data {
            GlobalValueData::Symbol { name, offset, .. } => {
                *first.entry((name.clone(), offset.bits())).or_insert(global)
            }
            _ => global,
        };
    }
    let blocks: Vec<Block> = function.layout.blocks().collect();
    for block in blocks {
        let mut next = function.layout.first_inst(block);
        while let Some(inst) = next {
            if let InstructionData::UnaryGlobalValue { global_value, .. } = &mut function.dfg.insts[inst] {
                *global_value = canonical[*global_value];
            }
            next = function.layout.next_inst(inst);
        }
    }
}
