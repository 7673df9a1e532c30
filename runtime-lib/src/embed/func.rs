//! Functions of a store, and calls of them.

use super::activation::{Pending, enter};
use super::code::with_module_at;
use super::convert::{MAX_TYPED, Target, WasmParams, WasmResults, func_type};
use super::error::{Error, HostError};
use super::host::{Caller, HostContext, HostFunc, IntoFunc};
use super::store::{AsContext, AsContextMut, OwnFunc, StoreBase, StoreContextMut, StoreId};
use super::types::{signature_text, type_of};
use super::value::Val;
use crate::call::{self, Slot};
use crate::vmctx::FuncRef;
use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use aot_abi::types::FuncType;
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};

/// A function of a store: of an instance, or of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Func {
    raw: NonNull<FuncRef>,
    store: StoreId,
}

// SAFETY: the pointer is only followed with the store at hand, which the number checks.
unsafe impl Send for Func {}
// SAFETY: as above.
unsafe impl Sync for Func {}

/// How many values a call takes and returns without an allocation.
const FEW: usize = 16;

impl Func {
    /// Makes a function of a closure over numbers: `Fn(i32, f64) -> i64`, with a [`Caller`] as first parameter if it
    /// wants one, and with a `Result` of any error if it can fail. Errors end the guest, and the call of the guest
    /// returns them.
    pub fn wrap<T: 'static, P, R>(
        mut store: impl AsContextMut<Data = T>,
        closure: impl IntoFunc<T, P, R>,
    ) -> Func {
        Func::of_host(&mut store.as_context_mut(), Arc::new(closure.into_func()))
    }

    /// Makes a function of any type of a closure over slices of values. The results are zero or null when it is called.
    pub fn new<T: 'static, E: Into<HostError>>(
        mut store: impl AsContextMut<Data = T>,
        ty: FuncType,
        closure: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<(), E> + Send + Sync + 'static,
    ) -> Func {
        let closure = move |caller: Caller<'_, T>, args: &[Val], results: &mut [Val]| {
            closure(caller, args, results).map_err(Into::into)
        };
        Func::of_host(&mut store.as_context_mut(), Arc::new(HostFunc::untyped(ty, closure)))
    }

    pub(super) fn of_host<T: 'static>(store: &mut StoreContextMut<'_, T>, func: Arc<HostFunc>) -> Func {
        let funcref = FuncRef {
            code: func.direct(),
            vmctx: ptr::null_mut(),
            entry: ptr::null(),
            type_id: func.type_id(),
        };
        let context = func.context(store.base_ptr());
        let own = Box::new(UnsafeCell::new(OwnFunc { funcref, context, _func: func }));
        let raw = own.get();
        // SAFETY: the box is new, and its content does not move.
        let raw = unsafe {
            (*raw).funcref.vmctx = (&raw mut (*raw).context).cast();
            NonNull::new_unchecked(&raw mut (*raw).funcref)
        };
        store.base_mut().funcs.push(own);
        Func { raw, store: store.base().id }
    }

    pub(super) fn raw(self) -> *mut FuncRef {
        self.raw.as_ptr()
    }

    pub(super) fn store(self) -> StoreId {
        self.store
    }

    /// # Safety
    /// `raw` is a function of the store.
    pub(super) unsafe fn from_raw(raw: *mut FuncRef, store: StoreId) -> Func {
        // SAFETY: functions are never null.
        Func { raw: unsafe { NonNull::new_unchecked(raw) }, store }
    }

    /// The record, if the function is of this store.
    pub(super) fn record(self, store: &StoreBase) -> Result<FuncRef, Error> {
        if self.store != store.id {
            return Err(Error::usage("the function is of another store"));
        }
        // SAFETY: functions of a store are valid as long as it lives.
        Ok(unsafe { *self.raw.as_ptr() })
    }

    /// The function's type.
    ///
    /// # Errors
    /// If it is a function of another store.
    pub fn ty(&self, store: impl AsContext) -> Result<&'static FuncType, Error> {
        let record = self.record(store.as_context().base())?;
        type_of(record.type_id).ok_or_else(|| Error::usage("the function's type is unknown"))
    }

    /// The function with parameters and results as Rust types: calls check nothing any more, and pass numbers in
    /// registers.
    ///
    /// # Errors
    /// If the function has another type.
    pub fn typed<P: WasmParams, R: WasmResults>(
        &self,
        store: impl AsContext,
    ) -> Result<TypedFunc<P, R>, Error> {
        let store = store.as_context();
        let record = self.record(store.base())?;
        let ty = self.ty(&store)?;
        let wanted = func_type::<P, R>();
        if *ty != wanted {
            let (ty, wanted) = (signature_text(ty), signature_text(&wanted));
            return Err(Error::usage(format!("the function has the type {ty}, not {wanted}")));
        }
        let entry = if R::IS_C { typed_entry(&record) } else { None };
        let target = Target { entry: entry.unwrap_or(ptr::null()), vmctx: record.vmctx };
        Ok(TypedFunc { func: *self, target, types: PhantomData })
    }

    /// Calls the function. `results` has a place for each result.
    ///
    /// # Errors
    /// If arguments or results do not fit the function's type, it traps, or a host function fails.
    pub fn call(&self, mut store: impl AsContextMut, args: &[Val], results: &mut [Val]) -> Result<(), Error> {
        let store = store.as_context_mut();
        let id = store.base().id;
        if self.store != id {
            return Err(Error::usage("the function is of another store"));
        }
        // SAFETY: functions of a store are valid as long as it lives.
        let record = unsafe { &*self.raw.as_ptr() };
        let ty = type_of(record.type_id).ok_or_else(|| Error::usage("the function's type is unknown"))?;
        if args.len() != ty.params.len() || results.len() != ty.results.len() {
            return Err(misfit(ty, args, results.len()));
        }
        let count = args.len().max(results.len());
        let mut few = [const { MaybeUninit::<Slot>::uninit() }; FEW];
        let mut many: Vec<MaybeUninit<Slot>>;
        let slots: *mut Slot = match count <= FEW {
            true => few.as_mut_ptr().cast(),
            false => {
                many = vec![MaybeUninit::uninit(); count];
                many.as_mut_ptr().cast()
            }
        };
        // SAFETY: there is a slot for each parameter and result, the function is of this store, and writes results of its
        // type.
        unsafe {
            for (index, (arg, ty_of_arg)) in args.iter().zip(&ty.params).enumerate() {
                if !arg.write(*ty_of_arg, id, slots.add(index)) {
                    return Err(misfit(ty, args, results.len()));
                }
            }
            call_slots(store.base_ptr(), record, slots)?;
            for (index, (result, ty)) in results.iter_mut().zip(&ty.results).enumerate() {
                *result = Val::read(slots.add(index), *ty, id);
            }
        }
        Ok(())
    }

    /// As [`Func::call`], with the results in a vector.
    ///
    /// # Errors
    /// As [`Func::call`].
    pub fn call_vec(&self, mut store: impl AsContextMut, args: &[Val]) -> Result<Vec<Val>, Error> {
        let count = self.ty(&store)?.results.len();
        let mut results = vec![Val::I32(0); count];
        self.call(&mut store, args, &mut results)?;
        Ok(results)
    }
}

#[cold]
fn misfit(ty: &FuncType, args: &[Val], results: usize) -> Error {
    let given: Vec<&str> = args.iter().map(|arg| arg.ty().name()).collect();
    Error::usage(format!(
        "a function of type {} is called with ({}) and room for {} results, or with a reference of another store",
        signature_text(ty),
        given.join(", "),
        results
    ))
}

/// Calls a function with its arguments in slots.
///
/// # Safety
/// The function is of this store, and there is a slot for each parameter and result.
#[inline(always)]
unsafe fn call_slots(store: NonNull<StoreBase>, record: &FuncRef, slots: *mut Slot) -> Result<(), Error> {
    let FuncRef { code, vmctx, entry, .. } = *record;
    if entry.is_null() {
        // SAFETY: without an entry it is a function of the host, and its context is one of those.
        let failed = unsafe { HostContext::call(vmctx.cast(), slots) };
        return if failed { Err(take_host_error(store)) } else { Ok(()) };
    }
    // SAFETY: the entry is that of the function's type.
    let returned =
        unsafe { enter(store, entry, |activation| call::enter(activation, entry, code, vmctx, slots)) };
    returned.map(|_| ())
}

/// Why a host function that the host called has failed.
#[cold]
fn take_host_error(mut store: NonNull<StoreBase>) -> Error {
    // SAFETY: the store exists, and no host function of it runs.
    match unsafe { store.as_mut() }.pending.take() {
        Some(Pending::Error(error)) => error,
        Some(Pending::Panic(payload)) => std::panic::resume_unwind(payload),
        None => Error::usage("the host function gave no reason"),
    }
}

/// The typed entry of a function: exported ones of instances have one, if C can have such a function.
fn typed_entry(record: &FuncRef) -> Option<*const u8> {
    let code = record.code as usize;
    with_module_at(code, |module| {
        let entry = module.typed_entry(module.text_offset(code)?)?;
        Some(module.code(entry.code_offset))
    })?
}

/// A function whose type is known to the Rust compiler. It belongs to a store, as [`Func`] does.
pub struct TypedFunc<P, R> {
    func: Func,
    /// The entry is null where there is none for this type.
    target: Target,
    types: PhantomData<fn(P) -> R>,
}

impl<P, R> Clone for TypedFunc<P, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P, R> Copy for TypedFunc<P, R> {}

// SAFETY: the pointers are only followed with the store at hand, which the number checks.
unsafe impl<P, R> Send for TypedFunc<P, R> {}
// SAFETY: as above.
unsafe impl<P, R> Sync for TypedFunc<P, R> {}

impl<P: WasmParams, R: WasmResults> TypedFunc<P, R> {
    /// The function without its type.
    pub fn func(&self) -> Func {
        self.func
    }

    /// Calls the function.
    ///
    /// # Errors
    /// If it traps, a host function fails, or the store is another one.
    #[inline]
    pub fn call(&self, mut store: impl AsContextMut, params: P) -> Result<R, Error> {
        let context = store.as_context_mut();
        let base = context.base_ptr();
        if context.base().id != self.func.store {
            return Err(Error::usage("the function is of another store"));
        }
        let target = self.target;
        if target.entry.is_null() {
            return self.call_slots(base, params);
        }
        // SAFETY: the entry is the typed one of this type, of a function of this store.
        let result =
            unsafe { enter(base, target.entry, |activation| params.call::<R::Abi>(target, activation)) };
        result.map(R::from_abi)
    }

    #[inline(never)]
    fn call_slots(&self, store: NonNull<StoreBase>, params: P) -> Result<R, Error> {
        let mut slots: [Slot; MAX_TYPED] = [[0; 16]; MAX_TYPED];
        params.store(&mut slots);
        // SAFETY: functions of a store are valid as long as it lives; no typed function has more slots.
        unsafe { call_slots(store, &*self.func.raw.as_ptr(), slots.as_mut_ptr())? };
        Ok(R::load(&slots))
    }
}
