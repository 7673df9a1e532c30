//! Types of values, of what is imported and exported, and of imports and exports.

use crate::error::{self, Kind};
use crate::handle::{self, Handle};
use crate::vec::{ByteVec, CVec, ObjectVec};
use aot_runtime::embed::{ExternType, FuncType, GlobalType, Limits, MemoryType, TableType, ValType};
use core::ptr;

/// `wasm_valkind_t`; 4 is `AOT_V128`.
pub type ValKind = u8;

/// No maximum.
const NO_MAX: u32 = u32::MAX;

/// `wasm_limits_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CLimits {
    pub min: u32,
    pub max: u32,
}

#[derive(Clone)]
pub struct ValTypeObject(pub ValType);

/// A type of something that is imported or exported. C sees one pointer of it as a general and as a special type.
pub enum ExternTypeObject {
    Func(FuncTypeObject),
    Global { content: *mut Handle<ValTypeObject>, mutability: u8 },
    Table { element: *mut Handle<ValTypeObject>, limits: CLimits },
    Memory { limits: CLimits },
    Tag { func: *mut Handle<ExternTypeObject> },
}

pub struct FuncTypeObject {
    params: ObjectVec<ValTypeObject>,
    results: ObjectVec<ValTypeObject>,
}

pub struct ImportTypeObject {
    module: ByteVec,
    name: ByteVec,
    ty: *mut Handle<ExternTypeObject>,
}

pub struct ExportTypeObject {
    name: ByteVec,
    ty: *mut Handle<ExternTypeObject>,
}

class! {
    ValTypeObject, "wasm_valtype_t";
    ExternTypeObject, "wasm_externtype_t";
    ImportTypeObject, "wasm_importtype_t";
    ExportTypeObject, "wasm_exporttype_t";
}

/// The kind of values of a type.
pub fn kind_of(ty: ValType) -> ValKind {
    match ty {
        ValType::I32 => 0,
        ValType::I64 => 1,
        ValType::F32 => 2,
        ValType::F64 => 3,
        ValType::V128 => 4,
        ValType::ExternRef => 128,
        ValType::FuncRef => 129,
    }
}

/// The type of values of a kind.
pub fn type_of(kind: ValKind) -> Option<ValType> {
    Some(match kind {
        0 => ValType::I32,
        1 => ValType::I64,
        2 => ValType::F32,
        3 => ValType::F64,
        4 => ValType::V128,
        128 => ValType::ExternRef,
        129 => ValType::FuncRef,
        _ => return None,
    })
}

impl CLimits {
    fn of(limits: &Limits) -> CLimits {
        // What is larger than C can say is as good as none.
        let number = |value: u64| u32::try_from(value).unwrap_or(NO_MAX);
        CLimits { min: number(limits.min), max: limits.max.map_or(NO_MAX, number) }
    }

    pub fn limits(self) -> Limits {
        Limits { min: self.min.into(), max: (self.max != NO_MAX).then_some(self.max.into()) }
    }
}

impl FuncTypeObject {
    fn new(ty: &FuncType) -> FuncTypeObject {
        let vec =
            |types: &[ValType]| CVec::from_iter(types.iter().map(|ty| Handle::give(ValTypeObject(*ty))));
        FuncTypeObject { params: vec(&ty.params), results: vec(&ty.results) }
    }

    fn func_type(&self) -> FuncType {
        let types = |vec: &ObjectVec<ValTypeObject>| {
            // SAFETY: the vectors are the object's own.
            let types = unsafe { vec.as_slice() };
            types.iter().map(|ty| get!(*ty).0).collect()
        };
        FuncType { params: types(&self.params), results: types(&self.results) }
    }
}

impl ExternTypeObject {
    pub fn new(ty: &ExternType) -> ExternTypeObject {
        let value = |ty| Handle::give(ValTypeObject(ty));
        match ty {
            ExternType::Func(ty) => ExternTypeObject::Func(FuncTypeObject::new(ty)),
            ExternType::Global(ty) => {
                ExternTypeObject::Global { content: value(ty.content), mutability: u8::from(ty.mutable) }
            }
            ExternType::Table(ty) => {
                ExternTypeObject::Table { element: value(ty.element), limits: CLimits::of(&ty.limits) }
            }
            ExternType::Memory(ty) => ExternTypeObject::Memory { limits: CLimits::of(&ty.limits) },
        }
    }

    fn kind(&self) -> u8 {
        match self {
            ExternTypeObject::Func(_) => 0,
            ExternTypeObject::Global { .. } => 1,
            ExternTypeObject::Table { .. } => 2,
            ExternTypeObject::Memory { .. } => 3,
            ExternTypeObject::Tag { .. } => 4,
        }
    }

    pub fn func_type(&self) -> Option<FuncType> {
        if let ExternTypeObject::Func(ty) = self { Some(ty.func_type()) } else { None }
    }

    pub fn global_type(&self) -> Option<GlobalType> {
        let ExternTypeObject::Global { content, mutability } = self else { return None };
        Some(GlobalType { content: get!(*content).0, mutable: *mutability != 0 })
    }

    pub fn table_type(&self) -> Option<TableType> {
        let ExternTypeObject::Table { element, limits } = self else { return None };
        Some(TableType { element: get!(*element).0, limits: limits.limits() })
    }

    pub fn memory_type(&self) -> Option<MemoryType> {
        let ExternTypeObject::Memory { limits } = self else { return None };
        Some(MemoryType { limits: limits.limits() })
    }
}

impl Clone for ExternTypeObject {
    fn clone(&self) -> Self {
        match self {
            ExternTypeObject::Func(ty) => ExternTypeObject::Func(FuncTypeObject::new(&ty.func_type())),
            ExternTypeObject::Global { content, mutability } => {
                let content = Handle::give(get!(*content).clone());
                ExternTypeObject::Global { content, mutability: *mutability }
            }
            ExternTypeObject::Table { element, limits } => {
                ExternTypeObject::Table { element: Handle::give(get!(*element).clone()), limits: *limits }
            }
            ExternTypeObject::Memory { limits } => ExternTypeObject::Memory { limits: *limits },
            ExternTypeObject::Tag { func } => {
                ExternTypeObject::Tag { func: Handle::give(get!(*func).clone()) }
            }
        }
    }
}

impl Drop for ExternTypeObject {
    fn drop(&mut self) {
        let function = "wasm_externtype_delete";
        // SAFETY: the parts are the object's own.
        unsafe {
            match self {
                ExternTypeObject::Func(FuncTypeObject { params, results }) => {
                    params.delete(function);
                    results.delete(function);
                }
                ExternTypeObject::Global { content: ty, .. }
                | ExternTypeObject::Table { element: ty, .. } => {
                    Handle::delete(*ty, function);
                }
                ExternTypeObject::Memory { .. } => {}
                ExternTypeObject::Tag { func } => Handle::delete(*func, function),
            }
        }
    }
}

fn copy_bytes(bytes: &ByteVec) -> ByteVec {
    // SAFETY: the bytes are an object's own.
    CVec::from_iter(unsafe { bytes.as_slice() }.iter().copied())
}

impl ImportTypeObject {
    pub fn new(module: &str, name: &str, ty: &ExternType) -> ImportTypeObject {
        ImportTypeObject {
            module: CVec::from_iter(module.bytes()),
            name: CVec::from_iter(name.bytes()),
            ty: Handle::give(ExternTypeObject::new(ty)),
        }
    }
}

impl Clone for ImportTypeObject {
    fn clone(&self) -> Self {
        ImportTypeObject {
            module: copy_bytes(&self.module),
            name: copy_bytes(&self.name),
            ty: Handle::give(get!(self.ty).clone()),
        }
    }
}

impl Drop for ImportTypeObject {
    fn drop(&mut self) {
        // SAFETY: the parts are the object's own.
        unsafe {
            self.module.free();
            self.name.free();
            Handle::delete(self.ty, "wasm_importtype_delete");
        }
    }
}

impl ExportTypeObject {
    pub fn new(name: &str, ty: &ExternType) -> ExportTypeObject {
        ExportTypeObject { name: CVec::from_iter(name.bytes()), ty: Handle::give(ExternTypeObject::new(ty)) }
    }
}

impl Clone for ExportTypeObject {
    fn clone(&self) -> Self {
        ExportTypeObject { name: copy_bytes(&self.name), ty: Handle::give(get!(self.ty).clone()) }
    }
}

impl Drop for ExportTypeObject {
    fn drop(&mut self) {
        // SAFETY: the parts are the object's own.
        unsafe {
            self.name.free();
            Handle::delete(self.ty, "wasm_exporttype_delete");
        }
    }
}

/// Defines what every type has.
macro_rules! types {
    ($($object:ty: $delete:ident $copy:ident $($vec:ident)*;)*) => {
        $(
            delete! { $delete($object); }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn $copy(object: *const Handle<$object>) -> *mut Handle<$object> {
                Handle::give(get!(object).clone())
            }

            object_vec_functions! { $object, copy |object| object.clone(); $($vec)* }
        )*
    };
}

types! {
    ValTypeObject: wasm_valtype_delete wasm_valtype_copy wasm_valtype_vec_new_empty wasm_valtype_vec_new_uninitialized
        wasm_valtype_vec_new wasm_valtype_vec_copy wasm_valtype_vec_delete;
    ExternTypeObject: wasm_functype_delete wasm_functype_copy wasm_functype_vec_new_empty
        wasm_functype_vec_new_uninitialized wasm_functype_vec_new wasm_functype_vec_copy wasm_functype_vec_delete;
    ExternTypeObject: wasm_globaltype_delete wasm_globaltype_copy wasm_globaltype_vec_new_empty
        wasm_globaltype_vec_new_uninitialized wasm_globaltype_vec_new wasm_globaltype_vec_copy
        wasm_globaltype_vec_delete;
    ExternTypeObject: wasm_tabletype_delete wasm_tabletype_copy wasm_tabletype_vec_new_empty
        wasm_tabletype_vec_new_uninitialized wasm_tabletype_vec_new wasm_tabletype_vec_copy wasm_tabletype_vec_delete;
    ExternTypeObject: wasm_memorytype_delete wasm_memorytype_copy wasm_memorytype_vec_new_empty
        wasm_memorytype_vec_new_uninitialized wasm_memorytype_vec_new wasm_memorytype_vec_copy
        wasm_memorytype_vec_delete;
    ExternTypeObject: wasm_tagtype_delete wasm_tagtype_copy wasm_tagtype_vec_new_empty
        wasm_tagtype_vec_new_uninitialized wasm_tagtype_vec_new wasm_tagtype_vec_copy wasm_tagtype_vec_delete;
    ExternTypeObject: wasm_externtype_delete wasm_externtype_copy wasm_externtype_vec_new_empty
        wasm_externtype_vec_new_uninitialized wasm_externtype_vec_new wasm_externtype_vec_copy
        wasm_externtype_vec_delete;
    ImportTypeObject: wasm_importtype_delete wasm_importtype_copy wasm_importtype_vec_new_empty
        wasm_importtype_vec_new_uninitialized wasm_importtype_vec_new wasm_importtype_vec_copy
        wasm_importtype_vec_delete;
    ExportTypeObject: wasm_exporttype_delete wasm_exporttype_copy wasm_exporttype_vec_new_empty
        wasm_exporttype_vec_new_uninitialized wasm_exporttype_vec_new wasm_exporttype_vec_copy
        wasm_exporttype_vec_delete;
}

#[unsafe(no_mangle)]
extern "C" fn wasm_valtype_new(kind: ValKind) -> *mut Handle<ValTypeObject> {
    match type_of(kind) {
        Some(ty) => Handle::give(ValTypeObject(ty)),
        None => {
            error::set(Kind::Usage, format!("there is no type of values with the number {kind}"));
            ptr::null_mut()
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_valtype_kind(ty: *const Handle<ValTypeObject>) -> ValKind {
    kind_of(get!(ty).0)
}

/// Takes a vector that C gives away, and leaves an empty one.
///
/// # Safety
/// C vouches for the vector.
unsafe fn take_vec<T>(vec: *mut CVec<T>, function: &str) -> CVec<T> {
    // SAFETY: the caller vouches for the vector.
    unsafe {
        handle::plain(vec, "a vector", function);
        (*vec).take()
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_functype_new(
    params: *mut ObjectVec<ValTypeObject>,
    results: *mut ObjectVec<ValTypeObject>,
) -> *mut Handle<ExternTypeObject> {
    // SAFETY: C vouches for its pointers, and gives the vectors away.
    let (params, results) = unsafe { (take_vec(params, here!()), take_vec(results, here!())) };
    Handle::give(ExternTypeObject::Func(FuncTypeObject { params, results }))
}

/// Defines functions that give a part of a type, which has to be of the right kind.
macro_rules! parts {
    ($($function:ident($name:literal, $pattern:pat => $part:expr) -> $ty:ty;)*) => {
        $(#[unsafe(no_mangle)]
        unsafe extern "C" fn $function(ty: *const Handle<ExternTypeObject>) -> $ty {
            match get!(ty) {
                $pattern => $part,
                _ => $crate::handle::misuse(here!(), concat!("the type is no ", $name)),
            }
        })*
    };
}

parts! {
    wasm_functype_params("wasm_functype_t", ExternTypeObject::Func(ty) => &raw const ty.params)
        -> *const ObjectVec<ValTypeObject>;
    wasm_functype_results("wasm_functype_t", ExternTypeObject::Func(ty) => &raw const ty.results)
        -> *const ObjectVec<ValTypeObject>;
    wasm_globaltype_content("wasm_globaltype_t", ExternTypeObject::Global { content, .. } => *content)
        -> *const Handle<ValTypeObject>;
    wasm_globaltype_mutability("wasm_globaltype_t", ExternTypeObject::Global { mutability, .. } => *mutability) -> u8;
    wasm_tabletype_element("wasm_tabletype_t", ExternTypeObject::Table { element, .. } => *element)
        -> *const Handle<ValTypeObject>;
    wasm_tabletype_limits("wasm_tabletype_t", ExternTypeObject::Table { limits, .. } => limits) -> *const CLimits;
    wasm_memorytype_limits("wasm_memorytype_t", ExternTypeObject::Memory { limits } => limits) -> *const CLimits;
    wasm_tagtype_functype("wasm_tagtype_t", ExternTypeObject::Tag { func } => *func)
        -> *const Handle<ExternTypeObject>;
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_globaltype_new(
    content: *mut Handle<ValTypeObject>,
    mutability: u8,
) -> *mut Handle<ExternTypeObject> {
    get!(content);
    Handle::give(ExternTypeObject::Global { content, mutability })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_tabletype_new(
    element: *mut Handle<ValTypeObject>,
    limits: *const CLimits,
) -> *mut Handle<ExternTypeObject> {
    get!(element);
    // SAFETY: C vouches for its pointers.
    Handle::give(ExternTypeObject::Table {
        element,
        limits: *unsafe { handle::plain(limits, "a wasm_limits_t", here!()) },
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_memorytype_new(limits: *const CLimits) -> *mut Handle<ExternTypeObject> {
    // SAFETY: C vouches for its pointers.
    Handle::give(ExternTypeObject::Memory {
        limits: *unsafe { handle::plain(limits, "a wasm_limits_t", here!()) },
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_tagtype_new(func: *mut Handle<ExternTypeObject>) -> *mut Handle<ExternTypeObject> {
    get!(func);
    Handle::give(ExternTypeObject::Tag { func })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_externtype_kind(ty: *const Handle<ExternTypeObject>) -> u8 {
    get!(ty).kind()
}

/// Defines conversions between the general type and one that is the same pointer.
macro_rules! conversions {
    ($($kind:literal: $from:ident $from_const:ident $to:ident $to_const:ident;)*) => {
        $(
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $from(ty: *mut Handle<ExternTypeObject>) -> *mut Handle<ExternTypeObject> {
                ty
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn $from_const(ty: *const Handle<ExternTypeObject>) -> *const Handle<ExternTypeObject> {
                ty
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn $to(ty: *mut Handle<ExternTypeObject>) -> *mut Handle<ExternTypeObject> {
                if !ty.is_null() && get!(ty).kind() == $kind { ty } else { ptr::null_mut() }
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn $to_const(ty: *const Handle<ExternTypeObject>) -> *const Handle<ExternTypeObject> {
                if !ty.is_null() && get!(ty).kind() == $kind { ty } else { ptr::null() }
            }
        )*
    };
}

conversions! {
    0: wasm_functype_as_externtype wasm_functype_as_externtype_const
        wasm_externtype_as_functype wasm_externtype_as_functype_const;
    1: wasm_globaltype_as_externtype wasm_globaltype_as_externtype_const
        wasm_externtype_as_globaltype wasm_externtype_as_globaltype_const;
    2: wasm_tabletype_as_externtype wasm_tabletype_as_externtype_const
        wasm_externtype_as_tabletype wasm_externtype_as_tabletype_const;
    3: wasm_memorytype_as_externtype wasm_memorytype_as_externtype_const
        wasm_externtype_as_memorytype wasm_externtype_as_memorytype_const;
    4: wasm_tagtype_as_externtype wasm_tagtype_as_externtype_const
        wasm_externtype_as_tagtype wasm_externtype_as_tagtype_const;
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_importtype_new(
    module: *mut ByteVec,
    name: *mut ByteVec,
    ty: *mut Handle<ExternTypeObject>,
) -> *mut Handle<ImportTypeObject> {
    get!(ty);
    // SAFETY: C vouches for its pointers, and gives the names away.
    let (module, name) = unsafe { (take_vec(module, here!()), take_vec(name, here!())) };
    Handle::give(ImportTypeObject { module, name, ty })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_importtype_module(ty: *const Handle<ImportTypeObject>) -> *const ByteVec {
    &raw const get!(ty).module
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_importtype_name(ty: *const Handle<ImportTypeObject>) -> *const ByteVec {
    &raw const get!(ty).name
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_importtype_type(
    ty: *const Handle<ImportTypeObject>,
) -> *const Handle<ExternTypeObject> {
    get!(ty).ty
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_exporttype_new(
    name: *mut ByteVec,
    ty: *mut Handle<ExternTypeObject>,
) -> *mut Handle<ExportTypeObject> {
    get!(ty);
    // SAFETY: C vouches for its pointers, and gives the name away.
    Handle::give(ExportTypeObject { name: unsafe { take_vec(name, here!()) }, ty })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_exporttype_name(ty: *const Handle<ExportTypeObject>) -> *const ByteVec {
    &raw const get!(ty).name
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_exporttype_type(
    ty: *const Handle<ExportTypeObject>,
) -> *const Handle<ExternTypeObject> {
    get!(ty).ty
}
