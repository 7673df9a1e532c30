//! Accesses to constant addresses go through a register that holds the start of the memory.
//!
//! x86-64 code of the static model adds the address of the memory to an index as a displacement. Where the index turns
//! out to be constant after inlining, the sum is a number that the back end would load into a register first, at each
//! access. Runs after Cranelift's optimiser.

use super::ssa::constant;
use crate::codegen::symbol::Symbol;
use aot_abi::memory::STATIC_MEMORY;
use cranelift_codegen::ir::{
    ExternalName, Function, GlobalValue, GlobalValueData, Inst, InstructionData, Opcode, Value,
};

/// Rewrites the accesses of a function that has the start of the memory in a register anyway.
pub(crate) fn constant_addresses(function: &mut Function) {
    let Some(base) = memory(function) else { return };
    let mut accesses = Vec::new();
    // The base is defined in the first block, so it is there in all others.
    for block in function.layout.blocks().skip(1) {
        for inst in function.layout.block_insts(block) {
            accesses.extend(constant_access(function, inst).map(|distance| (inst, distance)));
        }
    }
    for (inst, distance) in accesses {
        match &mut function.dfg.insts[inst] {
            InstructionData::Load { arg, offset, .. } => {
                *arg = base;
                *offset = distance.into();
            }
            InstructionData::Store { args, offset, .. } => {
                args[1] = base;
                *offset = distance.into();
            }
            _ => unreachable!("accesses are loads and stores"),
        }
    }
}

/// The start of the memory, if the first block has it.
fn memory(function: &Function) -> Option<Value> {
    let entry = function.layout.entry_block()?;
    let inst = function.layout.block_insts(entry).find(|inst| match function.dfg.insts[*inst] {
        InstructionData::UnaryGlobalValue { opcode: Opcode::SymbolValue, global_value } => {
            is_memory(function, global_value)
        }
        _ => false,
    })?;
    Some(function.dfg.first_result(inst))
}

fn is_memory(function: &Function, global: GlobalValue) -> bool {
    match &function.global_values[global] {
        GlobalValueData::Symbol { name: ExternalName::User(name), offset, .. } => {
            let name = &function.params.user_named_funcs()[*name];
            offset.bits() == 0 && Symbol::from_external_name(name) == Some(Symbol::Memory)
        }
        _ => false,
    }
}

/// The distance of an access from the start of the static memory, if its address is a constant.
fn constant_access(function: &Function, inst: Inst) -> Option<i32> {
    let (address, offset) = match function.dfg.insts[inst] {
        InstructionData::Load { arg, offset, .. } => (arg, offset),
        InstructionData::Store { args: [_, address], offset, .. } => (address, offset),
        _ => return None,
    };
    let address = constant(&function.dfg, address)?;
    let start = u64::try_from(address).ok()?.checked_sub(STATIC_MEMORY)?;
    let distance = i64::try_from(start).ok()?.checked_add(i64::from(i32::from(offset)))?;
    i32::try_from(distance).ok()
}
