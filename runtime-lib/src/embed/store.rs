//! Stores: instances, and what they share with the host.

use super::code::{Module, type_id};
use super::value::Val;
use super::{CallError, signals};
use crate::call::Slot;
use crate::instance::{self, Callee, Instance, ResourceLimits};
use crate::vmctx::{FuncRef, GlobalCell, MemoryDef, TableDef, VmContext};
use crate::{memory, table};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use aot_abi::trap::TrapCode;
use aot_abi::types::{EntityKind, EntityType, FuncType, GlobalType, MemoryType, TableType};
use core::cell::UnsafeCell;
use core::ptr;

/// Stack that wasm code may use, in bytes.
const MAX_WASM_STACK: usize = 512 * 1024;

/// A function of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Func {
    raw: *mut FuncRef,
}

impl Func {
    pub(super) fn raw(self) -> *mut FuncRef {
        self.raw
    }

    /// # Safety
    /// `raw` is a function of a store.
    pub(super) unsafe fn from_raw(raw: *mut FuncRef) -> Func {
        Func { raw }
    }
}

/// A memory of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory(*mut memory::Memory);

/// A table of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table(*mut table::Table);

/// A global of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Global {
    cell: *mut GlobalCell,
    ty: GlobalType,
}

impl Global {
    pub fn ty(&self) -> GlobalType {
        self.ty
    }
}

/// Something that is imported or exported.
#[derive(Clone, Copy, Debug)]
pub enum Extern {
    Func(Func),
    Table(Table),
    Memory(Memory),
    Global(Global),
}

impl Extern {
    fn kind(&self) -> EntityKind {
        match self {
            Extern::Func(_) => EntityKind::Func,
            Extern::Table(_) => EntityKind::Table,
            Extern::Memory(_) => EntityKind::Memory,
            Extern::Global(_) => EntityKind::Global,
        }
    }
}

/// An instance of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstanceId(usize);

/// An import that cannot be bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportError {
    /// Nothing of this name.
    Unknown { module: String, name: String },
    /// Something of another type.
    Incompatible { module: String, name: String, reason: String },
}

impl core::fmt::Display for ImportError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            ImportError::Unknown { module, name } => write!(f, "unknown import: `{module}` `{name}`"),
            ImportError::Incompatible { module, name, reason } => {
                write!(f, "incompatible import type: `{module}` `{name}`: {reason}")
            }
        }
    }
}

/// Why a module could not be instantiated.
#[derive(Clone, Debug)]
pub enum InstantiateError {
    Import(ImportError),
    /// Not enough memory, or a limit of the host.
    OutOfMemory(EntityKind),
    /// Initialisation or the start function failed.
    Call(CallError),
    /// The module's description contradicts itself.
    Damaged,
}

impl core::fmt::Display for InstantiateError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            InstantiateError::Import(error) => error.fmt(f),
            InstantiateError::OutOfMemory(kind) => {
                write!(f, "not enough memory for a {} of the module", kind.name())
            }
            InstantiateError::Call(error) => error.fmt(f),
            InstantiateError::Damaged => f.write_str("the module's description contradicts itself"),
        }
    }
}

impl core::error::Error for InstantiateError {}

/// What a host function gives back: its results, or why it failed.
pub type HostResult = Result<Vec<Val>, String>;

type Closure = Box<dyn FnMut(&[Val]) -> HostResult>;

/// A host function. Host trampolines find the C function at the start.
#[repr(C)]
struct HostFunc {
    function: unsafe extern "C" fn(*mut HostFunc, *mut Slot) -> u32,
    funcref: FuncRef,
    ty: FuncType,
    closure: Closure,
    error: *mut Option<String>,
}

/// Memories, tables and globals of the host have a definition of their own, at an address that does not change.
struct HostMemory {
    memory: memory::Memory,
    _def: Box<UnsafeCell<MemoryDef>>,
}

struct HostTable {
    table: table::Table,
    _def: Box<UnsafeCell<TableDef>>,
}

#[repr(align(16))]
struct HostGlobal(UnsafeCell<GlobalCell>);

/// Owns instances and what they share with the host.
#[derive(Default)]
#[expect(clippy::vec_box, reason = "compiled code points to them, so they must not move")]
pub struct Store {
    instances: Vec<(Box<Instance>, Module)>,
    funcs: Vec<Box<UnsafeCell<HostFunc>>>,
    memories: Vec<Box<UnsafeCell<HostMemory>>>,
    tables: Vec<Box<UnsafeCell<HostTable>>>,
    globals: Vec<Box<HostGlobal>>,
    /// Modules whose trampolines host functions use.
    modules: Vec<Module>,
    stack_limit: Box<UnsafeCell<usize>>,
    host_error: Box<UnsafeCell<Option<String>>>,
}

impl Store {
    pub fn new() -> Store {
        Store::default()
    }

    /// Makes a host function.
    pub fn host_func(&mut self, ty: FuncType, closure: impl FnMut(&[Val]) -> HostResult + 'static) -> Func {
        let host = Box::new(UnsafeCell::new(HostFunc {
            function: call_host,
            funcref: FuncRef {
                code: ptr::null(),
                vmctx: ptr::null_mut(),
                entry: ptr::null(),
                type_id: type_id(&ty),
            },
            ty,
            closure: Box::new(closure),
            error: self.host_error.get(),
        }));
        // SAFETY: the box is new, and its content does not move.
        let raw = unsafe {
            let host = host.get();
            (*host).funcref.vmctx = host.cast();
            &raw mut (*host).funcref
        };
        self.funcs.push(host);
        Func { raw }
    }

    /// Makes a memory. `None` if there is no address space for it.
    pub fn memory(&mut self, ty: &MemoryType) -> Option<Memory> {
        let def = Box::new(UnsafeCell::new(MemoryDef { base: ptr::null_mut(), len: 0 }));
        // SAFETY: the definition lives in the same box as the memory.
        let memory = unsafe { memory::Memory::new(ty, def.get(), None, None) }.ok()?;
        let host = Box::new(UnsafeCell::new(HostMemory { memory, _def: def }));
        // SAFETY: the box is new, and its content does not move.
        let raw = unsafe { &raw mut (*host.get()).memory };
        self.memories.push(host);
        Some(Memory(raw))
    }

    /// Makes a table. `None` if there is not enough memory for it.
    pub fn table(&mut self, ty: &TableType, init: Val) -> Option<Table> {
        let def = Box::new(UnsafeCell::new(TableDef { base: ptr::null_mut(), len: 0 }));
        // SAFETY: the definition lives in the same box as the table.
        let table = unsafe { table::Table::new(ty, def.get(), init.to_ref()) }.ok()?;
        let host = Box::new(UnsafeCell::new(HostTable { table, _def: def }));
        // SAFETY: the box is new, and its content does not move.
        let raw = unsafe { &raw mut (*host.get()).table };
        self.tables.push(host);
        Some(Table(raw))
    }

    /// Makes a global.
    pub fn global(&mut self, value: Val, mutable: bool) -> Global {
        let ty = GlobalType { content: value.ty(), mutable };
        let host = Box::new(HostGlobal(UnsafeCell::new(value.to_slot())));
        let cell = host.0.get();
        self.globals.push(host);
        Global { cell, ty }
    }

    /// The value of a global.
    pub fn global_get(&self, global: &Global) -> Val {
        // SAFETY: cells live as long as the store.
        unsafe { Val::from_slot(&*global.cell, global.ty.content) }
    }

    /// The size of a memory in bytes.
    pub fn memory_len(&self, memory: &Memory) -> usize {
        // SAFETY: memories live as long as the store.
        unsafe { (*memory.0).len() }
    }

    /// Copies bytes of a memory, from `offset` on. `None` if it has not that many.
    pub fn memory_read(&self, memory: &Memory, offset: u64, bytes: &mut [u8]) -> Option<()> {
        // SAFETY: memories live as long as the store, and no wasm code of it runs while it is borrowed.
        unsafe { (*memory.0).read(offset, bytes) }
    }

    /// Instantiates a module and runs its start function. `resolve` gives what an import is bound to.
    ///
    /// # Errors
    /// If an import is missing or of another type, there is not enough memory, or initialisation traps.
    pub fn instantiate(
        &mut self,
        module: &Module,
        mut resolve: impl FnMut(&str, &str) -> Option<Extern>,
    ) -> Result<InstanceId, InstantiateError> {
        let mut imports = Vec::new();
        for import in &module.declarations().imports {
            let unknown =
                || ImportError::Unknown { module: import.module.clone(), name: import.name.clone() };
            let found =
                resolve(&import.module, &import.name).ok_or_else(|| InstantiateError::Import(unknown()))?;
            let bound = self.bind(module, &import.ty, &found).map_err(|reason| {
                let (module, name) = (import.module.clone(), import.name.clone());
                InstantiateError::Import(ImportError::Incompatible { module, name, reason })
            })?;
            imports.push(bound);
        }
        // SAFETY: the store keeps the module and all that the imports point to; types were checked by `bind`.
        let (instance, result) = unsafe {
            Instance::new(module.loaded(), &imports, self.stack_limit.get(), &ResourceLimits::default(), None)
        };
        let id = InstanceId(self.instances.len());
        let start = instance
            .as_ref()
            .and_then(|instance| module.declarations().start.and_then(|start| instance.callee(start)));
        // Also an instance that failed: tables of others may refer to it.
        self.instances.extend(instance.map(|instance| (instance, module.clone())));
        match result {
            Ok(()) => {}
            Err(instance::InstantiateError::OutOfMemory(kind)) => {
                return Err(InstantiateError::OutOfMemory(kind));
            }
            Err(instance::InstantiateError::Damaged) => return Err(InstantiateError::Damaged),
            Err(instance::InstantiateError::Trap(code)) => {
                let site = crate::trap::TrapSite { code, wasm_offset: None };
                return Err(InstantiateError::Call(CallError::Trap(site)));
            }
        }
        if let Some(start) = start {
            self.enter(start, &mut [[0; 16]]).map_err(InstantiateError::Call)?;
        }
        Ok(id)
    }

    /// Checks that `found` is what an import wants (core specification 4.5.2).
    fn bind(
        &mut self,
        module: &Module,
        wanted: &EntityType,
        found: &Extern,
    ) -> Result<instance::Extern, String> {
        // SAFETY: handles of this store are valid.
        unsafe {
            match (wanted, found) {
                (EntityType::Func(ty), Extern::Func(func)) => {
                    let wanted_id = module.loaded().type_ids().get(*ty as usize).copied();
                    if wanted_id != Some((*func.raw).type_id) {
                        return Err(String::from("the function has another type"));
                    }
                    if (*func.raw).code.is_null() {
                        let trampolines = &module.declarations().host_trampolines;
                        let types = &module.declarations().types;
                        let same = |other: u32| types.get(other as usize) == types.get(*ty as usize);
                        let trampoline = trampolines.iter().find(|trampoline| same(trampoline.type_index));
                        let trampoline = trampoline.ok_or("the module has no trampoline for the function")?;
                        let copy =
                            FuncRef { code: module.loaded().code(trampoline.code_offset), ..*func.raw };
                        self.modules.push(module.clone());
                        return Ok(instance::Extern::Func(self.give_code(copy)));
                    }
                    Ok(instance::Extern::Func(func.raw))
                }
                (EntityType::Table(wanted), Extern::Table(Table(table))) => {
                    let ty = (**table).ty();
                    if ty.element != wanted.element {
                        return Err(format!(
                            "a table of {}, not of {}",
                            ty.element.name(),
                            wanted.element.name()
                        ));
                    }
                    if !ty.limits.satisfies((**table).len(), &wanted.limits) {
                        return Err(String::from("the limits of the table do not fit"));
                    }
                    Ok(instance::Extern::Table(*table))
                }
                (EntityType::Memory(wanted), Extern::Memory(Memory(memory))) => {
                    if !(**memory).limits().satisfies((**memory).pages(), &wanted.limits) {
                        return Err(String::from("the limits of the memory do not fit"));
                    }
                    Ok(instance::Extern::Memory(*memory))
                }
                (EntityType::Global(wanted), Extern::Global(global)) => {
                    if global.ty != *wanted {
                        return Err(String::from("the global has another type"));
                    }
                    Ok(instance::Extern::Global(global.cell))
                }
                (_, found) => Err(format!("a {}", found.kind().name())),
            }
        }
    }

    /// Gives a host function the code by which wasm code calls it.
    fn give_code(&mut self, funcref: FuncRef) -> *mut FuncRef {
        // SAFETY: only host functions are copied, and their context is the host function itself.
        let host = unsafe { &mut *funcref.vmctx.cast::<HostFunc>() };
        host.funcref.code = funcref.code;
        &raw mut host.funcref
    }

    /// What an instance exports under a name.
    pub fn export(&self, instance: InstanceId, name: &str) -> Option<Extern> {
        let (instance, module) = self.instances.get(instance.0)?;
        Some(match instance.export(name)? {
            instance::Extern::Func(raw) => Extern::Func(Func { raw }),
            instance::Extern::Table(table) => Extern::Table(Table(table)),
            instance::Extern::Memory(memory) => Extern::Memory(Memory(memory)),
            instance::Extern::Global(cell) => {
                let declarations = module.declarations();
                let index = declarations.export(name)?.index;
                Extern::Global(Global { cell, ty: declarations.global_type(index)? })
            }
        })
    }

    /// The type of a function. Types are found by number among those that the store's modules declare.
    pub fn func_type(&self, func: Func) -> Option<FuncType> {
        // SAFETY: functions of a store are valid as long as it lives.
        let wanted = unsafe { (*func.raw).type_id };
        self.instances
            .iter()
            .flat_map(|(_, module)| module.declarations().types.iter())
            .chain(self.funcs.iter().map(|host| {
                // SAFETY: types of host functions never change.
                unsafe { &(*host.get()).ty }
            }))
            .find(|ty| type_id(ty) == wanted)
            .cloned()
    }

    /// Calls a function.
    ///
    /// # Errors
    /// If the arguments do not fit its type, or it traps.
    pub fn call(&mut self, func: Func, args: &[Val]) -> Result<Vec<Val>, CallError> {
        let ty = self.func_type(func).ok_or(CallError::Arguments)?;
        if !args.iter().map(Val::ty).eq(ty.params.iter().copied()) {
            return Err(CallError::Arguments);
        }
        let mut slots = vec![[0; 16]; ty.params.len().max(ty.results.len()).max(1)];
        for (slot, arg) in slots.iter_mut().zip(args) {
            *slot = arg.to_slot();
        }
        // SAFETY: functions of a store are valid as long as it lives.
        let FuncRef { code, vmctx, entry, .. } = unsafe { *func.raw };
        if entry.is_null() {
            // A host function: its context is the function.
            // SAFETY: the slots are those of its type.
            let failed = unsafe { call_host(vmctx.cast(), slots.as_mut_ptr()) } != 0;
            if failed {
                return Err(self.take_host_error());
            }
        } else {
            self.enter(Callee { entry, code, vmctx }, &mut slots)?;
        }
        // SAFETY: the function wrote results of these types.
        Ok(slots.iter().zip(&ty.results).map(|(slot, ty)| unsafe { Val::from_slot(slot, *ty) }).collect())
    }

    fn take_host_error(&mut self) -> CallError {
        CallError::Host(self.host_error.get_mut().take().unwrap_or_default())
    }

    fn enter(&mut self, callee: Callee, slots: &mut [Slot]) -> Result<(), CallError> {
        let here = ptr::from_ref(&callee) as usize;
        // SAFETY: no other reference to the cell exists; compiled code reads it by its address.
        unsafe { self.stack_limit.get().write(here.saturating_sub(MAX_WASM_STACK)) };
        // SAFETY: the callee is one of this store's, with slots for its type.
        let result = unsafe { signals::call(callee.entry, callee.code, callee.vmctx, slots) };
        result.map_err(|site| match site.code {
            TrapCode::HostFunction => self.take_host_error(),
            _ => CallError::Trap(site),
        })
    }
}

/// Calls a host function's closure.
///
/// # Safety
/// `host` is a host function of a store that lives; `slots` are those of its type.
unsafe extern "C" fn call_host(host: *mut HostFunc, slots: *mut Slot) -> u32 {
    // SAFETY: the caller vouches for both.
    let (host, slots) = unsafe {
        let host = &mut *host;
        let len = host.ty.params.len().max(host.ty.results.len());
        (host, core::slice::from_raw_parts_mut(slots, len))
    };
    // SAFETY: compiled code wrote values of these types.
    let args: Vec<Val> =
        slots.iter().zip(&host.ty.params).map(|(slot, ty)| unsafe { Val::from_slot(slot, *ty) }).collect();
    let error = match (host.closure)(&args) {
        Ok(results) if results.iter().map(Val::ty).eq(host.ty.results.iter().copied()) => {
            for (slot, value) in slots.iter_mut().zip(results) {
                *slot = value.to_slot();
            }
            return 0;
        }
        Ok(_) => String::from("the results do not fit the function's type"),
        Err(error) => error,
    };
    // SAFETY: the store's cell outlives its functions.
    unsafe { *host.error = Some(error) };
    1
}

/// Contexts of host functions travel where compiled code has VM contexts.
const _: fn(*mut HostFunc) -> *mut VmContext = |host| host.cast();
