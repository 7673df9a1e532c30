//! The embedding API, as host programs use it.

mod calls;
mod host;
mod limits;
mod modules;
mod tools;
mod wasi;

use aot_compiler::{Config, Target};
use aot_runtime::embed::{Engine, Instance, Linker, Module, Store};

/// A module from its text.
fn module(text: &str) -> Module {
    Module::new(text.as_bytes()).expect("the module is valid")
}

/// A module from its text, with options.
fn module_with(text: &str, change: impl FnOnce(&mut Config)) -> Module {
    let mut config = Config::image(Target::host().expect("the tests run on a machine that is a target"));
    change(&mut config);
    let wasm = aot_compiler::parse_text(text.as_bytes(), "test").expect("the text is right");
    Module::compile(&wasm, &config).expect("the module is valid")
}

/// A store, and an instance of a module without imports.
fn instance(text: &str) -> (Store<()>, Instance) {
    let mut store = Store::default();
    let instance = Linker::new().instantiate(&mut store, &module(text)).expect("it has no imports");
    (store, instance)
}

fn store() -> Store<()> {
    Store::new(&Engine::default(), ())
}
