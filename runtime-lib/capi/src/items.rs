//! Globals, tables and memories, and what can be said of all that is exported.

use crate::error::{self, Kind};
use crate::handle::{self, Handle, misuse};
use crate::reference::{Object, Reference};
use crate::store::{StoreCell, StoreObject};
use crate::types::ExternTypeObject;
use crate::value::{CVal, Slot, give_reference, reference_value};
use aot_runtime::embed::{Extern, ExternType, Global, Limits, Memory, Table, Val};
use core::ffi::c_void;
use core::ptr;
use std::sync::Arc;

/// Notes what does not fit.
fn usage<T>(result: Result<T, String>) -> Option<T> {
    result.inspect_err(|reason| error::set(Kind::Usage, reason.as_str())).ok()
}

fn check_limits(limits: &Limits) -> Option<()> {
    let fits = limits.max.is_none_or(|max| limits.min <= max);
    usage(fits.then_some(()).ok_or_else(|| "the minimum of the limits is above their maximum".to_owned()))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_global_new(
    store: *const Handle<StoreObject>,
    ty: *const Handle<ExternTypeObject>,
    value: *const CVal,
) -> *mut Handle<Reference> {
    let store = &get!(store).0;
    let Some(ty) = get!(ty).global_type() else { misuse(here!(), "the type is no wasm_globaltype_t") };
    let new = || {
        // SAFETY: C vouches for its pointers.
        let value = usage(unsafe { handle::plain(value, "a wasm_val_t", here!()) }.value(ty.content, store))?;
        let entered = store.enter()?;
        error::noted(Global::new(entered.context(), value, ty.mutable))
    };
    new().map_or(ptr::null_mut(), |global| Reference::in_store(Object::Extern(Extern::Global(global)), store))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_global_type(global: *const Handle<Reference>) -> *mut Handle<ExternTypeObject> {
    let (global, _) = object!(global, Object::Extern(Extern::Global(global)) => *global, "wasm_global_t");
    Handle::give(ExternTypeObject::new(&ExternType::Global(global.ty())))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_global_get(global: *const Handle<Reference>, out: *mut CVal) {
    let (global, reference) =
        object!(global, Object::Extern(Extern::Global(global)) => *global, "wasm_global_t");
    let store = reference.store();
    let value = store.enter().and_then(|entered| error::noted(global.get(entered.context())));
    let value = match (value, CVal::refuses(global.ty().content)) {
        (_, Some(reason)) => {
            error::set(Kind::Usage, reason);
            CVal::default_of(global.ty().content)
        }
        (Some(value), None) => CVal::give(&value, store),
        (None, None) => CVal::default_of(global.ty().content),
    };
    // SAFETY: C vouches for its pointers.
    unsafe { out.write(value) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_global_set(global: *mut Handle<Reference>, value: *const CVal) {
    // SAFETY: as of the other one.
    unsafe { aot_global_set(global, value) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_global_set(global: *mut Handle<Reference>, value: *const CVal) -> bool {
    let (global, reference) =
        object!(global, Object::Extern(Extern::Global(global)) => *global, "wasm_global_t");
    let store = reference.store();
    let set = || {
        // SAFETY: C vouches for its pointers.
        let value = usage(
            unsafe { handle::plain(value, "a wasm_val_t", here!()) }.value(global.ty().content, store),
        )?;
        let entered = store.enter()?;
        error::noted(global.set(entered.context(), value))
    };
    set().is_some()
}

/// A reference of C's as an element of a table.
fn element(table: Table, store: &Arc<StoreCell>, element: *const Handle<Reference>) -> Option<Val> {
    let entered = store.enter()?;
    let ty = error::noted(table.ty(entered.context()))?;
    usage(reference_value(element, ty.element, store))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_table_new(
    store: *const Handle<StoreObject>,
    ty: *const Handle<ExternTypeObject>,
    init: *mut Handle<Reference>,
) -> *mut Handle<Reference> {
    let store = &get!(store).0;
    let Some(ty) = get!(ty).table_type() else { misuse(here!(), "the type is no wasm_tabletype_t") };
    let new = || {
        check_limits(&ty.limits)?;
        let is_ref = ty.element.is_ref();
        usage(
            is_ref
                .then_some(())
                .ok_or_else(|| format!("a table cannot have elements of type {}", ty.element.name())),
        )?;
        let init = usage(reference_value(init, ty.element, store))?;
        let entered = store.enter()?;
        error::noted(Table::new(entered.context(), &ty, init))
    };
    new().map_or(ptr::null_mut(), |table| Reference::in_store(Object::Extern(Extern::Table(table)), store))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_table_type(table: *const Handle<Reference>) -> *mut Handle<ExternTypeObject> {
    // SAFETY: C vouches for its pointers.
    unsafe { wasm_extern_type(table) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_table_get(table: *const Handle<Reference>, index: u32) -> *mut Handle<Reference> {
    let (table, reference) = object!(table, Object::Extern(Extern::Table(table)) => *table, "wasm_table_t");
    let store = reference.store();
    let get = || {
        let entered = store.enter()?;
        let element = error::noted(table.get(entered.context(), index.into()))?;
        usage(element.ok_or_else(|| format!("the table has no element {index}")))
    };
    get().map_or(ptr::null_mut(), |element| give_reference(&element, store))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_table_set(
    table: *mut Handle<Reference>,
    index: u32,
    value: *mut Handle<Reference>,
) -> bool {
    let (table, reference) = object!(table, Object::Extern(Extern::Table(table)) => *table, "wasm_table_t");
    let store = reference.store();
    let set = || {
        let value = element(table, store, value)?;
        let entered = store.enter()?;
        error::noted(table.set(entered.context(), index.into(), value))
    };
    set().is_some()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_table_size(table: *const Handle<Reference>) -> u32 {
    let (table, reference) = object!(table, Object::Extern(Extern::Table(table)) => *table, "wasm_table_t");
    let size = reference.store().enter().and_then(|entered| error::noted(table.size(entered.context())));
    size.and_then(|size| u32::try_from(size).ok()).unwrap_or(0)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_table_grow(
    table: *mut Handle<Reference>,
    delta: u32,
    init: *mut Handle<Reference>,
) -> bool {
    let (table, reference) = object!(table, Object::Extern(Extern::Table(table)) => *table, "wasm_table_t");
    let store = reference.store();
    let grow = || {
        let init = element(table, store, init)?;
        let entered = store.enter()?;
        error::noted(table.grow(entered.context(), delta.into(), init))
    };
    grow().is_some()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_memory_new(
    store: *const Handle<StoreObject>,
    ty: *const Handle<ExternTypeObject>,
) -> *mut Handle<Reference> {
    let store = &get!(store).0;
    let Some(ty) = get!(ty).memory_type() else { misuse(here!(), "the type is no wasm_memorytype_t") };
    let new = || {
        check_limits(&ty.limits)?;
        let entered = store.enter()?;
        error::noted(Memory::new(entered.context(), &ty))
    };
    new().map_or(ptr::null_mut(), |memory| Reference::in_store(Object::Extern(Extern::Memory(memory)), store))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_memory_type(memory: *const Handle<Reference>) -> *mut Handle<ExternTypeObject> {
    // SAFETY: C vouches for its pointers.
    unsafe { wasm_extern_type(memory) }
}

/// The bytes of a memory; nothing, and the error is noted, if another thread uses the store.
fn bytes(memory: Memory, reference: &Reference) -> Option<(*mut u8, usize)> {
    let entered = reference.store().enter()?;
    let mut context = entered.context();
    let bytes = memory.data_mut(&mut context);
    Some((bytes.as_mut_ptr(), bytes.len()))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_memory_data(memory: *mut Handle<Reference>) -> *mut u8 {
    let (memory, reference) =
        object!(memory, Object::Extern(Extern::Memory(memory)) => *memory, "wasm_memory_t");
    bytes(memory, reference).map_or(ptr::null_mut(), |bytes| bytes.0)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_memory_data_size(memory: *const Handle<Reference>) -> usize {
    let (memory, reference) =
        object!(memory, Object::Extern(Extern::Memory(memory)) => *memory, "wasm_memory_t");
    bytes(memory, reference).map_or(0, |bytes| bytes.1)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_memory_size(memory: *const Handle<Reference>) -> u32 {
    let (memory, reference) =
        object!(memory, Object::Extern(Extern::Memory(memory)) => *memory, "wasm_memory_t");
    let size = reference.store().enter().and_then(|entered| error::noted(memory.size(entered.context())));
    size.and_then(|size| u32::try_from(size).ok()).unwrap_or(0)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_memory_grow(memory: *mut Handle<Reference>, delta: u32) -> bool {
    let (memory, reference) =
        object!(memory, Object::Extern(Extern::Memory(memory)) => *memory, "wasm_memory_t");
    let grown = reference
        .store()
        .enter()
        .and_then(|entered| error::noted(memory.grow(entered.context(), delta.into())));
    grown.is_some()
}

/// A part of a memory, if it is all there.
fn range(memory: Memory, reference: &Reference, offset: u64, size: usize) -> Option<*mut u8> {
    let (bytes, len) = bytes(memory, reference)?;
    let found = usize::try_from(offset).ok().filter(|o| o.checked_add(size).is_some_and(|end| end <= len));
    let missing = || format!("{size} bytes at offset {offset:#x} are not all in the memory");
    usage(found.ok_or_else(missing)).map(|offset| bytes.wrapping_add(offset))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_wasm_memory_range(
    memory: *mut Handle<Reference>,
    offset: u64,
    size: usize,
) -> *mut c_void {
    let (memory, reference) =
        object!(memory, Object::Extern(Extern::Memory(memory)) => *memory, "wasm_memory_t");
    range(memory, reference, offset, size).map_or(ptr::null_mut(), <*mut u8>::cast)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_wasm_memory_read(
    memory: *const Handle<Reference>,
    offset: u64,
    out: *mut c_void,
    size: usize,
) -> bool {
    let (memory, reference) =
        object!(memory, Object::Extern(Extern::Memory(memory)) => *memory, "wasm_memory_t");
    let Some(from) = range(memory, reference, offset, size) else { return false };
    // SAFETY: so many bytes are in the memory, and C vouches for its buffer. It may lie in the memory itself.
    unsafe { ptr::copy(from, out.cast(), size) };
    true
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_wasm_memory_write(
    memory: *mut Handle<Reference>,
    offset: u64,
    bytes: *const c_void,
    size: usize,
) -> bool {
    let (memory, reference) =
        object!(memory, Object::Extern(Extern::Memory(memory)) => *memory, "wasm_memory_t");
    let Some(to) = range(memory, reference, offset, size) else { return false };
    // SAFETY: as above.
    unsafe { ptr::copy(bytes.cast(), to, size) };
    true
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_extern_kind(item: *const Handle<Reference>) -> u8 {
    let (item, _) = object!(item, Object::Extern(item) => *item, "wasm_extern_t");
    match item {
        Extern::Func(_) => 0,
        Extern::Global(_) => 1,
        Extern::Table(_) => 2,
        Extern::Memory(_) => 3,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_extern_type(item: *const Handle<Reference>) -> *mut Handle<ExternTypeObject> {
    let (item, reference) = object!(item, Object::Extern(item) => *item, "wasm_extern_t");
    let Some(entered) = reference.store().enter() else { return ptr::null_mut() };
    let store = entered.context();
    let ty = match item {
        Extern::Func(func) => func.ty(store).map(|ty| ExternType::Func(ty.clone())),
        Extern::Global(global) => Ok(ExternType::Global(global.ty())),
        Extern::Table(table) => table.ty(store).map(ExternType::Table),
        Extern::Memory(memory) => memory.ty(store).map(ExternType::Memory),
    };
    error::noted(ty).map_or(ptr::null_mut(), |ty| Handle::give(ExternTypeObject::new(&ty)))
}

object_vec_functions! {
    Reference, copy |reference| reference.clone();
    wasm_extern_vec_new_empty wasm_extern_vec_new_uninitialized wasm_extern_vec_new wasm_extern_vec_copy
    wasm_extern_vec_delete
}
