//! Where an instance's state lives: the one seam between operators and memory layout.
//!
//! Operators never compute the address of a global, a memory, a table or an import; they ask a [`State`].

mod fixed;
mod instance;

pub(crate) use fixed::{NULL_TYPE, TABLE_ENTRY};

use crate::config::Model;
use crate::translate::function::ModuleContext;
use aot_abi::libcall::Libcall;
use cranelift_codegen::ir::{self, MemFlagsData, SigRef, Value};
use cranelift_frontend::FunctionBuilder;

/// The way state is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StateModel {
    /// Through a pointer to the VM context that every function gets as its first parameter.
    Instance,
    /// At fixed addresses.
    Static,
}

impl From<Model> for StateModel {
    fn from(model: Model) -> StateModel {
        match model {
            Model::Instance => StateModel::Instance,
            Model::Static => StateModel::Static,
        }
    }
}

impl StateModel {
    /// Whether functions get a pointer to the VM context as their first parameter.
    pub fn has_vmctx(self) -> bool {
        match self {
            StateModel::Instance => true,
            StateModel::Static => false,
        }
    }

    /// The state of one function under translation, in its entry block. `vmctx` is the first parameter, where the
    /// model has one.
    pub fn open<'m>(
        self,
        module: &'m ModuleContext<'m>,
        builder: &mut FunctionBuilder<'_>,
        vmctx: Option<Value>,
    ) -> Box<dyn State + 'm> {
        match vmctx {
            Some(vmctx) => Box::new(instance::InstanceState::new(module, vmctx, 0)),
            None => Box::new(fixed::StaticState::new(module, builder)),
        }
    }

    /// The VM context, for code that is not a wasm function's. `param` is its first parameter, where the model has
    /// one.
    pub fn context(
        self,
        module: &ModuleContext<'_>,
        builder: &mut FunctionBuilder<'_>,
        param: Option<Value>,
    ) -> Value {
        param.unwrap_or_else(|| fixed::context(module, builder))
    }
}

/// A place in memory: `base + offset`.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub base: Value,
    pub offset: i32,
    pub flags: MemFlagsData,
}

/// What to call, with the arguments that come before those of the wasm type.
pub(crate) enum Callee {
    Direct {
        func: ir::FuncRef,
        vmctx: Option<Value>,
    },
    Indirect {
        sig: SigRef,
        code: Value,
        vmctx: Option<Value>,
    },
    /// An imported function of a library.
    Import {
        func: u32,
        vmctx: Value,
    },
}

/// Access to the state of the instance that a function runs in.
pub(crate) trait State {
    /// The cell of a global.
    fn global(&mut self, builder: &mut FunctionBuilder<'_>, global: u32) -> Place;

    /// The address of byte `index + offset` of a memory as a place. `index` has pointer width; both are in bounds,
    /// or the access faults in the memory's guard.
    fn memory_place(
        &mut self,
        builder: &mut FunctionBuilder<'_>,
        memory: u32,
        index: Value,
        offset: u64,
    ) -> Place;

    /// The length of a memory in bytes, in pointer width.
    fn memory_len(&mut self, builder: &mut FunctionBuilder<'_>, memory: u32) -> Value;

    /// The first element of a table.
    fn table_base(&mut self, builder: &mut FunctionBuilder<'_>, table: u32) -> Value;

    /// The length of a table in elements, in pointer width.
    fn table_len(&mut self, builder: &mut FunctionBuilder<'_>, table: u32) -> Value;

    /// Flags for loads and stores of elements of a table.
    fn table_flags(&mut self, builder: &mut FunctionBuilder<'_>) -> MemFlagsData;

    /// The address of the cells that the host sets limits in: the stack limit, and the fuel (`aot_abi::call`).
    fn limits(&mut self, builder: &mut FunctionBuilder<'_>) -> Value;

    /// A function called by its index.
    fn callee(&mut self, builder: &mut FunctionBuilder<'_>, func: u32) -> Callee;

    /// The function in element `index` (32 bits wide) of a table, checked to be in bounds, not null and of a type.
    fn indirect_callee(
        &mut self,
        builder: &mut FunctionBuilder<'_>,
        table: u32,
        type_index: u32,
        index: Value,
    ) -> Callee;

    /// A reference to a function.
    fn func_ref(&mut self, builder: &mut FunctionBuilder<'_>, func: u32) -> Value;

    /// Calls a function of the runtime. `args` leaves out the VM context, which libcalls that want it get first.
    fn libcall(
        &mut self,
        builder: &mut FunctionBuilder<'_>,
        libcall: Libcall,
        args: &[Value],
    ) -> Option<Value>;
}
