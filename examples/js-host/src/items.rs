//! Memories, tables and globals: what `webassembly.js` builds their objects on.

use crate::convert::{round_trip, to_javascript, to_wasm};
use crate::error::type_error;
use crate::store::StoreObject;
use aot_runtime::embed::{Extern, Global, Limits, Memory, MemoryType, Table, TableType, Val, ValType};
use rquickjs::class::{JsClass, Readable, Trace, Tracer};
use rquickjs::function::Constructor;
use rquickjs::prelude::{List, Opt};
use rquickjs::{ArrayBuffer, Class, Ctx, Exception, JsLifetime, Object, Result, Value};

/// A store, as `webassembly.js` has it.
pub type Stored<'js> = Class<'js, StoreObject<'js>>;
/// An item, as `webassembly.js` has it.
pub type Handle<'js> = Class<'js, Item<'js>>;

/// A memory, table or global, for the objects that scripts see.
pub struct Item<'js> {
    pub store: Class<'js, StoreObject<'js>>,
    pub item: Extern,
}

impl<'js> Trace<'js> for Item<'js> {
    fn trace(&self, tracer: Tracer<'_, 'js>) {
        self.store.trace(tracer);
    }
}

// SAFETY: the lifetime is that of the JavaScript values.
unsafe impl<'js> JsLifetime<'js> for Item<'js> {
    type Changed<'to> = Item<'to>;
}

impl<'js> JsClass<'js> for Item<'js> {
    const NAME: &'static str = "Item";
    type Mutable = Readable;

    fn prototype(_: &Ctx<'js>) -> Result<Option<Object<'js>>> {
        Ok(None)
    }

    fn constructor(_: &Ctx<'js>) -> Result<Option<Constructor<'js>>> {
        Ok(None)
    }
}

/// What the JavaScript interface calls the types.
pub fn type_name(ty: ValType) -> &'static str {
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

pub fn store_of<'js>(item: Handle<'js>) -> Stored<'js> {
    item.borrow().store.clone()
}

/// Notes the object that scripts see for an item.
pub fn keep<'js>(ctx: Ctx<'js>, item: Handle<'js>, value: Value<'js>) -> Result<()> {
    let item = item.borrow();
    item.store.borrow().keep(&ctx, item.item, &value)
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

pub fn new_memory<'js>(
    ctx: Ctx<'js>,
    stored: Stored<'js>,
    min: u32,
    max: Option<u32>,
) -> Result<Handle<'js>> {
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

pub fn memory_buffer<'js>(ctx: Ctx<'js>, handle: Handle<'js>) -> Result<ArrayBuffer<'js>> {
    let memory = item_of!(ctx, handle, Memory);
    handle.borrow().store.borrow().buffer(&ctx, memory)
}

pub fn memory_grow<'js>(ctx: Ctx<'js>, handle: Handle<'js>, pages: u32) -> Result<u32> {
    let memory = item_of!(ctx, handle, Memory);
    let item = handle.borrow();
    let store = item.store.borrow();
    let old = store.try_with(&ctx, |context| memory.grow(context, u64::from(pages)))?;
    store.charge(u64::from(pages));
    // Also if it has grown by nothing: so the specification says.
    store.detach_buffer(memory);
    Ok(old as u32)
}

pub fn new_table<'js>(
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

pub fn table_length<'js>(ctx: Ctx<'js>, handle: Handle<'js>) -> Result<u32> {
    let table = item_of!(ctx, handle, Table);
    let size = handle.borrow().store.borrow().try_with(&ctx, |context| table.size(&*context))?;
    Ok(u32::try_from(size).unwrap_or(u32::MAX))
}

pub fn table_get<'js>(ctx: Ctx<'js>, handle: Handle<'js>, index: u32) -> Result<Value<'js>> {
    let table = item_of!(ctx, handle, Table);
    let item = handle.borrow();
    let store = item.store.borrow();
    match store.try_with(&ctx, |context| table.get(&*context, u64::from(index)))? {
        Some(value) => to_javascript(&ctx, &store, value),
        None => Err(Exception::throw_range(&ctx, &format!("the table has no element {index}"))),
    }
}

pub fn table_set<'js>(ctx: Ctx<'js>, handle: Handle<'js>, index: u32, value: Opt<Value<'js>>) -> Result<()> {
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

pub fn table_grow<'js>(ctx: Ctx<'js>, handle: Handle<'js>, more: u32, init: Opt<Value<'js>>) -> Result<u32> {
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
pub fn type_name_of(ctx: Ctx<'_>, name: String) -> Result<&'static str> {
    type_of(&ctx, &name).map(type_name)
}

/// A value as a number of a type; the default if there is none. References stay as they are.
pub fn to_type<'js>(ctx: Ctx<'js>, ty: String, value: Opt<Value<'js>>) -> Result<Value<'js>> {
    let ty = type_of(&ctx, &ty)?;
    let value = value.0.unwrap_or_else(|| Value::new_undefined(ctx.clone()));
    Ok(round_trip(&ctx, ty, &value)?.unwrap_or(value))
}

pub fn new_global<'js>(
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
pub fn global_type<'js>(ctx: Ctx<'js>, handle: Handle<'js>) -> Result<List<(&'static str, bool)>> {
    let ty = item_of!(ctx, handle, Global).ty();
    Ok(List((type_name(ty.content), ty.mutable)))
}

pub fn global_get<'js>(ctx: Ctx<'js>, handle: Handle<'js>) -> Result<Value<'js>> {
    let global = item_of!(ctx, handle, Global);
    let item = handle.borrow();
    let store = item.store.borrow();
    let value = store.try_with(&ctx, |context| global.get(&*context))?;
    to_javascript(&ctx, &store, value)
}

pub fn global_set<'js>(ctx: Ctx<'js>, handle: Handle<'js>, value: Value<'js>) -> Result<()> {
    let global = item_of!(ctx, handle, Global);
    let item = handle.borrow();
    let store = item.store.borrow();
    if !global.ty().mutable {
        return Err(type_error(&ctx, "the global cannot be changed"));
    }
    let value = to_wasm(&ctx, &store, global.ty().content, &value)?;
    store.try_with(&ctx, |context| global.set(context, value))
}
