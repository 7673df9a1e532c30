//! What runs the modules of a script: this process, or a driver on another machine.

use super::remote::Remote;
use super::spectest;
use super::values::Value;
use aot_compiler::Config;
use aot_runtime::embed::{self, Extern, Store};

/// How a module or call failed.
#[derive(Debug)]
pub(super) enum Error {
    /// The module cannot be parsed, or is invalid or unsupported.
    Compile(String),
    /// An import cannot be bound.
    Import(String),
    /// The message of the trap.
    Trap(String),
    /// The script asks for what is not there, or not supported.
    Other(String),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Compile(message) | Error::Import(message) | Error::Other(message) => f.write_str(message),
            Error::Trap(message) => write!(f, "wasm trap: {message}"),
        }
    }
}

/// A compiled module.
#[derive(Clone)]
pub(super) enum Module {
    Local(embed::Module),
    Remote { number: u32, imports: Vec<(String, String)> },
}

/// An instance.
#[derive(Clone, Copy)]
pub(super) enum Instance {
    Local(embed::Instance),
    Remote(u32),
    /// The host module of the test suite, in this process.
    Spectest,
}

/// Runs modules.
pub(super) enum Engine {
    Local { store: Box<Store<()>>, spectest: spectest::Exports },
    Remote(Remote),
}

impl Engine {
    /// An engine in this process.
    pub fn local() -> Result<Engine, String> {
        let mut store = Box::<Store<()>>::default();
        let spectest = spectest::exports(&mut store).map_err(|error| error.to_string())?;
        Ok(Engine::Local { store, spectest })
    }

    pub fn compile(&mut self, wasm: &[u8], config: &Config) -> Result<Module, Error> {
        let failed = |error: &aot_compiler::Error| match error.kind() {
            aot_compiler::ErrorKind::Internal => Error::Other(error.to_string()),
            _ => Error::Compile(error.to_string()),
        };
        match self {
            Engine::Local { .. } => {
                embed::Module::compile(wasm, config).map(Module::Local).map_err(|error| match &error {
                    embed::Error::Compile(error) => failed(error),
                    _ => Error::Other(error.to_string()),
                })
            }
            Engine::Remote(remote) => {
                let image = aot_compiler::compile(wasm, config).and_then(|module| module.image());
                remote.load(&image.map_err(|error| failed(&error))?)
            }
        }
    }

    /// The imports of a module: module and name.
    fn imports(module: &Module) -> Vec<(String, String)> {
        match module {
            Module::Local(module) => {
                let imports = &module.declarations().imports;
                imports.iter().map(|import| (import.module.clone(), import.name.clone())).collect()
            }
            Module::Remote { imports, .. } => imports.clone(),
        }
    }

    /// Instantiates a module; `find` gives the instance that a module name of an import stands for.
    pub fn instantiate(
        &mut self,
        module: &Module,
        find: impl Fn(&str) -> Option<Instance>,
    ) -> Result<Instance, Error> {
        let imports = Engine::imports(module);
        match (self, module) {
            (Engine::Local { store, spectest }, Module::Local(module)) => {
                let mut found = Vec::new();
                for (from, name) in &imports {
                    let value = match find(from) {
                        Some(Instance::Spectest) => spectest.get(name.as_str()).copied(),
                        Some(Instance::Local(instance)) => instance.get_export(&**store, name),
                        _ => None,
                    };
                    let unknown = || Error::Import(format!("unknown import: `{from}` `{name}`"));
                    found.push(value.ok_or_else(unknown)?);
                }
                embed::Instance::new(&mut **store, module, &found).map(Instance::Local).map_err(engine_error)
            }
            (Engine::Remote(remote), Module::Remote { number, .. }) => {
                let found = imports.iter().map(|(from, name)| match find(from) {
                    Some(Instance::Remote(instance)) => (instance, name.as_str()),
                    _ => (u32::MAX, name.as_str()),
                });
                remote.instantiate(*number, found)
            }
            _ => Err(Error::Other(String::from("the module is of another engine"))),
        }
    }

    pub fn call(&mut self, instance: Instance, name: &str, args: &[Value]) -> Result<Vec<Value>, Error> {
        match (self, instance) {
            (Engine::Local { store, .. }, Instance::Local(instance)) => {
                let Some(func) = instance.get_func(&**store, name) else {
                    return Err(Error::Other(format!("no exported function `{name}`")));
                };
                let args: Vec<_> = args.iter().map(|value| value.to_val()).collect();
                let results = func.call_vec(&mut **store, &args).map_err(engine_error)?;
                Ok(results.into_iter().map(Value::from_val).collect())
            }
            (Engine::Remote(remote), Instance::Remote(instance)) => remote.call(instance, name, args),
            _ => Err(Error::Other(String::from("the instance is of another engine"))),
        }
    }

    /// The value of an exported global.
    pub fn global(&mut self, instance: Instance, name: &str) -> Result<Value, Error> {
        match (self, instance) {
            (Engine::Local { store, .. }, Instance::Local(instance)) => {
                match instance.get_export(&**store, name) {
                    Some(Extern::Global(global)) => {
                        global.get(&**store).map(Value::from_val).map_err(engine_error)
                    }
                    _ => Err(Error::Other(format!("no exported global `{name}`"))),
                }
            }
            (Engine::Remote(remote), Instance::Remote(instance)) => remote.global(instance, name),
            _ => Err(Error::Other(String::from("the instance is of another engine"))),
        }
    }

    /// The host module that scripts of the suite import from.
    pub fn spectest(&mut self, config: &Config) -> Result<Instance, Error> {
        match self {
            Engine::Local { .. } => Ok(Instance::Spectest),
            Engine::Remote(_) => {
                let wasm = spectest::module().map_err(Error::Other)?;
                let module = self.compile(&wasm, config)?;
                self.instantiate(&module, |_| None)
            }
        }
    }
}

fn engine_error(error: embed::Error) -> Error {
    match error {
        embed::Error::Trap(trap) => Error::Trap(trap.code().message().to_owned()),
        embed::Error::Import(error) => Error::Import(error.to_string()),
        other => Error::Other(other.to_string()),
    }
}
