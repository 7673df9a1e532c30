//! Instances, and what they export.

use super::code::Module;
use super::convert::{WasmParams, WasmResults};
use super::error::Error;
use super::func::{Func, TypedFunc};
use super::items::{Global, Handle, Memory, Table};
use super::linker::InstancePre;
use super::store::{AsContext, AsContextMut, StoreBase, StoreId};
use super::types::{ExternType, func_text, type_of};
use crate::instance;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use aot_abi::types::Export;

/// Something that is imported or exported. Two are equal if they are the same item of a store; a function that an instance
/// imports and exports again is an item of that instance.
///
/// ```
/// use aot_runtime::embed::{Extern, Func, Store};
/// use std::collections::HashMap;
///
/// let mut store: Store<()> = Store::default();
/// let func = Func::wrap(&mut store, || 1);
/// let names = HashMap::from([(Extern::Func(func), "one")]);
/// assert_eq!(names[&func.into()], "one");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extern {
    Func(Func),
    Table(Table),
    Memory(Memory),
    Global(Global),
}

impl Extern {
    /// What an instance exports under a name.
    pub(super) fn of_instance(instance: &instance::Instance, name: &str, store: StoreId) -> Option<Extern> {
        Extern::of_export(instance, instance.module().declarations().export(name)?, store)
    }

    /// An export of an instance.
    fn of_export(instance: &instance::Instance, export: &Export, store: StoreId) -> Option<Extern> {
        Some(match instance.item(export.kind, export.index)? {
            // SAFETY: the instance is of the store.
            instance::Extern::Func(raw) => Extern::Func(unsafe { Func::from_raw(raw, store) }),
            instance::Extern::Table(raw) => Extern::Table(Table(Handle { raw, store })),
            instance::Extern::Memory(raw) => Extern::Memory(Memory::from_raw(raw, store)),
            instance::Extern::Global(raw) => {
                let ty = instance.module().declarations().global_type(export.index)?;
                Extern::Global(Global { cell: Handle { raw, store }, ty })
            }
        })
    }

    pub(super) fn store(&self) -> StoreId {
        match self {
            Extern::Func(func) => func.store(),
            Extern::Table(table) => table.0.store,
            Extern::Memory(memory) => memory.0.store,
            Extern::Global(global) => global.cell.store,
        }
    }

    /// The type as error messages name it.
    pub(super) fn type_text(&self, store: &StoreBase) -> String {
        match self {
            Extern::Func(func) => match func.record(store).ok().and_then(|func| type_of(func.type_id)) {
                Some(ty) => func_text(ty),
                None => String::from("function of another store"),
            },
            // SAFETY: the caller checked the store.
            Extern::Table(table) => unsafe {
                let table = &*table.0.raw;
                let mut ty = *table.ty();
                ty.limits.min = table.len();
                format!("{}", ExternType::Table(ty))
            },
            // SAFETY: as above.
            Extern::Memory(memory) => unsafe {
                let memory = &*memory.0.raw;
                let mut limits = *memory.limits();
                limits.min = memory.pages();
                format!("{}", ExternType::Memory(aot_abi::types::MemoryType { limits }))
            },
            Extern::Global(global) => format!("{}", ExternType::Global(global.ty)),
        }
    }

    /// The function, if it is one.
    pub fn into_func(self) -> Option<Func> {
        if let Extern::Func(func) = self { Some(func) } else { None }
    }

    /// The memory, if it is one.
    pub fn into_memory(self) -> Option<Memory> {
        if let Extern::Memory(memory) = self { Some(memory) } else { None }
    }

    /// The table, if it is one.
    pub fn into_table(self) -> Option<Table> {
        if let Extern::Table(table) = self { Some(table) } else { None }
    }

    /// The global, if it is one.
    pub fn into_global(self) -> Option<Global> {
        if let Extern::Global(global) = self { Some(global) } else { None }
    }
}

macro_rules! from_item {
    ($($item:ident)*) => {
        $(impl From<$item> for Extern {
            fn from(item: $item) -> Extern {
                Extern::$item(item)
            }
        })*
    };
}
from_item!(Func Table Memory Global);

/// An instance of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Instance {
    pub(super) index: usize,
    pub(super) store: StoreId,
}

impl Instance {
    /// Instantiates a module with these imports, in the order in which it declares them, and runs its start function.
    ///
    /// # Errors
    /// If an import is missing or of another type, there is not enough memory, or initialisation traps.
    pub fn new<T: 'static>(
        mut store: impl AsContextMut<Data = T>,
        module: &Module,
        imports: &[Extern],
    ) -> Result<Instance, Error> {
        let wanted = module.declarations().imports.len();
        if imports.len() != wanted {
            return Err(Error::usage(format!("the module has {wanted} imports, not {}", imports.len())));
        }
        let store = store.as_context_mut();
        let pre = InstancePre::<T>::of_items(module, imports, store.base())?;
        pre.instantiate(store)
    }

    /// What the instance exports under a name.
    pub fn get_export(&self, store: impl AsContext, name: &str) -> Option<Extern> {
        let store = store.as_context();
        let entry = store.base().instances.get(self.index).filter(|_| store.base().id == self.store)?;
        Extern::of_instance(&entry.instance, name, self.store)
    }

    /// All exports, by name.
    pub fn exports(&self, store: impl AsContext) -> Vec<(String, Extern)> {
        let store = store.as_context();
        let Some(entry) = store.base().instances.get(self.index).filter(|_| store.base().id == self.store)
        else {
            return Vec::new();
        };
        let item = |export| Extern::of_export(&entry.instance, export, self.store);
        let exports = &entry.module.declarations().exports;
        exports.iter().filter_map(|export| Some((export.name.clone(), item(export)?))).collect()
    }

    /// An exported function.
    pub fn get_func(&self, store: impl AsContext, name: &str) -> Option<Func> {
        self.get_export(store, name)?.into_func()
    }

    /// An exported function with parameters and results as Rust types.
    ///
    /// # Errors
    /// If there is none of this name, or it has another type.
    pub fn get_typed_func<P: WasmParams, R: WasmResults>(
        &self,
        store: impl AsContext,
        name: &str,
    ) -> Result<TypedFunc<P, R>, Error> {
        let func = self.get_func(&store, name);
        let func = func.ok_or_else(|| Error::usage(format!("the instance exports no function `{name}`")))?;
        func.typed(&store).map_err(|error| Error::usage(format!("export `{name}`: {error}")))
    }

    /// An exported memory.
    pub fn get_memory(&self, store: impl AsContext, name: &str) -> Option<Memory> {
        self.get_export(store, name)?.into_memory()
    }

    /// An exported table.
    pub fn get_table(&self, store: impl AsContext, name: &str) -> Option<Table> {
        self.get_export(store, name)?.into_table()
    }

    /// An exported global.
    pub fn get_global(&self, store: impl AsContext, name: &str) -> Option<Global> {
        self.get_export(store, name)?.into_global()
    }

    /// The module that this is an instance of.
    pub fn module<'a, C: AsContext>(&self, store: &'a C) -> Option<&'a Module> {
        let base = store.as_context().base();
        base.instances.get(self.index).filter(|_| base.id == self.store).map(|entry| &entry.module)
    }
}
