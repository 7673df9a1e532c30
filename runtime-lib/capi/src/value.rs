//! Values as C has them, and their ways to and from the library.

use crate::handle::{self, Handle};
use crate::reference::{Object, Reference};
use crate::store::StoreCell;
use crate::types::{ValKind, kind_of};
use aot_runtime::embed::{Extern, Val, ValType};
use core::ptr;
use std::sync::Arc;

/// How C has values in arrays.
pub trait Slot: Copy {
    /// For an array that is not filled yet.
    const EMPTY: Self;

    /// Zero or null of a type.
    fn default_of(ty: ValType) -> Self;

    /// Why values of a type cannot be in it.
    fn refuses(ty: ValType) -> Option<&'static str>;

    /// A value for C, which owns the reference in it.
    fn give(value: &Val, store: &Arc<StoreCell>) -> Self;

    /// The value, which has to be of this type. A reference stays C's.
    fn value(&self, ty: ValType, store: &Arc<StoreCell>) -> Result<Val, String>;

    /// Deletes what a value of this type owns.
    fn drop_reference(&mut self, ty: ValType, function: &str);
}

/// Calls `use_array` with an array of `count` elements, on the stack if they are few.
#[inline]
pub fn with_array<T: Copy, R>(count: usize, element: T, use_array: impl FnOnce(&mut [T]) -> R) -> R {
    match count {
        0..=4 => use_array(&mut [element; 4][..count]),
        5..=16 => use_array(&mut [element; 16][..count]),
        _ => use_array(&mut vec![element; count]),
    }
}

/// `wasm_val_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CVal {
    pub kind: ValKind,
    pub of: CUnion,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub union CUnion {
    pub i32: i32,
    pub i64: i64,
    pub f32: f32,
    pub f64: f64,
    pub reference: *mut Handle<Reference>,
}

/// Why C and a guest cannot pass a value.
const V128: &str = "a wasm_val_t has no room for a v128: use the raw functions of aot.h";

fn is_ref(kind: ValKind) -> bool {
    kind >= 128
}

impl Slot for CVal {
    const EMPTY: CVal = CVal { kind: 0, of: CUnion { i64: 0 } };

    fn default_of(ty: ValType) -> CVal {
        match ty.is_ref() {
            true => CVal { kind: kind_of(ty), of: CUnion { reference: ptr::null_mut() } },
            false => CVal { kind: kind_of(ty), of: CUnion { i64: 0 } },
        }
    }

    fn refuses(ty: ValType) -> Option<&'static str> {
        (ty == ValType::V128).then_some(V128)
    }

    fn give(value: &Val, store: &Arc<StoreCell>) -> CVal {
        let of = match value {
            Val::I32(value) => CUnion { i32: *value },
            Val::I64(value) => CUnion { i64: *value },
            Val::F32(bits) => CUnion { f32: f32::from_bits(*bits) },
            Val::F64(bits) => CUnion { f64: f64::from_bits(*bits) },
            // Functions with such values are refused before.
            Val::V128(_) => CUnion { i64: 0 },
            Val::FuncRef(_) | Val::ExternRef(_) => CUnion { reference: give_reference(value, store) },
        };
        CVal { kind: kind_of(value.ty()), of }
    }

    fn value(&self, ty: ValType, store: &Arc<StoreCell>) -> Result<Val, String> {
        // SAFETY: C says by the kind which part of the union it has written.
        unsafe {
            Ok(match (ty, self.kind) {
                (ValType::I32, 0) => Val::I32(self.of.i32),
                (ValType::I64, 1) => Val::I64(self.of.i64),
                (ValType::F32, 2) => Val::F32(self.of.f32.to_bits()),
                (ValType::F64, 3) => Val::F64(self.of.f64.to_bits()),
                // The standard's macros for initial values know one kind of reference.
                (ValType::FuncRef | ValType::ExternRef, kind) if is_ref(kind) => {
                    reference_value(self.of.reference, ty, store)?
                }
                (ValType::V128, _) => return Err(V128.to_owned()),
                (_, kind) => {
                    return Err(format!("a value of kind {kind} is passed where an {} is wanted", ty.name()));
                }
            })
        }
    }

    fn drop_reference(&mut self, _ty: ValType, function: &str) {
        self.drop_own_reference(function);
    }
}

impl CVal {
    /// Deletes what the value owns, by its own kind.
    fn drop_own_reference(&mut self, function: &str) {
        if is_ref(self.kind) {
            // SAFETY: C vouches for its pointers; the value owns the reference.
            unsafe {
                Handle::delete(self.of.reference, function);
                self.of.reference = ptr::null_mut();
            }
        }
    }
}

/// A reference for C, which owns it. Null for null, and for what is no reference.
pub fn give_reference(value: &Val, store: &Arc<StoreCell>) -> *mut Handle<Reference> {
    match value {
        Val::FuncRef(Some(func)) => Reference::in_store(Object::Extern(Extern::Func(*func)), store),
        Val::ExternRef(Some(number)) => match store.object(*number) {
            Some(object @ (Object::Extern(_) | Object::Instance(_))) => Reference::in_store(object, store),
            Some(object) => Reference::free(object),
            None => ptr::null_mut(),
        },
        _ => ptr::null_mut(),
    }
}

/// A reference of C as a value of a type.
pub fn reference_value(
    reference: *const Handle<Reference>,
    ty: ValType,
    store: &Arc<StoreCell>,
) -> Result<Val, String> {
    if reference.is_null() {
        return Ok(Val::default_of(ty));
    }
    let reference = get!(reference);
    if reference.store.as_ref().is_some_and(|other| !Arc::ptr_eq(other, store)) {
        return Err("a reference is of another store".to_owned());
    }
    match (ty, &reference.object) {
        (ValType::FuncRef, Object::Extern(Extern::Func(func))) => Ok(Val::FuncRef(Some(*func))),
        (ValType::FuncRef, _) => {
            Err("a reference that is no function is passed where a funcref is wanted".to_owned())
        }
        (ValType::ExternRef, object) => match store.number_of(object) {
            Some(number) => Ok(Val::ExternRef(Some(number))),
            None => Err("the store has as many external references as there can be".to_owned()),
        },
        _ => Err(format!("a reference is passed where an {} is wanted", ty.name())),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_val_delete(value: *mut CVal) {
    // SAFETY: C vouches for its pointers.
    if let Some(value) = unsafe { value.as_mut() } {
        value.drop_own_reference(here!());
    }
}

/// A value with a reference of its own.
fn copy(value: &CVal) -> CVal {
    let mut of = value.of;
    if is_ref(value.kind) {
        // SAFETY: C says by the kind that it has written a reference.
        let reference = unsafe { value.of.reference };
        if !reference.is_null() {
            of.reference = Handle::give(get!(reference).clone());
        }
    }
    CVal { kind: value.kind, of }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_val_copy(out: *mut CVal, value: *const CVal) {
    // SAFETY: C vouches for its pointers.
    unsafe { out.write(copy(handle::plain(value, "a wasm_val_t", here!()))) };
}

vec_functions! {
    CVal, copy |value| copy(value), delete |value| value.drop_own_reference("wasm_val_vec_delete");
    wasm_val_vec_new_empty wasm_val_vec_new_uninitialized wasm_val_vec_new wasm_val_vec_copy wasm_val_vec_delete
}
