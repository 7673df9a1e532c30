//! Runs the directives of one script, and counts its assertions.

use super::engine::{Engine, Error, Instance, Module};
use super::values::Value;
use super::{Tally, values};
use aot_compiler::Config;
use std::collections::HashMap;
use std::path::Path;
use wast::parser::ParseBuffer;
use wast::token::{Id, Span};
use wast::{QuoteWat, Wast, WastDirective, WastExecute, WastInvoke, Wat};

/// Runs one script.
pub(super) struct Runner<'a> {
    config: &'a Config,
    file: &'a Path,
    text: &'a str,
    engine: Engine,
    /// What modules can import from, by name.
    registered: HashMap<String, Instance>,
    named: HashMap<String, Instance>,
    definitions: HashMap<Option<String>, Module>,
    current: Option<Instance>,
    failures: Vec<String>,
}

impl<'a> Runner<'a> {
    pub fn new(config: &'a Config, file: &'a Path, text: &'a str, mut engine: Engine) -> Self {
        let mut failures = Vec::new();
        let mut registered = HashMap::new();
        match engine.spectest(config) {
            Ok(spectest) => drop(registered.insert(String::from("spectest"), spectest)),
            Err(error) => failures.push(format!("{}: no module `spectest`: {error}", file.display())),
        }
        Runner {
            config,
            file,
            text,
            engine,
            registered,
            named: HashMap::new(),
            definitions: HashMap::new(),
            current: None,
            failures,
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
                self.registered.insert(name.to_owned(), instance);
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
                    Err(Error::Import(error)) => expect_message(&error, message),
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

    fn compile_quoted(&mut self, wat: &mut QuoteWat<'_>) -> Result<Module, Error> {
        let wasm = wat.encode().map_err(|error| Error::Compile(error.to_string()))?;
        self.engine.compile(&wasm, self.config)
    }

    fn compile(&mut self, wat: &mut Wat<'_>) -> Result<Module, Error> {
        let wasm = wat.encode().map_err(|error| Error::Compile(error.to_string()))?;
        self.engine.compile(&wasm, self.config)
    }

    fn instantiate_as(&mut self, module: &Module, name: Option<String>) -> Result<(), String> {
        // Without this a failing module would leave the one before it in place, and hide what fails because of it.
        self.current = None;
        let instance = self.instantiate(module).map_err(|error| error.to_string())?;
        self.current = Some(instance);
        self.named.extend(name.map(|name| (name, instance)));
        Ok(())
    }

    fn instantiate(&mut self, module: &Module) -> Result<Instance, Error> {
        let registered = &self.registered;
        self.engine.instantiate(module, |name| registered.get(name).copied())
    }

    fn instance(&self, name: Option<Id<'_>>) -> Result<Instance, String> {
        match name {
            Some(id) => self.named.get(id.name()).copied().ok_or(format!("no instance `{}`", id.name())),
            None => self.current.ok_or_else(|| String::from("no instance")),
        }
    }

    fn execute(&mut self, exec: WastExecute<'_>) -> Result<Vec<Value>, Error> {
        match exec {
            WastExecute::Invoke(invoke) => self.invoke(&invoke),
            WastExecute::Wat(mut wat) => {
                let module = self.compile(&mut wat)?;
                self.instantiate(&module).map(|_| Vec::new())
            }
            WastExecute::Get { module, global, .. } => {
                let instance = self.instance(module).map_err(Error::Other)?;
                self.engine.global(instance, global).map(|value| vec![value])
            }
        }
    }

    fn invoke(&mut self, invoke: &WastInvoke<'_>) -> Result<Vec<Value>, Error> {
        let instance = self.instance(invoke.module).map_err(Error::Other)?;
        let args: Option<Vec<Value>> = invoke.args.iter().map(values::argument).collect();
        let args = args.ok_or_else(|| Error::Other(String::from("an argument is not supported")))?;
        self.engine.call(instance, invoke.name, &args)
    }
}

fn expect_trap(result: Result<Vec<Value>, Error>, message: &str) -> Result<(), String> {
    match result {
        Err(Error::Trap(trap)) => expect_message(&trap, message),
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
