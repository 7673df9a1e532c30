//! Counting how often code runs, and using what was counted (`crate::profile`).

use super::function::FunctionTranslator;
use super::state::Callee;
use super::types::clif_type;
use crate::codegen::symbol::Symbol;
use crate::profile::{FunctionProfile, Layout, ModuleProfile, Promotion};
use crate::scan;
use aot_abi::profile::SITE_WORDS;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    Block, BlockArg, ExternalName, GlobalValueData, Inst, InstBuilder, MemFlagsData, Type, Value, types,
};
use wasmparser::Operator;

/// Whether code counts how often it runs, or is made for what was counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Profiling<'m> {
    #[default]
    None,
    Count(&'m Layout),
    Use(&'m ModuleProfile),
}

impl<'m> Profiling<'m> {
    pub fn profile(self) -> Option<&'m ModuleProfile> {
        match self {
            Profiling::Use(profile) => Some(profile),
            Profiling::None | Profiling::Count(_) => None,
        }
    }
}

/// A place of the function where a profile counts (`scan::points`).
pub(super) type Point = u32;

/// A block is laid out of the way if it runs less than once in so many rounds of the loop around it.
const COLD: u64 = 64;

/// What a profile counts, or has counted, in a function.
pub(super) struct Counting<'m> {
    /// The function, numbered without imported ones.
    function: u32,
    layout: Option<&'m Layout>,
    profile: Option<&'m FunctionProfile>,
    /// The address of the counters.
    counters: Option<Value>,
    /// The first point and the site of the operator that is translated, and those of the next one.
    point: Point,
    next_point: Point,
    site: u32,
    next_site: u32,
    /// Branches that are counted: the block to count in, where they go, and the point.
    pending: Vec<(Block, Block, Vec<BlockArg>, Point)>,
    /// How often the code that is translated ran.
    pub now: u64,
    /// How often calls ran.
    pub calls: Vec<(Inst, u64)>,
}

impl<'m> Counting<'m> {
    pub fn new(profiling: Profiling<'m>, function: u32) -> Counting<'m> {
        let (layout, profile) = match profiling {
            Profiling::None => (None, None),
            Profiling::Count(layout) => (Some(layout), None),
            // What never ran says nothing of how it would.
            Profiling::Use(profile) => {
                (None, profile.function(function).filter(|known| known.counts.first() > Some(&0)))
            }
        };
        let now = profile.map_or(0, |profile| profile.counts[0]);
        Counting {
            function,
            layout,
            profile,
            counters: None,
            point: 0,
            next_point: 1,
            site: 0,
            next_site: 0,
            pending: Vec::new(),
            now,
            calls: Vec::new(),
        }
    }

    /// Goes on to an operator, whether or not it can be reached.
    pub fn at(&mut self, operator: &Operator<'_>) {
        self.point = self.next_point;
        self.next_point += scan::points(operator);
        self.site = self.next_site;
        let is_site = matches!(operator, Operator::CallIndirect { .. } | Operator::ReturnCallIndirect { .. });
        self.next_site += u32::from(is_site);
    }

    /// A point of the operator that is translated.
    pub fn point(&self, number: u32) -> Point {
        self.point + number
    }

    pub fn is_counting(&self) -> bool {
        self.layout.is_some()
    }

    /// How often control passed a point; 0 if nothing is known.
    pub fn count(&self, point: Point) -> u64 {
        self.profile.and_then(|profile| profile.counts.get(point as usize)).copied().unwrap_or(0)
    }

    /// The target that the indirect call which is translated is compared with first.
    fn promotion(&self) -> Option<Promotion> {
        *self.profile?.promotions.get(self.site as usize)?
    }
}

impl FunctionTranslator<'_, '_> {
    /// Counts a call of the function, in its entry block.
    pub(super) fn count_function(&mut self) {
        if self.counting.layout.is_none() {
            return;
        }
        let name = Symbol::Counters.external_name().expect("CLIF can name it");
        let name = ExternalName::user(self.builder.func.declare_imported_user_function(name));
        let data = GlobalValueData::Symbol { name, offset: 0.into(), colocated: true, tls: false };
        let global = self.builder.create_global_value(data);
        self.counting.counters = Some(self.builder.ins().symbol_value(self.pointer, global));
        self.count_point(0);
    }

    fn count_point(&mut self, point: Point) {
        let Counting { layout, counters, function, .. } = &self.counting;
        let (Some(layout), Some(counters)) = (layout, *counters) else { return };
        let offset = layout.point(*function, point);
        let flags = MemFlagsData::trusted();
        let count = self.builder.ins().load(types::I64, flags, counters, offset);
        let count = self.builder.ins().iadd_imm_s(count, 1);
        self.builder.ins().store(flags, count, counters, offset);
    }

    /// Goes on in a block that the profile counts at a point.
    pub(super) fn begin_at(&mut self, block: Block, point: Point) {
        self.begin(block, self.counting.count(point));
        self.count_point(point);
    }

    /// Goes on in a block that ran so often.
    pub(super) fn begin(&mut self, block: Block, count: u64) {
        self.counting.now = count;
        if self.counting.profile.is_some() && (count == 0 || count.saturating_mul(COLD) < self.around()) {
            self.builder.set_cold_block(block);
        }
    }

    /// Target and arguments of a branch that the profile counts at a point. If there is something to do on the way, it goes
    /// through a block that [`Self::fill_counted`] fills.
    pub(super) fn counted_branch(&mut self, depth: u32, point: Point) -> (Block, Vec<BlockArg>) {
        self.counting.now = self.counting.count(point);
        let (target, args) = self.branch_args(depth);
        if !self.counting.is_counting() {
            return (target, args);
        }
        let way = self.builder.create_block();
        self.counting.pending.push((way, target, args, point));
        (way, Vec::new())
    }

    /// Fills the blocks of the branches that are counted, after the instruction that branches.
    pub(super) fn fill_counted(&mut self) {
        for (way, target, args, point) in std::mem::take(&mut self.counting.pending) {
            self.builder.switch_to_block(way);
            self.builder.seal_block(way);
            self.count_point(point);
            self.builder.ins().jump(target, &args);
        }
    }

    /// Counts an indirect call: its target gets a vote (`aot_abi::profile`).
    pub(super) fn count_target(&mut self, table: u32, index: Value) {
        let Counting { layout, counters, function, site, .. } = &self.counting;
        let (Some(layout), Some(counters)) = (layout, *counters) else { return };
        let offset = layout.site(*function, *site);
        let [target_at, votes_at, calls_at] =
            std::array::from_fn::<_, SITE_WORDS, _>(|word| offset + 8 * word as i32);
        let flags = MemFlagsData::trusted();
        let ins = |translator: &mut Self, at| translator.builder.ins().load(types::I64, flags, counters, at);
        let (target, votes, calls) = (ins(self, target_at), ins(self, votes_at), ins(self, calls_at));
        let ins = &mut self.builder;
        let index = ins.ins().uextend(types::I64, index);
        let own = ins.ins().iadd_imm_s(index, (i64::from(table) << 32) + 1);
        let is_same = ins.ins().icmp(IntCC::Equal, target, own);
        let is_free = ins.ins().icmp_imm_s(IntCC::Equal, votes, 0);
        let agrees = ins.ins().bor(is_same, is_free);
        let target = ins.ins().select(is_free, own, target);
        let (more, fewer) = (ins.ins().iadd_imm_s(votes, 1), ins.ins().iadd_imm_s(votes, -1));
        let votes = ins.ins().select(agrees, more, fewer);
        let calls = ins.ins().iadd_imm_s(calls, 1);
        for (value, at) in [(target, target_at), (votes, votes_at), (calls, calls_at)] {
            ins.ins().store(flags, value, counters, at);
        }
    }

    /// Notes how often a call ran.
    pub(super) fn count_call(&mut self, inst: Inst) {
        if self.counting.profile.is_some() {
            self.counting.calls.push((inst, self.counting.now));
        }
    }

    /// Compares the target of an indirect call with the one that it had most often, and calls that directly. Goes on where
    /// the call is another one; the results of the direct call are left to [`Self::join_promoted`].
    pub(super) fn promote(&mut self, index: Value, type_index: u32, args: &[Value]) -> Option<Block> {
        let Promotion { element, func, calls } = self.counting.promotion()?;
        let results = &self.module.info.types[type_index as usize].results;
        let results: Vec<Type> = results.iter().map(|ty| clif_type(*ty, self.pointer)).collect();
        let (direct, other) = (self.builder.create_block(), self.builder.create_block());
        let done = self.block_with_params(&results);
        let is_it = self.builder.ins().icmp_imm_u(IntCC::Equal, index, i64::from(element));
        self.builder.ins().brif(is_it, direct, &[], other, &[]);
        self.builder.seal_block(direct);
        self.builder.seal_block(other);
        let now = self.counting.now;
        self.builder.switch_to_block(direct);
        self.counting.now = calls;
        let height = self.stack.len();
        let callee = self.state.callee(&mut self.builder, func);
        debug_assert!(matches!(callee, Callee::Direct { .. }), "imported functions are not promoted");
        self.call(callee, args.to_vec());
        let values: Vec<BlockArg> = self.stack.drain(height..).map(BlockArg::from).collect();
        self.builder.ins().jump(done, &values);
        self.builder.switch_to_block(other);
        self.begin(other, now.saturating_sub(calls));
        self.counting.now = now;
        Some(done)
    }

    /// Goes on after both ways of an indirect call, with the results of the other one on the stack.
    pub(super) fn join_promoted(&mut self, done: Block) {
        let count = self.builder.block_params(done).len();
        let values: Vec<BlockArg> = self.pop_list(count).into_iter().map(BlockArg::from).collect();
        self.builder.ins().jump(done, &values);
        self.builder.seal_block(done);
        self.builder.switch_to_block(done);
        self.stack.extend_from_slice(self.builder.block_params(done));
    }
}
