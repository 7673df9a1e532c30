//! The instance model: all state at offsets from the VM context (layout: `aot_abi::vmctx`).

use super::{Callee, Place, State};
use crate::translate::bounds;
use crate::translate::function::{ImportCalls, ModuleContext};
use crate::translate::trap::clif_trap_code;
use crate::translate::types::{CInt, c_param};
use aot_abi::libcall::{Libcall, LibcallType};
use aot_abi::trap::TrapCode;
use aot_abi::types::ValType;
use cranelift_codegen::ir::{
    self, AliasRegion, AliasRegionData, InstBuilder, MemFlagsData, Signature, Value, types,
};
use cranelift_frontend::FunctionBuilder;
use std::collections::HashMap;

/// Names of the alias regions: two accesses in different regions never overlap.
mod region {
    pub const MEMORY: u32 = 1;
    pub const TABLE: u32 = 2;
    pub const DEFINITION: u32 = 3;
    pub const IMPORTED_GLOBALS: u32 = 4;
    pub const OTHER_GLOBALS: u32 = 5;
    pub const FIRST_GLOBAL: u32 = 16;
    /// Flags are numbered with 16 bits within a function, and each region needs flags of its own.
    pub const MAX_GLOBALS: u32 = 10_000;
}

pub(super) struct InstanceState<'m> {
    module: &'m ModuleContext<'m>,
    /// The VM context starts `bias` bytes after `base`.
    base: Value,
    bias: i32,
    regions: HashMap<u32, AliasRegion>,
    callees: HashMap<u32, ir::FuncRef>,
    libcalls: HashMap<Libcall, ir::FuncRef>,
    signatures: HashMap<u32, ir::SigRef>,
}

impl<'m> InstanceState<'m> {
    pub fn new(module: &'m ModuleContext<'m>, base: Value, bias: i32) -> Self {
        InstanceState {
            module,
            base,
            bias,
            regions: HashMap::new(),
            callees: HashMap::new(),
            libcalls: HashMap::new(),
            signatures: HashMap::new(),
        }
    }

    fn region(&mut self, builder: &mut FunctionBuilder<'_>, user_id: u32) -> Option<AliasRegion> {
        let new = || {
            let data = AliasRegionData { user_id, description: format!("state {user_id}").into() };
            builder.func.dfg.alias_regions.insert(data)
        };
        Some(*self.regions.entry(user_id).or_insert_with(new))
    }

    fn pointer(&self) -> ir::Type {
        self.module.isa.pointer_type()
    }

    /// The VM context's address.
    fn vmctx(&self, builder: &mut FunctionBuilder<'_>) -> Value {
        match self.bias {
            0 => self.base,
            bias => builder.ins().iadd_imm_s(self.base, i64::from(bias)),
        }
    }

    /// The displacement from `base` of a field of the VM context.
    fn displacement(&self, offset: u32) -> i32 {
        // Contexts are smaller than 2 GiB (`VmOffsets::new`).
        offset as i32 + self.bias
    }

    /// Loads a field of the VM context that never changes while the instance lives.
    fn context_field(&self, builder: &mut FunctionBuilder<'_>, offset: u32) -> Value {
        self.constant_field(builder, self.base, self.displacement(offset))
    }

    /// Loads a field that never changes while the instance lives.
    fn constant_field(&self, builder: &mut FunctionBuilder<'_>, base: Value, offset: i32) -> Value {
        let flags = MemFlagsData::trusted().with_readonly().with_can_move();
        builder.ins().load(self.pointer(), flags, base, offset)
    }

    /// Loads a field of a memory or table definition.
    fn definition_field(&mut self, builder: &mut FunctionBuilder<'_>, place: (Value, i32)) -> Value {
        let flags = MemFlagsData::trusted().with_alias_region(self.region(builder, region::DEFINITION));
        builder.ins().load(self.pointer(), flags, place.0, place.1)
    }

    /// The definition of a memory: base, then length.
    fn memory(&self, builder: &mut FunctionBuilder<'_>, memory: u32) -> (Value, i32) {
        let offsets = &self.module.plan.offsets;
        match memory.checked_sub(self.module.info.imported_memories) {
            Some(defined) => (self.base, self.displacement(offsets.memory(defined))),
            None => (self.context_field(builder, offsets.imported_memory(memory)), 0),
        }
    }

    /// The definition of a table: base, then length.
    fn table(&self, builder: &mut FunctionBuilder<'_>, table: u32) -> (Value, i32) {
        let offsets = &self.module.plan.offsets;
        match table.checked_sub(self.module.info.imported_tables) {
            Some(defined) => (self.base, self.displacement(offsets.table(defined))),
            None => (self.context_field(builder, offsets.imported_table(table)), 0),
        }
    }

    pub(super) fn signature(&mut self, builder: &mut FunctionBuilder<'_>, type_index: u32) -> ir::SigRef {
        let module = self.module;
        *self
            .signatures
            .entry(type_index)
            .or_insert_with(|| builder.import_signature(module.signature(type_index)))
    }

    /// The call of a function reference that is neither null nor of another type.
    fn funcref_callee(
        &mut self,
        builder: &mut FunctionBuilder<'_>,
        funcref: Value,
        type_index: u32,
    ) -> Callee {
        let offsets = &self.module.plan.offsets;
        let flags = MemFlagsData::trusted().with_readonly();
        let code = builder.ins().load(self.pointer(), flags, funcref, 0);
        let vmctx = builder.ins().load(self.pointer(), flags, funcref, offsets.funcref_vmctx() as i32);
        let vmctx = self.module.model.has_vmctx().then_some(vmctx);
        Callee::Indirect { sig: self.signature(builder, type_index), code, vmctx }
    }

    /// Flags of accesses to a memory.
    pub(super) fn memory_flags(&mut self, builder: &mut FunctionBuilder<'_>) -> MemFlagsData {
        MemFlagsData::new()
            .with_endianness(ir::Endianness::Little)
            .with_trap_code(Some(clif_trap_code(TrapCode::MemoryOutOfBounds)))
            .with_alias_region(self.region(builder, region::MEMORY))
    }

    fn libcall_signature(&self, libcall: Libcall) -> Signature {
        let param = |ty: LibcallType| {
            let ty = match ty {
                LibcallType::I32 => types::I32,
                LibcallType::I64 => types::I64,
                LibcallType::Pointer => self.pointer(),
            };
            c_param(ty, CInt::Unsigned, self.module.isa)
        };
        let mut sig = Signature::new(self.module.isa.default_call_conv());
        sig.params.extend(libcall.params().iter().map(|ty| param(*ty)));
        sig.returns.extend(libcall.result().map(param));
        sig
    }
}

impl State for InstanceState<'_> {
    fn global(&mut self, builder: &mut FunctionBuilder<'_>, global: u32) -> Place {
        let info = self.module.info;
        let offsets = &self.module.plan.offsets;
        let (base, offset, user_id) = match global.checked_sub(info.imported_globals) {
            Some(defined) => {
                let own = if defined < region::MAX_GLOBALS {
                    region::FIRST_GLOBAL + defined
                } else {
                    region::OTHER_GLOBALS
                };
                (self.base, self.displacement(offsets.global(defined)), own)
            }
            None => {
                let cell = self.context_field(builder, offsets.imported_global(global));
                // Two imports may be the same global.
                (cell, 0, region::IMPORTED_GLOBALS)
            }
        };
        let mut flags = MemFlagsData::trusted().with_alias_region(self.region(builder, user_id));
        let ty = info.globals[global as usize].ty;
        if !ty.mutable {
            flags = flags.with_readonly();
        }
        if ty.content == ValType::V128 {
            // As in memory: lane 0 comes first, whatever the byte order of the machine.
            flags = flags.with_endianness(ir::Endianness::Little);
        }
        Place { base, offset, flags }
    }

    fn memory_place(
        &mut self,
        builder: &mut FunctionBuilder<'_>,
        memory: u32,
        index: Value,
        offset: u64,
    ) -> Place {
        let (definition, field) = self.memory(builder, memory);
        // Memories are reserved once and never move.
        let base = self.constant_field(builder, definition, field);
        let flags = self.memory_flags(builder);
        let address = builder.ins().iadd(base, index);
        match i32::try_from(offset) {
            Ok(offset) => Place { base: address, offset, flags },
            Err(_) => Place { base: builder.ins().iadd_imm_s(address, offset as i64), offset: 0, flags },
        }
    }

    fn memory_len(&mut self, builder: &mut FunctionBuilder<'_>, memory: u32) -> Value {
        let (base, offset) = self.memory(builder, memory);
        self.definition_field(builder, (base, offset + self.module.plan.offsets.def_len() as i32))
    }

    fn table_base(&mut self, builder: &mut FunctionBuilder<'_>, table: u32) -> Value {
        let place = self.table(builder, table);
        self.definition_field(builder, place)
    }

    fn table_len(&mut self, builder: &mut FunctionBuilder<'_>, table: u32) -> Value {
        let (base, offset) = self.table(builder, table);
        self.definition_field(builder, (base, offset + self.module.plan.offsets.def_len() as i32))
    }

    fn table_flags(&mut self, builder: &mut FunctionBuilder<'_>) -> MemFlagsData {
        // Bounds are checked before; the clamp of a bad index under speculation may read element 0 of an empty table.
        MemFlagsData::new()
            .with_aligned()
            .with_trap_code(Some(clif_trap_code(TrapCode::TableOutOfBounds)))
            .with_alias_region(self.region(builder, region::TABLE))
    }

    fn limits(&mut self, builder: &mut FunctionBuilder<'_>) -> Value {
        self.context_field(builder, self.module.plan.offsets.stack_limit())
    }

    fn callee(&mut self, builder: &mut FunctionBuilder<'_>, func: u32) -> Callee {
        let module = self.module;
        if func < module.info.imported_funcs && module.imports == ImportCalls::Library {
            return Callee::Import { func, vmctx: self.base };
        }
        if func < module.info.imported_funcs && module.imports == ImportCalls::Slots {
            let offset = module.plan.offsets.imported_func(func);
            let code = self.context_field(builder, offset);
            let vmctx = self.context_field(builder, offset + self.pointer().bytes());
            let sig = self.signature(builder, module.info.funcs[func as usize]);
            return Callee::Indirect { sig, code, vmctx: Some(vmctx) };
        }
        let sig = self.signature(builder, module.info.funcs[func as usize]);
        let new = || module.import_function(builder, crate::codegen::symbol::Symbol::Function(func), sig);
        let func = *self.callees.entry(func).or_insert_with(new);
        // Without a VM context parameter there is none to pass on.
        Callee::Direct { func, vmctx: module.model.has_vmctx().then_some(self.base) }
    }

    fn indirect_callee(
        &mut self,
        builder: &mut FunctionBuilder<'_>,
        table: u32,
        type_index: u32,
        index: Value,
    ) -> Callee {
        let offsets = &self.module.plan.offsets;
        let (module, code) = (self.module, TrapCode::UndefinedElement);
        let address = bounds::table_element(self, builder, table, index, code, module);
        let flags =
            self.table_flags(builder).with_trap_code(Some(clif_trap_code(TrapCode::UndefinedElement)));
        let funcref = builder.ins().load(self.pointer(), flags, address, 0);
        let type_ids = self.context_field(builder, offsets.type_ids());
        let constant = MemFlagsData::trusted().with_readonly().with_can_move();
        let canonical = self.module.info.canonical_types[type_index as usize];
        let wanted = builder.ins().load(types::I32, constant, type_ids, canonical as i32 * 4);
        // A null reference faults on this load, in the unmapped first page.
        let null_traps = MemFlagsData::new()
            .with_aligned()
            .with_readonly()
            .with_trap_code(Some(clif_trap_code(TrapCode::UninitializedElement)));
        let actual = builder.ins().load(types::I32, null_traps, funcref, offsets.funcref_type_id() as i32);
        let same = builder.ins().icmp(ir::condcodes::IntCC::Equal, wanted, actual);
        builder.ins().trapz(same, clif_trap_code(TrapCode::IndirectCallTypeMismatch));
        self.funcref_callee(builder, funcref, type_index)
    }

    fn func_ref(&mut self, builder: &mut FunctionBuilder<'_>, func: u32) -> Value {
        let slot =
            self.module.info.escaped_slot(func).expect("validated: references only to declared functions");
        let displacement = self.displacement(self.module.plan.offsets.funcref(slot));
        builder.ins().iadd_imm_s(self.base, i64::from(displacement))
    }

    fn libcall(
        &mut self,
        builder: &mut FunctionBuilder<'_>,
        libcall: Libcall,
        args: &[Value],
    ) -> Option<Value> {
        let with_vmctx = args.len() < libcall.params().len();
        let vmctx = with_vmctx.then(|| self.vmctx(builder));
        let args: Vec<Value> = vmctx.into_iter().chain(args.iter().copied()).collect();
        let sig = self.libcall_signature(libcall);
        let call = if self.module.libcalls_by_symbol {
            let module = self.module;
            let func = *self.libcalls.entry(libcall).or_insert_with(|| {
                let sig = builder.import_signature(sig);
                module.import_function(builder, crate::codegen::symbol::Symbol::Libcall(libcall), sig)
            });
            builder.ins().call(func, &args)
        } else {
            let table = self.context_field(builder, self.module.plan.offsets.libcalls());
            let slot = libcall as i32 * self.pointer().bytes() as i32;
            let code = self.constant_field(builder, table, slot);
            let sig = builder.import_signature(sig);
            builder.ins().call_indirect(sig, code, &args)
        };
        builder.inst_results(call).first().copied()
    }
}
