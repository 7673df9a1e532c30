//! References: one kind of handle for all that stores own, and for modules, traps and foreign objects.
//!
//! C casts between `wasm_func_t`, `wasm_extern_t` and `wasm_ref_t`: they are the same pointer to a [`Reference`], and what
//! it refers to says what it is. Several references to one thing share its host information.

use crate::handle::{Handle, misuse};
use crate::module::ModuleObject;
use crate::store::{HostInfo, StoreCell};
use crate::trap::TrapObject;
use aot_runtime::embed::{Extern, Instance};
use core::ffi::c_void;
use core::ptr;
use std::sync::{Arc, Mutex, PoisonError};

/// What a reference refers to.
#[derive(Clone)]
pub enum Object {
    Extern(Extern),
    Instance(Instance),
    Module(Arc<WithInfo<ModuleObject>>),
    Trap(Arc<WithInfo<TrapObject>>),
    Foreign(Arc<WithInfo<()>>),
}

/// What tells objects of a store apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    Extern(Extern),
    Instance(Instance),
    /// Of something that is shared.
    Address(usize),
}

/// Something that outlives no reference to it, with the host's information.
pub struct WithInfo<T> {
    pub value: T,
    info: Mutex<Option<HostInfo>>,
}

impl<T> WithInfo<T> {
    pub fn new(value: T) -> Arc<WithInfo<T>> {
        Arc::new(WithInfo { value, info: Mutex::new(None) })
    }

    fn info(&self) -> *mut c_void {
        let info = self.info.lock().unwrap_or_else(PoisonError::into_inner);
        info.as_ref().map_or(ptr::null_mut(), HostInfo::data)
    }

    fn set_info(&self, info: HostInfo) {
        let old = self.info.lock().unwrap_or_else(PoisonError::into_inner).replace(info);
        // Its finalizer may set it again.
        drop(old);
    }
}

/// A reference, as C has it.
#[derive(Clone)]
pub struct Reference {
    pub object: Object,
    /// The store of what is in one: it lives as long as the reference.
    pub store: Option<Arc<StoreCell>>,
}

class! { Reference, "wasm_ref_t"; }

impl Object {
    pub fn key(&self) -> Key {
        match self {
            Object::Extern(item) => Key::Extern(*item),
            Object::Instance(instance) => Key::Instance(*instance),
            Object::Module(module) => Key::Address(Arc::as_ptr(module).addr()),
            Object::Trap(trap) => Key::Address(Arc::as_ptr(trap).addr()),
            Object::Foreign(foreign) => Key::Address(Arc::as_ptr(foreign).addr()),
        }
    }

    /// The name of its type in C.
    fn class(&self) -> &'static str {
        match self {
            Object::Extern(Extern::Func(_)) => "wasm_func_t",
            Object::Extern(Extern::Global(_)) => "wasm_global_t",
            Object::Extern(Extern::Table(_)) => "wasm_table_t",
            Object::Extern(Extern::Memory(_)) => "wasm_memory_t",
            Object::Instance(_) => "wasm_instance_t",
            Object::Module(_) => "wasm_module_t",
            Object::Trap(_) => "wasm_trap_t",
            Object::Foreign(_) => "wasm_foreign_t",
        }
    }
}

impl Reference {
    /// A reference to something in a store.
    pub fn in_store(object: Object, store: &Arc<StoreCell>) -> *mut Handle<Reference> {
        Handle::give(Reference { object, store: Some(Arc::clone(store)) })
    }

    /// A reference to something that needs no store.
    pub fn free(object: Object) -> *mut Handle<Reference> {
        Handle::give(Reference { object, store: None })
    }

    /// The store of something that is in one.
    pub fn store(&self) -> &Arc<StoreCell> {
        self.store.as_ref().expect("references to what a store owns have the store")
    }

    /// Ends the process: C passes a reference of another kind than the function takes.
    pub fn wrong_kind(&self, wanted: &str, function: &str) -> ! {
        misuse(function, &format!("a {} is passed where a {wanted} is wanted", self.object.class()))
    }

    fn info(&self) -> *mut c_void {
        match &self.object {
            Object::Module(module) => module.info(),
            Object::Trap(trap) => trap.info(),
            Object::Foreign(foreign) => foreign.info(),
            object => self.store().info(object.key()),
        }
    }

    fn set_info(&self, info: HostInfo) {
        match &self.object {
            Object::Module(module) => module.set_info(info),
            Object::Trap(trap) => trap.set_info(info),
            Object::Foreign(foreign) => foreign.set_info(info),
            object => self.store().set_info(object.key(), info),
        }
    }
}

/// The object behind a reference that has to be of one kind.
macro_rules! object {
    ($pointer:expr, $pattern:pat => $value:expr, $name:literal) => {{
        let reference = get!($pointer);
        match &reference.object {
            $pattern => ($value, reference),
            _ => reference.wrong_kind($name, here!()),
        }
    }};
}

/// Defines what references of a kind have.
macro_rules! references {
    ($($delete:ident $copy:ident $same:ident $get_info:ident $set_info:ident $set_info_with_finalizer:ident;)*) => {
        $(
            delete! { $delete(Reference); }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn $copy(reference: *const Handle<Reference>) -> *mut Handle<Reference> {
                match reference.is_null() {
                    true => ptr::null_mut(),
                    false => Handle::give(get!(reference).clone()),
                }
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn $same(a: *const Handle<Reference>, b: *const Handle<Reference>) -> bool {
                match a.is_null() || b.is_null() {
                    true => a == b,
                    false => get!(a).object.key() == get!(b).object.key(),
                }
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn $get_info(reference: *const Handle<Reference>) -> *mut c_void {
                get!(reference).info()
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn $set_info(reference: *mut Handle<Reference>, data: *mut c_void) {
                get!(reference).set_info(HostInfo::new(data, None));
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn $set_info_with_finalizer(
                reference: *mut Handle<Reference>,
                data: *mut c_void,
                finalizer: Option<unsafe extern "C" fn(*mut c_void)>,
            ) {
                get!(reference).set_info(HostInfo::new(data, finalizer));
            }
        )*
    };
}

/// Defines conversions between a general kind of reference and one that is the same pointer.
macro_rules! conversions {
    ($($pattern:pat => $to_general:ident $to_general_const:ident $from_general:ident $from_general_const:ident;)*) => {
        $(
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $to_general(reference: *mut Handle<Reference>) -> *mut Handle<Reference> {
                reference
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn $to_general_const(
                reference: *const Handle<Reference>,
            ) -> *const Handle<Reference> {
                reference
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn $from_general(reference: *mut Handle<Reference>) -> *mut Handle<Reference> {
                match !reference.is_null() && matches!(get!(reference).object, $pattern) {
                    true => reference,
                    false => ptr::null_mut(),
                }
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn $from_general_const(
                reference: *const Handle<Reference>,
            ) -> *const Handle<Reference> {
                match !reference.is_null() && matches!(get!(reference).object, $pattern) {
                    true => reference,
                    false => ptr::null(),
                }
            }
        )*
    };
}

references! {
    wasm_ref_delete wasm_ref_copy wasm_ref_same
        wasm_ref_get_host_info wasm_ref_set_host_info wasm_ref_set_host_info_with_finalizer;
    wasm_trap_delete wasm_trap_copy wasm_trap_same
        wasm_trap_get_host_info wasm_trap_set_host_info wasm_trap_set_host_info_with_finalizer;
    wasm_foreign_delete wasm_foreign_copy wasm_foreign_same
        wasm_foreign_get_host_info wasm_foreign_set_host_info wasm_foreign_set_host_info_with_finalizer;
    wasm_module_delete wasm_module_copy wasm_module_same
        wasm_module_get_host_info wasm_module_set_host_info wasm_module_set_host_info_with_finalizer;
    wasm_func_delete wasm_func_copy wasm_func_same
        wasm_func_get_host_info wasm_func_set_host_info wasm_func_set_host_info_with_finalizer;
    wasm_global_delete wasm_global_copy wasm_global_same
        wasm_global_get_host_info wasm_global_set_host_info wasm_global_set_host_info_with_finalizer;
    wasm_table_delete wasm_table_copy wasm_table_same
        wasm_table_get_host_info wasm_table_set_host_info wasm_table_set_host_info_with_finalizer;
    wasm_memory_delete wasm_memory_copy wasm_memory_same
        wasm_memory_get_host_info wasm_memory_set_host_info wasm_memory_set_host_info_with_finalizer;
    wasm_extern_delete wasm_extern_copy wasm_extern_same
        wasm_extern_get_host_info wasm_extern_set_host_info wasm_extern_set_host_info_with_finalizer;
    wasm_instance_delete wasm_instance_copy wasm_instance_same
        wasm_instance_get_host_info wasm_instance_set_host_info wasm_instance_set_host_info_with_finalizer;
}

conversions! {
    Object::Trap(_) => wasm_trap_as_ref wasm_trap_as_ref_const wasm_ref_as_trap wasm_ref_as_trap_const;
    Object::Foreign(_) =>
        wasm_foreign_as_ref wasm_foreign_as_ref_const wasm_ref_as_foreign wasm_ref_as_foreign_const;
    Object::Module(_) => wasm_module_as_ref wasm_module_as_ref_const wasm_ref_as_module wasm_ref_as_module_const;
    Object::Extern(Extern::Func(_)) =>
        wasm_func_as_ref wasm_func_as_ref_const wasm_ref_as_func wasm_ref_as_func_const;
    Object::Extern(Extern::Global(_)) =>
        wasm_global_as_ref wasm_global_as_ref_const wasm_ref_as_global wasm_ref_as_global_const;
    Object::Extern(Extern::Table(_)) =>
        wasm_table_as_ref wasm_table_as_ref_const wasm_ref_as_table wasm_ref_as_table_const;
    Object::Extern(Extern::Memory(_)) =>
        wasm_memory_as_ref wasm_memory_as_ref_const wasm_ref_as_memory wasm_ref_as_memory_const;
    Object::Extern(_) => wasm_extern_as_ref wasm_extern_as_ref_const wasm_ref_as_extern wasm_ref_as_extern_const;
    Object::Instance(_) =>
        wasm_instance_as_ref wasm_instance_as_ref_const wasm_ref_as_instance wasm_ref_as_instance_const;
    Object::Extern(Extern::Func(_)) =>
        wasm_func_as_extern wasm_func_as_extern_const wasm_extern_as_func wasm_extern_as_func_const;
    Object::Extern(Extern::Global(_)) =>
        wasm_global_as_extern wasm_global_as_extern_const wasm_extern_as_global wasm_extern_as_global_const;
    Object::Extern(Extern::Table(_)) =>
        wasm_table_as_extern wasm_table_as_extern_const wasm_extern_as_table wasm_extern_as_table_const;
    Object::Extern(Extern::Memory(_)) =>
        wasm_memory_as_extern wasm_memory_as_extern_const wasm_extern_as_memory wasm_extern_as_memory_const;
}
