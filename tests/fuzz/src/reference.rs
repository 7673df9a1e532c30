//! The reference: `wasmi`, an interpreter.

use crate::host::{self, Output};
use crate::random::Random;
use crate::trap::Trap;
use crate::value::{Type, Value};
use wasmi::errors::{ErrorKind, InstantiationError};
use wasmi::{
    AsContextMut, Config, Engine, Extern, ExternRef, ExternType, F32, F64, Func, FuncType, Global, Instance,
    Linker, Memory, MemoryType, Module, Mutability, Nullable, Ref, RefType, Store, Table, TableType, Val,
    ValType,
};

/// What can be seen of an instance and its host from outside: globals, and memories as bytes; sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub globals: Vec<(String, Value)>,
    pub memories: Vec<(String, Vec<u8>)>,
}

/// What a module does, step by step.
pub(crate) struct Trace {
    /// Outcome of instantiation; the state is that of the host if it failed.
    pub instantiation: Result<(), Trap>,
    pub initial: State,
    pub calls: Vec<Call>,
}

/// A call of an exported function.
pub(crate) struct Call {
    /// Whether a new instance is made before.
    pub fresh: bool,
    pub function: String,
    pub args: Vec<Value>,
    pub outcome: Result<Vec<Value>, Trap>,
    /// The state after the call.
    pub state: State,
}

/// How many instances there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instances {
    /// One, and a new one after each trap.
    Few,
    PerCall,
}

/// Calls of each function.
const ROUNDS: usize = 3;

/// Runs a module.
///
/// # Errors
/// If the engine cannot take the module.
pub(crate) fn run(wasm: &[u8], random: &mut Random, instances: Instances) -> Result<Trace, String> {
    let mut config = Config::default();
    config.wasm_tail_call(true).wasm_extended_const(true).wasm_simd(true).wasm_relaxed_simd(false);
    config.wasm_memory64(false).wasm_multi_memory(false);
    // More than the code of any configuration of the compiler gets.
    config.set_max_recursion_depth(100_000).set_max_stack_height(32 << 20);
    let engine = Engine::new(&config);
    let wasm = crate::workaround::separate_selects(wasm)?;
    let module = Module::new(&engine, wasm).map_err(|error| error.to_string())?;
    let mut calls = Vec::new();
    let (mut running, result) = Running::new(&engine, &module);
    let initial = running.state();
    if let Err(trap) = result {
        return Ok(Trace { instantiation: Err(trap), initial, calls });
    }
    let mut fresh = false;
    for _ in 0..ROUNDS {
        for export in module.exports() {
            let ExternType::Func(ty) = export.ty() else { continue };
            if fresh {
                running = Running::new(&engine, &module).0;
            }
            let args: Vec<Value> = ty.params().iter().map(|ty| Value::random(random, type_of(*ty))).collect();
            let outcome = running.call(export.name(), ty, &args);
            let trapped = outcome.is_err();
            let function = export.name().to_owned();
            calls.push(Call { fresh, function, args, outcome, state: running.state() });
            // After a trap most functions would trap again at once: the fuel is used up.
            fresh = trapped || instances == Instances::PerCall;
        }
    }
    Ok(Trace { instantiation: Ok(()), initial, calls })
}

/// An instance with its host.
struct Running {
    store: Store<()>,
    /// Those of the host, and those that the instance exports; sorted by name.
    globals: Vec<(String, Global)>,
    memories: Vec<(String, Memory)>,
    instance: Option<Instance>,
}

impl Running {
    fn new(engine: &Engine, module: &Module) -> (Running, Result<(), Trap>) {
        let mut store = Store::new(engine, ());
        let mut linker = Linker::new(engine);
        let mut globals = Vec::new();
        for function in &host::FUNCTIONS {
            let list = |types: &[Type]| types.iter().map(|ty| val_type(*ty)).collect::<Vec<_>>();
            let ty = FuncType::new(list(function.params), list(function.results));
            let body = function.body;
            let func = Func::new(&mut store, ty, move |mut caller, args, results| {
                let values: Vec<Value> = args.iter().map(|arg| value(&caller, arg)).collect();
                let outputs = body(&values).ok_or_else(|| wasmi::Error::new("the host function fails"))?;
                for (result, output) in results.iter_mut().zip(outputs) {
                    *result = match output {
                        Output::Value(value) => val(&mut caller, value),
                        Output::Argument(index) => args[index].clone(),
                    };
                }
                Ok(())
            });
            define(&mut linker, function.name, Extern::Func(func));
        }
        for (name, value, mutable) in host::GLOBALS {
            let value = val(&mut store, value);
            let mutability = if mutable { Mutability::Var } else { Mutability::Const };
            let global = Global::new(&mut store, value, mutability);
            globals.push((format!("{}.{name}", host::MODULE), global));
            define(&mut linker, name, Extern::Global(global));
        }
        let ty = MemoryType::new(host::MEMORY.0, Some(host::MEMORY.1));
        let memory = Memory::new(&mut store, ty).expect("the memory is small");
        define(&mut linker, "memory", Extern::Memory(memory));
        let ty = TableType::new(RefType::Func, host::TABLE.0, Some(host::TABLE.1));
        let table = Table::new(&mut store, ty, Ref::Func(Nullable::Null)).expect("the table is small");
        define(&mut linker, "table", Extern::Table(table));
        let (instance, result) = match linker.instantiate_and_start(&mut store, module) {
            Ok(instance) => (Some(instance), Ok(())),
            Err(error) => (None, Err(trap(&error))),
        };
        let mut memories = vec![(format!("{}.memory", host::MODULE), memory)];
        if let Some(instance) = &instance {
            for export in module.exports() {
                match instance.get_export(&store, export.name()) {
                    Some(Extern::Global(global)) => globals.push((export.name().to_owned(), global)),
                    Some(Extern::Memory(memory)) => memories.push((export.name().to_owned(), memory)),
                    _ => {}
                }
            }
        }
        globals.sort_by(|(left, _), (right, _)| left.cmp(right));
        memories.sort_by(|(left, _), (right, _)| left.cmp(right));
        (Running { store, globals, memories, instance }, result)
    }

    fn state(&self) -> State {
        let globals = self.globals.iter().map(|(name, global)| {
            let value = value(&self.store, &global.get(&self.store));
            (name.clone(), value)
        });
        let memories =
            self.memories.iter().map(|(name, memory)| (name.clone(), memory.data(&self.store).to_vec()));
        State { globals: globals.collect(), memories: memories.collect() }
    }

    fn call(&mut self, function: &str, ty: &FuncType, args: &[Value]) -> Result<Vec<Value>, Trap> {
        let func = self.instance.and_then(|instance| instance.get_func(&self.store, function));
        let func = func.ok_or_else(|| Trap::Other(String::from("no such function")))?;
        let args: Vec<Val> = args.iter().map(|arg| val(&mut self.store, *arg)).collect();
        let mut results = vec![Val::I32(0); ty.results().len()];
        func.call(&mut self.store, &args, &mut results).map_err(|error| trap(&error))?;
        Ok(results.iter().map(|result| value(&self.store, result)).collect())
    }
}

fn define(linker: &mut Linker<()>, name: &str, item: Extern) {
    linker.define(host::MODULE, name, item).expect("each name is defined once");
}

fn trap(error: &wasmi::Error) -> Trap {
    if let Some(code) = error.as_trap_code() {
        return code.into();
    }
    match error.kind() {
        ErrorKind::Message(_) => Trap::Host,
        ErrorKind::Instantiation(InstantiationError::ElementSegmentDoesNotFit { .. }) => Trap::Table,
        _ => Trap::Other(error.to_string()),
    }
}

fn type_of(ty: ValType) -> Type {
    match ty {
        ValType::I32 => Type::I32,
        ValType::I64 => Type::I64,
        ValType::F32 => Type::F32,
        ValType::F64 => Type::F64,
        ValType::V128 => Type::V128,
        ValType::FuncRef => Type::FuncRef,
        ValType::ExternRef => Type::ExternRef,
    }
}

fn val_type(ty: Type) -> ValType {
    match ty {
        Type::I32 => ValType::I32,
        Type::I64 => ValType::I64,
        Type::F32 => ValType::F32,
        Type::F64 => ValType::F64,
        Type::V128 => ValType::V128,
        Type::FuncRef => ValType::FuncRef,
        Type::ExternRef => ValType::ExternRef,
    }
}

fn val(store: impl AsContextMut, value: Value) -> Val {
    match value {
        Value::I32(bits) => Val::I32(bits.cast_signed()),
        Value::I64(bits) => Val::I64(bits.cast_signed()),
        Value::F32(bits) => Val::F32(F32::from_bits(bits)),
        Value::F64(bits) => Val::F64(F64::from_bits(bits)),
        Value::V128(bytes) => Val::V128(u128::from_le_bytes(bytes).into()),
        Value::FuncRef { .. } => Val::FuncRef(Nullable::Null),
        Value::ExternRef(None) => Val::ExternRef(Nullable::Null),
        Value::ExternRef(Some(number)) => Val::ExternRef(Nullable::Val(ExternRef::new(store, number))),
    }
}

fn value(store: &impl wasmi::AsContext, val: &Val) -> Value {
    match val {
        Val::I32(value) => Value::I32(value.cast_unsigned()),
        Val::I64(value) => Value::I64(value.cast_unsigned()),
        Val::F32(value) => Value::F32(value.to_bits()),
        Val::F64(value) => Value::F64(value.to_bits()),
        Val::V128(value) => Value::V128(value.as_u128().to_le_bytes()),
        Val::FuncRef(reference) => Value::FuncRef { null: reference.is_null() },
        Val::ExternRef(reference) => {
            let context = store.as_context();
            Value::ExternRef(reference.val().and_then(|object| object.data(context).downcast_ref().copied()))
        }
    }
}
