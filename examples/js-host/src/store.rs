//! Stores as JavaScript sees them: what instances share, and what is freed together.
//!
//! A [`StoreCell`] has the store, and nothing of JavaScript. Array buffers keep it: the memory that they view lives as long
//! as they do. A [`StoreObject`] is the object by which JavaScript's garbage collector knows of the store: functions,
//! memories, tables and globals refer to it, and it refers to the JavaScript values that the wasm code uses.

use crate::buffers::Buffer;
use crate::callable;
use crate::error::{self, Thrown};
use crate::function::{self, WasmFunction};
use crate::items::Item;
use crate::realm::{Accounts, Realm};
use aot_runtime::embed::{
    AsContextMut, Caller, Error as WasmError, Extern, Func, FuncType, HostError, Store, StoreContextMut, Val,
};
use rquickjs::class::{JsClass, Readable, Trace, Tracer};
use rquickjs::function::Constructor;
use rquickjs::{Class, Ctx, Function, JsLifetime, Result, Value, qjs};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::marker::PhantomData;
use std::mem::transmute;
use std::ptr::{self, NonNull};
use std::rc::Rc;

/// Access to a store, for as long as it is in its cell.
pub type Context = StoreContextMut<'static, HostData>;

/// A store, and who may use it now.
pub struct StoreCell {
    /// There is one access to a store at a time, and it is here whenever JavaScript runs: at first that of the store itself;
    /// while wasm code calls JavaScript, that of the call. While wasm code runs there is none.
    context: Cell<Option<Context>>,
    _store: Store<HostData>,
    accounts: Rc<Accounts>,
    pages: Cell<u64>,
}

/// The data of a store: how its host functions find JavaScript.
pub struct HostData {
    ctx: NonNull<qjs::JSContext>,
    /// The object of the store, from when it is made.
    object: Cell<*const StoreObject<'static>>,
}

impl StoreCell {
    /// Runs something with the store. It must not run JavaScript.
    ///
    /// # Errors
    /// If the store is in use.
    pub fn with<R>(&self, action: impl FnOnce(&mut Context) -> R) -> std::result::Result<R, WasmError> {
        /// Puts the access back, also if the action panics.
        struct Taken<'a>(&'a Cell<Option<Context>>, Option<Context>);
        impl Drop for Taken<'_> {
            fn drop(&mut self) {
                self.0.set(self.1.take());
            }
        }
        let mut taken = Taken(&self.context, self.context.take());
        match &mut taken.1 {
            Some(context) => Ok(action(context)),
            None => Err(WasmError::Usage("the instance is in use".to_owned())),
        }
    }

    /// Gives the access of a host function to the JavaScript that it calls, until the guard is dropped.
    fn lend<'a>(&'a self, caller: &'a mut Caller<'_, HostData>) -> impl Drop + 'a {
        struct Lent<'a>(&'a Cell<Option<Context>>, Option<Context>, PhantomData<&'a mut ()>);
        impl Drop for Lent<'_> {
            fn drop(&mut self) {
                self.0.set(self.1.take());
            }
        }
        // SAFETY: only the lifetime changes. The access is gone from the cell before `caller` can be used again: the guard
        // borrows it. `with` takes it out of the cell and puts it back, so there are never two users.
        let context = unsafe { transmute::<StoreContextMut<'_, HostData>, Context>(caller.as_context_mut()) };
        Lent(&self.context, self.context.replace(Some(context)), PhantomData)
    }

    /// Adds to what the garbage collector should know of the store's size.
    fn charge(&self, pages: u64) {
        self.pages.set(self.pages.get() + pages);
        self.accounts.add(pages);
    }
}

impl Drop for StoreCell {
    fn drop(&mut self) {
        self.accounts.remove(self.pages.get());
    }
}

/// The object of a store.
pub struct StoreObject<'js> {
    pub cell: Rc<StoreCell>,
    /// The JavaScript object whose content this is.
    this: Cell<Option<qjs::JSValue>>,
    /// Functions that wasm code imports.
    imports: RefCell<Vec<Function<'js>>>,
    /// Host functions by imported function and type: one for each is enough.
    imported: RefCell<HashMap<(Value<'js>, FuncType), Func>>,
    /// What external references stand for. Nobody knows when wasm code has forgotten one, so they stay.
    externs: RefCell<Vec<Value<'js>>>,
    extern_numbers: RefCell<HashMap<Value<'js>, u32>>,
    pub buffers: RefCell<Vec<Buffer<'js>>>,
    /// Weak references of the objects that stand for items, so that each item has one object.
    wrappers: RefCell<HashMap<Extern, Value<'js>>>,
}

impl<'js> Trace<'js> for StoreObject<'js> {
    fn trace(&self, tracer: Tracer<'_, 'js>) {
        if let Ok(imports) = self.imports.try_borrow() {
            imports.iter().for_each(|function| function.trace(tracer));
        }
        if let Ok(imported) = self.imported.try_borrow() {
            imported.keys().for_each(|(function, _)| function.trace(tracer));
        }
        if let Ok(externs) = self.externs.try_borrow() {
            externs.iter().for_each(|value| value.trace(tracer));
        }
        if let Ok(numbers) = self.extern_numbers.try_borrow() {
            numbers.keys().for_each(|value| value.trace(tracer));
        }
        if let Ok(buffers) = self.buffers.try_borrow() {
            buffers.iter().for_each(|buffer| buffer.trace(tracer));
        }
        if let Ok(wrappers) = self.wrappers.try_borrow() {
            wrappers.values().for_each(|weak| weak.trace(tracer));
        }
    }
}

// SAFETY: the lifetime is that of the JavaScript values.
unsafe impl<'js> JsLifetime<'js> for StoreObject<'js> {
    type Changed<'to> = StoreObject<'to>;
}

impl<'js> JsClass<'js> for StoreObject<'js> {
    const NAME: &'static str = "Store";
    type Mutable = Readable;

    fn constructor(_: &Ctx<'js>) -> Result<Option<Constructor<'js>>> {
        Ok(None)
    }
}

impl<'js> StoreObject<'js> {
    /// Makes a store. Collects garbage first if many have been made since that was last done: QuickJS does not know
    /// how large they are.
    pub fn create(ctx: &Ctx<'js>) -> Result<Class<'js, StoreObject<'js>>> {
        let realm = Realm::of(ctx);
        if realm.accounts.is_time() {
            ctx.run_gc();
            realm.accounts.collected();
        }
        let data = HostData { ctx: ctx.as_raw(), object: Cell::new(ptr::null()) };
        let mut store = Store::new(&realm.engine, data);
        if let Some(deadline) = realm.deadline {
            store.set_epoch_deadline(deadline.ticks());
        }
        // SAFETY: only the lifetime changes; the cell has the store too, which does nothing else.
        let context = unsafe { transmute::<StoreContextMut<'_, HostData>, Context>(store.as_context_mut()) };
        let cell = StoreCell {
            context: Cell::new(Some(context)),
            _store: store,
            accounts: Rc::clone(&realm.accounts),
            pages: Cell::new(0),
        };
        cell.charge(Accounts::STORE_PAGES);
        let object = StoreObject {
            cell: Rc::new(cell),
            this: Cell::new(None),
            imports: RefCell::default(),
            imported: RefCell::default(),
            externs: RefCell::default(),
            extern_numbers: RefCell::default(),
            buffers: RefCell::default(),
            wrappers: RefCell::default(),
        };
        let class = Class::instance(ctx.clone(), object)?;
        let object = class.borrow();
        object.this.set(Some(class.as_value().as_raw()));
        let address = ptr::from_ref(&*object).cast::<StoreObject<'static>>();
        object.with(ctx, |context| context.data().object.set(address))?;
        drop(object);
        Ok(class)
    }

    /// As [`StoreCell::with`], with JavaScript's kind of errors.
    pub fn with<R>(&self, ctx: &Ctx<'js>, action: impl FnOnce(&mut Context) -> R) -> Result<R> {
        self.cell.with(action).map_err(|error| error::throw_wasm(ctx, error))
    }

    /// Runs something with the store that can fail. It must not run JavaScript, but wasm code that does.
    pub fn try_with<R>(
        &self,
        ctx: &Ctx<'js>,
        action: impl FnOnce(&mut Context) -> std::result::Result<R, WasmError>,
    ) -> Result<R> {
        let result = self.cell.with(action).flatten();
        self.refresh_buffers();
        result.map_err(|error| {
            if error.trap().is_some_and(|trap| trap.code() == aot_runtime::embed::TrapCode::Interrupt) {
                // The script is over soon. Until then it may call again.
                let _ = self.cell.with(|context| context.set_epoch_deadline(1));
            }
            error::throw_wasm(ctx, error)
        })
    }

    /// The object as a value.
    fn class(&self, ctx: &Ctx<'js>) -> Class<'js, StoreObject<'js>> {
        let this = self.this.get().expect("set when the object was made");
        // SAFETY: the object exists, since its content is borrowed; this is one more reference to it.
        let value = unsafe { Value::from_raw(ctx.clone(), qjs::JS_DupValue(ctx.as_raw().as_ptr(), this)) };
        Class::from_value(&value).expect("it is of this class")
    }

    /// A host function that calls a JavaScript function.
    pub fn import(&self, ctx: &Ctx<'js>, function: &Function<'js>, ty: &FuncType) -> Result<Func> {
        let key = (function.as_value().clone(), ty.clone());
        if let Some(func) = self.imported.borrow().get(&key) {
            return Ok(*func);
        }
        let index = self.imports.borrow().len();
        let func = self.with(ctx, |context| {
            Func::new(context, ty.clone(), move |caller: Caller<'_, HostData>, args, results| {
                call_import(caller, index, args, results)
            })
        })?;
        self.imports.borrow_mut().push(function.clone());
        self.imported.borrow_mut().insert(key, func);
        if callable::get(function.as_value()).is_some() {
            // A function of another store: what reads it back, from a table for example, gets the same object.
            self.keep(ctx, Extern::Func(func), function.as_value())?;
        }
        Ok(func)
    }

    /// A function of this store for a value that goes where a function reference is wanted.
    pub fn func_of(&self, ctx: &Ctx<'js>, value: &Value<'js>) -> Result<Option<Func>> {
        if value.is_null() {
            return Ok(None);
        }
        let Some(wasm) = callable::get(value) else {
            return Err(error::type_error(
                ctx,
                "a function reference has to be null or a function that a module exports",
            ));
        };
        if let Some(func) = wasm.func_in(self) {
            return Ok(Some(func));
        }
        let function = Function::from_value(value.clone())?;
        self.import(ctx, &function, wasm.ty()).map(Some)
    }

    /// The number by which wasm code knows a value.
    pub fn number_of(&self, value: &Value<'js>) -> Option<u32> {
        if value.is_null() {
            return None;
        }
        if let Some(number) = self.extern_numbers.borrow().get(value) {
            return Some(*number);
        }
        let mut externs = self.externs.borrow_mut();
        let number = u32::try_from(externs.len()).expect("memory is full before");
        externs.push(value.clone());
        self.extern_numbers.borrow_mut().insert(value.clone(), number);
        Some(number)
    }

    /// The value that wasm code knows by a number.
    pub fn value_of(&self, ctx: &Ctx<'js>, number: Option<u32>) -> Value<'js> {
        let value = number.and_then(|number| self.externs.borrow().get(number as usize).cloned());
        value.unwrap_or_else(|| Value::new_null(ctx.clone()))
    }

    /// The object that stands for an item: the one that there is, or a new one.
    pub fn wrap(&self, ctx: &Ctx<'js>, item: Extern) -> Result<Value<'js>> {
        let realm = Realm::of(ctx);
        let weak = self.wrappers.borrow().get(&item).cloned();
        if let Some(weak) = weak {
            let value = realm.deref(weak)?;
            if !value.is_undefined() {
                return Ok(value);
            }
        }
        let value = match item {
            Extern::Func(func) => WasmFunction::create(ctx, self.class(ctx), func)?,
            item => realm.wrap(item, Class::instance(ctx.clone(), Item { store: self.class(ctx), item })?)?,
        };
        self.keep(ctx, item, &value)?;
        Ok(value)
    }

    /// Notes which object stands for an item.
    pub fn keep(&self, ctx: &Ctx<'js>, item: Extern, value: &Value<'js>) -> Result<()> {
        let weak = Realm::of(ctx).weak(value)?;
        self.wrappers.borrow_mut().insert(item, weak);
        Ok(())
    }

    /// Tells the garbage collector about memory that the store has got.
    pub fn charge(&self, pages: u64) {
        self.cell.charge(pages);
    }

    /// The JavaScript function with a number.
    fn imported(&self, index: usize) -> qjs::JSValue {
        self.imports.borrow()[index].as_value().as_raw()
    }
}

/// What wasm code calls when it calls JavaScript.
fn call_import(
    mut caller: Caller<'_, HostData>,
    index: usize,
    args: &[Val],
    results: &mut [Val],
) -> std::result::Result<(), HostError> {
    // SAFETY: wasm code of a store runs only when JavaScript has called it, by an object that refers to the object of the
    // store, or while that is at hand to instantiate a module. So it exists, as the engine does, whose lock is held.
    let (object, ctx) = unsafe { caller.data().javascript() };
    let lent = object.cell.lend(&mut caller);
    object.refresh_buffers();
    let function = object.imported(index);
    // SAFETY: a function that the object of the store refers to, and never forgets.
    let called = unsafe { function::call_javascript(&ctx, object, function, args, results) };
    drop(lent);
    called.map_err(|error| {
        error::as_exception(&ctx, error);
        HostError::from(Thrown)
    })
}

impl HostData {
    /// The object of the store, and JavaScript.
    ///
    /// # Safety
    /// The object of the store exists, and the engine's lock is held by this thread, for as long as the results are used.
    unsafe fn javascript<'a, 'js>(&self) -> (&'a StoreObject<'js>, Ctx<'js>) {
        // SAFETY: the caller vouches for both.
        unsafe { (&*self.object.get().cast(), Ctx::from_raw(self.ctx)) }
    }
}
