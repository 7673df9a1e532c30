//! What is compared: each engine makes an artifact of a program and says how to run it.
//!
//! To add one, write a type with [`Engine`] in a file of its own and name it in [`all`]; its columns appear.

mod aot;
pub mod emulated;
mod native;
mod wasm2c;
mod wasmtime;

use std::path::Path;
use std::process::Command;

use crate::programs::Program;
use crate::setting::Setting;

/// A way from a program to something that runs.
pub trait Engine {
    /// A short name, for the head of a column.
    fn name(&self) -> &'static str;

    /// How it compiles and runs, in one line.
    fn about(&self) -> String;

    /// Whether it compiles modules, so that its compile time can be compared; otherwise it is a reference.
    fn compiles_wasm(&self) -> bool;

    /// The steps that make the artifact, or nothing if it has no way for this program.
    fn prepare(&self, program: &Program, artifact: &Path) -> Option<Vec<Command>>;

    /// The steps that make the artifact anew after it was run once, if it learns from that.
    fn improve(&self, _program: &Program, _artifact: &Path) -> Option<Vec<Command>> {
        None
    }

    /// Whether it is ours with other options: it is compared with the peer, as the first engine is.
    fn is_variant(&self) -> bool {
        false
    }

    /// The command that runs the artifact with the program's arguments. The caller chooses directory and streams.
    fn run(&self, program: &Program, artifact: &Path) -> Command;

    /// The command that runs the module itself, and keeps what it compiles in a directory for the next time; nothing if
    /// there is no such way.
    fn run_cached(&self, _program: &Program, _cache: &Path) -> Option<Command> {
        None
    }
}

/// Every engine. The first one is ours, the second one what it is compared with first.
pub fn all(setting: &Setting) -> Vec<Box<dyn Engine>> {
    use aot::{Aot, Variant};
    let mut engines: Vec<Box<dyn Engine>> = vec![
        Box::new(Aot::new(setting, Variant::Default)),
        Box::new(wasmtime::Wasmtime::new(setting)),
        Box::new(Aot::new(setting, Variant::Profile)),
        Box::new(Aot::new(setting, Variant::Instance)),
    ];
    if crate::tools::is_on_path(crate::tools::CC) {
        engines.push(Box::new(native::Native::new(setting)));
        if crate::tools::is_on_path(crate::tools::WASM2C) {
            engines.push(Box::new(wasm2c::Wasm2c::new(setting)));
        }
    }
    engines
}

/// Lets a compiler that uses the rayon library have as many threads as all others.
fn limit_threads(command: &mut Command, threads: usize) {
    command.env("RAYON_NUM_THREADS", threads.to_string());
}
