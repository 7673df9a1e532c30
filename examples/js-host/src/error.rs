//! Errors of the library as JavaScript exceptions, and back.

use crate::realm::Realm;
use aot_runtime::embed::{Error as WasmError, Trap};
use rquickjs::{Ctx, Error, Exception, Object, Value};
use std::fmt;

/// What a host function returns when JavaScript has thrown: the exception waits in the context, and goes on from there when
/// the wasm code has been left. So it stays the same object.
#[derive(Debug)]
pub struct Thrown;

impl fmt::Display for Thrown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JavaScript has thrown an exception")
    }
}

impl std::error::Error for Thrown {}

/// Makes sure that an error waits in the context as an exception.
pub fn as_exception(ctx: &Ctx<'_>, error: Error) {
    if !error.is_exception() {
        Exception::throw_type(ctx, &error.to_string());
    }
}

pub fn type_error(ctx: &Ctx<'_>, message: &str) -> Error {
    Exception::throw_type(ctx, message)
}

/// Throws an error of a class of `webassembly.js`: `CompileError`, `LinkError`, `RuntimeError`.
pub fn throw<'js>(ctx: &Ctx<'js>, class: &str, message: &str) -> Error {
    let error =
        Realm::of(ctx).error_class(class).and_then(|class| class.construct::<_, Value<'js>>((message,)));
    match error {
        Ok(error) => ctx.throw(error),
        Err(error) => error,
    }
}

/// Throws what the library reports.
pub fn throw_wasm<'js>(ctx: &Ctx<'js>, error: WasmError) -> Error {
    match error {
        WasmError::Host(error) if error.is::<Thrown>() => Error::Exception,
        WasmError::Trap(trap) => throw_trap(ctx, &trap).unwrap_or_else(|error| error),
        WasmError::Import(error) => throw(ctx, "LinkError", &error.to_string()),
        WasmError::Compile(_) | WasmError::Load(_) => throw(ctx, "CompileError", &error.to_string()),
        WasmError::OutOfMemory(_) | WasmError::Limit(_) => Exception::throw_range(ctx, &error.to_string()),
        WasmError::Usage(message) => Exception::throw_type(ctx, &message),
        error => throw(ctx, "RuntimeError", &error.to_string()),
    }
}

/// Throws a trap as a `RuntimeError`, whose stack begins with the wasm functions.
fn throw_trap<'js>(ctx: &Ctx<'js>, trap: &Trap) -> rquickjs::Result<Error> {
    let class = Realm::of(ctx).error_class("RuntimeError")?;
    let error: Object<'js> = class.construct((trap.code().message(),))?;
    let outer: Option<String> = error.get("stack")?;
    let mut stack = String::new();
    for (number, frame) in trap.frames().iter().enumerate() {
        let name = frame.name.as_deref().unwrap_or("<anonymous>");
        let offset = trap.wasm_offset().filter(|_| number == 0);
        let offset = offset.map(|offset| format!(":{offset:#x}")).unwrap_or_default();
        // As engines of browsers show functions of wasm; where the source is known, that is shown instead.
        if frame.symbols.is_empty() {
            stack += &format!("    at {name} (wasm-function[{}]{offset})\n", frame.func);
        }
        for symbol in &frame.symbols {
            let name = symbol.name.as_deref().unwrap_or(name);
            let file = symbol.file.as_deref().unwrap_or("<unknown>");
            let (line, column) = (symbol.line.unwrap_or(0), symbol.column.unwrap_or(0));
            stack += &format!("    at {name} ({file}:{line}:{column})\n");
        }
    }
    // The constructor of the error is no part of what happened.
    let outer = outer.unwrap_or_default();
    stack.extend(
        outer.split_inclusive('\n').filter(|line| !line.trim_start().starts_with("at RuntimeError ")),
    );
    error.set("stack", stack)?;
    Ok(ctx.throw(error.into_value()))
}
