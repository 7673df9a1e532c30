//! Values that cross between the host and wasm code.

use super::func::Func;
use super::store::StoreId;
use crate::call::Slot;
use aot_abi::types::ValType;
use core::ptr;

/// A vector of 128 bits: its bytes, the lowest first.
// Aligned as the rest of a value, so that values are copied by words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(8))]
pub struct V128(pub [u8; 16]);

/// A wasm value.
// The representation is a fixed one: see `Val::narrow`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u32)]
pub enum Val {
    I32(i32),
    I64(i64),
    /// Bits of the number: NaNs keep theirs.
    F32(u32),
    /// Bits of the number: NaNs keep theirs.
    F64(u64),
    V128(V128),
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
            ValType::V128 => Val::V128(V128([0; 16])),
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

    /// Writes the bits as compiled code has them in a slot, if the value is of this type and may be used in the store;
    /// what it does not need of the slot stays as it is.
    ///
    /// # Safety
    /// `slot` is valid for writes.
    #[inline]
    pub(super) unsafe fn write(&self, ty: ValType, store: StoreId, slot: *mut Slot) -> bool {
        // SAFETY: the caller vouches for the slot, which is larger than each of these; slots are not aligned.
        unsafe {
            match (self, ty) {
                (Val::I32(value), ValType::I32) => slot.cast::<i32>().write_unaligned(value.to_le()),
                (Val::I64(value), ValType::I64) => slot.cast::<i64>().write_unaligned(value.to_le()),
                (Val::F32(bits), ValType::F32) => slot.cast::<u32>().write_unaligned(bits.to_le()),
                (Val::F64(bits), ValType::F64) => slot.cast::<u64>().write_unaligned(bits.to_le()),
                (Val::V128(V128(bytes)), ValType::V128) => slot.write(*bytes),
                (Val::FuncRef(_), ValType::FuncRef) | (Val::ExternRef(_), ValType::ExternRef)
                    if self.belongs_to(store) =>
                {
                    slot.cast::<*mut ()>().write_unaligned(self.to_ref());
                }
                _ => return false,
            }
        }
        true
    }

    /// As a whole slot, for the store that the value belongs to.
    pub(super) fn to_slot(self, store: StoreId) -> Slot {
        let mut slot = [0; 16];
        // SAFETY: a slot of our own.
        let written = unsafe { self.write(self.ty(), store, &mut slot) };
        debug_assert!(written, "checked by the caller");
        slot
    }

    /// A value of 32 bits, by the number of its variant. It is written as a word: a copy reads words, and must wait long
    /// for one that was written in two parts.
    ///
    /// # Safety
    /// The variant has a field of 32 bits in which all bits are valid.
    #[inline]
    unsafe fn narrow(variant: u32, bits: u32) -> Val {
        let mut word = [0; 8];
        word[..4].copy_from_slice(&variant.to_ne_bytes());
        word[4..].copy_from_slice(&bits.to_ne_bytes());
        // SAFETY: the representation is that of a union of structures, each with the variant's number first, and then,
        // as the caller vouches, 32 bits.
        unsafe { core::mem::transmute::<[u64; 3], Val>([u64::from_ne_bytes(word), 0, 0]) }
    }

    /// # Safety
    /// `slot` holds a value of the type `ty`; a reference in it is one that compiled code of this store gave.
    #[inline]
    pub(super) unsafe fn read(slot: *const Slot, ty: ValType, store: StoreId) -> Val {
        // SAFETY: the caller vouches for the slot; slots are not aligned.
        unsafe {
            match ty {
                ValType::I32 => Val::narrow(0, u32::from_le(slot.cast::<u32>().read_unaligned())),
                ValType::I64 => Val::I64(i64::from_le(slot.cast::<i64>().read_unaligned())),
                ValType::F32 => Val::narrow(2, u32::from_le(slot.cast::<u32>().read_unaligned())),
                ValType::F64 => Val::F64(u64::from_le(slot.cast::<u64>().read_unaligned())),
                ValType::V128 => Val::V128(V128(slot.read())),
                ValType::FuncRef | ValType::ExternRef => {
                    Val::from_ref(slot.cast::<*mut ()>().read_unaligned(), ty, store)
                }
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
