//! Rust types that are wasm types: what typed functions take and return.

use crate::call::{Activation, Slot};
use crate::vmctx::VmContext;
use alloc::vec;
use alloc::vec::Vec;
use aot_abi::types::{FuncType, ValType};
use core::mem::transmute;

/// A Rust type that is a wasm number type.
///
/// # Safety
/// `Abi` is the C type of `TYPE`.
pub unsafe trait WasmTy: Copy + Send + Sync + 'static {
    /// What C functions take and return.
    type Abi: Copy;
    const TYPE: ValType;

    fn into_abi(self) -> Self::Abi;
    fn from_abi(abi: Self::Abi) -> Self;
    fn to_slot(self) -> Slot;
    fn from_slot(slot: &Slot) -> Self;
}

macro_rules! wasm_ty {
    ($($ty:ty, $abi:ty, $val:ident, $bytes:literal;)*) => {
        $(
            // SAFETY: the C type of the same width.
            unsafe impl WasmTy for $ty {
                type Abi = $abi;
                const TYPE: ValType = ValType::$val;

                #[inline]
                fn into_abi(self) -> $abi {
                    <$abi>::from_le_bytes(self.to_le_bytes())
                }

                #[inline]
                fn from_abi(abi: $abi) -> $ty {
                    <$ty>::from_le_bytes(abi.to_le_bytes())
                }

                #[inline]
                fn to_slot(self) -> Slot {
                    let mut slot = [0; 16];
                    slot[..$bytes].copy_from_slice(&self.to_le_bytes());
                    slot
                }

                #[inline]
                fn from_slot(slot: &Slot) -> $ty {
                    let mut bytes = [0; $bytes];
                    bytes.copy_from_slice(&slot[..$bytes]);
                    <$ty>::from_le_bytes(bytes)
                }
            }
        )*
    };
}

wasm_ty! {
    i32, i32, I32, 4;
    u32, i32, I32, 4;
    i64, i64, I64, 8;
    u64, i64, I64, 8;
    f32, f32, F32, 4;
    f64, f64, F64, 8;
}

// SAFETY: a number of 32 bits.
unsafe impl WasmTy for bool {
    type Abi = i32;
    const TYPE: ValType = ValType::I32;

    #[inline]
    fn into_abi(self) -> i32 {
        i32::from(self)
    }

    #[inline]
    fn from_abi(abi: i32) -> bool {
        abi != 0
    }

    #[inline]
    fn to_slot(self) -> Slot {
        i32::from(self).to_slot()
    }

    #[inline]
    fn from_slot(slot: &Slot) -> bool {
        i32::from_slot(slot) != 0
    }
}

/// Where a typed call goes.
#[derive(Clone, Copy)]
pub struct Target {
    pub(super) entry: *const u8,
    pub(super) vmctx: *mut VmContext,
}

/// The parameters of a typed function: a number, or a tuple of up to 16.
///
/// # Safety
/// `call` passes arguments of the types that `types` says.
pub unsafe trait WasmParams: Send {
    fn types() -> Vec<ValType>;

    /// Calls a typed entry trampoline whose result is `R`.
    ///
    /// # Safety
    /// The function has these parameters and this result; `activation` is the record of the entry.
    unsafe fn call<R>(self, target: Target, activation: *mut Activation) -> R;

    /// Writes the parameters to slots; there are enough.
    fn store(self, slots: &mut [Slot]);
}

/// The results of a typed function: nothing, a number, or a tuple of up to 16.
///
/// # Safety
/// `Abi` is the C result for the types that `types` says, if `IS_C`.
pub unsafe trait WasmResults: Sized + Send {
    type Abi: Copy;
    /// Whether a C function can return them.
    const IS_C: bool;
    /// How many there are.
    const COUNT: usize;

    fn types() -> Vec<ValType>;
    fn from_abi(abi: Self::Abi) -> Self;
    /// Only called if `IS_C`.
    fn into_abi(self) -> Self::Abi;
    fn store(self, slots: &mut [Slot]);
    fn load(slots: &[Slot]) -> Self;
}

/// More slots than any typed function needs.
pub(super) const MAX_TYPED: usize = 16;

// SAFETY: one argument of its own type.
unsafe impl<A: WasmTy> WasmParams for A {
    fn types() -> Vec<ValType> {
        vec![A::TYPE]
    }

    #[inline]
    unsafe fn call<R>(self, target: Target, activation: *mut Activation) -> R {
        // SAFETY: the caller vouches for the target.
        unsafe { (self,).call(target, activation) }
    }

    #[inline]
    fn store(self, slots: &mut [Slot]) {
        slots[0] = self.to_slot();
    }
}

// SAFETY: one result of its own type.
unsafe impl<A: WasmTy> WasmResults for A {
    type Abi = A::Abi;
    const IS_C: bool = true;
    const COUNT: usize = 1;

    fn types() -> Vec<ValType> {
        vec![A::TYPE]
    }

    #[inline]
    fn from_abi(abi: A::Abi) -> A {
        A::from_abi(abi)
    }

    #[inline]
    fn into_abi(self) -> A::Abi {
        WasmTy::into_abi(self)
    }

    #[inline]
    fn store(self, slots: &mut [Slot]) {
        slots[0] = self.to_slot();
    }

    #[inline]
    fn load(slots: &[Slot]) -> A {
        A::from_slot(&slots[0])
    }
}

/// Calls a macro with the names of the types of each number of parameters.
macro_rules! for_each_arity {
    ($macro:ident) => {
        $macro!();
        $macro!(A1);
        $macro!(A1 A2);
        $macro!(A1 A2 A3);
        $macro!(A1 A2 A3 A4);
        $macro!(A1 A2 A3 A4 A5);
        $macro!(A1 A2 A3 A4 A5 A6);
        $macro!(A1 A2 A3 A4 A5 A6 A7);
        $macro!(A1 A2 A3 A4 A5 A6 A7 A8);
        $macro!(A1 A2 A3 A4 A5 A6 A7 A8 A9);
        $macro!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10);
        $macro!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11);
        $macro!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12);
        $macro!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13);
        $macro!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 A14);
        $macro!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 A14 A15);
        $macro!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 A14 A15 A16);
    };
}
pub(super) use for_each_arity;

macro_rules! params {
    ($($a:ident)*) => {
        // SAFETY: the arguments are those of the tuple, in order.
        #[allow(non_snake_case, unused, reason = "there may be no parameters")]
        unsafe impl<$($a: WasmTy),*> WasmParams for ($($a,)*) {
            fn types() -> Vec<ValType> {
                vec![$($a::TYPE),*]
            }

            #[inline]
            unsafe fn call<R>(self, target: Target, activation: *mut Activation) -> R {
                type Entry<R, $($a),*> = unsafe extern "C" fn(
                    *mut VmContext, $(<$a as WasmTy>::Abi,)* *mut Activation
                ) -> R;
                let ($($a,)*) = self;
                // SAFETY: the caller vouches for the trampoline being one of this type.
                let entry = unsafe { transmute::<*const u8, Entry<R, $($a),*>>(target.entry) };
                // SAFETY: as above.
                unsafe { entry(target.vmctx, $($a.into_abi(),)* activation) }
            }

            #[inline]
            fn store(self, slots: &mut [Slot]) {
                let ($($a,)*) = self;
                let mut slots = slots.iter_mut();
                $(if let Some(slot) = slots.next() {
                    *slot = $a.to_slot();
                })*
            }
        }

        impl<$($a: WasmTy),*> TupleResults for ($($a,)*) {
            fn types() -> Vec<ValType> {
                vec![$($a::TYPE),*]
            }

            #[inline]
            #[allow(non_snake_case, unused, reason = "there may be no results")]
            fn store(self, slots: &mut [Slot]) {
                let ($($a,)*) = self;
                let mut slots = slots.iter_mut();
                $(if let Some(slot) = slots.next() {
                    *slot = $a.to_slot();
                })*
            }

            #[inline]
            #[allow(unused, clippy::unused_unit, reason = "there may be no results")]
            fn load(slots: &[Slot]) -> Self {
                let mut slots = slots.iter();
                ($($a::from_slot(slots.next().expect("a slot for each result")),)*)
            }
        }
    };
}
for_each_arity!(params);

/// What results that are tuples have in common.
trait TupleResults {
    fn types() -> Vec<ValType>;
    fn store(self, slots: &mut [Slot]);
    fn load(slots: &[Slot]) -> Self;
}

macro_rules! results {
    () => {
        results!(@impl true,);
    };
    ($one:ident) => {};
    ($($a:ident)*) => {
        results!(@impl false, $($a)*);
    };
    (@impl $is_c:literal, $($a:ident)*) => {
        // SAFETY: no result; or more than C can return, and then the C result is not used.
        unsafe impl<$($a: WasmTy),*> WasmResults for ($($a,)*) {
            type Abi = ();
            const IS_C: bool = $is_c;
            const COUNT: usize = {
                const NAMES: &[&str] = &[$(stringify!($a)),*];
                NAMES.len()
            };

            fn types() -> Vec<ValType> {
                <Self as TupleResults>::types()
            }

            #[inline]
            fn from_abi((): ()) -> Self {
                // Without results there is nothing to load.
                <Self as TupleResults>::load(&[])
            }

            #[inline]
            fn into_abi(self) {}

            #[inline]
            fn store(self, slots: &mut [Slot]) {
                TupleResults::store(self, slots);
            }

            #[inline]
            fn load(slots: &[Slot]) -> Self {
                <Self as TupleResults>::load(slots)
            }
        }
    };
}
for_each_arity!(results);

// SAFETY: as the number itself.
unsafe impl<A: WasmTy> WasmResults for (A,) {
    type Abi = A::Abi;
    const IS_C: bool = true;
    const COUNT: usize = 1;

    fn types() -> Vec<ValType> {
        vec![A::TYPE]
    }

    #[inline]
    fn from_abi(abi: A::Abi) -> (A,) {
        (A::from_abi(abi),)
    }

    #[inline]
    fn into_abi(self) -> A::Abi {
        WasmTy::into_abi(self.0)
    }

    #[inline]
    fn store(self, slots: &mut [Slot]) {
        slots[0] = self.0.to_slot();
    }

    #[inline]
    fn load(slots: &[Slot]) -> (A,) {
        (A::from_slot(&slots[0]),)
    }
}

/// The function type of these parameters and results.
pub(super) fn func_type<P: WasmParams, R: WasmResults>() -> FuncType {
    FuncType { params: P::types(), results: R::types() }
}
