//! Puts the bodies of small functions in place of calls, callees first, by Cranelift's inliner.
//!
//! In which order functions come, and how long bodies are kept, is the business of `bottom_up.rs`. What is inlined where depends on sizes and loops alone, so the result does not depend on the number of threads.

use super::call_graph::{self, CallGraph};
use crate::error::{Error, Result};
use crate::profile::ModuleProfile;
use cranelift_codegen::Context;
use cranelift_codegen::dominator_tree::DominatorTree;
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::inline::{Inline, InlineCommand};
use cranelift_codegen::ir::{
    Block, FuncRef, Function, GlobalValue, GlobalValueData, Inst, InstructionData, Opcode, SourceLoc, Value,
};
use cranelift_codegen::loop_analysis::LoopAnalysis;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

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
    /// … at a call that a profile says runs often.
    pub const CALLEE_IF_HOT: usize = 250;
    /// … at a call that a profile says never runs: what is no larger than the call.
    pub const CALLEE_IF_COLD: usize = 8;
    /// How many instructions a function may get by inlining: this, or as many as it has.
    pub const GROWTH: usize = 4_000;
}

/// A body that other functions may get.
pub(crate) struct Candidate {
    pub body: Function,
    /// CLIF instructions.
    size: usize,
}

/// What decides about a call.
pub(crate) struct Rules<'g> {
    /// Imported functions have the lowest indices; all others are numbered without them here.
    pub imported: u32,
    pub graph: &'g CallGraph,
    /// Operators of each body that become instructions.
    pub sizes: &'g [u32],
    /// How often code ran, if that is known.
    pub profile: Option<&'g ModuleProfile>,
    /// Whether each function is called often, if that is known.
    pub is_hot: Option<&'g [bool]>,
}

impl Candidate {
    /// Keeps a function, with all inlined into it.
    pub fn new(function: &Function) -> Candidate {
        // A clone has no room left over from the translation.
        Candidate { body: function.clone(), size: size(function) }
    }
}

impl Rules<'_> {
    /// Whether there can be a call that a function, with all inlined into it, is inlined at.
    pub fn is_candidate(&self, func: u32, function: &Function) -> bool {
        self.may_be_candidate(func) && size(function) <= self.most(func)
    }

    /// The same, before anything is known but the body.
    pub fn may_be_candidate(&self, func: u32) -> bool {
        self.sizes[func as usize] as usize <= self.most(func)
    }

    /// Instructions that a function may have to be inlined somewhere.
    fn most(&self, func: u32) -> usize {
        match self.graph.call_sites[func as usize] {
            0 => 0,
            1 => budget::ONLY_CALL,
            _ if self.is_hot.is_some_and(|is_hot| is_hot[func as usize]) => budget::CALLEE_IF_HOT,
            _ => budget::CALLEE_IN_LOOP,
        }
    }

    /// Instructions of the largest function that is inlined at a call. `count` is how often the call ran, if that is known.
    fn most_at(&self, callee: u32, is_in_loop: bool, count: Option<u64>) -> usize {
        let is_only_call = self.graph.call_sites[callee as usize] == 1;
        match (self.profile, count) {
            (Some(profile), Some(count)) => match count {
                0 => budget::CALLEE_IF_COLD,
                _ if is_only_call => budget::ONLY_CALL,
                count if profile.is_hot(count) => budget::CALLEE_IF_HOT,
                _ => budget::CALLEE,
            },
            _ if is_only_call => budget::ONLY_CALL,
            _ if is_in_loop => budget::CALLEE_IN_LOOP,
            _ => budget::CALLEE,
        }
    }
}

fn size(function: &Function) -> usize {
    let blocks = function.layout.blocks();
    blocks.map(|block| function.layout.block_insts(block).count()).sum()
}

/// Inlines calls of `candidates`, by the functions' numbers, and of the function itself. `calls` says how often calls ran, as far
/// as that is known.
///
/// # Errors
/// If the function becomes too large for the code generator.
pub(crate) fn inline(
    func: u32,
    function: Function,
    calls: &[(Inst, u64)],
    candidates: &HashMap<u32, Arc<Candidate>>,
    rules: &Rules<'_>,
) -> Result<Function> {
    let is_recursive = rules.graph.callees[func as usize].binary_search(&func).is_ok();
    if candidates.is_empty() && !is_recursive {
        return Ok(function);
    }
    let before = size(&function);
    let mut inliner = Inliner {
        caller: func,
        calls,
        candidates,
        itself: None,
        rules,
        limit: before + before.max(budget::GROWTH),
        in_loop: blocks_in_loops(&function),
        in_loop_now: false,
        sites: Vec::new(),
    };
    let function = inliner.run(function)?;
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
    /// How often calls ran, ascending.
    calls: &'g [(Inst, u64)],
    candidates: &'g HashMap<u32, Arc<Candidate>>,
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
        let Rules { imported, .. } = self.rules;
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
        let Some(candidate) = self.candidates.get(&callee) else { return InlineCommand::KeepCall };
        let Candidate { body, size } = &**candidate;
        let count = self.calls.binary_search_by_key(&call, |(inst, _)| *inst).ok().map(|at| self.calls[at].1);
        let most = self.rules.most_at(callee, self.in_loop_now, count);
        if *size > most || caller.dfg.num_insts() + size > self.limit {
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
