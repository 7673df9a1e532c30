//! Loads take what was stored or loaded before, across stores to other places.
//!
//! Cranelift knows the last store to a memory, and nothing of the ones before: of two fields that are written one after the
//! other, the first is read back from memory. A function that gets its arguments by pointers, or leaves its result where
//! its caller says, is full of that once it is inlined. Here, accesses are compared by the value that their address is
//! computed from and their distance from it: those that do not overlap do not matter to each other.
//!
//! Only loads go away: stores stay, in their order, and a load that would trap is kept. Runs before Cranelift's optimiser, on the
//! memory of the static model.

use super::ssa::constant;
use crate::codegen::symbol::Symbol;
use aot_abi::memory::STATIC_MEMORY;
use cranelift_codegen::Context;
use cranelift_codegen::cursor::{Cursor as _, FuncCursor};
use cranelift_codegen::ir::{
    AliasRegion, Block, DataFlowGraph, ExternalName, Function, GlobalValueData, Inst, InstBuilder as _,
    InstructionData, Opcode, Type, Value, types,
};
use cranelift_codegen::traversals::Dfs;
use rustc_hash::FxHashMap;
use std::rc::Rc;

/// How many places are known at a time. Looking for one takes as many steps.
const MAX_PLACES: usize = 32;

/// How far from a value accesses are taken for neighbours: far less than addresses have room for.
const MAX_DISTANCE: i64 = 1 << 28;

/// An address: a number of 32 bits, to which constants are added one after the other, the first with a wrap at 2³².
#[derive(Clone, Copy, PartialEq, Eq)]
struct Address {
    root: Value,
    added: i64,
    offset: i64,
}

impl Address {
    fn distance(self) -> i64 {
        self.added + self.offset
    }
}

/// What an access does with the bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A value of this type as it is.
    Whole(Type),
    /// The low bits of an integer are stored.
    Low,
    /// They become an integer of this type.
    Zero(Type),
    Sign(Type),
}

#[derive(Clone, Copy)]
struct Access {
    address: Address,
    /// Bytes.
    size: i64,
    form: Form,
    region: Option<AliasRegion>,
    /// What is stored.
    stored: Option<Value>,
}

/// What is in a place of the memory.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    address: Address,
    size: i64,
    form: Form,
    region: Option<AliasRegion>,
    value: Value,
}

/// Sums of a value and constants from one to the other all wrap at 2³², or none does: an access that they are part of did not
/// trap.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Span {
    root: Value,
    start: i64,
    end: i64,
}

/// What is known at some point of the code.
#[derive(Clone, Default)]
struct Known {
    places: Vec<Place>,
    /// One for each value.
    spans: Vec<Span>,
}

/// Rewrites the loads of a function, whose control-flow graph is known.
pub(crate) fn forward_stores(context: &mut Context) {
    let Context { func: function, cfg, .. } = context;
    let mut order: Vec<Block> = Dfs::new().post_order_iter(function).collect();
    order.reverse();
    // What is known at the start of blocks, from those of their predecessors that were there.
    let mut starts: FxHashMap<Block, (Rc<Known>, usize)> = FxHashMap::default();
    for block in order {
        let predecessors = cfg.pred_iter(block).count();
        let mut known = match starts.remove(&block) {
            // A loop may come back with anything.
            Some((known, seen)) if seen == predecessors => known,
            _ => Rc::default(),
        };
        rewrite(function, block, &mut known);
        for next in cfg.succ_iter(block) {
            let (start, seen) = starts.entry(next).or_insert_with(|| (Rc::clone(&known), 0));
            Known::meet(start, &known);
            *seen += 1;
        }
    }
}

/// Rewrites the loads of a block.
fn rewrite(function: &mut Function, block: Block, known: &mut Rc<Known>) {
    let mut next = function.layout.first_inst(block);
    while let Some(inst) = next {
        next = function.layout.next_inst(inst);
        let opcode = function.dfg.insts[inst].opcode();
        if !opcode.is_call() && !opcode.other_side_effects() && !opcode.can_load() && !opcode.can_store() {
            continue;
        }
        let known = Rc::make_mut(known);
        if opcode.is_call() || opcode.other_side_effects() {
            known.places.clear();
            continue;
        }
        match access(function, inst) {
            Some(access) => {
                match access.stored {
                    Some(value) => known.store(access, value),
                    None => match known.find(access) {
                        Some(place) => replace(function, inst, access.form, place),
                        None => known.load(access, function.dfg.first_result(inst)),
                    },
                }
                known.reach(access);
            }
            None if opcode.can_store() => {
                let region = function.dfg.insts[inst].alias_region(&function.dfg);
                known.places.retain(
                    |place| matches!((place.region, region), (Some(own), Some(other)) if own != other),
                );
            }
            None => {}
        }
    }
}

impl Known {
    fn find(&self, access: Access) -> Option<Place> {
        let place = *self.places.iter().find(|place| {
            place.address.root == access.address.root
                && place.address.distance() == access.address.distance()
                && place.size == access.size
        })?;
        let fits = match (place.form, access.form) {
            (Form::Low, Form::Zero(_) | Form::Sign(_)) => true,
            (from, to) => from == to,
        };
        let (from, to) = (place.address.added, access.address.added);
        (fits && (to >= from || self.is_reached(access.address.root, to, from))).then_some(place)
    }

    /// Whether sums of a value and constants between these two all wrap, or none does.
    fn is_reached(&self, root: Value, low: i64, high: i64) -> bool {
        self.spans.iter().any(|span| span.root == root && span.start <= low && high <= span.end)
    }

    /// Notes that an access did not trap: what it adds to the sum of 32 bits would not have led past 2³².
    fn reach(&mut self, Access { address, size, .. }: Access) {
        let new = Span { root: address.root, start: address.added, end: address.distance() + size - 1 };
        match self.spans.iter_mut().find(|span| span.root == new.root) {
            Some(span) if new.end - new.start > span.end - span.start => *span = new,
            Some(_) => {}
            None => {
                if self.spans.len() == MAX_PLACES {
                    self.spans.remove(0);
                }
                self.spans.push(new);
            }
        }
    }

    /// Keeps what is known on another way too.
    fn meet(this: &mut Rc<Known>, other: &Rc<Known>) {
        if !Rc::ptr_eq(this, other) {
            let this = Rc::make_mut(this);
            this.places.retain(|place| other.places.contains(place));
            this.spans.retain(|span| other.spans.contains(span));
        }
    }

    fn load(&mut self, Access { address, size, form, region, .. }: Access, value: Value) {
        if self.places.len() == MAX_PLACES {
            self.places.remove(0);
        }
        self.places.push(Place { address, size, form, region, value });
    }

    fn store(&mut self, access: Access, value: Value) {
        let start = access.address.distance();
        self.places.retain(|place| {
            let other = place.address.distance();
            place.address.root == access.address.root
                && (other + place.size <= start || start + access.size <= other)
        });
        self.load(access, value);
    }
}

/// Puts what is known in place of a load.
fn replace(function: &mut Function, inst: Inst, form: Form, place: Place) {
    let mut cursor = FuncCursor::new(function).at_inst(inst);
    cursor.use_srcloc(inst);
    let value = match (place.form, form) {
        (Form::Low, Form::Zero(ty) | Form::Sign(ty)) => {
            let narrow = Type::int(8 * place.size as u16).expect("integers have whole bytes");
            let low = match cursor.func.dfg.value_type(place.value) == narrow {
                true => place.value,
                false => cursor.ins().ireduce(narrow, place.value),
            };
            match form {
                Form::Zero(_) => cursor.ins().uextend(ty, low),
                _ => cursor.ins().sextend(ty, low),
            }
        }
        _ => place.value,
    };
    let result = function.dfg.first_result(inst);
    function.dfg.clear_results(inst);
    function.dfg.change_to_alias(result, value);
    function.layout.remove_inst(inst);
}

/// The access of an instruction to the memory, if its address has the usual form.
fn access(function: &Function, inst: Inst) -> Option<Access> {
    let dfg = &function.dfg;
    let (address, offset, stored) = match dfg.insts[inst] {
        InstructionData::Load { arg, offset, .. } => (arg, offset, None),
        InstructionData::Store { args: [value, address], offset, .. } => {
            (address, offset, Some(dfg.resolve_aliases(value)))
        }
        _ => return None,
    };
    let ty = match stored {
        Some(value) => dfg.value_type(value),
        None => dfg.value_type(dfg.first_result(inst)),
    };
    let (form, size) = match dfg.insts[inst].opcode() {
        Opcode::Load | Opcode::Store => (Form::Whole(ty), ty.bytes()),
        Opcode::Uload8 => (Form::Zero(ty), 1),
        Opcode::Uload16 => (Form::Zero(ty), 2),
        Opcode::Uload32 => (Form::Zero(ty), 4),
        Opcode::Sload8 => (Form::Sign(ty), 1),
        Opcode::Sload16 => (Form::Sign(ty), 2),
        Opcode::Sload32 => (Form::Sign(ty), 4),
        Opcode::Istore8 => (Form::Low, 1),
        Opcode::Istore16 => (Form::Low, 2),
        Opcode::Istore32 => (Form::Low, 4),
        _ => return None,
    };
    let (root, added, start) = index(function, address)?;
    let address = Address { root, added, offset: start + i64::from(i32::from(offset)) };
    let is_near = added.abs() < MAX_DISTANCE && (0..MAX_DISTANCE).contains(&address.offset);
    let region = dfg.insts[inst].alias_region(dfg);
    is_near.then_some(Access { address, size: i64::from(size), form, region, stored })
}

/// The 32 bits that an address in the static memory is computed from, what is added to them, and from which place of the memory
/// they count.
fn index(function: &Function, address: Value) -> Option<(Value, i64, i64)> {
    let dfg = &function.dfg;
    let [left, right] = binary(dfg, address, Opcode::Iadd)?;
    let (index, start) = match place(function, right) {
        Some(start) => (left, start),
        None => (right, place(function, left)?),
    };
    let InstructionData::Unary { opcode: Opcode::Uextend, arg } = dfg.insts[dfg.value_def(index).inst()?]
    else {
        return None;
    };
    let mut root = dfg.resolve_aliases(arg);
    if dfg.value_type(root) != types::I32 {
        return None;
    }
    let mut added: i64 = 0;
    // Long chains of additions are folded by others.
    for _ in 0..4 {
        let (next, sign) = match (binary(dfg, root, Opcode::Iadd), binary(dfg, root, Opcode::Isub)) {
            (Some(args), _) => (args, 1),
            (_, Some(args)) => (args, -1),
            _ => break,
        };
        let Some(number) = constant(dfg, next[1]) else { break };
        added += sign * i64::from(number as i32);
        root = next[0];
    }
    Some((root, added, start))
}

/// Which place of the static memory a value is the address of.
fn place(function: &Function, value: Value) -> Option<i64> {
    let InstructionData::UnaryGlobalValue { global_value, .. } =
        function.dfg.insts[function.dfg.value_def(value).inst()?]
    else {
        return (constant(&function.dfg, value)? as u64 == STATIC_MEMORY).then_some(0);
    };
    let GlobalValueData::Symbol { name: ExternalName::User(name), offset, .. } =
        &function.global_values[global_value]
    else {
        return None;
    };
    // Below the memory lies the VM context.
    let symbol = Symbol::from_external_name(&function.params.user_named_funcs()[*name]);
    (symbol == Some(Symbol::Memory) && offset.bits() >= 0).then_some(offset.bits())
}

/// The operands of the instruction that makes a value.
fn binary(dfg: &DataFlowGraph, value: Value, wanted: Opcode) -> Option<[Value; 2]> {
    match dfg.insts[dfg.value_def(value).inst()?] {
        InstructionData::Binary { opcode, args } if opcode == wanted => {
            Some(args.map(|arg| dfg.resolve_aliases(arg)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::forward_stores;
    use crate::passes::tests::rewritten;
    use cranelift_codegen::ir::{Function, Opcode};

    /// Forwards the stores of a function with this body.
    fn forwarded(body: &str) -> Function {
        let clif = format!(
            "function %fields(i32, i32, i64) -> i32 {{
                region0 = 1 \"memory\"
                sig0 = ()
                fn0 = u0:0 sig0
                gv0 = symbol colocated u3:0 ; the memory
                gv1 = symbol colocated u3:0 +4096
                gv2 = symbol colocated u3:0 -64
            block0(v0: i32, v1: i32, v2: i64):
                v3 = iconst.i64 0x1000_0000
                v4 = iconst.i32 8
                v5 = uextend.i64 v0
                v6 = iadd v5, v3 ; the first pointer
                v7 = uextend.i64 v1
                v8 = iadd v7, v3 ; the second one
                v10 = iadd v0, v4
                v11 = uextend.i64 v10
                v12 = iadd v11, v3 ; 8 after the first one
                {body}
            }}"
        );
        rewritten(cranelift_reader::parse_functions(&clif).unwrap().remove(0), |context| {
            context.flowgraph();
            forward_stores(context);
        })
    }

    /// How many loads are left.
    #[track_caller]
    fn check(loads: usize, body: &str) {
        let function = forwarded(body);
        let insts = function.layout.blocks().flat_map(|block| function.layout.block_insts(block));
        let left = insts.filter(|inst| {
            let opcode = function.dfg.insts[*inst].opcode();
            opcode.can_load() && !opcode.is_call() && opcode != Opcode::Store
        });
        assert_eq!(left.count(), loads, "{}", function.display());
    }

    #[test]
    fn fields_do_not_matter_to_each_other() {
        check(
            0,
            "store region0 v1, v6+4\n store region0 v4, v6+8\n store region0 v2, v6+16\n
            v20 = load.i32 region0 v6+4\n return v20",
        );
        // The bytes of one that overlaps.
        check(
            1,
            "store region0 v1, v6+4\n istore16 region0 v4, v6+6\n
            v20 = load.i32 region0 v6+4\n return v20",
        );
        // Nor does what was loaded go away.
        check(
            1,
            "v20 = load.i32 region0 v6\n store region0 v1, v6+4\n v21 = load.i32 region0 v6\n
            v22 = iadd v20, v21\n return v22",
        );
    }

    /// Where addresses have no room for that of the memory.
    #[test]
    fn the_memory_may_be_a_symbol() {
        let with = |second: &str, load: &str| {
            format!(
                "v20 = symbol_value.i64 gv0\n v21 = iadd v20, v5\n v22 = symbol_value.i64 {second}\n v23 = iadd v22, v5\n
                store region0 v1, v23+8\n store region0 v4, v21+4\n v24 = load.i32 region0 {load}\n return v24"
            )
        };
        check(0, &with("gv1", "v21+4104"));
        check(0, &with("gv1", "v21+4"));
        check(1, &with("gv1", "v21+8"));
        // What is below the memory is another thing.
        check(1, &with("gv2", "v23+8"));
        check(0, &with("gv0", "v23+4"));
    }

    #[test]
    fn anything_may_write_anywhere() {
        check(
            1,
            "store region0 v1, v6+4\n store region0 v4, v8+400\n
            v20 = load.i32 region0 v6+4\n return v20",
        );
        check(1, "store region0 v1, v6+4\n call fn0()\n v20 = load.i32 region0 v6+4\n return v20");
        check(1, "store region0 v1, v6+4\n store region0 v4, v2\n v20 = load.i32 region0 v6+4\n return v20");
    }

    #[test]
    fn narrow_values_are_extended() {
        check(0, "istore8 region0 v1, v6\n v20 = uload8.i32 region0 v6\n return v20");
        check(0, "istore16 region0 v2, v6\n v20 = sload16.i32 region0 v6\n return v20");
        check(0, "istore32 region0 v2, v6\n v20 = uload32 region0 v6\n v21 = ireduce.i32 v20\n return v21");
        // Other bytes, or other types.
        check(1, "istore8 region0 v1, v6\n v20 = uload16.i32 region0 v6\n return v20");
        check(1, "store region0 v1, v6\n v20 = load.f32 region0 v6\n return v1");
    }

    /// A sum of 32 bits wraps, an offset does not: the load may trap where the store did not.
    #[test]
    fn loads_that_may_trap_stay() {
        check(1, "store region0 v1, v12+4\n v20 = load.i32 region0 v6+12\n return v20");
        check(0, "store region0 v1, v6+12\n v20 = load.i32 region0 v12+4\n return v20");
        // The first one says that the sum does not wrap.
        check(
            1,
            "v20 = load.i32 region0 v6+16\n store region0 v1, v12+4\n
            v21 = load.i32 region0 v6+12\n v22 = iadd v20, v21\n return v22",
        );
        check(
            2,
            "v20 = load.i32 region0 v6+2\n store region0 v1, v12+4\n
            v21 = load.i32 region0 v6+12\n v22 = iadd v20, v21\n return v22",
        );
    }

    #[test]
    fn ways_that_meet_have_to_agree() {
        let both = |first: &str, second: &str| {
            format!(
                "store region0 v1, v6+4\n brif v1, block1, block2
                block1:\n {first}\n jump block3
                block2:\n {second}\n jump block3
                block3:\n v20 = load.i32 region0 v6+4\n return v20"
            )
        };
        check(0, &both("store region0 v4, v6+8", ""));
        check(1, &both("store region0 v4, v6+6", ""));
        check(1, &both("", "call fn0()"));
        // Each way has its own value.
        check(1, &both("store region0 v4, v6+4", "store region0 v0, v6+4"));
    }

    #[test]
    fn loops_may_come_back_with_anything() {
        let around = |body: &str| {
            format!(
                "store region0 v1, v6+4\n jump block1
                block1:\n v20 = load.i32 region0 v6+4\n {body}\n brif v20, block1, block2
                block2:\n v21 = load.i32 region0 v6+4\n return v21"
            )
        };
        check(2, &around("store region0 v4, v8"));
        check(1, &around("store region0 v4, v6+8"));
    }
}
