//! The functions that `webassembly.js` builds the API on.

use crate::convert::{round_trip, to_javascript, to_wasm};
use crate::error::{throw, type_error};
use crate::function::WasmFunction;
use crate::loader;
use crate::realm::Realm;
use crate::store::{Item, StoreObject};
use aot_compiler::{Config, Cpu, Target};
use aot_runtime::embed::{
    Extern, ExternType, Global, Instance, Limits, Memory, MemoryType, Module, Table, TableType, Val, ValType,
};
use rquickjs::class::{JsClass, Readable, Trace, Tracer};
use rquickjs::function::Constructor;
use rquickjs::prelude::{List, Opt};
use rquickjs::{
    Array, ArrayBuffer, Class, Ctx, Exception, Function, JsLifetime, Object, Result, TypedArray, Value,
};
use std::io::Write as _;
use std::sync::OnceLock;
use std::time::Instant;

type Stored<'js> = Class<'js, StoreObject<'js>>;
type Handle<'js> = Class<'js, Item<'js>>;

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
        "storeOf": store_of,
        "keep": keep,
        "instantiate": instantiate,
        "newMemory": new_memory,
        "memoryBuffer": memory_buffer,
        "memoryGrow": memory_grow,
        "newTable": new_table,
        "tableLength": table_length,
        "tableGet": table_get,
        "tableSet": table_set,
        "tableGrow": table_grow,
        "typeName": type_name_of,
        "toType": to_type,
        "newGlobal": new_global,
        "globalType": global_type,
        "globalGet": global_get,
        "globalSet": global_set,
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

/// What the JavaScript interface calls the types.
fn type_name(ty: ValType) -> &'static str {
    match ty {
        ValType::FuncRef => "anyfunc",
        ty => ty.name(),
    }
}

fn type_of(ctx: &Ctx<'_>, name: &str) -> Result<ValType> {
    use ValType::{ExternRef, F32, F64, FuncRef, I32, I64, V128};
    let all = [I32, I64, F32, F64, V128, FuncRef, ExternRef];
    let found = all.into_iter().find(|ty| type_name(*ty) == name || ty.name() == name);
    found.ok_or_else(|| type_error(ctx, &format!("`{name}` is no type of WebAssembly")))
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

fn store_of<'js>(item: Handle<'js>) -> Stored<'js> {
    item.borrow().store.clone()
}

/// Notes the object that scripts see for an item.
fn keep<'js>(ctx: Ctx<'js>, item: Handle<'js>, value: Value<'js>) -> Result<()> {
    let item = item.borrow();
    item.store.borrow().keep(&ctx, item.item, &value)
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
                let wasm = Class::<WasmFunction<'js>>::from_value(&value).ok();
                functions.push(wasm.is_some().then(|| value.clone()));
                let direct = wasm.as_ref().and_then(|wasm| wasm.borrow().func_in(&store));
                if let Some(found) = wasm.map(|wasm| wasm.borrow().ty())
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

/// Makes an item in a store.
fn new_item<'js>(
    ctx: Ctx<'js>,
    stored: Stored<'js>,
    make: impl FnOnce(&mut crate::store::Context) -> std::result::Result<Extern, aot_runtime::embed::Error>,
) -> Result<Handle<'js>> {
    let item = stored.borrow().try_with(&ctx, make)?;
    Class::instance(ctx, Item { store: stored, item })
}

fn new_memory<'js>(ctx: Ctx<'js>, stored: Stored<'js>, min: u32, max: Option<u32>) -> Result<Handle<'js>> {
    stored.borrow().charge(u64::from(min));
    let ty = MemoryType { limits: limits(min, max) };
    new_item(ctx, stored, |context| Memory::new(context, &ty).map(Extern::Memory))
}

fn limits(min: u32, max: Option<u32>) -> Limits {
    Limits { min: u64::from(min), max: max.map(u64::from) }
}

macro_rules! item_of {
    ($ctx:expr, $handle:expr, $kind:ident) => {
        match $handle.borrow().item {
            Extern::$kind(item) => item,
            _ => return Err(type_error(&$ctx, "the object is of another kind")),
        }
    };
}

fn memory_buffer<'js>(ctx: Ctx<'js>, handle: Handle<'js>) -> Result<ArrayBuffer<'js>> {
    let memory = item_of!(ctx, handle, Memory);
    handle.borrow().store.borrow().buffer(&ctx, memory)
}

fn memory_grow<'js>(ctx: Ctx<'js>, handle: Handle<'js>, pages: u32) -> Result<u32> {
    let memory = item_of!(ctx, handle, Memory);
    let item = handle.borrow();
    let store = item.store.borrow();
    let old = store.try_with(&ctx, |context| memory.grow(context, u64::from(pages)))?;
    store.charge(u64::from(pages));
    // Also if it has grown by nothing: so the specification says.
    store.detach_buffer(memory);
    Ok(old as u32)
}

fn new_table<'js>(
    ctx: Ctx<'js>,
    stored: Stored<'js>,
    element: String,
    min: u32,
    max: Option<u32>,
    init: Value<'js>,
) -> Result<Handle<'js>> {
    let element = type_of(&ctx, &element)?;
    if !matches!(element, ValType::FuncRef | ValType::ExternRef) {
        return Err(type_error(&ctx, "the elements of a table are of the type `anyfunc` or `externref`"));
    }
    let init = reference(&ctx, &stored, element, &init)?;
    let ty = TableType { element, limits: limits(min, max) };
    new_item(ctx, stored, |context| Table::new(context, &ty, init).map(Extern::Table))
}

/// A value for a table: nothing is null where functions are wanted.
fn reference<'js>(ctx: &Ctx<'js>, store: &Stored<'js>, ty: ValType, value: &Value<'js>) -> Result<Val> {
    match ty {
        ValType::FuncRef if value.is_undefined() => Ok(Val::FuncRef(None)),
        ty => to_wasm(ctx, &store.borrow(), ty, value),
    }
}

fn table_length<'js>(ctx: Ctx<'js>, handle: Handle<'js>) -> Result<u32> {
    let table = item_of!(ctx, handle, Table);
    let size = handle.borrow().store.borrow().try_with(&ctx, |context| table.size(&*context))?;
    Ok(u32::try_from(size).unwrap_or(u32::MAX))
}

fn table_get<'js>(ctx: Ctx<'js>, handle: Handle<'js>, index: u32) -> Result<Value<'js>> {
    let table = item_of!(ctx, handle, Table);
    let item = handle.borrow();
    let store = item.store.borrow();
    match store.try_with(&ctx, |context| table.get(&*context, u64::from(index)))? {
        Some(value) => to_javascript(&ctx, &store, value),
        None => Err(Exception::throw_range(&ctx, &format!("the table has no element {index}"))),
    }
}

fn table_set<'js>(ctx: Ctx<'js>, handle: Handle<'js>, index: u32, value: Opt<Value<'js>>) -> Result<()> {
    let table = item_of!(ctx, handle, Table);
    let item = handle.borrow();
    let store = item.store.borrow();
    let (size, ty) = store.try_with(&ctx, |context| Ok((table.size(&*context)?, table.ty(&*context)?)))?;
    if u64::from(index) >= size {
        return Err(Exception::throw_range(&ctx, &format!("the table has no element {index}")));
    }
    let value = value.0.unwrap_or_else(|| Value::new_undefined(ctx.clone()));
    let value = reference(&ctx, &item.store, ty.element, &value)?;
    store.try_with(&ctx, |context| table.set(context, u64::from(index), value))
}

fn table_grow<'js>(ctx: Ctx<'js>, handle: Handle<'js>, more: u32, init: Opt<Value<'js>>) -> Result<u32> {
    let table = item_of!(ctx, handle, Table);
    let item = handle.borrow();
    let store = item.store.borrow();
    let ty = store.try_with(&ctx, |context| table.ty(&*context))?;
    let init = init.0.unwrap_or_else(|| Value::new_undefined(ctx.clone()));
    let init = reference(&ctx, &item.store, ty.element, &init)?;
    let old = store.try_with(&ctx, |context| table.grow(context, u64::from(more), init))?;
    Ok(u32::try_from(old).unwrap_or(u32::MAX))
}

/// The name of a type as others here give it.
fn type_name_of(ctx: Ctx<'_>, name: String) -> Result<&'static str> {
    type_of(&ctx, &name).map(type_name)
}

/// A value as a number of a type; the default if there is none. References stay as they are.
fn to_type<'js>(ctx: Ctx<'js>, ty: String, value: Opt<Value<'js>>) -> Result<Value<'js>> {
    let ty = type_of(&ctx, &ty)?;
    let value = value.0.unwrap_or_else(|| Value::new_undefined(ctx.clone()));
    Ok(round_trip(&ctx, ty, &value)?.unwrap_or(value))
}

fn new_global<'js>(
    ctx: Ctx<'js>,
    stored: Stored<'js>,
    ty: String,
    mutable: bool,
    value: Opt<Value<'js>>,
) -> Result<Handle<'js>> {
    let ty = type_of(&ctx, &ty)?;
    let value = match value.0.filter(|value| !value.is_undefined() || ty == ValType::ExternRef) {
        Some(value) => to_wasm(&ctx, &stored.borrow(), ty, &value)?,
        None => Val::default_of(ty),
    };
    new_item(ctx, stored, |context| Global::new(context, value, mutable).map(Extern::Global))
}

/// `[type, mutable]`.
fn global_type<'js>(ctx: Ctx<'js>, handle: Handle<'js>) -> Result<List<(&'static str, bool)>> {
    let ty = item_of!(ctx, handle, Global).ty();
    Ok(List((type_name(ty.content), ty.mutable)))
}

fn global_get<'js>(ctx: Ctx<'js>, handle: Handle<'js>) -> Result<Value<'js>> {
    let global = item_of!(ctx, handle, Global);
    let item = handle.borrow();
    let store = item.store.borrow();
    let value = store.try_with(&ctx, |context| global.get(&*context))?;
    to_javascript(&ctx, &store, value)
}

fn global_set<'js>(ctx: Ctx<'js>, handle: Handle<'js>, value: Value<'js>) -> Result<()> {
    let global = item_of!(ctx, handle, Global);
    let item = handle.borrow();
    let store = item.store.borrow();
    if !global.ty().mutable {
        return Err(type_error(&ctx, "the global cannot be changed"));
    }
    let value = to_wasm(&ctx, &store, global.ty().content, &value)?;
    store.try_with(&ctx, |context| global.set(context, value))
}

fn boolean<'js>(ctx: Ctx<'js>, function: Value<'js>) -> Result<Value<'js>> {
    match Class::<WasmFunction<'js>>::from_value(&function) {
        Ok(wasm) => wasm.borrow().boolean(&ctx),
        Err(_) => Err(type_error(&ctx, "this is no function of a WebAssembly module")),
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
