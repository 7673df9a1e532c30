//! Runs the directives of one script, and counts its assertions.

use super::{Tally, values};
use aot_abi::types::{FuncType, Limits, MemoryType, TableType, ValType};
use aot_compiler::Config;
use aot_runtime::embed::{CallError, CompileError, Extern, InstanceId, InstantiateError, Module, Store, Val};
use std::collections::HashMap;
use std::path::Path;
use wast::parser::ParseBuffer;
use wast::token::{Id, Span};
use wast::{QuoteWat, Wast, WastDirective, WastExecute, WastInvoke, Wat};

/// How a module or call failed.
enum Error {
    /// The module cannot be parsed, or is invalid or unsupported.
    Compile(String),
    Instantiate(InstantiateError),
    Call(CallError),
    /// The script asks for what is not there, or not supported.
    Script(String),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Compile(message) | Error::Script(message) => f.write_str(message),
            Error::Instantiate(error) => error.fmt(f),
            Error::Call(error) => error.fmt(f),
        }
    }
}

/// Runs one script.
pub(super) struct Runner<'a> {
    config: &'a Config,
    file: &'a Path,
    text: &'a str,
    store: Store,
    /// What modules can import: by module and name.
    registered: HashMap<String, Namespace>,
    named: HashMap<String, InstanceId>,
    definitions: HashMap<Option<String>, Module>,
    current: Option<InstanceId>,
    failures: Vec<String>,
}

enum Namespace {
    Host(HashMap<&'static str, Extern>),
    Instance(InstanceId),
}

impl<'a> Runner<'a> {
    pub fn new(config: &'a Config, file: &'a Path, text: &'a str) -> Self {
        let mut store = Store::new();
        let registered = HashMap::from([(String::from("spectest"), Namespace::Host(spectest(&mut store)))]);
        Runner {
            config,
            file,
            text,
            store,
            registered,
            named: HashMap::new(),
            definitions: HashMap::new(),
            current: None,
            failures: Vec::new(),
        }
    }

    /// Messages about what failed: with file, line and column.
    pub fn failures(&self) -> &[String] {
        &self.failures
    }

    /// Runs the script. What goes wrong outside of assertions counts as a failure too.
    pub fn run(&mut self) -> Tally {
        let text = self.text;
        let mut tally = Tally::default();
        let mut lexer = wast::lexer::Lexer::new(text);
        // The suite tests names that look like others.
        lexer.allow_confusing_unicode(true);
        let buffer = match ParseBuffer::new_with_lexer(lexer) {
            Ok(buffer) => buffer,
            Err(error) => return self.broken(&error),
        };
        let wast = match wast::parser::parse::<Wast<'_>>(&buffer) {
            Ok(wast) => wast,
            Err(error) => return self.broken(&error),
        };
        for directive in wast.directives {
            let span = directive.span();
            let is_assertion = !matches!(
                directive,
                WastDirective::Module(_)
                    | WastDirective::ModuleDefinition(_)
                    | WastDirective::ModuleInstance { .. }
                    | WastDirective::Register { .. }
                    | WastDirective::Invoke(_)
            );
            match self.directive(directive) {
                Ok(()) => tally.passed += usize::from(is_assertion),
                Err(message) => {
                    tally.failed += 1;
                    self.fail(span, &message);
                }
            }
        }
        tally
    }

    fn broken(&mut self, error: &wast::Error) -> Tally {
        self.fail(error.span(), &error.message());
        Tally { passed: 0, failed: 1 }
    }

    fn fail(&mut self, span: Span, message: &str) {
        let (line, column) = span.linecol_in(self.text);
        self.failures.push(format!("{}:{}:{}: {message}", self.file.display(), line + 1, column + 1));
    }

    fn directive(&mut self, directive: WastDirective<'_>) -> Result<(), String> {
        match directive {
            WastDirective::Module(mut wat) => {
                let name = wat.name().map(|id| id.name().to_owned());
                let module = self.compile_quoted(&mut wat).map_err(|error| error.to_string())?;
                self.instantiate_as(&module, name)
            }
            WastDirective::ModuleDefinition(mut wat) => {
                let name = wat.name().map(|id| id.name().to_owned());
                let module = self.compile_quoted(&mut wat).map_err(|error| error.to_string())?;
                self.definitions.insert(None, module.clone());
                self.definitions.insert(name, module);
                Ok(())
            }
            WastDirective::ModuleInstance { instance, module, .. } => {
                let name = module.map(|id| id.name().to_owned());
                let module = self.definitions.get(&name).cloned().ok_or("no such module definition")?;
                self.instantiate_as(&module, instance.map(|id| id.name().to_owned()))
            }
            WastDirective::Register { name, module, .. } => {
                let instance = self.instance(module)?;
                self.registered.insert(name.to_owned(), Namespace::Instance(instance));
                Ok(())
            }
            WastDirective::Invoke(invoke) => {
                self.invoke(&invoke).map(drop).map_err(|error| error.to_string())
            }
            WastDirective::AssertReturn { exec, results, .. } => {
                let actual = self.execute(exec).map_err(|error| error.to_string())?;
                let equal = actual.len() == results.len()
                    && actual.iter().zip(&results).all(|(value, expected)| values::matches(value, expected));
                if equal { Ok(()) } else { Err(format!("expected {results:?}, got {actual:?}")) }
            }
            WastDirective::AssertTrap { exec, message, .. } => expect_trap(self.execute(exec), message),
            WastDirective::AssertExhaustion { call, message, .. } => expect_trap(self.invoke(&call), message),
            WastDirective::AssertMalformed { mut module, .. }
            | WastDirective::AssertInvalid { mut module, .. }
            | WastDirective::AssertMalformedCustom { mut module, .. }
            | WastDirective::AssertInvalidCustom { mut module, .. } => match self.compile_quoted(&mut module)
            {
                Err(Error::Compile(_)) => Ok(()),
                Err(error) => Err(error.to_string()),
                Ok(_) => Err(String::from("the module was accepted")),
            },
            WastDirective::AssertUnlinkable { mut module, message, .. } => {
                let module = self.compile(&mut module).map_err(|error| error.to_string())?;
                match self.instantiate(&module) {
                    Err(Error::Instantiate(InstantiateError::Import(error))) => {
                        expect_message(&error.to_string(), message)
                    }
                    Err(error) => Err(error.to_string()),
                    Ok(_) => Err(String::from("the module was linked")),
                }
            }
            WastDirective::AssertException { .. }
            | WastDirective::AssertSuspension { .. }
            | WastDirective::Thread(_)
            | WastDirective::Wait { .. } => Err(String::from("the directive is not supported")),
        }
    }

    fn compile_quoted(&self, wat: &mut QuoteWat<'_>) -> Result<Module, Error> {
        let wasm = wat.encode().map_err(|error| Error::Compile(error.to_string()))?;
        self.load(&wasm)
    }

    fn compile(&self, wat: &mut Wat<'_>) -> Result<Module, Error> {
        let wasm = wat.encode().map_err(|error| Error::Compile(error.to_string()))?;
        self.load(&wasm)
    }

    fn load(&self, wasm: &[u8]) -> Result<Module, Error> {
        Module::compile(wasm, self.config).map_err(|error| match &error {
            CompileError::Compile(inner) if inner.kind() != aot_compiler::ErrorKind::Internal => {
                Error::Compile(error.to_string())
            }
            _ => Error::Script(error.to_string()),
        })
    }

    fn instantiate_as(&mut self, module: &Module, name: Option<String>) -> Result<(), String> {
        // Without this a failing module would leave the one before it in place, and hide what fails because of it.
        self.current = None;
        let instance = self.instantiate(module).map_err(|error| error.to_string())?;
        self.current = Some(instance);
        self.named.extend(name.map(|name| (name, instance)));
        Ok(())
    }

    fn instantiate(&mut self, module: &Module) -> Result<InstanceId, Error> {
        let mut found = HashMap::new();
        for import in &module.declarations().imports {
            let value = match self.registered.get(&import.module) {
                Some(Namespace::Host(exports)) => exports.get(import.name.as_str()).copied(),
                Some(Namespace::Instance(instance)) => self.store.export(*instance, &import.name),
                None => None,
            };
            found.insert((import.module.clone(), import.name.clone()), value);
        }
        let resolve =
            |module: &str, name: &str| found.get(&(module.to_owned(), name.to_owned())).copied().flatten();
        self.store.instantiate(module, resolve).map_err(Error::Instantiate)
    }

    fn instance(&self, name: Option<Id<'_>>) -> Result<InstanceId, String> {
        match name {
            Some(id) => self.named.get(id.name()).copied().ok_or(format!("no instance `{}`", id.name())),
            None => self.current.ok_or_else(|| String::from("no instance")),
        }
    }

    fn execute(&mut self, exec: WastExecute<'_>) -> Result<Vec<Val>, Error> {
        match exec {
            WastExecute::Invoke(invoke) => self.invoke(&invoke),
            WastExecute::Wat(mut wat) => {
                let module = self.compile(&mut wat)?;
                self.instantiate(&module).map(|_| Vec::new())
            }
            WastExecute::Get { module, global, .. } => {
                let instance = self.instance(module).map_err(Error::Script)?;
                match self.store.export(instance, global) {
                    Some(Extern::Global(global)) => Ok(vec![self.store.global_get(&global)]),
                    _ => Err(Error::Script(format!("no exported global `{global}`"))),
                }
            }
        }
    }

    fn invoke(&mut self, invoke: &WastInvoke<'_>) -> Result<Vec<Val>, Error> {
        let instance = self.instance(invoke.module).map_err(Error::Script)?;
        let Some(Extern::Func(func)) = self.store.export(instance, invoke.name) else {
            return Err(Error::Script(format!("no exported function `{}`", invoke.name)));
        };
        let args: Option<Vec<Val>> = invoke.args.iter().map(values::argument).collect();
        let args = args.ok_or_else(|| Error::Script(String::from("an argument is not supported")))?;
        self.store.call(func, &args).map_err(Error::Call)
    }
}

fn expect_trap(result: Result<Vec<Val>, Error>, message: &str) -> Result<(), String> {
    match result {
        Err(Error::Call(CallError::Trap(site)))
        | Err(Error::Instantiate(InstantiateError::Call(CallError::Trap(site)))) => {
            expect_message(site.code.message(), message)
        }
        Err(error) => Err(format!("expected the trap `{message}`, got `{error}`")),
        Ok(values) => Err(format!("expected the trap `{message}`, got {values:?}")),
    }
}

/// Scripts say more than we do (`uninitialized element 2`), or less.
fn expect_message(actual: &str, expected: &str) -> Result<(), String> {
    if expected.starts_with(actual) || actual.starts_with(expected) {
        return Ok(());
    }
    Err(format!("expected the message `{expected}`, got `{actual}`"))
}

/// The host module that scripts of the suite import from.
fn spectest(store: &mut Store) -> HashMap<&'static str, Extern> {
    use ValType::{F32, F64, I32, I64};
    let mut exports = HashMap::new();
    for (name, params) in [
        ("print", &[][..]),
        ("print_i32", &[I32]),
        ("print_i64", &[I64]),
        ("print_f32", &[F32]),
        ("print_f64", &[F64]),
        ("print_i32_f32", &[I32, F32]),
        ("print_f64_f64", &[F64, F64]),
    ] {
        let ty = FuncType { params: params.to_vec(), results: Vec::new() };
        exports.insert(name, Extern::Func(store.host_func(ty, |_| Ok(Vec::new()))));
    }
    for (name, value) in [
        ("global_i32", Val::I32(666)),
        ("global_i64", Val::I64(666)),
        ("global_f32", Val::F32(666.6f32.to_bits())),
        ("global_f64", Val::F64(666.6f64.to_bits())),
    ] {
        exports.insert(name, Extern::Global(store.global(value, false)));
    }
    let limits = Limits { min: 10, max: Some(20) };
    let table = TableType { element: ValType::FuncRef, limits };
    exports.extend(store.table(&table, Val::FuncRef(None)).map(|table| ("table", Extern::Table(table))));
    let memory = MemoryType { limits: Limits { min: 1, max: Some(2) } };
    exports.extend(store.memory(&memory).map(|memory| ("memory", Extern::Memory(memory))));
    exports
}
