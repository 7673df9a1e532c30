//! Values that cross between the host and wasm code untyped.

use super::store::Func;
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

    /// The reference as compiled code has it; null for numbers.
    pub(super) fn to_ref(self) -> *mut () {
        match self {
            Val::FuncRef(Some(func)) => func.raw().cast(),
            // Zero is null, so host numbers are moved up by one.
            Val::ExternRef(Some(number)) => ptr::without_provenance_mut(number as usize + 1),
            _ => ptr::null_mut(),
        }
    }

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
    pub(super) unsafe fn from_slot(slot: &Slot, ty: ValType) -> Val {
        let low4 = [slot[0], slot[1], slot[2], slot[3]];
        let low8 = [slot[0], slot[1], slot[2], slot[3], slot[4], slot[5], slot[6], slot[7]];
        let mut word = [0; size_of::<usize>()];
        word.copy_from_slice(&slot[..size_of::<usize>()]);
        match ty {
            ValType::I32 => Val::I32(i32::from_le_bytes(low4)),
            ValType::I64 => Val::I64(i64::from_le_bytes(low8)),
            ValType::F32 => Val::F32(u32::from_le_bytes(low4)),
            ValType::F64 => Val::F64(u64::from_le_bytes(low8)),
            ValType::V128 => Val::V128(*slot),
            // SAFETY: the caller vouches for the reference.
            _ => unsafe { Val::from_ref(ptr::with_exposed_provenance_mut(usize::from_ne_bytes(word)), ty) },
        }
    }

    /// # Safety
    /// The reference is one that compiled code of this store gave, of the type `ty`.
    pub(super) unsafe fn from_ref(reference: *mut (), ty: ValType) -> Val {
        match ty {
            ValType::FuncRef => {
                // SAFETY: the caller vouches for the reference.
                Val::FuncRef((!reference.is_null()).then(|| unsafe { Func::from_raw(reference.cast()) }))
            }
            _ => Val::ExternRef((reference.addr() as u32).checked_sub(1)),
        }
    }
}
