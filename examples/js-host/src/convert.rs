//! Values of wasm and of JavaScript, by the rules of the WebAssembly JavaScript interface (`ToWebAssemblyValue`,
//! `ToJSValue`).

use crate::error::type_error;
use crate::store::StoreObject;
use aot_runtime::embed::{Extern, Val, ValType};
use rquickjs::{Ctx, Error, Result, Value, qjs};

/// `ToWebAssemblyValue`. Can call JavaScript: `valueOf` of an object.
#[inline]
pub fn to_wasm<'js>(
    ctx: &Ctx<'js>,
    store: &StoreObject<'js>,
    ty: ValType,
    value: &Value<'js>,
) -> Result<Val> {
    Ok(match ty {
        ValType::I32 => Val::I32(to_i32(ctx, value)?),
        ValType::I64 => Val::I64(to_i64(ctx, value)?),
        ValType::F32 => Val::F32((to_f64(ctx, value)? as f32).to_bits()),
        ValType::F64 => Val::F64(to_f64(ctx, value)?.to_bits()),
        ValType::V128 => return Err(no_vectors(ctx)),
        ValType::FuncRef => Val::FuncRef(store.func_of(ctx, value)?),
        ValType::ExternRef => Val::ExternRef(store.number_of(value)),
    })
}

/// `ToJSValue`.
#[inline]
pub fn to_javascript<'js>(ctx: &Ctx<'js>, store: &StoreObject<'js>, value: Val) -> Result<Value<'js>> {
    match value {
        Val::I32(number) => Ok(Value::new_int(ctx.clone(), number)),
        Val::I64(number) => Value::new_big_int(ctx.clone(), number),
        Val::F32(bits) => Ok(number(ctx, f64::from(f32::from_bits(bits)))),
        Val::F64(bits) => Ok(number(ctx, f64::from_bits(bits))),
        Val::V128(_) => Err(no_vectors(ctx)),
        Val::FuncRef(None) => Ok(Value::new_null(ctx.clone())),
        Val::FuncRef(Some(func)) => store.wrap(ctx, Extern::Func(func)),
        Val::ExternRef(number) => Ok(store.value_of(ctx, number)),
    }
}

/// What a number becomes in wasm and back, without a store: zero if it is not given, nothing for references.
///
/// # Errors
/// If the type is that of vectors, or the value is no such number.
pub fn round_trip<'js>(ctx: &Ctx<'js>, ty: ValType, value: &Value<'js>) -> Result<Option<Value<'js>>> {
    let is_given = !value.is_undefined();
    Ok(Some(match ty {
        ValType::I32 => Value::new_int(ctx.clone(), if is_given { to_i32(ctx, value)? } else { 0 }),
        ValType::I64 => Value::new_big_int(ctx.clone(), if is_given { to_i64(ctx, value)? } else { 0 })?,
        ValType::F32 => number(ctx, if is_given { f64::from(to_f64(ctx, value)? as f32) } else { 0.0 }),
        ValType::F64 => number(ctx, if is_given { to_f64(ctx, value)? } else { 0.0 }),
        ValType::V128 => return Err(no_vectors(ctx)),
        ValType::FuncRef | ValType::ExternRef => return Ok(None),
    }))
}

/// The error for vectors, which JavaScript has no values for.
#[cold]
pub fn no_vectors(ctx: &Ctx<'_>) -> Error {
    type_error(ctx, "a value of type v128 cannot cross between JavaScript and WebAssembly")
}

/// As [`to_wasm`], of a value that somebody else owns. Numbers take the short way.
///
/// # Safety
/// The value is one of this context.
#[inline]
pub unsafe fn raw_to_wasm<'js>(
    ctx: &Ctx<'js>,
    store: &StoreObject<'js>,
    ty: ValType,
    value: qjs::JSValue,
) -> Result<Val> {
    // SAFETY: the caller vouches for the value. It is read as what its tag says; else this takes one more reference to it.
    unsafe {
        let tag = qjs::JS_VALUE_GET_NORM_TAG(value);
        let number = match tag {
            qjs::JS_TAG_INT if ty == ValType::I32 => return Ok(Val::I32(qjs::JS_VALUE_GET_INT(value))),
            qjs::JS_TAG_INT => Some(f64::from(qjs::JS_VALUE_GET_INT(value))),
            qjs::JS_TAG_FLOAT64 => Some(qjs::JS_VALUE_GET_FLOAT64(value)),
            _ => None,
        };
        match (ty, number) {
            (ValType::F32, Some(number)) => Ok(Val::F32((number as f32).to_bits())),
            (ValType::F64, Some(number)) => Ok(Val::F64(number.to_bits())),
            _ => {
                let value = qjs::JS_DupValue(ctx.as_raw().as_ptr(), value);
                to_wasm(ctx, store, ty, &Value::from_raw(ctx.clone(), value))
            }
        }
    }
}

/// As [`to_javascript`], of which the caller is the owner. Numbers take the short way.
#[inline]
pub fn to_raw<'js>(ctx: &Ctx<'js>, store: &StoreObject<'js>, value: Val) -> Result<qjs::JSValue> {
    Ok(match value {
        Val::I32(number) => qjs::JS_MKVAL(qjs::JS_TAG_INT, number),
        Val::F32(bits) => raw_number(f64::from(f32::from_bits(bits))),
        Val::F64(bits) => raw_number(f64::from_bits(bits)),
        value => owned(ctx, &to_javascript(ctx, store, value)?),
    })
}

/// One more reference to a value, for the caller to own.
pub fn owned<'js>(ctx: &Ctx<'js>, value: &Value<'js>) -> qjs::JSValue {
    // SAFETY: a value of this context.
    unsafe { qjs::JS_DupValue(ctx.as_raw().as_ptr(), value.as_raw()) }
}

/// A number as QuickJS likes it best: an integer if it is one. Minus zero is none.
fn raw_number(number: f64) -> qjs::JSValue {
    let integer = number as i32;
    if f64::from(integer).to_bits() == number.to_bits() {
        qjs::JS_MKVAL(qjs::JS_TAG_INT, integer)
    } else {
        qjs::JS_NewFloat64(number)
    }
}

fn number<'js>(ctx: &Ctx<'js>, number: f64) -> Value<'js> {
    // SAFETY: numbers are values of any context, and nobody owns them.
    unsafe { Value::from_raw(ctx.clone(), raw_number(number)) }
}

#[inline]
fn to_i32<'js>(ctx: &Ctx<'js>, value: &Value<'js>) -> Result<i32> {
    if let Some(number) = value.as_int() {
        return Ok(number);
    }
    let mut number = 0;
    // SAFETY: the value is one of this context, and the place for the result is there.
    let status = unsafe { qjs::JS_ToInt32(ctx.as_raw().as_ptr(), &raw mut number, value.as_raw()) };
    if status < 0 { Err(Error::Exception) } else { Ok(number) }
}

#[inline]
fn to_i64<'js>(ctx: &Ctx<'js>, value: &Value<'js>) -> Result<i64> {
    let mut number = 0;
    // SAFETY: as above.
    let status = unsafe { qjs::JS_ToBigInt64(ctx.as_raw().as_ptr(), &raw mut number, value.as_raw()) };
    if status < 0 { Err(Error::Exception) } else { Ok(number) }
}

#[inline]
fn to_f64<'js>(ctx: &Ctx<'js>, value: &Value<'js>) -> Result<f64> {
    if let Some(number) = value.as_number() {
        return Ok(number);
    }
    let mut number = 0.0;
    // SAFETY: as above.
    let status = unsafe { qjs::JS_ToFloat64(ctx.as_raw().as_ptr(), &raw mut number, value.as_raw()) };
    if status < 0 { Err(Error::Exception) } else { Ok(number) }
}
