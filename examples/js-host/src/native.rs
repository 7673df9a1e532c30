//! The functions that `webassembly.js` builds the API on.

use crate::callable;
use crate::error::{throw, type_error};
use crate::function::WasmFunction;
use crate::items::{self, Handle, Stored, type_name};
use crate::loader;
use crate::realm::Realm;
use crate::store::StoreObject;
use aot_compiler::{Config, Cpu, Target};
use aot_runtime::embed::{Extern, ExternType, Instance, Module};
use rquickjs::class::{JsClass, Readable, Trace, Tracer};
use rquickjs::function::Constructor;
use rquickjs::prelude::List;
use rquickjs::{
    Array, ArrayBuffer, Class, Ctx, Exception, Function, JsLifetime, Object, Result, TypedArray, Value,
};
use std::io::Write as _;
use std::sync::OnceLock;
use std::time::Instant;

/// A compiled module.
pub struct Code(pub Module);

impl<'js> Trace<'js> for Code {
    fn trace(&self, _: Tracer<'_, 'js>) {}
}

// SAFETY: it has no JavaScript values.
unsafe impl<'js> JsLifetime<'js> for Code {
    type Changed<'to> = Code;
}

impl<'js> JsClass<'js> for Code {
    const NAME: &'static str = "Code";
    type Mutable = Readable;

    fn constructor(_: &Ctx<'js>) -> Result<Option<Constructor<'js>>> {
        Ok(None)
    }
}

/// The object of all these functions.
pub fn functions<'js>(ctx: &Ctx<'js>) -> Result<Object<'js>> {
    let object = Object::new(ctx.clone())?;
    macro_rules! define {
        ($($name:literal: $function:path,)*) => {
            $(object.set($name, Function::new(ctx.clone(), $function)?)?;)*
        };
    }
    define! {
        "compile": compile,
        "load": load,
        "imported": imported,
        "readFile": read_file,
        "imports": imports,
        "exports": exports,
        "newStore": new_store,
        "storeOf": items::store_of,
        "keep": items::keep,
        "instantiate": instantiate,
        "newMemory": items::new_memory,
        "memoryBuffer": items::memory_buffer,
        "memoryGrow": items::memory_grow,
        "newTable": items::new_table,
        "tableLength": items::table_length,
        "tableGet": items::table_get,
        "tableSet": items::table_set,
        "tableGrow": items::table_grow,
        "typeName": items::type_name_of,
        "toType": items::to_type,
        "newGlobal": items::new_global,
        "globalType": items::global_type,
        "globalGet": items::global_get,
        "globalSet": items::global_set,
        "boolean": boolean,
        "print": print,
        "now": now,
    }
    Ok(object)
}

/// Compiles a module in the binary format.
pub fn compile_wasm(ctx: &Ctx<'_>, wasm: &[u8]) -> Result<Module> {
    let compiled = Target::host().map_err(aot_runtime::embed::Error::Compile).and_then(|host| {
        let mut config = Config::image(host.with_cpu(Cpu::Native));
        // Loops that can be stopped cost a little.
        config.interruptible = Realm::of(ctx).options.timeout.is_some();
        Module::compile(wasm, &config)
    });
    compiled.map_err(|error| throw(ctx, "CompileError", &error.to_string()))
}

fn compile<'js>(ctx: Ctx<'js>, bytes: TypedArray<'js, u8>) -> Result<Class<'js, Code>> {
    // SAFETY: no JavaScript runs until the bytes are copied.
    let bytes = unsafe { bytes.as_bytes() }.map(<[u8]>::to_vec);
    let bytes = bytes.ok_or_else(|| type_error(&ctx, "the buffer of the module's bytes is detached"))?;
    if !bytes.starts_with(b"\0asm") {
        return Err(throw(
            &ctx,
            "CompileError",
            "these bytes are no WebAssembly module: they do not begin with \\0asm",
        ));
    }
    let module = compile_wasm(&ctx, &bytes)?;
    Class::instance(ctx, Code(module))
}

/// The module in a file, for a script that says where it is as `import` would.
fn load<'js>(ctx: Ctx<'js>, base: String, specifier: String) -> Result<Class<'js, Code>> {
    let path = loader::resolve(&ctx, &base, &specifier)?;
    let module = loader::load_wasm(&ctx, &path)?;
    Class::instance(ctx, Code(module))
}

/// The module that is being imported from a path.
fn imported<'js>(ctx: Ctx<'js>, path: String) -> Result<Class<'js, Code>> {
    let module = Realm::of(&ctx).modules.borrow_mut().remove(&path);
    let module = module.ok_or_else(|| type_error(&ctx, "no module is being imported from this path"))?;
    Class::instance(ctx, Code(module))
}

fn read_file<'js>(ctx: Ctx<'js>, base: String, specifier: String) -> Result<ArrayBuffer<'js>> {
    let path = loader::resolve(&ctx, &base, &specifier)?;
    let bytes = std::fs::read(&path);
    let bytes =
        bytes.map_err(|error| Exception::throw_message(&ctx, &format!("cannot read `{path}`: {error}")))?;
    ArrayBuffer::new(ctx, bytes)
}

/// `[module, name, kind, type]` of each import; the type is that of a global: `[type, mutable]`.
fn imports<'js>(ctx: Ctx<'js>, code: Class<'js, Code>) -> Result<Array<'js>> {
    let list = Array::new(ctx.clone())?;
    for (index, import) in code.borrow().0.imports().enumerate() {
        list.set(index, List((import.module, import.name, kind(&import.ty), global_of(&import.ty))))?;
    }
    Ok(list)
}

/// `[name, kind]` of each export.
fn exports<'js>(ctx: Ctx<'js>, code: Class<'js, Code>) -> Result<Array<'js>> {
    let list = Array::new(ctx.clone())?;
    for (index, export) in code.borrow().0.exports().enumerate() {
        list.set(index, List((export.name, kind(&export.ty))))?;
    }
    Ok(list)
}

fn kind(ty: &ExternType) -> &'static str {
    match ty {
        ExternType::Func(_) => "function",
        ExternType::Table(_) => "table",
        ExternType::Memory(_) => "memory",
        ExternType::Global(_) => "global",
    }
}

fn global_of(ty: &ExternType) -> Option<List<(&'static str, bool)>> {
    match ty {
        ExternType::Global(ty) => Some(List((type_name(ty.content), ty.mutable))),
        _ => None,
    }
}

fn new_store(ctx: Ctx<'_>) -> Result<Stored<'_>> {
    StoreObject::create(&ctx)
}

/// Instantiates a module; its imports are functions and items, in order. Returns `[name, value]` of each export.
fn instantiate<'js>(
    ctx: Ctx<'js>,
    stored: Stored<'js>,
    code: Class<'js, Code>,
    values: Array<'js>,
) -> Result<Array<'js>> {
    let store = stored.borrow();
    let module = code.borrow().0.clone();
    let mut items = Vec::new();
    let mut functions = Vec::new();
    for (import, value) in module.imports().zip(values.iter::<Value<'js>>()) {
        let value = value?;
        items.push(match &import.ty {
            ExternType::Func(ty) => {
                let wasm = callable::get(&value);
                functions.push(wasm.is_some().then(|| value.clone()));
                let direct = wasm.and_then(|wasm| wasm.func_in(&store));
                if let Some(found) = wasm.map(WasmFunction::ty)
                    && found != ty
                {
                    let (module, name) = (import.module, import.name);
                    let (found, ty) = (ExternType::Func(found.clone()), ExternType::Func(ty.clone()));
                    let message = format!(
                        "incompatible import type: `{module}` `{name}` has to be a {ty}, and is a {found}"
                    );
                    return Err(throw(&ctx, "LinkError", &message));
                }
                Extern::Func(match direct {
                    Some(func) => func,
                    None => store.import(&ctx, &Function::from_value(value)?, ty)?,
                })
            }
            _ => Handle::from_value(&value)?.borrow().item,
        });
    }
    let pages = module.declarations().memories.iter().map(|memory| memory.limits.min).sum();
    store.charge(pages);
    let instance = store.try_with(&ctx, |context| Instance::new(context, &module, &items))?;
    let exports = store.with(&ctx, |context| instance.exports(&*context))?;
    let list = Array::new(ctx.clone())?;
    let declared = module.declarations().exports.iter().map(|export| export.index as usize);
    for (index, ((name, item), declared)) in exports.into_iter().zip(declared).enumerate() {
        // A function of another instance stays the same object when it is exported again.
        if let (Extern::Func(_), Some(Some(imported))) = (item, functions.get(declared)) {
            store.keep(&ctx, item, imported)?;
        }
        list.set(index, List((name, store.wrap(&ctx, item)?)))?;
    }
    Ok(list)
}

fn boolean<'js>(ctx: Ctx<'js>, function: Value<'js>) -> Result<Value<'js>> {
    match callable::get(&function) {
        Some(wasm) => wasm.boolean(&ctx),
        None => Err(type_error(&ctx, "this is no function of a WebAssembly module")),
    }
}

/// Prints a line, to standard output or to standard error.
fn print(ctx: Ctx<'_>, text: String, to_stderr: bool) -> Result<()> {
    let written = match to_stderr {
        true => writeln!(std::io::stderr(), "{text}"),
        false => writeln!(std::io::stdout(), "{text}"),
    };
    written.map_err(|error| Exception::throw_message(&ctx, &format!("cannot print: {error}")))
}

/// Milliseconds since the program began.
fn now() -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64() * 1e3
}
