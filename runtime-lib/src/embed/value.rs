//! Values that cross between the host and wasm code.

use super::func::Func;
use super::store::StoreId;
use crate::call::Slot;
use aot_abi::types::ValType;
use core::ptr;

/// A wasm value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Val {
    I32(i32),
    I64(i64),
    /// Bits of the number: NaNs keep theirs.
    F32(u32),
    /// Bits of the number: NaNs keep theirs.
    F64(u64),
    V128([u8; 16]),
    FuncRef(Option<Func>),
    /// A number of the host's choice.
    ExternRef(Option<u32>),
}

impl Val {
    /// The value's type.
    pub fn ty(&self) -> ValType {
        match self {
            Val::I32(_) => ValType::I32,
            Val::I64(_) => ValType::I64,
            Val::F32(_) => ValType::F32,
            Val::F64(_) => ValType::F64,
            Val::V128(_) => ValType::V128,
            Val::FuncRef(_) => ValType::FuncRef,
            Val::ExternRef(_) => ValType::ExternRef,
        }
    }

    /// Zero or null of a type.
    pub fn default_of(ty: ValType) -> Val {
        match ty {
            ValType::I32 => Val::I32(0),
            ValType::I64 => Val::I64(0),
            ValType::F32 => Val::F32(0),
            ValType::F64 => Val::F64(0),
            ValType::V128 => Val::V128([0; 16]),
            ValType::FuncRef => Val::FuncRef(None),
            ValType::ExternRef => Val::ExternRef(None),
        }
    }

    /// The number, if it is an `i32`.
    pub fn i32(&self) -> Option<i32> {
        if let Val::I32(value) = self { Some(*value) } else { None }
    }

    /// The number, if it is an `i64`.
    pub fn i64(&self) -> Option<i64> {
        if let Val::I64(value) = self { Some(*value) } else { None }
    }

    /// The number, if it is an `f32`.
    pub fn f32(&self) -> Option<f32> {
        if let Val::F32(bits) = self { Some(f32::from_bits(*bits)) } else { None }
    }

    /// The number, if it is an `f64`.
    pub fn f64(&self) -> Option<f64> {
        if let Val::F64(bits) = self { Some(f64::from_bits(*bits)) } else { None }
    }

    /// Whether it may be used in a store: functions are of one store.
    pub(super) fn belongs_to(&self, store: StoreId) -> bool {
        match self {
            Val::FuncRef(Some(func)) => func.store() == store,
            _ => true,
        }
    }

    /// The reference as compiled code has it; null for numbers.
    pub(super) fn to_ref(self) -> *mut () {
        match self {
            Val::FuncRef(Some(func)) => func.raw().cast(),
            // Zero is null, so host numbers are moved up by one.
            Val::ExternRef(Some(number)) => ptr::without_provenance_mut(number as usize + 1),
            _ => ptr::null_mut(),
        }
    }

    /// # Safety
    /// A reference is one of the store that the bits are for.
    pub(super) fn to_slot(self) -> Slot {
        let mut slot = [0; 16];
        match self {
            Val::I32(value) => slot[..4].copy_from_slice(&value.to_le_bytes()),
            Val::I64(value) => slot[..8].copy_from_slice(&value.to_le_bytes()),
            Val::F32(bits) => slot[..4].copy_from_slice(&bits.to_le_bytes()),
            Val::F64(bits) => slot[..8].copy_from_slice(&bits.to_le_bytes()),
            Val::V128(bytes) => slot = bytes,
            Val::FuncRef(_) | Val::ExternRef(_) => {
                slot[..size_of::<usize>()].copy_from_slice(&self.to_ref().expose_provenance().to_ne_bytes());
            }
        }
        slot
    }

    /// # Safety
    /// A reference in the slot is one that compiled code of this store gave.
    pub(super) unsafe fn from_slot(slot: &Slot, ty: ValType, store: StoreId) -> Val {
        let low4 = [slot[0], slot[1], slot[2], slot[3]];
        let low8 = [slot[0], slot[1], slot[2], slot[3], slot[4], slot[5], slot[6], slot[7]];
        match ty {
            ValType::I32 => Val::I32(i32::from_le_bytes(low4)),
            ValType::I64 => Val::I64(i64::from_le_bytes(low8)),
            ValType::F32 => Val::F32(u32::from_le_bytes(low4)),
            ValType::F64 => Val::F64(u64::from_le_bytes(low8)),
            ValType::V128 => Val::V128(*slot),
            ValType::FuncRef | ValType::ExternRef => {
                let mut word = [0; size_of::<usize>()];
                word.copy_from_slice(&slot[..size_of::<usize>()]);
                let reference = ptr::with_exposed_provenance_mut(usize::from_ne_bytes(word));
                // SAFETY: the caller vouches for the reference.
                unsafe { Val::from_ref(reference, ty, store) }
            }
        }
    }

    /// # Safety
    /// The reference is one that compiled code of this store gave, of the type `ty`.
    pub(super) unsafe fn from_ref(reference: *mut (), ty: ValType, store: StoreId) -> Val {
        match ty {
            ValType::FuncRef => {
                // SAFETY: the caller vouches for the reference.
                let func = |reference: *mut ()| unsafe { Func::from_raw(reference.cast(), store) };
                Val::FuncRef((!reference.is_null()).then(|| func(reference)))
            }
            _ => Val::ExternRef((reference.addr() as u32).checked_sub(1)),
        }
    }
}

macro_rules! from_number {
    ($($ty:ty => $variant:ident($value:ident) $convert:expr;)*) => {
        $(impl From<$ty> for Val {
            fn from($value: $ty) -> Val {
                Val::$variant($convert)
            }
        })*
    };
}

from_number! {
    i32 => I32(value) value;
    u32 => I32(value) value.cast_signed();
    i64 => I64(value) value;
    u64 => I64(value) value.cast_signed();
    f32 => F32(value) value.to_bits();
    f64 => F64(value) value.to_bits();
}
