//! Puts the bodies of small functions in place of calls, callees first, by Cranelift's inliner.
//!
//! In which order functions come, and how long bodies are kept, is the business of `bottom_up.rs`. What is inlined where
//! depends on sizes and loops, and with a profile on its counts; so the result does not depend on the number of threads.

use super::call_graph::{self, CallGraph};
use super::location::{Located, Moved};
use crate::error::{Error, Result};
use crate::profile::ModuleProfile;
use cranelift_codegen::Context;
use cranelift_codegen::dominator_tree::DominatorTree;
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::inline::{Inline, InlineCommand};
use cranelift_codegen::ir::{
    Block, FuncRef, Function, GlobalValue, GlobalValueData, Inst, InstructionData, Opcode, SourceLoc,
    StackSlotKey, Value, ValueLabel, ValueLabelAssignments, ValueLabelStart,
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
    pub const CALLEE_IF_HOT: usize = 700;
    /// … at a call that a profile says never runs: what is no larger than the call.
    pub const CALLEE_IF_COLD: usize = 8;
    /// How many instructions a function may get by inlining: this, or as many as it has.
    pub const GROWTH: usize = 4_000;
}

/// A body that other functions may get.
pub(crate) struct Candidate {
    pub body: Located,
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
    pub fn new(body: &Located) -> Candidate {
        // A clone has no room left over from the translation.
        Candidate { body: body.clone(), size: size(&body.function) }
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
    body: Located,
    calls: &[(Inst, u64)],
    candidates: &HashMap<u32, Arc<Candidate>>,
    rules: &Rules<'_>,
) -> Result<Located> {
    let is_recursive = rules.graph.callees[func as usize].binary_search(&func).is_ok();
    if candidates.is_empty() && !is_recursive {
        return Ok(body);
    }
    let before = size(&body.function);
    let mut inliner = Inliner {
        caller: func,
        calls,
        candidates,
        itself: None,
        rules,
        limit: before + before.max(budget::GROWTH),
        in_loop: blocks_in_loops(&body.function),
        in_loop_now: false,
        sites: Vec::new(),
    };
    let body = inliner.run(body)?;
    if !is_recursive || size(&body.function) > budget::RECURSION {
        return Ok(body);
    }
    // Once with what it is, once with what it has become: up to two levels fewer calls on each way down.
    let itself = body.clone();
    let mut body = body;
    for _ in 0..2 {
        inliner.itself = Some(&itself);
        inliner.sites.clear();
        inliner.in_loop = blocks_in_loops(&body.function);
        body = inliner.run(body)?;
    }
    Ok(body)
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
    itself: Option<&'g Located>,
    rules: &'g Rules<'g>,
    /// Instructions that the caller may have.
    limit: usize,
    /// For the blocks that the caller had.
    in_loop: SecondaryMap<Block, bool>,
    /// Whether the last block of the caller's own was in a loop: what inlining splits off it is, too.
    in_loop_now: bool,
    sites: Vec<Site>,
}

/// A call that was inlined.
struct Site {
    callee: u32,
    location: SourceLoc,
    is_tail: bool,
    /// Blocks that the caller had: those of the callee come after them, in the same order.
    blocks: usize,
    /// The same of places in the frame.
    slots: usize,
    args: Vec<Value>,
}

impl Inline for Inliner<'_> {
    fn inline(
        &mut self,
        caller: &Function,
        call: Inst,
        opcode: Opcode,
        callee: FuncRef,
        args: &[Value],
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
        let site = Site {
            callee,
            location: caller.srcloc(call),
            is_tail: opcode == Opcode::ReturnCall,
            blocks: caller.dfg.num_blocks(),
            slots: caller.sized_stack_slots.len(),
            args: args.to_vec(),
        };
        if let Some(Located { function, .. }) = self.itself {
            let grown = caller.dfg.num_insts() + function.dfg.num_insts();
            if callee != self.caller || grown > self.limit {
                return InlineCommand::KeepCall;
            }
            self.sites.push(site);
            return InlineCommand::Inline { callee: Cow::Borrowed(function), visit_callee: false };
        }
        let Some(candidate) = self.candidates.get(&callee) else { return InlineCommand::KeepCall };
        let Candidate { body, size } = &**candidate;
        let count = self.calls.binary_search_by_key(&call, |(inst, _)| *inst).ok().map(|at| self.calls[at].1);
        let most = self.rules.most_at(callee, self.in_loop_now, count);
        if *size > most || caller.dfg.num_insts() + size > self.limit {
            return InlineCommand::KeepCall;
        }
        self.sites.push(site);
        InlineCommand::Inline { callee: Cow::Borrowed(&body.function), visit_callee: false }
    }
}

impl Inliner<'_> {
    fn run(&mut self, Located { function, locations }: Located) -> Result<Located> {
        let mut context = Context::for_function(function);
        let result = context.inline(&mut *self);
        result.map_err(|error| Error::internal(format!("inlining failed: {error}")))?;
        let mut body = Located { function: context.func, locations };
        if !self.sites.is_empty() {
            self.locate(&mut body);
            merge_symbols(&mut body.function);
        }
        Ok(body)
    }

    /// Says of inlined instructions where they came from, and by which calls.
    fn locate(&self, Located { function, locations }: &mut Located) {
        for site @ Site { callee, location, is_tail, blocks, .. } in &self.sites {
            let inner = self.itself.unwrap_or_else(|| &self.candidates[callee].body);
            let moved = locations.add(*callee, &inner.locations, *location, *is_tail);
            label(function, &inner.function, site, moved);
            for block in inner.function.layout.blocks() {
                let copy = Block::from_u32(*blocks as u32 + block.as_u32());
                // The same instructions, but a tail call has become a call and a jump.
                let mut originals = inner.function.layout.block_insts(block);
                let mut next = function.layout.first_inst(copy);
                while let Some(inst) = next {
                    let original = originals.next().filter(|inst| {
                        // The frame of its function is gone when the callee runs.
                        let is_tail_call = inner.function.dfg.insts[*inst].opcode().is_return()
                            && inner.function.dfg.insts[*inst].opcode().is_call();
                        !is_tail_call && !inner.function.srcloc(*inst).is_default()
                    });
                    let new = match (original, moved) {
                        (Some(original), Some(moved)) => moved.location(inner.function.srcloc(original)),
                        _ => *location,
                    };
                    if !new.is_default() {
                        function.set_srcloc(inst, new);
                    }
                    next = function.layout.next_inst(inst);
                }
            }
        }
    }
}

/// Lets debuggers find the locals of an inlined function, under labels of their own.
fn label(function: &mut Function, inner: &Function, site: &Site, moved: Option<Moved>) {
    let slots = function.sized_stack_slots.values_mut().skip(site.slots);
    for slot in slots.take(inner.sized_stack_slots.len()) {
        let label = slot.key.and_then(|key| moved?.label(u32::try_from(key.bits()).ok()?));
        slot.key = label.map(|label| StackSlotKey::new(label.into()));
    }
    let (Some(moved), Some(labels)) = (moved, &inner.dfg.values_labels) else { return };
    for block in inner.layout.blocks() {
        let copy = Block::from_u32(site.blocks as u32 + block.as_u32());
        let params = inner.dfg.block_params(block).iter().copied();
        let mut pairs: Vec<(Value, Value)> = match inner.layout.entry_block() == Some(block) {
            true => params.zip(site.args.iter().copied()).collect(),
            false => params.zip(function.dfg.block_params(copy).iter().copied()).collect(),
        };
        let mut next = function.layout.first_inst(copy);
        for original in inner.layout.block_insts(block) {
            let Some(inst) = next else { break };
            let results = inner.dfg.inst_results(original).iter().copied();
            pairs.extend(results.zip(function.dfg.inst_results(inst).iter().copied()));
            next = function.layout.next_inst(inst);
        }
        for (original, copy) in pairs {
            let Some(ValueLabelAssignments::Starts(starts)) = labels.get(&original) else { continue };
            let copy = function.dfg.resolve_aliases(copy);
            let Some(labels) = &mut function.dfg.values_labels else { return };
            let known = labels.entry(copy).or_insert_with(|| ValueLabelAssignments::Starts(Vec::new()));
            let ValueLabelAssignments::Starts(known) = known else { continue };
            known.extend(starts.iter().filter_map(|start| {
                let label = ValueLabel::from_u32(moved.label(start.label.as_u32())?);
                Some(ValueLabelStart { label, ..*start })
            }));
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
