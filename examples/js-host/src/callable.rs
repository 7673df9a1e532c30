//! The class of wasm functions in QuickJS.
//!
//! A class of `rquickjs` would do, but makes a value of each argument, and each value counts two references: that is more
//! than half of what a call with two numbers takes. So this registers the class with QuickJS directly.

use crate::error::{as_exception, throw};
use crate::function::WasmFunction;
use rquickjs::class::{Trace as _, Tracer};
use rquickjs::{Ctx, Error, Function, Result, Value, qjs};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};

std::thread_local! {
    /// The class in this thread's engine; there is one engine in a thread.
    static CLASS: Cell<qjs::JSClassID> = const { Cell::new(0) };
}

/// Makes the class. To be called once for an engine.
pub fn register(ctx: &Ctx<'_>) -> Result<()> {
    let definition = qjs::JSClassDef {
        class_name: c"WasmFunction".as_ptr(),
        finalizer: Some(finalize),
        gc_mark: Some(mark),
        call: Some(call),
        exotic: ptr::null_mut(),
    };
    let mut class = 0;
    // SAFETY: the engine's lock is held; the engine copies the definition.
    let status = unsafe {
        let runtime = qjs::JS_GetRuntime(ctx.as_raw().as_ptr());
        qjs::JS_NewClassID(runtime, &raw mut class);
        qjs::JS_NewClass(runtime, class, &raw const definition)
    };
    CLASS.set(class);
    if status < 0 { Err(Error::Allocation) } else { Ok(()) }
}

/// Makes an object of a function.
pub fn create<'js>(ctx: &Ctx<'js>, function: WasmFunction<'js>) -> Result<Value<'js>> {
    let prototype = Function::prototype(ctx.clone());
    // SAFETY: the prototype is an object of this context. The new object owns the function, and `finalize` drops it.
    unsafe {
        let object =
            qjs::JS_NewObjectProtoClass(ctx.as_raw().as_ptr(), prototype.as_value().as_raw(), CLASS.get());
        if qjs::JS_VALUE_GET_NORM_TAG(object) == qjs::JS_TAG_EXCEPTION {
            return Err(Error::Exception);
        }
        qjs::JS_SetOpaque(object, Box::into_raw(Box::new(function)).cast());
        Ok(Value::from_raw(ctx.clone(), object))
    }
}

/// The function that an object is.
pub fn get<'a, 'js>(value: &'a Value<'js>) -> Option<&'a WasmFunction<'js>> {
    // SAFETY: only objects of this class have something here: what `create` put there, which lives as long as they do.
    unsafe { qjs::JS_GetOpaque(value.as_raw(), CLASS.get()).cast::<WasmFunction<'js>>().as_ref() }
}

/// # Safety
/// QuickJS calls it for an object of the class that is not used any more.
unsafe extern "C" fn finalize(_: *mut qjs::JSRuntime, object: qjs::JSValue) {
    // SAFETY: made from a box by `create`; nothing uses it any more.
    unsafe {
        let function = qjs::JS_GetOpaque(object, CLASS.get()).cast::<WasmFunction<'static>>();
        if !function.is_null() {
            drop(Box::from_raw(function));
        }
    }
}

/// # Safety
/// QuickJS calls it for an object of the class when it looks for garbage.
unsafe extern "C" fn mark(runtime: *mut qjs::JSRuntime, object: qjs::JSValue, mark: qjs::JS_MarkFunc) {
    // SAFETY: as in `get`; the tracer is used in this call only.
    unsafe {
        let function = qjs::JS_GetOpaque(object, CLASS.get()).cast::<WasmFunction<'static>>();
        if let Some(function) = function.as_ref() {
            function.trace(Tracer::from_ffi(runtime, mark));
        }
    }
}

/// # Safety
/// QuickJS calls it for an object of the class, with as many arguments as it says.
unsafe extern "C" fn call(
    ctx: *mut qjs::JSContext,
    object: qjs::JSValue,
    _: qjs::JSValue,
    count: i32,
    args: *mut qjs::JSValue,
    _: i32,
) -> qjs::JSValue {
    // SAFETY: QuickJS vouches for all. The object is that of the call, so it lives as long.
    let (ctx, function, args) = unsafe {
        let args: &[qjs::JSValue] = match usize::try_from(count) {
            Ok(count) if count > 0 => std::slice::from_raw_parts(args, count),
            _ => &[],
        };
        let function = qjs::JS_GetOpaque(object, CLASS.get()).cast::<WasmFunction<'_>>();
        (Ctx::from_raw(NonNull::new_unchecked(ctx)), &*function, args)
    };
    // SAFETY: the arguments are values of this context.
    let called = catch_unwind(AssertUnwindSafe(|| unsafe { function.call(&ctx, args) }));
    match called {
        Ok(Ok(result)) => return result,
        Ok(Err(error)) => as_exception(&ctx, error),
        // A bug of this program; it has printed where.
        Err(_) => drop(throw(&ctx, "RuntimeError", "internal error")),
    }
    qjs::JS_EXCEPTION
}
