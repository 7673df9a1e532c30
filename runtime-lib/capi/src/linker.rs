//! Linkers: what imports mean, by name.

use crate::error;
use crate::func::{Callback, Code, Finalizer, Raw, WithCaller};
use crate::handle::{self, Handle, misuse};
use crate::instance;
use crate::reference::{Object, Reference};
use crate::store::{Data, StoreCell, StoreObject};
use crate::types::ExternTypeObject;
use crate::wasi;
use aot_runtime::embed::{Error, Linker, Val};
use core::ffi::{c_char, c_void};
use core::ptr;
use std::sync::Arc;

pub struct LinkerObject {
    linker: Linker<Data>,
    has_wasi: bool,
}

class! { LinkerObject, "aot_linker_t"; }
delete! { aot_linker_delete(LinkerObject); }

/// A name of C's.
///
/// # Safety
/// C vouches for the text.
unsafe fn text(text: *const c_char, function: &str) -> String {
    // SAFETY: the caller vouches for the text.
    unsafe { handle::text(text, function) }.to_string_lossy().into_owned()
}

impl LinkerObject {
    /// Gives a store that has none a WASI context, if guests will ask for it.
    fn prepare(&self, store: &Arc<StoreCell>) -> Result<(), Error> {
        if self.has_wasi { wasi::default_context(store) } else { Ok(()) }
    }
}

#[unsafe(no_mangle)]
extern "C" fn aot_linker_new() -> *mut Handle<LinkerObject> {
    Handle::give(LinkerObject { linker: Linker::new(), has_wasi: false })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_linker_copy(linker: *const Handle<LinkerObject>) -> *mut Handle<LinkerObject> {
    let linker = get!(linker);
    Handle::give(LinkerObject { linker: linker.linker.clone(), has_wasi: linker.has_wasi })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_linker_allow_shadowing(linker: *mut Handle<LinkerObject>, allow: bool) {
    get_mut!(linker).linker.allow_shadowing(allow);
}

/// Defines a name as a callback.
unsafe fn define_func(
    linker: *mut Handle<LinkerObject>,
    names: [*const c_char; 2],
    ty: *const Handle<ExternTypeObject>,
    code: Code,
    env: (*mut c_void, Finalizer),
    function: &str,
) -> bool {
    // SAFETY: C vouches for its pointers.
    let (linker, module, name, ty) = unsafe {
        (
            Handle::get_mut(linker, function),
            text(names[0], function),
            text(names[1], function),
            Handle::get(ty, function),
        )
    };
    let Some(ty) = ty.func_type() else { misuse(function, "the type is no wasm_functype_t") };
    let Some(callback) = Callback::new(code, env.0, env.1, ty) else { return false };
    let ty = callback.ty();
    let defined =
        linker.linker.func_new(&module, &name, ty, move |caller, args: &[Val], results: &mut [Val]| {
            callback.call(caller, args, results)
        });
    error::noted(defined).is_some()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_linker_define_func(
    linker: *mut Handle<LinkerObject>,
    module: *const c_char,
    name: *const c_char,
    ty: *const Handle<ExternTypeObject>,
    callback: Option<WithCaller>,
    env: *mut c_void,
    finalizer: Finalizer,
) -> bool {
    // SAFETY: C vouches for its pointers.
    unsafe {
        define_func(
            linker,
            [module, name],
            ty,
            Code::WithCaller(handle::callback(callback, here!())),
            (env, finalizer),
            here!(),
        )
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_linker_define_raw(
    linker: *mut Handle<LinkerObject>,
    module: *const c_char,
    name: *const c_char,
    ty: *const Handle<ExternTypeObject>,
    callback: Option<Raw>,
    env: *mut c_void,
    finalizer: Finalizer,
) -> bool {
    // SAFETY: C vouches for its pointers.
    unsafe {
        define_func(
            linker,
            [module, name],
            ty,
            Code::Raw(handle::callback(callback, here!())),
            (env, finalizer),
            here!(),
        )
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_linker_define(
    linker: *mut Handle<LinkerObject>,
    module: *const c_char,
    name: *const c_char,
    item: *const Handle<Reference>,
) -> bool {
    // SAFETY: C vouches for its texts.
    let (module, name) = unsafe { (text(module, here!()), text(name, here!())) };
    let (item, _) = object!(item, Object::Extern(item) => *item, "wasm_extern_t");
    error::noted(get_mut!(linker).linker.define(&module, &name, item)).is_some()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_linker_define_instance(
    linker: *mut Handle<LinkerObject>,
    module: *const c_char,
    instance: *const Handle<Reference>,
) -> bool {
    // SAFETY: C vouches for its texts.
    let module = unsafe { text(module, here!()) };
    let (instance, reference) = object!(instance, Object::Instance(instance) => *instance, "wasm_instance_t");
    let Some(entered) = reference.store().enter() else { return false };
    error::noted(get_mut!(linker).linker.instance(entered.context(), &module, instance)).is_some()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_linker_define_wasi(linker: *mut Handle<LinkerObject>) -> bool {
    let linker = get_mut!(linker);
    linker.has_wasi = true;
    error::noted(wasi::add_to_linker(&mut linker.linker)).is_some()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_linker_define_unknown_imports_as_traps(
    linker: *mut Handle<LinkerObject>,
    module: *const Handle<Reference>,
) -> bool {
    let (module, _) = object!(module, Object::Module(module) => &module.value.module, "wasm_module_t");
    error::noted(get_mut!(linker).linker.define_unknown_imports_as_traps(module)).is_some()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_linker_get(
    linker: *const Handle<LinkerObject>,
    store: *const Handle<StoreObject>,
    module: *const c_char,
    name: *const c_char,
) -> *mut Handle<Reference> {
    let (linker, store) = (get!(linker), &get!(store).0);
    // SAFETY: C vouches for its texts.
    let (module, name) = unsafe { (text(module, here!()), text(name, here!())) };
    let Some(entered) = store.enter() else { return ptr::null_mut() };
    if error::noted(linker.prepare(store)).is_none() {
        return ptr::null_mut();
    }
    match linker.linker.get(entered.context(), &module, &name) {
        Some(item) => Reference::in_store(Object::Extern(item), store),
        None => {
            error::set(error::Kind::Import, format!("`{module}` `{name}` is not defined"));
            ptr::null_mut()
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_linker_instantiate(
    linker: *const Handle<LinkerObject>,
    store: *const Handle<StoreObject>,
    module: *const Handle<Reference>,
    trap: *mut *mut Handle<Reference>,
) -> *mut Handle<Reference> {
    let linker = get!(linker);
    let store = Arc::clone(&get!(store).0);
    let (module, _) = object!(module, Object::Module(module) => Arc::clone(module), "wasm_module_t");
    // SAFETY: C vouches for its pointers.
    unsafe {
        let Some(entered) = store.enter() else { return instance::busy(trap) };
        let made = linker
            .prepare(&store)
            .and_then(|()| linker.linker.instantiate(entered.context(), &module.value.module));
        instance::give(made, &store, trap)
    }
}
