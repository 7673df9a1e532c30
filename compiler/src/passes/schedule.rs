//! Moves operations that end the life of two values up to the later one of these values.
//!
//! Cranelift's e-graph pass places an operation without side effects right before its first use, and leaves loads where
//! they are. A sum of ten products becomes twenty loads and then ten multiplications, and most of what was loaded goes
//! to the stack in between. Moved up, a multiplication needs one register where there were two, and can read its
//! second operand from memory itself. Runs after Cranelift's optimiser.

use super::ssa;
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::{Block, Function, Inst, Opcode, Value, ValueDef};

/// Moves what can be moved.
pub(crate) fn schedule(function: &mut Function) {
    let uses = count_uses(function);
    let blocks: Vec<Block> = function.layout.blocks().collect();
    let mut order = SecondaryMap::new();
    for block in blocks {
        schedule_block(function, block, &uses, &mut order);
    }
}

/// How often each value is used.
fn count_uses(function: &Function) -> SecondaryMap<Value, u32> {
    let mut uses = SecondaryMap::new();
    uses.resize(function.dfg.num_values());
    for block in function.layout.blocks() {
        for inst in function.layout.block_insts(block) {
            for value in function.dfg.inst_values(inst) {
                uses[function.dfg.resolve_aliases(value)] += 1;
            }
        }
    }
    uses
}

fn schedule_block(
    function: &mut Function,
    block: Block,
    uses: &SecondaryMap<Value, u32>,
    order: &mut SecondaryMap<Inst, u32>,
) {
    let insts: Vec<Inst> = function.layout.block_insts(block).collect();
    // Gaps in the numbers leave room for what is moved: a moved instruction gets the number of what it follows.
    for (position, inst) in insts.iter().enumerate() {
        order[*inst] = position as u32;
    }
    for inst in insts {
        let Some(after) = destination(function, block, inst, uses, order) else { continue };
        let Some(next) = function.layout.next_inst(after) else { continue };
        if next == inst {
            continue;
        }
        function.layout.remove_inst(inst);
        function.layout.insert_inst(inst, next);
        order[inst] = order[after];
    }
}

/// The instruction of the block that `inst` can follow directly, if moving it there ends two lives early.
fn destination(
    function: &Function,
    block: Block,
    inst: Inst,
    uses: &SecondaryMap<Value, u32>,
    order: &SecondaryMap<Inst, u32>,
) -> Option<Inst> {
    if !is_movable(function.dfg.insts[inst].opcode()) {
        return None;
    }
    let [x, y] = *function.dfg.inst_args(inst) else { return None };
    let (x, y) = (function.dfg.resolve_aliases(x), function.dfg.resolve_aliases(y));
    if x == y || uses[x] != 1 || uses[y] != 1 {
        return None;
    }
    let defined_here = |value| match function.dfg.value_def(value) {
        ValueDef::Result(definition, _) if function.layout.inst_block(definition) == Some(block) => {
            Some(definition)
        }
        _ => None,
    };
    // A value from elsewhere is there from the start of the block; of two there is nothing to follow.
    let after = match (defined_here(x), defined_here(y)) {
        (Some(x), Some(y)) if order[x] < order[y] || comes_before(function, x, y) => y,
        (Some(x), _) => x,
        (None, Some(y)) => y,
        (None, None) => return None,
    };
    // A constant costs nothing to keep and has no life worth ending.
    let is_constant =
        |value| defined_here(value).is_some_and(|inst| ssa::is_constant(function.dfg.insts[inst].opcode()));
    (!is_constant(x) && !is_constant(y)).then_some(after)
}

/// Whether `x` comes before `y` in their block.
fn comes_before(function: &Function, x: Inst, y: Inst) -> bool {
    function.layout.pp_cmp(x, y) == std::cmp::Ordering::Less
}

/// Operations with two operands, no side effect, no trap, and a result of the size of an operand.
fn is_movable(opcode: Opcode) -> bool {
    matches!(
        opcode,
        Opcode::Iadd
            | Opcode::Isub
            | Opcode::Imul
            | Opcode::Band
            | Opcode::Bor
            | Opcode::Bxor
            | Opcode::Ishl
            | Opcode::Ushr
            | Opcode::Sshr
            | Opcode::Rotl
            | Opcode::Rotr
            | Opcode::Smin
            | Opcode::Smax
            | Opcode::Umin
            | Opcode::Umax
            | Opcode::Fadd
            | Opcode::Fsub
            | Opcode::Fmul
            | Opcode::Fdiv
            | Opcode::Fmin
            | Opcode::Fmax
    )
}

#[cfg(test)]
mod tests {
    use super::schedule;
    use cranelift_codegen::ir::{AbiParam, Function, InstBuilder, MemFlagsData, Opcode, Signature, types};
    use cranelift_codegen::isa::CallConv;
    use cranelift_codegen::{settings, verify_function};
    use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};

    /// A sum of products, all loads first.
    fn sum_of_products(count: i32) -> Function {
        let mut function = Function::new();
        function.signature = Signature::new(CallConv::Tail);
        function.signature.params.push(AbiParam::new(types::I64));
        function.signature.returns.push(AbiParam::new(types::I64));
        let mut context = FunctionBuilderContext::new();
        let mut builder = FunctionBuilder::new(&mut function, &mut context);
        let entry = builder.create_block();
        builder.append_block_params_for_function_params(entry);
        builder.switch_to_block(entry);
        let base = builder.block_params(entry)[0];
        let loads: Vec<_> = (0..count * 2)
            .map(|index| builder.ins().load(types::I64, MemFlagsData::trusted(), base, index * 8))
            .collect();
        let mut sum = builder.ins().iconst(types::I64, 0);
        for pair in loads.chunks(2) {
            let product = builder.ins().imul(pair[0], pair[1]);
            sum = builder.ins().iadd(sum, product);
        }
        builder.ins().return_(&[sum]);
        builder.seal_all_blocks();
        let isa = cranelift_codegen::isa::lookup_by_name("x86_64").unwrap();
        let isa = isa.finish(settings::Flags::new(settings::builder())).unwrap();
        builder.finalize(isa.frontend_config());
        function
    }

    #[test]
    fn products_follow_their_factors() {
        let mut function = sum_of_products(4);
        schedule(&mut function);
        verify_function(&function, &settings::Flags::new(settings::builder())).unwrap();
        let block = function.layout.entry_block().unwrap();
        let opcodes: Vec<Opcode> =
            function.layout.block_insts(block).map(|inst| function.dfg.insts[inst].opcode()).collect();
        let loads_before = |nth: usize| {
            let products = opcodes.iter().enumerate().filter(|(_, opcode)| **opcode == Opcode::Imul);
            let end = products.map(|(position, _)| position).nth(nth).unwrap();
            opcodes[..end].iter().filter(|opcode| **opcode == Opcode::Load).count()
        };
        assert_eq!([0, 1, 2, 3].map(loads_before), [2, 4, 6, 8]);
    }
}
