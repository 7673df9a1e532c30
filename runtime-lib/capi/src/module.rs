//! Modules: compiled on the spot or loaded from images, shared between stores and threads.

use crate::compile;
use crate::error::{self, Kind};
use crate::handle::{self, Handle};
use crate::reference::{Object, Reference, WithInfo};
use crate::store::StoreObject;
use crate::types::{ExportTypeObject, ImportTypeObject};
use crate::vec::{self, ByteVec, CVec, ObjectVec};
use aot_runtime::embed::{Error, Module};
use core::ffi::{c_char, c_void};
use core::ptr;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;

pub struct ModuleObject {
    pub module: Module,
}

/// A module on its way to another store. It is no different from others.
pub struct SharedModule(Arc<WithInfo<ModuleObject>>);

class! { SharedModule, "wasm_shared_module_t"; }
delete! { wasm_shared_module_delete(SharedModule); }

fn give(module: Result<Module, Error>) -> *mut Handle<Reference> {
    error::noted(module).map_or(ptr::null_mut(), |module| {
        Reference::free(Object::Module(WithInfo::new(ModuleObject { module })))
    })
}

/// The bytes of a vector of C's.
///
/// # Safety
/// C vouches for the vector.
unsafe fn bytes<'a>(vec: *const ByteVec) -> &'a [u8] {
    // SAFETY: the caller vouches for the vector.
    unsafe { vec.as_ref().map_or(&[][..], |vec| vec.as_slice()) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_module_new(
    store: *const Handle<StoreObject>,
    binary: *const ByteVec,
) -> *mut Handle<Reference> {
    let options = get!(store).0.engine.compile;
    // SAFETY: C vouches for its vectors.
    let binary = unsafe { bytes(binary) };
    if binary.starts_with(b"\x7fELF") {
        // Its code would run without any check, and this function takes modules that nobody trusts.
        error::set(
            Kind::Load,
            "this is an image, not a wasm module; load it with aot_module_load if you trust where it comes from",
        );
        return ptr::null_mut();
    }
    give(compile::compile(binary, options))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_module_validate(store: *const Handle<StoreObject>, binary: *const ByteVec) -> bool {
    get!(store);
    // SAFETY: C vouches for its vectors.
    error::noted(compile::validate(unsafe { bytes(binary) })).is_some()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_module_imports(
    module: *const Handle<Reference>,
    out: *mut ObjectVec<ImportTypeObject>,
) {
    let (module, _) = object!(module, Object::Module(module) => &module.value.module, "wasm_module_t");
    let imports = module
        .imports()
        .map(|import| Handle::give(ImportTypeObject::new(import.module, import.name, &import.ty)));
    // SAFETY: C vouches for its pointers.
    unsafe { out.write(CVec::from_iter(imports)) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_module_exports(
    module: *const Handle<Reference>,
    out: *mut ObjectVec<ExportTypeObject>,
) {
    let (module, _) = object!(module, Object::Module(module) => &module.value.module, "wasm_module_t");
    let exports: Vec<_> =
        module.exports().map(|export| Handle::give(ExportTypeObject::new(export.name, &export.ty))).collect();
    // SAFETY: C vouches for its pointers.
    unsafe { out.write(CVec::from_iter(exports.into_iter())) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_module_serialize(module: *const Handle<Reference>, out: *mut ByteVec) {
    let (module, _) = object!(module, Object::Module(module) => &module.value.module, "wasm_module_t");
    // SAFETY: C vouches for its pointers.
    unsafe { out.write(CVec::from_iter(module.image().iter().copied())) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_module_deserialize(
    store: *const Handle<StoreObject>,
    image: *const ByteVec,
) -> *mut Handle<Reference> {
    get!(store);
    // SAFETY: C vouches for its vectors, and for the image, as the header says.
    give(unsafe { Module::deserialize(bytes(image)) }.map_err(Error::Load))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_module_load(image: *const c_void, size: usize) -> *mut Handle<Reference> {
    // SAFETY: C vouches for the bytes, and for the image, as the header says.
    give(unsafe { Module::deserialize(vec::slice(image.cast(), size)) }.map_err(Error::Load))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_module_load_file(path: *const c_char) -> *mut Handle<Reference> {
    // SAFETY: C vouches for its texts, and for the image, as the header says.
    give(unsafe {
        let path = OsStr::from_bytes(handle::text(path, here!()).to_bytes());
        Module::deserialize_file(path).map_err(Error::Load)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_module_is_interruptible(module: *const Handle<Reference>) -> bool {
    object!(module, Object::Module(module) => &module.value.module, "wasm_module_t").0.is_interruptible()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_module_counts_fuel(module: *const Handle<Reference>) -> bool {
    object!(module, Object::Module(module) => &module.value.module, "wasm_module_t").0.counts_fuel()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_module_share(module: *const Handle<Reference>) -> *mut Handle<SharedModule> {
    let (module, _) = object!(module, Object::Module(module) => Arc::clone(module), "wasm_module_t");
    Handle::give(SharedModule(module))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_module_obtain(
    store: *const Handle<StoreObject>,
    module: *const Handle<SharedModule>,
) -> *mut Handle<Reference> {
    get!(store);
    Reference::free(Object::Module(Arc::clone(&get!(module).0)))
}
