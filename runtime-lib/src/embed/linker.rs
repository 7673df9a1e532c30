//! Binding imports: by name, once for a module, for any number of instances.

use super::activation::enter;
use super::code::Module;
use super::error::{Error, HostError, ImportError};
use super::func::Func;
use super::host::{Caller, HostContext, HostFunc, IntoFunc};
use super::instance::{Extern, Instance};
use super::items::give_code;
use super::store::{AsContextMut, Counts, InstanceEntry, StoreBase, StoreContextMut, StoreId};
use super::types::{ExternType, func_text};
use super::value::Val;
use crate::call;
use crate::instance::{self, Callee, Import, Resources};
use crate::libcalls::LIBCALLS;
use crate::vmctx::{FuncImport, FuncRef};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use aot_abi::types::{EntityType, FuncType, PAGE_SIZE};
use core::marker::PhantomData;
use core::ptr;
use std::collections::HashMap;

/// What a name stands for.
enum Definition {
    /// A host function, good for any store.
    Host(Arc<HostFunc>),
    /// Something of one store.
    Item(Extern),
}

impl Clone for Definition {
    fn clone(&self) -> Self {
        match self {
            Definition::Host(func) => Definition::Host(Arc::clone(func)),
            Definition::Item(item) => Definition::Item(*item),
        }
    }
}

/// Names of what modules import: host functions for stores with the data `T`, and items of stores.
pub struct Linker<T: 'static> {
    /// By module, then by name.
    modules: HashMap<String, HashMap<String, Definition>>,
    shadowing: bool,
    data: PhantomData<fn(T)>,
}

impl<T: 'static> Default for Linker<T> {
    fn default() -> Self {
        Linker::new()
    }
}

impl<T: 'static> Clone for Linker<T> {
    fn clone(&self) -> Self {
        Linker { modules: self.modules.clone(), shadowing: self.shadowing, data: PhantomData }
    }
}

impl<T: 'static> Linker<T> {
    pub fn new() -> Linker<T> {
        Linker { modules: HashMap::new(), shadowing: false, data: PhantomData }
    }

    /// Whether a name may be defined again; the last definition counts then.
    pub fn allow_shadowing(&mut self, allow: bool) -> &mut Self {
        self.shadowing = allow;
        self
    }

    fn insert(&mut self, module: &str, name: &str, definition: Definition) -> Result<&mut Self, Error> {
        let names = self.modules.entry(module.to_string()).or_default();
        if !self.shadowing && names.contains_key(name) {
            return Err(Error::usage(format!("`{module}` `{name}` is defined already")));
        }
        names.insert(name.to_string(), definition);
        Ok(self)
    }

    /// Defines a function as a closure over numbers, as [`Func::wrap`].
    ///
    /// ```
    /// use aot_runtime::embed::{Caller, Engine, Extern, Linker, Store};
    ///
    /// let mut linker: Linker<u32> = Linker::new();
    /// linker.func_wrap("host", "root", |number: f64| match number.sqrt() {
    ///     root if root.is_nan() => Err("the number is negative"),
    ///     root => Ok(root),
    /// })?;
    /// linker.func_wrap("host", "count", |mut caller: Caller<'_, u32>| *caller.data_mut() += 1)?;
    ///
    /// // Modules import them; the host can call them too.
    /// let mut store = Store::new(&Engine::default(), 0);
    /// let root = linker.get(&mut store, "host", "root").and_then(Extern::into_func).unwrap();
    /// let root = root.typed::<f64, f64>(&store)?;
    /// assert_eq!(root.call(&mut store, 9.0)?, 3.0);
    /// assert!(root.call(&mut store, -1.0).is_err());
    /// # Ok::<(), aot_runtime::embed::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the name is defined already.
    pub fn func_wrap<P, R>(
        &mut self,
        module: &str,
        name: &str,
        closure: impl IntoFunc<T, P, R>,
    ) -> Result<&mut Self, Error> {
        self.insert(module, name, Definition::Host(Arc::new(closure.into_func())))
    }

    /// Defines a function of any type as a closure over slices of values, as [`Func::new`].
    ///
    /// ```
    /// use aot_runtime::embed::{FuncType, Linker, Val, ValType};
    ///
    /// let mut linker: Linker<()> = Linker::new();
    /// let ty = FuncType { params: vec![ValType::I32; 2], results: vec![ValType::I64] };
    /// linker.func_new("host", "widen", ty, |_caller, args, results| {
    ///     let (Some(high), Some(low)) = (args[0].i32(), args[1].i32()) else { return Err("not numbers") };
    ///     results[0] = Val::I64(i64::from(high) << 32 | i64::from(low.cast_unsigned()));
    ///     Ok(())
    /// })?;
    /// # Ok::<(), aot_runtime::embed::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the name is defined already.
    pub fn func_new<E: Into<HostError>>(
        &mut self,
        module: &str,
        name: &str,
        ty: FuncType,
        closure: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<(), E> + Send + Sync + 'static,
    ) -> Result<&mut Self, Error> {
        let closure = move |caller: Caller<'_, T>, args: &[Val], results: &mut [Val]| {
            closure(caller, args, results).map_err(Into::into)
        };
        self.insert(module, name, Definition::Host(Arc::new(HostFunc::untyped(ty, closure))))
    }

    /// Defines a name as an item of a store.
    ///
    /// # Errors
    /// If the name is defined already.
    pub fn define(&mut self, module: &str, name: &str, item: impl Into<Extern>) -> Result<&mut Self, Error> {
        self.insert(module, name, Definition::Item(item.into()))
    }

    /// Defines all exports of an instance, under the name `module`.
    ///
    /// # Errors
    /// If one of the names is defined already.
    pub fn instance(
        &mut self,
        store: impl super::store::AsContext,
        module: &str,
        instance: Instance,
    ) -> Result<&mut Self, Error> {
        for (name, item) in instance.exports(store) {
            self.define(module, &name, item)?;
        }
        Ok(self)
    }

    /// Makes the functions of a module that nothing defines yet ones that fail when they are called.
    ///
    /// # Errors
    /// None now.
    pub fn define_unknown_imports_as_traps(&mut self, module: &Module) -> Result<(), Error> {
        for import in &module.declarations().imports {
            let EntityType::Func(ty) = import.ty else { continue };
            if self.find(&import.module, &import.name).is_some() {
                continue;
            }
            let ty = module.declarations().types.get(ty as usize).cloned().unwrap_or_default();
            let message = format!("call of the unknown import `{}` `{}`", import.module, import.name);
            self.func_new(&import.module, &import.name, ty, move |_, _, _| Err(message.clone()))?;
        }
        Ok(())
    }

    fn find(&self, module: &str, name: &str) -> Option<&Definition> {
        self.modules.get(module)?.get(name)
    }

    /// What a name stands for in a store.
    pub fn get(&self, mut store: impl AsContextMut<Data = T>, module: &str, name: &str) -> Option<Extern> {
        match self.find(module, name)? {
            Definition::Item(item) => Some(*item),
            Definition::Host(func) => {
                Some(Extern::Func(Func::of_host(&mut store.as_context_mut(), Arc::clone(func))))
            }
        }
    }

    /// Finds the definitions of a module's imports and checks their types, once for many instances.
    ///
    /// # Errors
    /// If an import is not defined, or has another type.
    pub fn instantiate_pre(&self, module: &Module) -> Result<InstancePre<T>, Error> {
        let mut binder = Binder::new(module);
        for import in &module.declarations().imports {
            let unknown = || ImportError::Unknown {
                module: import.module.clone(),
                name: import.name.clone(),
                expected: ExternType::new(&import.ty, &module.declarations().types).to_string(),
            };
            let found = self.find(&import.module, &import.name).ok_or_else(|| Error::Import(unknown()))?;
            binder.bind(import, found, None)?;
        }
        Ok(binder.finish())
    }

    /// Instantiates a module and runs its start function.
    ///
    /// # Errors
    /// If an import is missing or of another type, there is not enough memory, or initialisation traps.
    pub fn instantiate(
        &self,
        mut store: impl AsContextMut<Data = T>,
        module: &Module,
    ) -> Result<Instance, Error> {
        self.instantiate_pre(module)?.instantiate(store.as_context_mut())
    }
}

/// What an import is bound to.
enum Bound {
    /// The host function with this number, called by this code.
    Host {
        func: usize,
        code: *const u8,
    },
    Item(Extern),
}

/// A module with its imports bound: all but the making of an instance is done.
pub struct InstancePre<T: 'static> {
    module: Module,
    imports: Vec<Bound>,
    funcs: Arc<[Arc<HostFunc>]>,
    /// The store of the items, if there are any.
    store: Option<StoreId>,
    data: PhantomData<fn(T)>,
}

// SAFETY: the pointers are to code of the module, which the value keeps; items are checked with their store.
unsafe impl<T> Send for InstancePre<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for InstancePre<T> {}

/// Binds the imports of a module one by one.
struct Binder<'m> {
    module: &'m Module,
    imports: Vec<Bound>,
    funcs: Vec<Arc<HostFunc>>,
    store: Option<StoreId>,
}

impl<'m> Binder<'m> {
    fn new(module: &'m Module) -> Self {
        Binder { module, imports: Vec::new(), funcs: Vec::new(), store: None }
    }

    /// Checks what can be checked without the store of an item: the rest is checked when it is instantiated, since sizes
    /// change.
    fn bind(
        &mut self,
        import: &aot_abi::types::Import,
        found: &Definition,
        store: Option<&StoreBase>,
    ) -> Result<(), Error> {
        let declarations = self.module.declarations();
        let incompatible = |found: String| {
            Error::Import(ImportError::Incompatible {
                module: import.module.clone(),
                name: import.name.clone(),
                expected: ExternType::new(&import.ty, &declarations.types).to_string(),
                found,
            })
        };
        let bound = match (found, &import.ty) {
            (Definition::Host(func), EntityType::Func(ty)) => {
                if self.module.loaded().type_ids().get(*ty as usize) != Some(&func.type_id()) {
                    return Err(incompatible(func_text(func.ty())));
                }
                let mut code = func.direct();
                if code.is_null() {
                    let trampoline = self.module.host_trampoline(*ty);
                    code = trampoline.ok_or_else(|| {
                        Error::usage("the module has no trampoline for a function that it imports")
                    })?;
                }
                self.funcs.push(Arc::clone(func));
                Bound::Host { func: self.funcs.len() - 1, code }
            }
            (Definition::Host(func), _) => return Err(incompatible(func_text(func.ty()))),
            (Definition::Item(item), _) => {
                let id = item.store();
                if self.store.is_some_and(|other| other != id) {
                    return Err(Error::usage("the imports of a module are items of different stores"));
                }
                self.store = Some(id);
                if let Some(store) = store {
                    check(self.module, import, item, store)?;
                }
                Bound::Item(*item)
            }
        };
        self.imports.push(bound);
        Ok(())
    }

    fn finish<T: 'static>(self) -> InstancePre<T> {
        InstancePre {
            module: self.module.clone(),
            imports: self.imports,
            funcs: self.funcs.into(),
            store: self.store,
            data: PhantomData,
        }
    }
}

/// Checks that an item of a store is what an import wants (core specification 4.5.2).
fn check(
    module: &Module,
    import: &aot_abi::types::Import,
    item: &Extern,
    store: &StoreBase,
) -> Result<(), Error> {
    if item.store() != store.id {
        return Err(Error::usage(format!(
            "the import `{}` `{}` is bound to an item of another store",
            import.module, import.name
        )));
    }
    // SAFETY: items of the store are valid.
    let fits = unsafe {
        match (&import.ty, item) {
            (EntityType::Func(ty), Extern::Func(func)) => {
                module.loaded().type_ids().get(*ty as usize) == Some(&(*func.raw()).type_id)
            }
            (EntityType::Table(wanted), Extern::Table(table)) => {
                let table = &*table.0.raw;
                table.ty().element == wanted.element && table.limits().satisfies(table.len(), &wanted.limits)
            }
            (EntityType::Memory(wanted), Extern::Memory(memory)) => {
                let memory = &*memory.0.raw;
                memory.limits().satisfies(memory.pages(), &wanted.limits)
            }
            (EntityType::Global(wanted), Extern::Global(global)) => global.ty == *wanted,
            _ => false,
        }
    };
    if fits {
        return Ok(());
    }
    Err(Error::Import(ImportError::Incompatible {
        module: import.module.clone(),
        name: import.name.clone(),
        expected: ExternType::new(&import.ty, &module.declarations().types).to_string(),
        found: item.type_text(store),
    }))
}

impl<T: 'static> InstancePre<T> {
    /// Binds imports to items of a store.
    pub(super) fn of_items(module: &Module, items: &[Extern], store: &StoreBase) -> Result<Self, Error> {
        let mut binder = Binder::new(module);
        for (import, item) in module.declarations().imports.iter().zip(items) {
            binder.bind(import, &Definition::Item(*item), Some(store))?;
        }
        Ok(binder.finish())
    }

    /// The module.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// Makes an instance and runs the start function.
    ///
    /// # Errors
    /// If an import does not fit or is of another store, there is not enough memory, or initialisation traps.
    pub fn instantiate(&self, mut store: impl AsContextMut<Data = T>) -> Result<Instance, Error> {
        let mut store = store.as_context_mut();
        let (index, start) = self.make(&mut store)?;
        let instance = Instance { index, store: store.base().id };
        if let Some(Callee { entry, code, vmctx }) = start {
            let mut slots = [[0; 16]];
            // SAFETY: a start function takes and returns nothing; it is one of this store.
            unsafe {
                enter(store.base_ptr(), entry, |activation| {
                    call::enter(activation, entry, code, vmctx, slots.as_mut_ptr())
                })?;
            }
        }
        Ok(instance)
    }

    /// Makes an instance, all but running its start function.
    fn make(&self, store: &mut StoreContextMut<'_, T>) -> Result<(usize, Option<Callee>), Error> {
        let base_ptr = store.base_ptr();
        let base = store.base_mut();
        self.module.announce(&base.engine.inner.config)?;
        let declarations = self.module.declarations();
        if self.store.is_some() {
            for (import, bound) in declarations.imports.iter().zip(&self.imports) {
                if let Bound::Item(item) = bound {
                    check(&self.module, import, item, base)?;
                    if let Extern::Func(func) = item {
                        self.give_code(base, *func, import)?;
                    }
                }
            }
        }
        let limits = base.resource_limits();
        // Counted when there is an instance: one that could not be made takes no place.
        let counts = base.counts_with(Counts {
            instances: 1,
            memories: declarations.memories.len(),
            tables: declarations.tables.len(),
        })?;
        let contexts = self.imports.iter().filter_map(|bound| match bound {
            Bound::Host { func, .. } => Some(self.funcs[*func].context(base_ptr)),
            // SAFETY: `check` has seen that it is a function of this store.
            Bound::Item(Extern::Func(func)) => unsafe { HostContext::of(func.raw()) },
            Bound::Item(_) => None,
        });
        let mut contexts: Box<[HostContext]> = contexts.collect();
        let mut context = contexts.as_mut_ptr();
        let mut next_context = || {
            let this = context;
            context = context.wrapping_add(1);
            this.cast()
        };
        let memory = match declarations.memories.first() {
            Some(ty) if limits.memory_bytes.is_none_or(|limit| ty.limits.min * PAGE_SIZE <= limit) => {
                let bytes = (ty.limits.min * PAGE_SIZE) as usize;
                let space = base.engine.inner.pool.reserve(bytes, self.module.memory_image());
                Some(space.map_err(|_| Error::OutOfMemory(aot_abi::types::EntityKind::Memory))?)
            }
            _ => None,
        };
        let resources = Resources {
            stack_limit: base.cells().cast(),
            libcalls: LIBCALLS.as_ptr(),
            limits: &limits,
            vmctx: None,
            memory,
            has_image: self.module.memory_image().is_some(),
        };
        let imports = self.imports.iter().map(|bound| match bound {
            Bound::Host { code, .. } => Import::Func(FuncImport { code: *code, vmctx: next_context() }),
            Bound::Item(Extern::Func(func)) => {
                // SAFETY: as above.
                let FuncRef { code, vmctx, entry, .. } = unsafe { *func.raw() };
                Import::Func(FuncImport { code, vmctx: if entry.is_null() { next_context() } else { vmctx } })
            }
            Bound::Item(Extern::Table(table)) => Import::Table(table.0.raw),
            Bound::Item(Extern::Memory(memory)) => Import::Memory(memory.0.raw),
            Bound::Item(Extern::Global(global)) => Import::Global(global.cell.raw),
        });
        // SAFETY: the store keeps the module, and all that the imports point to; types were checked.
        let (instance, result) = unsafe { instance::Instance::new(self.module.loaded(), imports, resources) };
        let index = base.instances.len();
        let mut start = None;
        // Also an instance that failed is kept: tables of others may refer to it.
        if let Some(instance) = instance {
            let is_host = |bound: &Bound| match bound {
                Bound::Host { .. } => Some(true),
                // SAFETY: as above.
                Bound::Item(Extern::Func(func)) => Some(unsafe { (*func.raw()).entry.is_null() }),
                Bound::Item(_) => None,
            };
            let funcs = self.imports.iter().filter_map(is_host).enumerate();
            let from_host = funcs.filter(|(_, is_host)| *is_host).map(|(func, _)| func as u32);
            for (context, func) in contexts.iter_mut().zip(from_host) {
                context.caller = instance.vmctx();
                context.memory = instance.caller_memory(func).unwrap_or(ptr::null_mut());
            }
            start = declarations.start.and_then(|start| instance.callee(start));
            base.counts = counts;
            base.instances.push(InstanceEntry {
                instance,
                module: self.module.clone(),
                _contexts: contexts,
                _funcs: Arc::clone(&self.funcs),
            });
        }
        match result {
            Ok(()) => Ok((index, start)),
            Err(instance::InstantiateError::OutOfMemory(kind)) => Err(Error::OutOfMemory(kind)),
            Err(instance::InstantiateError::Damaged) => {
                Err(Error::usage("the module's description contradicts itself"))
            }
            Err(instance::InstantiateError::Trap(code)) => {
                Err(Error::Trap(super::error::Trap::new(code, None, Vec::new())))
            }
        }
    }

    /// Gives a host function of a store the code by which this module can call it.
    fn give_code(
        &self,
        base: &mut StoreBase,
        func: Func,
        import: &aot_abi::types::Import,
    ) -> Result<(), Error> {
        // SAFETY: functions of the store are valid.
        let has_code = unsafe { !(*func.raw()).code.is_null() };
        if has_code {
            return Ok(());
        }
        let EntityType::Func(ty) = import.ty else { return Ok(()) };
        match self.module.host_trampoline(ty) {
            Some(code) => {
                // The code lives as long as the function, also if the module is not instantiated.
                base.modules.push(self.module.clone());
                // SAFETY: as above.
                unsafe { (*func.raw()).code = code };
                Ok(())
            }
            None => give_code(base, func.raw()),
        }
    }
}
