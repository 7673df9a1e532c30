//! Values without their kind, 16 bytes each: for callers that know the type, and for vectors.

use crate::handle::Handle;
use crate::reference::Reference;
use crate::store::StoreCell;
use crate::value::{Slot, give_reference, reference_value};
use aot_runtime::embed::{V128, Val, ValType};
use core::ptr;
use std::sync::Arc;

/// `aot_raw_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub union CRaw {
    i32: i32,
    i64: i64,
    f32: f32,
    f64: f64,
    v128: [u8; 16],
    reference: *mut Handle<Reference>,
}

impl Slot for CRaw {
    const EMPTY: CRaw = CRaw { v128: [0; 16] };

    fn default_of(_ty: ValType) -> CRaw {
        CRaw::EMPTY
    }

    fn refuses(_ty: ValType) -> Option<&'static str> {
        None
    }

    fn give(value: &Val, store: &Arc<StoreCell>) -> CRaw {
        match value {
            Val::I32(value) => CRaw { i32: *value },
            Val::I64(value) => CRaw { i64: *value },
            Val::F32(bits) => CRaw { f32: f32::from_bits(*bits) },
            Val::F64(bits) => CRaw { f64: f64::from_bits(*bits) },
            Val::V128(bytes) => CRaw { v128: bytes.0 },
            Val::FuncRef(_) | Val::ExternRef(_) => CRaw { reference: give_reference(value, store) },
        }
    }

    fn value(&self, ty: ValType, store: &Arc<StoreCell>) -> Result<Val, String> {
        // SAFETY: C has written a value of the type.
        unsafe {
            Ok(match ty {
                ValType::I32 => Val::I32(self.i32),
                ValType::I64 => Val::I64(self.i64),
                ValType::F32 => Val::F32(self.f32.to_bits()),
                ValType::F64 => Val::F64(self.f64.to_bits()),
                ValType::V128 => Val::V128(V128(self.v128)),
                ValType::FuncRef | ValType::ExternRef => reference_value(self.reference, ty, store)?,
            })
        }
    }

    fn drop_reference(&mut self, ty: ValType, function: &str) {
        if ty.is_ref() {
            // SAFETY: C has written a reference, which the value owns.
            unsafe {
                Handle::delete(self.reference, function);
                self.reference = ptr::null_mut();
            }
        }
    }
}
