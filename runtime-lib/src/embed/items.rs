//! Memories, tables and globals of a store.

use super::error::Error;
use super::store::{
    AsContext, AsContextMut, Counts, OwnGlobal, OwnMemory, OwnTable, StoreBase, StoreContextMut, StoreId,
};
use super::types::type_of;
use super::value::Val;
use crate::vmctx::{FuncRef, GlobalCell, MemoryDef, TableDef};
use crate::{memory, table};
use alloc::boxed::Box;
use alloc::format;
use aot_abi::types::{EntityKind, GlobalType, MemoryType, TableType, ValType};
use core::cell::UnsafeCell;
use core::ptr;

/// A handle of something that a store owns.
pub(super) struct Handle<R> {
    pub raw: *mut R,
    pub store: StoreId,
}

impl<R> Clone for Handle<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Handle<R> {}

impl<R> core::fmt::Debug for Handle<R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:p} of store {}", self.raw, self.store)
    }
}

impl<R> PartialEq for Handle<R> {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

impl<R> Eq for Handle<R> {}

impl<R> core::hash::Hash for Handle<R> {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.raw.hash(state);
    }
}

// SAFETY: the pointer is only followed with the store at hand, which the number checks.
unsafe impl<R> Send for Handle<R> {}
// SAFETY: as above.
unsafe impl<R> Sync for Handle<R> {}

impl<R> Handle<R> {
    /// The pointer, if it is into this store.
    fn get(&self, store: &StoreBase) -> Result<*mut R, Error> {
        match self.store == store.id {
            true => Ok(self.raw),
            false => Err(Error::usage("a memory, table or global is of another store")),
        }
    }
}

/// A linear memory of a store.
///
/// ```
/// use aot_runtime::embed::{Limits, Memory, MemoryType, Store};
///
/// let mut store: Store<()> = Store::default();
/// let memory = Memory::new(&mut store, &MemoryType { limits: Limits { min: 1, max: Some(2) } })?;
/// memory.write(&mut store, 10, b"text")?;
/// assert_eq!(&memory.data(&store)[10..14], b"text");
/// assert_eq!(memory.grow(&mut store, 1)?, 1);
/// assert_eq!(memory.data(&store).len(), 2 * 65536);
/// assert!(memory.grow(&mut store, 1).is_err());
/// # Ok::<(), aot_runtime::embed::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Memory(pub(super) Handle<memory::Memory>);

impl Memory {
    /// Makes a memory; its pages are zero.
    ///
    /// # Errors
    /// If there is not enough memory or address space, or a limit of the store forbids it.
    pub fn new(mut store: impl AsContextMut, ty: &MemoryType) -> Result<Memory, Error> {
        let mut store = store.as_context_mut();
        let base = store.base_mut();
        let counts = base.counts_with(Counts { memories: 1, ..Counts::default() })?;
        let def = Box::new(UnsafeCell::new(MemoryDef { base: ptr::null_mut(), len: 0 }));
        // SAFETY: the definition lives in the same box as the memory.
        let memory = unsafe { memory::Memory::new(ty, def.get(), base.limits.memory_bytes, None) };
        let memory = memory.map_err(|_| Error::OutOfMemory(EntityKind::Memory))?;
        let own = Box::new(UnsafeCell::new(OwnMemory { memory, _def: def }));
        // SAFETY: the box is new, and its content does not move.
        let raw = unsafe { &raw mut (*own.get()).memory };
        base.memories.push(own);
        base.counts = counts;
        Ok(Memory::from_raw(raw, base.id))
    }

    pub(super) fn from_raw(raw: *mut memory::Memory, store: StoreId) -> Memory {
        Memory(Handle { raw, store })
    }

    /// The bytes.
    ///
    /// # Panics
    /// If it is a memory of another store.
    pub fn data<'a, T: 'static>(&self, store: &'a impl AsContext<Data = T>) -> &'a [u8] {
        let raw = self.0.get(store.as_context().base()).expect("a memory is used with its own store");
        // SAFETY: memories live as long as their store, which is borrowed: no wasm code of it runs.
        unsafe { core::slice::from_raw_parts((*raw).base(), (*raw).len()) }
    }

    /// The bytes.
    ///
    /// # Panics
    /// If it is a memory of another store.
    pub fn data_mut<'a, T: 'static>(&self, store: &'a mut impl AsContextMut<Data = T>) -> &'a mut [u8] {
        let raw = self.0.get(store.as_context().base()).expect("a memory is used with its own store");
        // SAFETY: as in `data`, and nothing else refers to the memory.
        unsafe { core::slice::from_raw_parts_mut((*raw).base(), (*raw).len()) }
    }

    /// Copies bytes of the memory, from `offset` on.
    ///
    /// # Errors
    /// If the memory has not that many, or is of another store.
    pub fn read(&self, store: impl AsContext, offset: u64, bytes: &mut [u8]) -> Result<(), Error> {
        let raw = self.0.get(store.as_context().base())?;
        // SAFETY: memories live as long as the store, and no wasm code of it runs while it is borrowed.
        unsafe { (*raw).read(offset, bytes) }.ok_or_else(|| out_of_bounds(offset, bytes.len()))
    }

    /// Copies bytes to the memory, from `offset` on.
    ///
    /// # Errors
    /// If they do not all fit, or the memory is of another store; nothing is changed then.
    pub fn write(&self, mut store: impl AsContextMut, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let raw = self.0.get(store.as_context_mut().base())?;
        // SAFETY: as above.
        unsafe { (*raw).write(offset, bytes) }.ok_or_else(|| out_of_bounds(offset, bytes.len()))
    }

    /// Size in pages of 64 KiB.
    ///
    /// # Errors
    /// If it is a memory of another store.
    pub fn size(&self, store: impl AsContext) -> Result<u64, Error> {
        // SAFETY: memories live as long as the store.
        Ok(unsafe { (*self.0.get(store.as_context().base())?).pages() })
    }

    /// Makes the memory `delta` pages larger, and returns the size that it had.
    ///
    /// # Errors
    /// If its maximum, a limit or the machine does not allow it.
    pub fn grow(&self, mut store: impl AsContextMut, delta: u64) -> Result<u64, Error> {
        let raw = self.0.get(store.as_context_mut().base())?;
        // SAFETY: memories live as long as the store.
        unsafe { (*raw).grow(delta) }.ok_or(Error::OutOfMemory(EntityKind::Memory))
    }

    /// The type; its minimum is the current size.
    ///
    /// # Errors
    /// If it is a memory of another store.
    pub fn ty(&self, store: impl AsContext) -> Result<MemoryType, Error> {
        // SAFETY: memories live as long as the store.
        let memory = unsafe { &*self.0.get(store.as_context().base())? };
        let mut limits = *memory.limits();
        limits.min = memory.pages();
        Ok(MemoryType { limits })
    }
}

fn out_of_bounds(offset: u64, len: usize) -> Error {
    Error::usage(format!("{len} bytes at offset {offset:#x} are not all in the memory"))
}

/// A table of a store.
///
/// ```
/// use aot_runtime::embed::{Limits, Store, Table, TableType, Val, ValType};
///
/// let mut store: Store<()> = Store::default();
/// let ty = TableType { element: ValType::ExternRef, limits: Limits { min: 2, max: None } };
/// let table = Table::new(&mut store, &ty, Val::ExternRef(None))?;
/// table.set(&mut store, 1, Val::ExternRef(Some(7)))?;
/// assert_eq!(table.get(&store, 1)?, Some(Val::ExternRef(Some(7))));
/// assert_eq!(table.get(&store, 2)?, None);
/// # Ok::<(), aot_runtime::embed::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Table(pub(super) Handle<table::Table>);

impl Table {
    /// Makes a table whose elements are `init`.
    ///
    /// # Errors
    /// If there is not enough memory, a limit of the store forbids it, or `init` is of another type or store.
    pub fn new(mut store: impl AsContextMut, ty: &TableType, init: Val) -> Result<Table, Error> {
        let mut store = store.as_context_mut();
        let init = element(&mut store, ty.element, init)?;
        let base = store.base_mut();
        let counts = base.counts_with(Counts { tables: 1, ..Counts::default() })?;
        let def = Box::new(UnsafeCell::new(TableDef { base: ptr::null_mut(), len: 0 }));
        // SAFETY: the definition lives in the same box as the table.
        let table = unsafe { table::Table::new(ty, def.get(), base.limits.table_elements, init) };
        let table = table.map_err(|_| Error::OutOfMemory(EntityKind::Table))?;
        let own = Box::new(UnsafeCell::new(OwnTable { table, _def: def }));
        // SAFETY: the box is new, and its content does not move.
        let raw = unsafe { &raw mut (*own.get()).table };
        base.tables.push(own);
        base.counts = counts;
        Ok(Table(Handle { raw, store: base.id }))
    }

    /// Number of elements.
    ///
    /// # Errors
    /// If it is a table of another store.
    pub fn size(&self, store: impl AsContext) -> Result<u64, Error> {
        // SAFETY: tables live as long as the store.
        Ok(unsafe { (*self.0.get(store.as_context().base())?).len() })
    }

    /// An element; `None` if it is out of bounds.
    ///
    /// # Errors
    /// If it is a table of another store.
    pub fn get(&self, store: impl AsContext, index: u64) -> Result<Option<Val>, Error> {
        let store = store.as_context();
        // SAFETY: tables live as long as the store, and hold references of their type and store.
        unsafe {
            let table = &*self.0.get(store.base())?;
            let element = table.get(index);
            Ok(element.map(|element| Val::from_ref(element, table.ty().element, self.0.store)))
        }
    }

    /// Sets an element.
    ///
    /// # Errors
    /// If it is out of bounds, or the value is of another type or store.
    pub fn set(&self, mut store: impl AsContextMut, index: u64, value: Val) -> Result<(), Error> {
        let mut store = store.as_context_mut();
        let raw = self.0.get(store.base())?;
        // SAFETY: tables live as long as the store.
        let ty = unsafe { (*raw).ty().element };
        let value = element(&mut store, ty, value)?;
        // SAFETY: as above.
        let set = unsafe { (*raw).fill(index, 1, value) };
        set.ok_or_else(|| Error::usage(format!("the table has no element {index}")))
    }

    /// Adds `delta` elements, and returns the size that the table had.
    ///
    /// # Errors
    /// If its maximum, a limit or the machine does not allow it, or the value is of another type or store.
    pub fn grow(&self, mut store: impl AsContextMut, delta: u64, init: Val) -> Result<u64, Error> {
        let mut store = store.as_context_mut();
        let raw = self.0.get(store.base())?;
        // SAFETY: tables live as long as the store.
        let ty = unsafe { (*raw).ty().element };
        let init = element(&mut store, ty, init)?;
        // SAFETY: as above.
        unsafe { (*raw).grow(delta, init) }.ok_or(Error::OutOfMemory(EntityKind::Table))
    }

    /// The type; its minimum is the current size.
    ///
    /// # Errors
    /// If it is a table of another store.
    pub fn ty(&self, store: impl AsContext) -> Result<TableType, Error> {
        // SAFETY: tables live as long as the store.
        let table = unsafe { &*self.0.get(store.as_context().base())? };
        let mut ty = *table.ty();
        ty.limits.min = table.len();
        Ok(ty)
    }
}

/// A value as an element of a table or global. A host function gets the code by which wasm code can call it.
fn element<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    ty: ValType,
    value: Val,
) -> Result<*mut (), Error> {
    if value.ty() != ty || !value.belongs_to(store.base().id) {
        let (found, ty) = (value.ty().name(), ty.name());
        return Err(Error::usage(format!("a {found} does not go where a {ty} of this store is wanted")));
    }
    if let Val::FuncRef(Some(func)) = value {
        give_code(store.base_mut(), func.raw())?;
    }
    Ok(value.to_ref())
}

/// Gives a host function code, if it has none: a trampoline of a module of the store.
pub(super) fn give_code(store: &mut StoreBase, func: *mut FuncRef) -> Result<(), Error> {
    // SAFETY: functions of a store are valid as long as it lives.
    let FuncRef { code, type_id, .. } = unsafe { *func };
    if !code.is_null() {
        return Ok(());
    }
    let ty = type_of(type_id);
    let found = store.instances.iter().find_map(|entry| {
        let declarations = entry.module.declarations();
        let mut trampolines = declarations.host_trampolines.iter();
        let found = trampolines.find(|t| declarations.types.get(t.type_index as usize) == ty)?;
        Some(entry.module.loaded().code(found.code_offset))
    });
    let code = found.ok_or_else(|| {
        Error::usage(
            "no module in the store can call host functions of this type: instantiate the one that will first",
        )
    })?;
    // SAFETY: as above. The store keeps the module, and so the code.
    unsafe { (*func).code = code };
    Ok(())
}

/// A global of a store.
///
/// ```
/// use aot_runtime::embed::{Global, Store, Val};
///
/// let mut store: Store<()> = Store::default();
/// let counter = Global::new(&mut store, Val::I64(1), true)?;
/// counter.set(&mut store, Val::I64(2))?;
/// assert_eq!(counter.get(&store)?, Val::I64(2));
/// // Of another type.
/// assert!(counter.set(&mut store, Val::I32(3)).is_err());
/// # Ok::<(), aot_runtime::embed::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Global {
    pub(super) cell: Handle<GlobalCell>,
    pub(super) ty: GlobalType,
}

impl Global {
    /// Makes a global.
    ///
    /// # Errors
    /// If the value is of another store.
    pub fn new(mut store: impl AsContextMut, value: Val, mutable: bool) -> Result<Global, Error> {
        let mut store = store.as_context_mut();
        let ty = GlobalType { content: value.ty(), mutable };
        if ty.content.is_ref() {
            element(&mut store, ty.content, value)?;
        }
        let base = store.base_mut();
        let own = Box::new(OwnGlobal(UnsafeCell::new(value.to_slot(base.id))));
        let cell = Handle { raw: own.0.get(), store: base.id };
        base.globals.push(own);
        Ok(Global { cell, ty })
    }

    /// The type.
    pub fn ty(&self) -> GlobalType {
        self.ty
    }

    /// The value.
    ///
    /// # Errors
    /// If it is a global of another store.
    pub fn get(&self, store: impl AsContext) -> Result<Val, Error> {
        let raw = self.cell.get(store.as_context().base())?;
        // SAFETY: cells live as long as the store, and hold values of their type.
        Ok(unsafe { Val::read(raw, self.ty.content, self.cell.store) })
    }

    /// Sets the value.
    ///
    /// # Errors
    /// If the global cannot be changed, or the value is of another type or store.
    pub fn set(&self, mut store: impl AsContextMut, value: Val) -> Result<(), Error> {
        let mut store = store.as_context_mut();
        let raw = self.cell.get(store.base())?;
        if !self.ty.mutable {
            return Err(Error::usage("the global cannot be changed"));
        }
        element(&mut store, self.ty.content, value)?;
        // SAFETY: cells live as long as the store, and no wasm code of it runs.
        unsafe { raw.write(value.to_slot(self.cell.store)) };
        Ok(())
    }
}

impl StoreBase {
    /// What there is with so many more of each, if the limits allow it. To be set once they are made.
    pub(super) fn counts_with(&self, more: Counts) -> Result<Counts, Error> {
        let mut counts = self.counts;
        count_in(&mut counts.instances, more.instances, self.limits.instances, "instances")?;
        count_in(&mut counts.memories, more.memories, self.limits.memories, "memories")?;
        count_in(&mut counts.tables, more.tables, self.limits.tables, "tables")?;
        Ok(counts)
    }
}

fn count_in(have: &mut usize, more: usize, limit: Option<usize>, what: &'static str) -> Result<(), Error> {
    let new = have.saturating_add(more);
    if more > 0 && limit.is_some_and(|limit| new > limit) {
        return Err(Error::Limit(what));
    }
    *have = new;
    Ok(())
}
