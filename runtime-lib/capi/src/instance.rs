//! Instances.

use crate::error::{self, Kind};
use crate::func::{self, Count, ValVec};
use crate::handle::{self, Handle};
use crate::reference::{Object, Reference};
use crate::store::{BUSY, StoreCell, StoreObject};
use crate::trap;
use crate::vec::{CVec, ObjectVec};
use aot_runtime::embed::{Error, Extern, Instance};
use core::ffi::c_char;
use core::ptr;
use std::sync::Arc;

/// Gives C an instance, or why there is none: as a trap if C wants one, and as the last error.
///
/// # Safety
/// `trap` is null or valid for writes.
pub unsafe fn give(
    instance: Result<Instance, Error>,
    store: &Arc<StoreCell>,
    trap: *mut *mut Handle<Reference>,
) -> *mut Handle<Reference> {
    let (instance, reason) = match instance {
        Ok(instance) => (Reference::in_store(Object::Instance(instance), store), ptr::null_mut()),
        Err(error) => (ptr::null_mut(), trap::give_error(error)),
    };
    // SAFETY: the caller vouches for the pointer; the trap is C's, or nobody's.
    unsafe {
        match trap.is_null() {
            true => Handle::delete(reason, "wasm_instance_new"),
            false => trap.write(reason),
        }
    }
    instance
}

/// As [`give`]: another thread uses the store.
///
/// # Safety
/// As [`give`].
pub unsafe fn busy(trap: *mut *mut Handle<Reference>) -> *mut Handle<Reference> {
    let reason = trap::give_message(BUSY, Kind::Busy);
    // SAFETY: as above.
    unsafe {
        match trap.is_null() {
            true => Handle::delete(reason, "wasm_instance_new"),
            false => trap.write(reason),
        }
    }
    ptr::null_mut()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_instance_new(
    store: *const Handle<StoreObject>,
    module: *const Handle<Reference>,
    imports: *const ObjectVec<Reference>,
    trap: *mut *mut Handle<Reference>,
) -> *mut Handle<Reference> {
    let store = &get!(store).0;
    let (module, _) = object!(module, Object::Module(module) => Arc::clone(module), "wasm_module_t");
    // SAFETY: C vouches for its vectors.
    let imports = unsafe { imports.as_ref().map_or(&[][..], |imports| imports.as_slice()) };
    let imports: Result<Vec<Extern>, Error> = imports
        .iter()
        .enumerate()
        .map(|(number, import)| match import.is_null() {
            true => Err(Error::Usage(missing(&module.value.module, number))),
            false => Ok(object!(*import, Object::Extern(item) => *item, "wasm_extern_t").0),
        })
        .collect();
    let store = Arc::clone(store);
    // SAFETY: C vouches for its pointers.
    unsafe {
        let Some(entered) = store.enter() else { return busy(trap) };
        let instance =
            imports.and_then(|imports| Instance::new(entered.context(), &module.value.module, &imports));
        give(instance, &store, trap)
    }
}

/// The error of an import that is null.
fn missing(module: &aot_runtime::embed::Module, number: usize) -> String {
    match module.imports().nth(number) {
        Some(import) => {
            format!("import {number} is NULL: `{}` `{}`, a {}", import.module, import.name, import.ty)
        }
        None => format!("import {number} is NULL, and the module has no such import"),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_instance_exports(
    instance: *const Handle<Reference>,
    out: *mut ObjectVec<Reference>,
) {
    let (instance, reference) = object!(instance, Object::Instance(instance) => *instance, "wasm_instance_t");
    let store = reference.store();
    let exports = match store.enter() {
        Some(entered) => instance.exports(entered.context()),
        None => Vec::new(),
    };
    let exports = exports.iter().map(|(_, item)| Reference::in_store(Object::Extern(*item), store));
    // SAFETY: C vouches for its pointers.
    unsafe { out.write(CVec::from_iter(exports)) };
}

/// What an instance exports under a name; the error is noted if there is nothing.
///
/// # Safety
/// `name` is a text of C's.
unsafe fn export(instance: Instance, store: &StoreCell, name: *const c_char) -> Option<Extern> {
    // SAFETY: the caller vouches for the text.
    let name = unsafe { handle::text(name, "aot_instance_export") }.to_string_lossy();
    let found = instance.get_export(store.enter()?.context(), &name);
    if found.is_none() {
        error::set(Kind::Usage, format!("the instance exports no `{name}`"));
    }
    found
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_instance_export(
    instance: *const Handle<Reference>,
    name: *const c_char,
) -> *mut Handle<Reference> {
    let (instance, reference) = object!(instance, Object::Instance(instance) => *instance, "wasm_instance_t");
    // SAFETY: C vouches for its texts.
    let item = unsafe { export(instance, reference.store(), name) };
    item.map_or(ptr::null_mut(), |item| Reference::in_store(Object::Extern(item), reference.store()))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_instance_call(
    instance: *const Handle<Reference>,
    name: *const c_char,
    args: *const ValVec,
    results: *mut ValVec,
) -> *mut Handle<Reference> {
    let (instance, reference) = object!(instance, Object::Instance(instance) => *instance, "wasm_instance_t");
    let store = reference.store();
    if store.enter().is_none() {
        return trap::give_message(BUSY, Kind::Busy);
    }
    // SAFETY: C vouches for its texts and vectors.
    unsafe {
        match export(instance, store, name) {
            Some(Extern::Func(func)) => {
                let (args, count) = func::parts(args);
                func::call(reference, func, (args, Count::Exactly(count)), func::parts(results))
            }
            _ => {
                let name = handle::text(name, here!()).to_string_lossy();
                trap::give_message(format!("the instance exports no function `{name}`"), Kind::Usage)
            }
        }
    }
}
