//! Functions: callbacks of the host as functions, and calls.

use crate::caller::CallerObject;
use crate::error::{self, Kind};
use crate::handle::{self, Handle, Local};
use crate::raw::CRaw;
use crate::reference::{Object, Reference};
use crate::store::{BUSY, Data, HostInfo, StoreObject};
use crate::trap::{self, callback_result};
use crate::types::ExternTypeObject;
use crate::value::{CVal, Slot, with_array};
use crate::vec::CVec;
use aot_runtime::embed::{Caller, Extern, ExternType, Func, FuncType, HostError, Val, ValType};
use core::ffi::c_void;
use core::ptr;
use std::sync::Arc;

type Trap = *mut Handle<Reference>;
pub type ValVec = CVec<CVal>;
type Plain = unsafe extern "C" fn(*const ValVec, *mut ValVec) -> Trap;
type WithEnv = unsafe extern "C" fn(*mut c_void, *const ValVec, *mut ValVec) -> Trap;
pub type WithCaller =
    unsafe extern "C" fn(*mut c_void, *const Handle<CallerObject>, *const ValVec, *mut ValVec) -> Trap;
pub type Raw = unsafe extern "C" fn(*mut c_void, *const Handle<CallerObject>, *mut CRaw) -> Trap;
pub type Finalizer = Option<unsafe extern "C" fn(*mut c_void)>;

/// A function pointer of the host's.
pub enum Code {
    Plain(Plain),
    WithEnv(WithEnv),
    WithCaller(WithCaller),
    Raw(Raw),
}

/// A function of the host's, with its environment.
pub struct Callback {
    code: Code,
    env: HostInfo,
    ty: FuncType,
}

/// Why a function of this type cannot be a callback, or be called, with such values.
fn refusal<S: Slot>(ty: &FuncType) -> Option<&'static str> {
    ty.params.iter().chain(&ty.results).find_map(|ty| S::refuses(*ty))
}

impl Callback {
    /// Takes the environment over; it is finalised also if there is no such function.
    pub fn new(code: Code, env: *mut c_void, finalizer: Finalizer, ty: FuncType) -> Option<Callback> {
        let env = HostInfo::new(env, finalizer);
        let refusal = match &code {
            Code::Raw(_) => refusal::<CRaw>(&ty),
            _ => refusal::<CVal>(&ty),
        };
        if let Some(reason) = refusal {
            error::set(Kind::Usage, reason);
            return None;
        }
        Some(Callback { code, env, ty })
    }

    pub fn ty(&self) -> FuncType {
        self.ty.clone()
    }

    /// Calls the function for a guest.
    pub fn call(
        &self,
        mut caller: Caller<'_, Data>,
        args: &[Val],
        results: &mut [Val],
    ) -> Result<(), HostError> {
        let store = caller.data().cell.upgrade().ok_or("the store is being deleted")?;
        let (params, outs) = (args.len(), results.len());
        let env = self.env.data();
        match &self.code {
            Code::Raw(code) => with_array(params.max(outs), CRaw::EMPTY, |values| {
                for (value, arg) in values.iter_mut().zip(args) {
                    *value = CRaw::give(arg, &store);
                }
                // References among the arguments are still ours when they are overwritten.
                with_array(params, CRaw::EMPTY, |given| {
                    given.copy_from_slice(&values[..params]);
                    let caller = Local::new(CallerObject::new(&mut caller, &store));
                    // SAFETY: the host gave the function for this environment, and room is there for what it reads and
                    // writes.
                    let trap = unsafe { code(env, caller.handle(), values.as_mut_ptr()) };
                    let done = callback_result(trap)
                        .and_then(|()| take_results(&self.ty.results, &mut values[..outs], results, &store));
                    drop_all(&self.ty.params, given);
                    done
                })
            }),
            code => with_array(params + outs, CVal::EMPTY, |values| {
                let (arg_values, result_values) = values.split_at_mut(params);
                for (value, arg) in arg_values.iter_mut().zip(args) {
                    *value = CVal::give(arg, &store);
                }
                for (value, ty) in result_values.iter_mut().zip(&self.ty.results) {
                    *value = CVal::default_of(*ty);
                }
                let arg_vec = CVec { size: params, data: arg_values.as_mut_ptr() };
                let mut result_vec = CVec { size: outs, data: result_values.as_mut_ptr() };
                // SAFETY: the host gave the function for this environment.
                let trap = unsafe {
                    match code {
                        Code::Plain(code) => code(&raw const arg_vec, &raw mut result_vec),
                        Code::WithEnv(code) => code(env, &raw const arg_vec, &raw mut result_vec),
                        Code::WithCaller(code) => {
                            let caller = Local::new(CallerObject::new(&mut caller, &store));
                            code(env, caller.handle(), &raw const arg_vec, &raw mut result_vec)
                        }
                        Code::Raw(_) => unreachable!("handled above"),
                    }
                };
                drop_all(&self.ty.params, arg_values);
                match callback_result(trap) {
                    Ok(()) => take_results(&self.ty.results, result_values, results, &store),
                    Err(error) => {
                        drop_all(&self.ty.results, result_values);
                        Err(error)
                    }
                }
            }),
        }
    }
}

/// Takes what a callback has written.
fn take_results<S: Slot>(
    types: &[ValType],
    values: &mut [S],
    results: &mut [Val],
    store: &Arc<crate::store::StoreCell>,
) -> Result<(), HostError> {
    let mut failed = None;
    for ((result, value), ty) in results.iter_mut().zip(values.iter()).zip(types) {
        match value.value(*ty, store) {
            Ok(value) => *result = value,
            Err(reason) => failed = Some(format!("a result of a callback does not fit: {reason}")),
        }
    }
    drop_all(types, values);
    failed.map_or(Ok(()), |reason| Err(reason.into()))
}

fn drop_all<S: Slot>(types: &[ValType], values: &mut [S]) {
    for (value, ty) in values.iter_mut().zip(types) {
        value.drop_reference(*ty, "a callback");
    }
}

/// How many arguments a call has.
pub enum Count {
    Exactly(usize),
    /// The array has room for so many: for arguments and for results.
    UpTo(usize),
}

/// Calls a function of a guest or of the host, with an array of arguments and one for the results. Returns a trap, or
/// null.
///
/// # Safety
/// The arrays have so many values; they may be the same.
pub unsafe fn call<S: Slot>(
    reference: &Reference,
    func: Func,
    args: (*const S, Count),
    results: (*mut S, usize),
) -> Trap {
    // A callback may delete all that C has of the store.
    let store = Arc::clone(reference.store());
    let Some(entered) = store.enter() else { return trap::give_message(BUSY, Kind::Busy) };
    let ty = match func.ty(entered.context()) {
        Ok(ty) => ty,
        Err(error) => return trap::give_error(error),
    };
    if let Some(reason) = refusal::<S>(ty) {
        return trap::give_message(reason, Kind::Usage);
    }
    let (params, outs) = (ty.params.len(), ty.results.len());
    let (fits, count) = match args.1 {
        Count::Exactly(count) => (count == params, count),
        Count::UpTo(count) => (count >= params, count),
    };
    if !fits {
        let message = format!("a function of {params} parameters is called with {count} arguments");
        return trap::give_message(message, Kind::Usage);
    }
    with_array(params + outs, Val::I32(0), |values| {
        let (arg_values, result_values) = values.split_at_mut(params);
        for (index, (value, ty)) in arg_values.iter_mut().zip(&ty.params).enumerate() {
            // SAFETY: the caller vouches for the arguments.
            match unsafe { (*args.0.add(index)).value(*ty, &store) } {
                Ok(arg) => *value = arg,
                Err(reason) => {
                    return trap::give_message(format!("argument {index}: {reason}"), Kind::Usage);
                }
            }
        }
        if let Err(error) = func.call(entered.context(), arg_values, result_values) {
            return trap::give_error(error);
        }
        // Programs that expect a trap make no room for results.
        if results.1 < outs {
            let message = format!("a function of {outs} results is called with room for {}", results.1);
            return trap::give_message(message, Kind::Usage);
        }
        for (index, value) in result_values.iter().enumerate() {
            // SAFETY: the caller vouches for the room.
            unsafe { results.0.add(index).write(S::give(value, &store)) };
        }
        ptr::null_mut()
    })
}

/// Makes a function of a store.
fn new(
    store: *const Handle<StoreObject>,
    ty: *const Handle<ExternTypeObject>,
    code: Code,
    env: *mut c_void,
    finalizer: Finalizer,
    function: &str,
) -> *mut Handle<Reference> {
    // SAFETY: C vouches for its pointers.
    let (store, ty) = unsafe { (&Handle::get(store, function).0, Handle::get(ty, function)) };
    let Some(ty) = ty.func_type() else {
        crate::handle::misuse(function, "the type is no wasm_functype_t");
    };
    let Some(callback) = Callback::new(code, env, finalizer, ty) else { return ptr::null_mut() };
    let Some(entered) = store.enter() else { return ptr::null_mut() };
    let ty = callback.ty();
    let func = Func::new(entered.context(), ty, move |caller, args: &[Val], results: &mut [Val]| {
        callback.call(caller, args, results)
    });
    Reference::in_store(Object::Extern(Extern::Func(func)), store)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_func_new(
    store: *const Handle<StoreObject>,
    ty: *const Handle<ExternTypeObject>,
    callback: Option<Plain>,
) -> *mut Handle<Reference> {
    new(store, ty, Code::Plain(handle::callback(callback, here!())), ptr::null_mut(), None, here!())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_func_new_with_env(
    store: *const Handle<StoreObject>,
    ty: *const Handle<ExternTypeObject>,
    callback: Option<WithEnv>,
    env: *mut c_void,
    finalizer: Finalizer,
) -> *mut Handle<Reference> {
    new(store, ty, Code::WithEnv(handle::callback(callback, here!())), env, finalizer, here!())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_func_new(
    store: *const Handle<StoreObject>,
    ty: *const Handle<ExternTypeObject>,
    callback: Option<WithCaller>,
    env: *mut c_void,
    finalizer: Finalizer,
) -> *mut Handle<Reference> {
    new(store, ty, Code::WithCaller(handle::callback(callback, here!())), env, finalizer, here!())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_func_new_raw(
    store: *const Handle<StoreObject>,
    ty: *const Handle<ExternTypeObject>,
    callback: Option<Raw>,
    env: *mut c_void,
    finalizer: Finalizer,
) -> *mut Handle<Reference> {
    new(store, ty, Code::Raw(handle::callback(callback, here!())), env, finalizer, here!())
}

/// The function's type. Types are never forgotten, so it needs no store in use.
fn type_of(func: Func, reference: &Reference) -> Option<&'static FuncType> {
    let entered = reference.store().enter()?;
    error::noted(func.ty(entered.context()))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_func_type(func: *const Handle<Reference>) -> *mut Handle<ExternTypeObject> {
    let (func, reference) = object!(func, Object::Extern(Extern::Func(func)) => *func, "wasm_func_t");
    type_of(func, reference)
        .map_or(ptr::null_mut(), |ty| Handle::give(ExternTypeObject::new(&ExternType::Func(ty.clone()))))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_func_param_arity(func: *const Handle<Reference>) -> usize {
    let (func, reference) = object!(func, Object::Extern(Extern::Func(func)) => *func, "wasm_func_t");
    type_of(func, reference).map_or(0, |ty| ty.params.len())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_func_result_arity(func: *const Handle<Reference>) -> usize {
    let (func, reference) = object!(func, Object::Extern(Extern::Func(func)) => *func, "wasm_func_t");
    type_of(func, reference).map_or(0, |ty| ty.results.len())
}

/// The array of a vector that may be null.
///
/// # Safety
/// C vouches for the vector.
pub unsafe fn parts<T>(vec: *const CVec<T>) -> (*mut T, usize) {
    // SAFETY: the caller vouches for the vector.
    match unsafe { vec.as_ref() } {
        Some(vec) if !vec.data.is_null() => (vec.data, vec.size),
        _ => (ptr::null_mut(), 0),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wasm_func_call(
    func: *const Handle<Reference>,
    args: *const ValVec,
    results: *mut ValVec,
) -> *mut Handle<Reference> {
    let (func, reference) = object!(func, Object::Extern(Extern::Func(func)) => *func, "wasm_func_t");
    // SAFETY: C vouches for its vectors.
    unsafe {
        let (args, count) = parts(args);
        call(reference, func, (args, Count::Exactly(count)), parts(results))
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_func_call_raw(
    func: *const Handle<Reference>,
    values: *mut CRaw,
    count: usize,
) -> *mut Handle<Reference> {
    let (func, reference) = object!(func, Object::Extern(Extern::Func(func)) => *func, "wasm_func_t");
    // SAFETY: C vouches for the array.
    unsafe { call(reference, func, (values.cast_const(), Count::UpTo(count)), (values, count)) }
}
