//! The static model: one instance in the process, and its state at addresses that are known here.
//!
//! The first memory starts at an absolute address, the VM context ends right below it. The rest is as in the instance
//! model, with that address in place of the pointer that every function gets there.

use super::instance::InstanceState;
use super::{Callee, Place, State};
use crate::codegen::symbol::Symbol;
use crate::plan::FixedTable;
use crate::translate::function::ModuleContext;
use crate::translate::profile::Profiling;
use crate::translate::trap::clif_trap_code;
use aot_abi::libcall::Libcall;
use aot_abi::memory::{STATIC_MEMORY, static_context};
use aot_abi::trap::TrapCode;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    ExternalName, GlobalValue, GlobalValueData, InstBuilder, InstructionData, MemFlagsData, Opcode, Value,
    types,
};
use cranelift_frontend::FunctionBuilder;
use rustc_hash::FxHashMap;
use target_lexicon::Architecture;

/// Bytes of an entry of a fixed table: address of the code, number of the type; `u32` each.
pub(crate) const TABLE_ENTRY: u32 = 8;

/// The type of a null entry: no type has this number.
pub(crate) const NULL_TYPE: u32 = u32::MAX;

pub(super) struct StaticState<'m> {
    module: &'m ModuleContext<'m>,
    /// The first byte of the memory, in a register.
    memory: Value,
    /// Places of the memory at displacements that accesses have no room for.
    arrays: FxHashMap<i32, GlobalValue>,
    rest: InstanceState<'m>,
}

impl<'m> StaticState<'m> {
    /// Opens the state in the entry block of a function.
    pub fn new(module: &'m ModuleContext<'m>, builder: &mut FunctionBuilder<'_>) -> Self {
        declare_symbols(module, builder);
        let memory = symbol_value(module, builder, Symbol::Memory, 0);
        let bias = -context_distance(module);
        // One register serves memory and context where displacements reach far, as on x86-64.
        let rest = match has_far_displacements(module) {
            true => InstanceState::new(module, memory, bias),
            false => {
                let context = symbol_value(module, builder, Symbol::Memory, i64::from(bias));
                InstanceState::new(module, context, 0)
            }
        };
        StaticState { module, memory, arrays: FxHashMap::default(), rest }
    }

    fn fixed_table(&self, table: u32) -> Option<&'m FixedTable> {
        self.module.plan.fixed_tables[table as usize].as_ref()
    }

    fn is_static_memory(&self, memory: u32) -> bool {
        memory == 0 && self.module.info.imported_memories == 0
    }
}

/// The address of the VM context, for code that is not a wasm function's.
pub(super) fn context(module: &ModuleContext<'_>, builder: &mut FunctionBuilder<'_>) -> Value {
    symbol_value(module, builder, Symbol::Memory, -i64::from(context_distance(module)))
}

/// Bytes from the VM context up to the memory.
fn context_distance(module: &ModuleContext<'_>) -> i32 {
    let context = static_context(module.plan.offsets.size()).expect("the plan chose the static model");
    (STATIC_MEMORY - context) as i32
}

/// With which displacements the place in the memory that an index counts from is computed on its own: accesses take an index and no
/// displacement, or few bits of one, and two or three instructions make the address of a static array. As an address it is opaque to
/// the optimiser, and so computed in front of loops; the sum with the index as a constant would be computed at each access.
fn is_array(module: &ModuleContext<'_>, displacement: i32) -> bool {
    // What instructions have room for, and what the code of riscv64, 2 GiB around it, reaches in any case.
    let displacements = 1 << 12..1 << 30;
    let architecture = module.isa.triple().architecture;
    matches!(architecture, Architecture::Aarch64(_) | Architecture::Riscv64(_))
        && displacements.contains(&displacement)
}

/// Whether loads and stores can have displacements of 32 bits.
fn has_far_displacements(module: &ModuleContext<'_>) -> bool {
    module.isa.triple().architecture == Architecture::X86_64
}

/// Gives all symbols the same numbers in every function: Cranelift's inliner copies the numbers and not the names.
fn declare_symbols(module: &ModuleContext<'_>, builder: &mut FunctionBuilder<'_>) {
    let tables = module.plan.fixed_tables.iter().enumerate();
    let tables = tables.filter(|(_, table)| table.is_some()).map(|(index, _)| Symbol::Table(index as u32));
    let counters = matches!(module.profiling, Profiling::Count(_)).then_some(Symbol::Counters);
    for symbol in std::iter::once(Symbol::Memory).chain(tables).chain(counters) {
        let name = symbol.external_name().expect("CLIF can name it");
        builder.func.declare_imported_user_function(name);
    }
}

/// The address of a symbol. It is opaque to the optimiser: as a number it would be loaded anew at each use.
fn symbol_value(
    module: &ModuleContext<'_>,
    builder: &mut FunctionBuilder<'_>,
    symbol: Symbol,
    offset: i64,
) -> Value {
    let global = symbol_global(builder, symbol, offset);
    builder.ins().symbol_value(module.isa.pointer_type(), global)
}

fn symbol_global(builder: &mut FunctionBuilder<'_>, symbol: Symbol, offset: i64) -> GlobalValue {
    let name = symbol.external_name().expect("CLIF can name it");
    let name = ExternalName::user(builder.func.declare_imported_user_function(name));
    let data = GlobalValueData::Symbol { name, offset: offset.into(), colocated: true, tls: false };
    builder.create_global_value(data)
}

/// The constant that an index is, widened or not.
fn constant(builder: &FunctionBuilder<'_>, value: Value) -> Option<u32> {
    let dfg = &builder.func.dfg;
    match dfg.insts[dfg.value_def(value).inst()?] {
        InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } => {
            u32::try_from(imm.bits() as u64 & 0xffff_ffff).ok()
        }
        InstructionData::Unary { opcode: Opcode::Uextend, arg } => constant(builder, arg),
        _ => None,
    }
}

impl State for StaticState<'_> {
    fn global(&mut self, builder: &mut FunctionBuilder<'_>, global: u32) -> Place {
        self.rest.global(builder, global)
    }

    fn memory_place(
        &mut self,
        builder: &mut FunctionBuilder<'_>,
        memory: u32,
        index: Value,
        offset: u64,
    ) -> Place {
        if !self.is_static_memory(memory) {
            return self.rest.memory_place(builder, memory, index, offset);
        }
        let flags = self.rest.memory_flags(builder);
        let displacement = i32::try_from(offset);
        if has_far_displacements(self.module) {
            // x86-64 has no address without a register: a constant index becomes a displacement from the base.
            if let Some(sum) = constant(builder, index).and_then(|index| u64::from(index).checked_add(offset))
                && let Ok(offset) = i32::try_from(sum)
            {
                return Place { base: self.memory, offset, flags };
            }
            // Any other index leaves no need for a base: the address of the memory is part of the displacement.
            if let Ok(offset) = displacement
                && i32::try_from(STATIC_MEMORY + offset as u64).is_ok()
            {
                let base = builder.ins().iconst(self.module.isa.pointer_type(), STATIC_MEMORY as i64);
                return Place { base: builder.ins().iadd(index, base), offset, flags };
            }
        }
        if let Ok(offset) = displacement
            && is_array(self.module, offset)
        {
            let array = *(self.arrays.entry(offset))
                .or_insert_with(|| symbol_global(builder, Symbol::Memory, i64::from(offset)));
            let array = builder.ins().symbol_value(self.module.isa.pointer_type(), array);
            return Place { base: builder.ins().iadd(array, index), offset: 0, flags };
        }
        let address = builder.ins().iadd(self.memory, index);
        match displacement {
            Ok(offset) => Place { base: address, offset, flags },
            Err(_) => Place { base: builder.ins().iadd_imm_s(address, offset as i64), offset: 0, flags },
        }
    }

    fn memory_len(&mut self, builder: &mut FunctionBuilder<'_>, memory: u32) -> Value {
        self.rest.memory_len(builder, memory)
    }

    fn table_base(&mut self, builder: &mut FunctionBuilder<'_>, table: u32) -> Value {
        self.rest.table_base(builder, table)
    }

    fn table_len(&mut self, builder: &mut FunctionBuilder<'_>, table: u32) -> Value {
        self.rest.table_len(builder, table)
    }

    fn table_flags(&mut self, builder: &mut FunctionBuilder<'_>) -> MemFlagsData {
        self.rest.table_flags(builder)
    }

    fn limits(&mut self, builder: &mut FunctionBuilder<'_>) -> Value {
        self.rest.limits(builder)
    }

    fn callee(&mut self, builder: &mut FunctionBuilder<'_>, func: u32) -> Callee {
        self.rest.callee(builder, func)
    }

    /// A fixed table is an array of codes and types: one compare with its length, one with the type.
    ///
    /// Under misprediction element 0 is looked at, as in other tables: the process also holds what the guest was not
    /// given, such as its environment.
    fn indirect_callee(
        &mut self,
        builder: &mut FunctionBuilder<'_>,
        table: u32,
        type_index: u32,
        index: Value,
    ) -> Callee {
        let Some(fixed) = self.fixed_table(table) else {
            return self.rest.indirect_callee(builder, table, type_index, index);
        };
        let (module, pointer) = (self.module, self.module.isa.pointer_type());
        let info = module.info;
        let len = builder.ins().iconst(types::I32, fixed.elements.len() as i64);
        let outside = builder.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, index, len);
        builder.ins().trapnz(outside, clif_trap_code(TrapCode::UndefinedElement));
        let first = builder.ins().iconst(types::I32, 0);
        let index = builder.ins().select_spectre_guard(outside, first, index);
        let start = symbol_value(module, builder, Symbol::Table(table), 0);
        let index = builder.ins().uextend(pointer, index);
        let distance = builder.ins().ishl_imm_u(index, i64::from(TABLE_ENTRY.ilog2()));
        let entry = builder.ins().iadd(start, distance);
        let flags = MemFlagsData::trusted().with_readonly();
        let code = builder.ins().load(types::I32, flags, entry, 0);
        let wanted = info.canonical_types[type_index as usize];
        let type_of = |func: u32| info.canonical_types[info.funcs[func as usize] as usize];
        let mut types_used = fixed.elements.iter().flatten().map(|func| type_of(*func));
        if types_used.any(|ty| ty != wanted) {
            let actual = builder.ins().load(types::I32, flags, entry, 4);
            let same = builder.ins().icmp_imm_u(IntCC::Equal, actual, i64::from(wanted));
            let (matching, other) = (builder.create_block(), builder.create_block());
            builder.set_cold_block(other);
            builder.ins().brif(same, matching, &[], other, &[]);
            builder.seal_block(matching);
            builder.seal_block(other);
            builder.switch_to_block(other);
            builder.ins().trapz(code, clif_trap_code(TrapCode::UninitializedElement));
            builder.ins().trap(clif_trap_code(TrapCode::IndirectCallTypeMismatch));
            builder.switch_to_block(matching);
        } else if fixed.elements.contains(&None) {
            builder.ins().trapz(code, clif_trap_code(TrapCode::UninitializedElement));
        }
        let code = builder.ins().uextend(pointer, code);
        Callee::Indirect { sig: self.rest.signature(builder, type_index), code, vmctx: None }
    }

    fn func_ref(&mut self, builder: &mut FunctionBuilder<'_>, func: u32) -> Value {
        self.rest.func_ref(builder, func)
    }

    fn libcall(
        &mut self,
        builder: &mut FunctionBuilder<'_>,
        libcall: Libcall,
        args: &[Value],
    ) -> Option<Value> {
        self.rest.libcall(builder, libcall, args)
    }
}
