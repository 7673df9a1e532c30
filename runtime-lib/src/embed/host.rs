//! Host functions: closures that wasm code calls.
//!
//! Wasm code calls an imported function by its code and a context. The context of a host function is a
//! [`HostContext`], one for each instance that imports the function, so that the function knows who calls. The code is
//! either a Rust function that takes the arguments where wasm code has them, in registers, or a trampoline of the
//! importing module that takes them through memory. Neither allocates or looks anything up.

use super::activation::Pending;
use super::convert::{WasmParams, WasmResults, WasmTy, for_each_arity};
use super::error::{Error, HostError};
use super::instance::Extern;
use super::items::Memory;
use super::store::{AsContext, AsContextMut, StoreBase, StoreContext, StoreContextMut, StoreInner};
use super::types::type_id;
use super::value::Val;
use crate::call::Slot;
use crate::instance::Instance;
use crate::memory;
use crate::vmctx::{FuncRef, VmContext};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use aot_abi::types::FuncType;
use core::any::Any;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a host function finds where wasm functions have their VM context. Host trampolines know the first field
/// (`aot_abi::call`).
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct HostContext {
    array: ArrayCall,
    closure: *const (),
    store: NonNull<StoreBase>,
    /// The instance that imports the function; null if the host calls it.
    pub caller: *mut VmContext,
    /// The memory of the caller; null if it has none.
    pub memory: *mut memory::Memory,
    ty: *const FuncType,
}

/// Calls a host function with arguments and results in slots. Returns 0, or 1 after the store got the reason.
pub(super) type ArrayCall = unsafe extern "C" fn(*mut HostContext, *mut Slot) -> u32;

/// A host function, for any number of stores and instances.
pub struct HostFunc {
    ty: FuncType,
    type_id: u32,
    array: ArrayCall,
    /// Takes its arguments as wasm code passes them; null if that is not possible.
    direct: *const u8,
    closure: Box<dyn Any + Send + Sync>,
}

// SAFETY: the pointer is to code.
unsafe impl Send for HostFunc {}
// SAFETY: as above.
unsafe impl Sync for HostFunc {}

impl HostFunc {
    fn new<F: Send + Sync + 'static>(
        ty: FuncType,
        array: ArrayCall,
        direct: *const u8,
        closure: F,
    ) -> HostFunc {
        HostFunc { type_id: type_id(&ty), ty, array, direct, closure: Box::new(closure) }
    }

    /// A function of any type, with its arguments and results as slices of values.
    pub(super) fn untyped<T: 'static, F>(ty: FuncType, closure: F) -> HostFunc
    where
        F: Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<(), HostError> + Send + Sync + 'static,
    {
        HostFunc::new(ty, call_untyped::<T, F>, ptr::null(), closure)
    }

    pub fn ty(&self) -> &FuncType {
        &self.ty
    }

    pub(super) fn type_id(&self) -> u32 {
        self.type_id
    }

    /// Its code for wasm code, if it needs no trampoline.
    pub(super) fn direct(&self) -> *const u8 {
        self.direct
    }

    /// The context for a store, without a caller. The function has to outlive it.
    pub(super) fn context(&self, store: NonNull<StoreBase>) -> HostContext {
        let closure = ptr::from_ref(&*self.closure).cast();
        let (caller, memory) = (ptr::null_mut(), ptr::null_mut());
        HostContext { array: self.array, closure, store, caller, memory, ty: &raw const self.ty }
    }
}

impl HostContext {
    /// The context of a function, if it is one of the host.
    ///
    /// # Safety
    /// The function is one of a store that exists.
    pub unsafe fn of(func: *const FuncRef) -> Option<HostContext> {
        // SAFETY: the caller vouches for the function; without an entry it is the host's, with a context of this type.
        unsafe { (*func).entry.is_null().then(|| *(*func).vmctx.cast::<HostContext>()) }
    }

    /// Calls the function for the host. Returns whether it failed; the store then has the reason.
    ///
    /// # Safety
    /// The slots are those of its type; the store and the function exist.
    pub unsafe fn call(context: *mut HostContext, slots: *mut Slot) -> bool {
        // SAFETY: the caller vouches for all.
        unsafe { ((*context).array)(context, slots) != 0 }
    }
}

/// The one that calls a host function: its store, and its instance.
pub struct Caller<'a, T: 'static> {
    inner: NonNull<StoreInner<T>>,
    vmctx: *mut VmContext,
    /// Null if there is none.
    memory: *mut memory::Memory,
    borrow: PhantomData<&'a mut StoreInner<T>>,
}

impl<T: 'static> Caller<'_, T> {
    /// # Safety
    /// The context is that of a function of a store with the data `T`, whose guest waits for the function.
    unsafe fn new(context: *mut HostContext) -> Self {
        // SAFETY: the caller vouches for the context; the store's data follows its base.
        unsafe {
            let HostContext { store, caller, memory, .. } = *context;
            Caller { inner: store.cast(), vmctx: caller, memory, borrow: PhantomData }
        }
    }

    /// The host's data.
    #[inline]
    pub fn data(&self) -> &T {
        // SAFETY: the store waits for the host function, which has this as its only way to it.
        unsafe { &self.inner.as_ref().data }
    }

    /// The host's data.
    #[inline]
    pub fn data_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut self.inner.as_mut().data }
    }

    /// What the calling instance exports under a name. `None` too if the host called the function itself.
    pub fn get_export(&mut self, name: &str) -> Option<Extern> {
        let store = self.as_context_mut().base().id;
        // SAFETY: the instance waits for the host function.
        let instance = unsafe { (!self.vmctx.is_null()).then(|| Instance::of(self.vmctx))? };
        Extern::of_instance(instance, name, store)
    }

    /// The memory that the calling instance exports as `memory`, found without a search. If modules were linked to make the
    /// instance, it is that of the one that imports the function.
    #[inline]
    pub fn memory(&self) -> Option<Memory> {
        let store = self.as_context().base().id;
        (!self.memory.is_null()).then(|| Memory::from_raw(self.memory, store))
    }

    /// The bytes of the memory that the calling instance exports as `memory`, and the host's data. The bytes are none
    /// if there is no such memory.
    #[inline]
    pub fn memory_and_data(&mut self) -> (&mut [u8], &mut T) {
        // SAFETY: the guest waits for the host function, so nothing else uses its memory, which is no part of the data.
        unsafe {
            let bytes = match self.memory.as_ref() {
                Some(memory) => core::slice::from_raw_parts_mut(memory.base(), memory.len()),
                None => &mut [],
            };
            (bytes, &mut self.inner.as_mut().data)
        }
    }

    /// Whether an instance calls, and not the host.
    pub(super) fn is_instance(&self) -> bool {
        !self.vmctx.is_null()
    }

    pub(super) fn raw_memory(&self) -> Option<*mut memory::Memory> {
        (!self.memory.is_null()).then_some(self.memory)
    }
}

impl<T: 'static> AsContext for Caller<'_, T> {
    type Data = T;

    #[inline]
    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext { inner: self.inner, borrow: PhantomData }
    }
}

impl<T: 'static> AsContextMut for Caller<'_, T> {
    #[inline]
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        StoreContextMut { inner: self.inner, borrow: PhantomData }
    }
}

/// What a host function returns: results, or a `Result` of them with any error.
pub trait HostResults {
    type Results: WasmResults;

    fn into_result(self) -> Result<Self::Results, HostError>;
}

impl<R: WasmResults> HostResults for R {
    type Results = R;

    #[inline]
    fn into_result(self) -> Result<R, HostError> {
        Ok(self)
    }
}

impl<R: WasmResults, E: Into<HostError>> HostResults for Result<R, E> {
    type Results = R;

    #[inline]
    fn into_result(self) -> Result<R, HostError> {
        self.map_err(Into::into)
    }
}

/// A closure that is a host function: `Fn(numbers…) -> results`, with or without a [`Caller`] first.
pub trait IntoFunc<T, Params, Results>: Send + Sync + 'static {
    fn into_func(self) -> HostFunc;
}

/// Runs the body of a host function. `None`: it failed, and the store has the reason.
#[inline]
unsafe fn run<R: HostResults>(store: NonNull<StoreBase>, body: impl FnOnce() -> R) -> Option<R::Results> {
    let pending = match catch_unwind(AssertUnwindSafe(|| body().into_result())) {
        Ok(Ok(results)) => return Some(results),
        Ok(Err(error)) => Pending::Error(Error::from_host(error)),
        Err(payload) => Pending::Panic(payload),
    };
    // SAFETY: the caller vouches for the store.
    unsafe { (*store.as_ptr()).pending = Some(pending) };
    None
}

/// Whether wasm code passes arguments and result of this type as C does: on x86-64 both use the same registers, as long
/// as there are enough.
fn fits_registers(ty: &FuncType) -> bool {
    let floats = ty
        .params
        .iter()
        .filter(|ty| matches!(ty, aot_abi::types::ValType::F32 | aot_abi::types::ValType::F64));
    let floats = floats.count();
    // One is for the context.
    cfg!(target_arch = "x86_64") && ty.is_c() && ty.params.len() - floats <= 5 && floats <= 8
}

macro_rules! into_func {
    ($($a:ident)*) => {
        impl<T: 'static, F, R, $($a: WasmTy),*> IntoFunc<T, ($($a,)*), R> for F
        where
            F: Fn($($a),*) -> R + Send + Sync + 'static,
            R: HostResults + 'static,
        {
            #[allow(non_snake_case, reason = "types and their values have one name")]
            fn into_func(self) -> HostFunc {
                let with_caller = move |_: Caller<'_, T>, $($a: $a),*| self($($a),*);
                IntoFunc::<T, (Caller<'_, T>, $($a,)*), R>::into_func(with_caller)
            }
        }

        impl<T: 'static, F, R, $($a: WasmTy),*> IntoFunc<T, (Caller<'_, T>, $($a,)*), R> for F
        where
            F: Fn(Caller<'_, T>, $($a),*) -> R + Send + Sync + 'static,
            R: HostResults + 'static,
        {
            #[allow(non_snake_case, unused, reason = "types and their values have one name; there may be none")]
            fn into_func(self) -> HostFunc {
                /// # Safety
                /// As [`ArrayCall`]; the context is that of this function.
                unsafe extern "C" fn array<T: 'static, F, R, $($a: WasmTy),*>(
                    context: *mut HostContext,
                    slots: *mut Slot,
                ) -> u32
                where
                    F: Fn(Caller<'_, T>, $($a),*) -> R,
                    R: HostResults,
                {
                    // SAFETY: the caller vouches for the context, and for slots for all parameters and results.
                    let results = unsafe {
                        let closure = &*(*context).closure.cast::<F>();
                        let mut next = slots;
                        $(
                            let $a = $a::from_slot(&*next);
                            next = next.add(1);
                        )*
                        run((*context).store, || closure(Caller::new(context), $($a),*))
                    };
                    let Some(results) = results else { return 1 };
                    let count = <R::Results as WasmResults>::COUNT;
                    // SAFETY: as above.
                    results.store(unsafe { core::slice::from_raw_parts_mut(slots, count) });
                    0
                }

                /// # Safety
                /// Called by wasm code; the context is that of this function.
                #[cfg(target_arch = "x86_64")]
                unsafe extern "C" fn direct<T: 'static, F, R, $($a: WasmTy),*>(
                    context: *mut HostContext,
                    $($a: $a::Abi),*
                ) -> <R::Results as WasmResults>::Abi
                where
                    F: Fn(Caller<'_, T>, $($a),*) -> R,
                    R: HostResults,
                {
                    // SAFETY: the caller vouches for the context.
                    let results = unsafe {
                        let closure = &*(*context).closure.cast::<F>();
                        run((*context).store, || closure(Caller::new(context), $($a::from_abi($a)),*))
                    };
                    match results {
                        Some(results) => results.into_abi(),
                        // SAFETY: wasm code called; nothing in this frame is left to drop.
                        None => unsafe { super::activation::raise_host_error() },
                    }
                }

                let ty = FuncType {
                    params: <($($a,)*) as WasmParams>::types(),
                    results: <R::Results as WasmResults>::types(),
                };
                #[cfg(target_arch = "x86_64")]
                let code = match fits_registers(&ty) {
                    true => direct::<T, F, R, $($a),*> as *const u8,
                    false => ptr::null(),
                };
                #[cfg(not(target_arch = "x86_64"))]
                let code = ptr::null();
                HostFunc::new(ty, array::<T, F, R, $($a),*>, code, self)
            }
        }
    };
}
for_each_arity!(into_func);

/// How many values an untyped host function takes and returns without an allocation.
const FEW: usize = 16;

/// # Safety
/// As [`ArrayCall`]; the context is that of an untyped function with this closure.
unsafe extern "C" fn call_untyped<T: 'static, F>(context: *mut HostContext, slots: *mut Slot) -> u32
where
    F: Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<(), HostError> + 'static,
{
    // SAFETY: the caller vouches for the context.
    let (ty, closure, store, id) = unsafe {
        let HostContext { closure, store, ty, .. } = *context;
        (&*ty, &*closure.cast::<F>(), store, store.as_ref().id)
    };
    let (params, results) = (ty.params.len(), ty.results.len());
    let mut few = [const { MaybeUninit::<Val>::uninit() }; FEW];
    let mut many: Vec<MaybeUninit<Val>>;
    let values: *mut Val = match params + results <= FEW {
        true => few.as_mut_ptr().cast(),
        false => {
            many = vec![MaybeUninit::uninit(); params + results];
            many.as_mut_ptr().cast()
        }
    };
    // SAFETY: there is a place for each; the caller vouches for slots for all parameters and results, in which compiled
    // code wrote values of these types.
    let (args, outputs) = unsafe {
        for (index, ty) in ty.params.iter().enumerate() {
            values.add(index).write(Val::read(slots.add(index), *ty, id));
        }
        for (index, ty) in ty.results.iter().enumerate() {
            values.add(params + index).write(Val::default_of(*ty));
        }
        let args = core::slice::from_raw_parts(values, params);
        (args, core::slice::from_raw_parts_mut(values.add(params), results))
    };
    // SAFETY: the store waits for the function.
    let done = unsafe {
        run(store, || -> Result<(), HostError> {
            closure(Caller::new(context), args, outputs)?;
            for (index, (output, ty)) in outputs.iter().zip(&ty.results).enumerate() {
                // The caller vouches for a slot for each result.
                if !output.write(*ty, id, slots.add(index)) {
                    return Err("the results do not fit the function's type or store".into());
                }
            }
            Ok(())
        })
    };
    u32::from(done.is_none())
}
