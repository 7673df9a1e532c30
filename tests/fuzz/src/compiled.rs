//! The code of the compiler, run in this process.

use crate::host::{self, Output};
use crate::linked;
use crate::reference::State;
use crate::trap::Trap;
use crate::value::{Type, Value};
use aot_abi::types::{EntityKind, FuncType, Limits, MemoryType, TableType, ValType};
use aot_compiler::{Config, Cpu, OptLevel, Target};
use aot_runtime::embed::{
    Error, Extern, Func, Global, HostError, Instance, Memory, Module, Store, Table, V128, Val,
};

/// Makes code of a module.
pub(crate) type Compile = fn(&[u8], &Config) -> Result<Module, Error>;

/// The configurations whose code is compared, with a name for each.
pub(crate) fn configurations() -> Vec<(String, Config, Compile)> {
    let host = Target::host().expect("the tests run on a machine that is a target");
    let mut configurations = Vec::new();
    for (cpu_name, cpu) in [("baseline", Cpu::Baseline), ("native", Cpu::Native)] {
        for (level_name, opt_level) in [("none", OptLevel::None), ("speed", OptLevel::Speed)] {
            let mut config = Config::image(host.clone().with_cpu(cpu.clone()));
            config.opt_level = opt_level;
            config.verify_clif = true;
            let name = format!("{cpu_name} CPU, opt-level {level_name}");
            configurations.push((name, config, Module::compile as Compile));
        }
    }
    let mut config = Config::image(host);
    config.opt_level = OptLevel::None;
    configurations.push((String::from("baseline CPU, linked"), config, linked::compile));
    configurations
}

/// An instance with its host.
pub(crate) struct Running {
    store: Store<()>,
    globals: Vec<(String, Global)>,
    memories: Vec<(String, Memory)>,
    instance: Option<Instance>,
}

impl Running {
    pub fn new(module: &Module) -> (Running, Result<(), Trap>) {
        let mut store: Store<()> = Store::default();
        let mut globals = Vec::new();
        let mut items: Vec<(&str, Extern)> = Vec::new();
        for function in &host::FUNCTIONS {
            let list = |types: &[Type]| types.iter().map(|ty| val_type(*ty)).collect::<Vec<_>>();
            let ty = FuncType { params: list(function.params), results: list(function.results) };
            let body = function.body;
            let func = Func::new(&mut store, ty, move |_, args: &[Val], results: &mut [Val]| {
                let values: Vec<Value> = args.iter().map(value).collect();
                let outputs = body(&values).ok_or("the host function fails")?;
                for (result, output) in results.iter_mut().zip(outputs) {
                    *result = match output {
                        Output::Value(value) => val(value),
                        Output::Argument(index) => args[index],
                    };
                }
                Ok::<(), HostError>(())
            });
            items.push((function.name, Extern::Func(func)));
        }
        for (name, value, mutable) in host::GLOBALS {
            let global = Global::new(&mut store, val(value), mutable).expect("no reference of another store");
            globals.push((format!("{}.{name}", host::MODULE), global));
            items.push((name, Extern::Global(global)));
        }
        let limits = |(min, max): (u32, u32)| Limits { min: min.into(), max: Some(max.into()) };
        let memory = Memory::new(&mut store, &MemoryType { limits: limits(host::MEMORY) })
            .expect("the memory is small");
        items.push(("memory", Extern::Memory(memory)));
        let ty = TableType { element: ValType::FuncRef, limits: limits(host::TABLE) };
        let table = Table::new(&mut store, &ty, Val::FuncRef(None)).expect("the table is small");
        items.push(("table", Extern::Table(table)));
        let mut memories = vec![(format!("{}.memory", host::MODULE), memory)];

        let imports: Option<Vec<Extern>> = module
            .imports()
            .map(|import| {
                let found =
                    items.iter().find(|(item, _)| import.module == host::MODULE && *item == import.name);
                found.map(|(_, item)| *item)
            })
            .collect();
        let imports = imports.expect("modules import only what there is");
        let (instance, result) = match Instance::new(&mut store, module, &imports) {
            Ok(instance) => (Some(instance), Ok(())),
            Err(error) => (None, Err(trap(&error))),
        };
        for export in &module.declarations().exports {
            match instance.and_then(|instance| instance.get_export(&store, &export.name)) {
                Some(Extern::Global(global)) => globals.push((export.name.clone(), global)),
                Some(Extern::Memory(memory)) => memories.push((export.name.clone(), memory)),
                _ => debug_assert_ne!((instance.is_some(), export.kind), (true, EntityKind::Memory)),
            }
        }
        globals.sort_by(|(left, _), (right, _)| left.cmp(right));
        memories.sort_by(|(left, _), (right, _)| left.cmp(right));
        (Running { store, globals, memories, instance }, result)
    }

    pub fn state(&self) -> State {
        let globals = self.globals.iter().map(|(name, global)| {
            let value = value(&global.get(&self.store).expect("the global is of this store"));
            (name.clone(), value)
        });
        let memories =
            self.memories.iter().map(|(name, memory)| (name.clone(), memory.data(&self.store).to_vec()));
        State { globals: globals.collect(), memories: memories.collect() }
    }

    pub fn call(&mut self, function: &str, args: &[Value]) -> Result<Vec<Value>, Trap> {
        let Some(func) = self.instance.and_then(|instance| instance.get_func(&self.store, function)) else {
            return Err(Trap::Other(String::from("no such function")));
        };
        let args: Vec<Val> = args.iter().map(|arg| val(*arg)).collect();
        let results = func.call_vec(&mut self.store, &args).map_err(|error| trap(&error))?;
        Ok(results.iter().map(value).collect())
    }
}

fn trap(error: &Error) -> Trap {
    match error {
        Error::Trap(trap) => trap.code().into(),
        Error::Host(_) => Trap::Host,
        _ => Trap::Other(error.to_string()),
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

fn val(value: Value) -> Val {
    match value {
        Value::I32(bits) => Val::I32(bits.cast_signed()),
        Value::I64(bits) => Val::I64(bits.cast_signed()),
        Value::F32(bits) => Val::F32(bits),
        Value::F64(bits) => Val::F64(bits),
        Value::V128(bytes) => Val::V128(V128(bytes)),
        Value::FuncRef { .. } => Val::FuncRef(None),
        Value::ExternRef(number) => Val::ExternRef(number),
    }
}

fn value(val: &Val) -> Value {
    match val {
        Val::I32(value) => Value::I32(value.cast_unsigned()),
        Val::I64(value) => Value::I64(value.cast_unsigned()),
        Val::F32(bits) => Value::F32(*bits),
        Val::F64(bits) => Value::F64(*bits),
        Val::V128(V128(bytes)) => Value::V128(*bytes),
        Val::FuncRef(func) => Value::FuncRef { null: func.is_none() },
        Val::ExternRef(number) => Value::ExternRef(*number),
    }
}
