//! Calls: of wasm functions by JavaScript, and of JavaScript functions by wasm code.

use crate::callable;
use crate::convert::{no_vectors, owned, raw_to_wasm, to_javascript, to_raw, to_wasm};
use crate::error::type_error;
use crate::realm::Realm;
use crate::store::StoreObject;
use aot_runtime::embed::{Func, FuncType, Val, ValType};
use rquickjs::class::{Trace, Tracer};
use rquickjs::{Array, Class, Ctx, Error, Function, Result, Value, qjs};

/// A function of a wasm instance, as JavaScript calls it.
pub struct WasmFunction<'js> {
    store: Class<'js, StoreObject<'js>>,
    func: Func,
    ty: &'static FuncType,
    has_vectors: bool,
    /// Whether a result of type `i32` becomes `true` or `false`.
    boolean: bool,
}

impl<'js> Trace<'js> for WasmFunction<'js> {
    fn trace(&self, tracer: Tracer<'_, 'js>) {
        self.store.trace(tracer);
    }
}

impl<'js> WasmFunction<'js> {
    /// The object of a function of a store.
    pub fn create(ctx: &Ctx<'js>, store: Class<'js, StoreObject<'js>>, func: Func) -> Result<Value<'js>> {
        let ty = store.borrow().with(ctx, |context| func.ty(&*context))?;
        let ty = ty.map_err(|error| type_error(ctx, &error.to_string()))?;
        let has_vectors = ty.params.iter().chain(&ty.results).any(|ty| *ty == ValType::V128);
        WasmFunction { store, func, ty, has_vectors, boolean: false }.into_value(ctx)
    }

    fn into_value(self, ctx: &Ctx<'js>) -> Result<Value<'js>> {
        let params = self.ty.params.len();
        let function = Function::from_value(callable::create(ctx, self)?)?;
        function.set_length(params)?;
        Ok(function.into_value())
    }

    /// The same function with `true` and `false` as results.
    pub fn boolean(&self, ctx: &Ctx<'js>) -> Result<Value<'js>> {
        if self.ty.results != [ValType::I32] {
            return Err(type_error(
                ctx,
                "only a function with one result of type i32 can return true or false",
            ));
        }
        let WasmFunction { func, ty, has_vectors, .. } = *self;
        WasmFunction { store: self.store.clone(), func, ty, has_vectors, boolean: true }.into_value(ctx)
    }

    pub fn ty(&self) -> &'static FuncType {
        self.ty
    }

    /// The function, if it is one of this store.
    pub fn func_in(&self, store: &StoreObject<'js>) -> Option<Func> {
        std::ptr::eq(&raw const *self.store.borrow(), store).then_some(self.func)
    }

    /// Calls the function; the result is owned by the caller.
    ///
    /// # Safety
    /// The arguments are values of this context.
    pub unsafe fn call(&self, ctx: &Ctx<'js>, args: &[qjs::JSValue]) -> Result<qjs::JSValue> {
        // Few values have their place on the stack.
        let count = self.ty.params.len().max(self.ty.results.len());
        // SAFETY: the caller vouches for the arguments.
        unsafe {
            match count {
                0..=4 => self.call_with(ctx, args, &mut [Val::I32(0); 4], &mut [Val::I32(0); 4]),
                5..=16 => self.call_with(ctx, args, &mut [Val::I32(0); 16], &mut [Val::I32(0); 16]),
                _ => self.call_with(ctx, args, &mut vec![Val::I32(0); count], &mut vec![Val::I32(0); count]),
            }
        }
    }

    /// As `call`, with room for arguments and results.
    unsafe fn call_with(
        &self,
        ctx: &Ctx<'js>,
        values: &[qjs::JSValue],
        args: &mut [Val],
        results: &mut [Val],
    ) -> Result<qjs::JSValue> {
        let store = self.store.borrow();
        if self.has_vectors {
            return Err(no_vectors(ctx));
        }
        let args = &mut args[..self.ty.params.len()];
        for (index, (arg, ty)) in args.iter_mut().zip(&self.ty.params).enumerate() {
            let value = values.get(index).copied().unwrap_or(qjs::JS_UNDEFINED);
            // SAFETY: the caller vouches for the values.
            *arg = unsafe { raw_to_wasm(ctx, &store, *ty, value)? };
        }
        let results = &mut results[..self.ty.results.len()];
        store.try_with(ctx, |context| self.func.call(context, args, results))?;
        match results {
            [] => Ok(qjs::JS_UNDEFINED),
            [Val::I32(number)] if self.boolean => {
                Ok(qjs::JS_MKVAL(qjs::JS_TAG_BOOL, i32::from(*number != 0)))
            }
            [result] => to_raw(ctx, &store, *result),
            results => {
                let array = Array::new(ctx.clone())?;
                for (index, result) in results.iter().enumerate() {
                    array.set(index, to_javascript(ctx, &store, *result)?)?;
                }
                Ok(owned(ctx, array.as_value()))
            }
        }
    }
}

/// How many arguments of a JavaScript function have their place on the stack.
const FEW: usize = 8;

/// Arguments of a JavaScript function, without the reference to the context that a [`Value`] has: that is half the cost of
/// a call with numbers.
struct Arguments<'a, 'js> {
    ctx: &'a Ctx<'js>,
    values: &'a mut [qjs::JSValue],
}

impl Drop for Arguments<'_, '_> {
    fn drop(&mut self) {
        for value in &*self.values {
            // SAFETY: each is a value of this context, and owned.
            unsafe { qjs::JS_FreeValue(self.ctx.as_raw().as_ptr(), *value) };
        }
    }
}

/// Calls a JavaScript function for wasm code.
///
/// # Safety
/// The function is one of this context, and lives as long as the store.
pub unsafe fn call_javascript<'js>(
    ctx: &Ctx<'js>,
    store: &StoreObject<'js>,
    function: qjs::JSValue,
    args: &[Val],
    results: &mut [Val],
) -> Result<()> {
    if args.iter().chain(&*results).any(|value| value.ty() == ValType::V128) {
        return Err(no_vectors(ctx));
    }
    let mut few = [qjs::JS_UNDEFINED; FEW];
    let mut many;
    let values = match few.get_mut(..args.len()) {
        Some(values) => values,
        None => {
            many = vec![qjs::JS_UNDEFINED; args.len()];
            &mut many[..]
        }
    };
    let arguments = Arguments { ctx, values };
    for (value, arg) in arguments.values.iter_mut().zip(args) {
        *value = to_raw(ctx, store, *arg)?;
    }
    let count = args.len() as i32;
    let values = arguments.values.as_mut_ptr();
    // SAFETY: the caller vouches for the function, and there are as many arguments.
    let value = unsafe { qjs::JS_Call(ctx.as_raw().as_ptr(), function, qjs::JS_UNDEFINED, count, values) };
    drop(arguments);
    // SAFETY: these only look at the value, which is an integer where it is read as one.
    let (tag, integer) = unsafe {
        let tag = qjs::JS_VALUE_GET_NORM_TAG(value);
        (tag, (tag == qjs::JS_TAG_INT).then(|| qjs::JS_VALUE_GET_INT(value)))
    };
    match (results, integer) {
        _ if tag == qjs::JS_TAG_EXCEPTION => return Err(Error::Exception),
        ([Val::I32(result)], Some(integer)) => *result = integer,
        (results, _) => {
            // SAFETY: the value is one of this context, and owned.
            let value = unsafe { Value::from_raw(ctx.clone(), value) };
            return take_results(ctx, store, value, results);
        }
    }
    Ok(())
}

/// What a JavaScript function has returned, as wasm values.
fn take_results<'js>(
    ctx: &Ctx<'js>,
    store: &StoreObject<'js>,
    value: Value<'js>,
    results: &mut [Val],
) -> Result<()> {
    match results {
        [] => {}
        [result] => *result = to_wasm(ctx, store, result.ty(), &value)?,
        results => {
            let list = Realm::of(ctx).list(value)?;
            if list.len() != results.len() {
                let message =
                    format!("an imported function returned {} values, not {}", list.len(), results.len());
                return Err(type_error(ctx, &message));
            }
            for (index, result) in results.iter_mut().enumerate() {
                *result = to_wasm(ctx, store, result.ty(), &list.get(index)?)?;
            }
        }
    }
    Ok(())
}
