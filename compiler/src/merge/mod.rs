//! Several modules become one, before anything is compiled: what one imports from another is bound to its definition.
//!
//! The result is an ordinary module in the binary format. It defines what the modules define, imports what none of them
//! provides, exports what the main module exports, and is initialised as the modules would be one after the other.
//!
//! 1. [`bind`]: the order of instantiation, and what each index of each module stands for; all types are checked here.
//! 2. [`live`]: the functions that are needed.
//! 3. [`expr`]: constant expressions without the globals that are known now.
//! 4. [`start`]: which segments are copied at instantiation, and what a start function does after that.
//! 5. [`encode`]: the result, with all indices renumbered ([`number`], [`body`]).

mod bind;
mod body;
mod encode;
mod expr;
mod live;
mod number;
mod start;
mod types;

use crate::error::{Error, ErrorKind, Result};
use crate::module::{self, Body, ModuleInfo};
use rayon::prelude::*;
use std::collections::BTreeMap;
use wasmparser::{FuncValidatorAllocations, FunctionBody, WasmFeatures};

/// Proposals that the result may need, whatever the modules use.
pub const FEATURES: WasmFeatures =
    WasmFeatures::MULTI_MEMORY.union(WasmFeatures::BULK_MEMORY).union(WasmFeatures::REFERENCE_TYPES);

/// A module in the binary format.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// What messages call it.
    pub file: &'a str,
    pub wasm: &'a [u8],
}

/// A module whose exports others can import.
#[derive(Clone, Copy, Debug)]
pub struct Library<'a> {
    /// The module name in the imports of others.
    pub name: &'a str,
    pub source: Source<'a>,
    /// Export its exports from the result too, as `NAME.EXPORT`.
    pub reexport: bool,
}

/// What modules become.
#[derive(Debug)]
pub struct Merged {
    /// In the binary format; needs [`FEATURES`].
    pub wasm: Vec<u8>,
    /// What looks like a mistake and is none that stops anything, a sentence each.
    pub warnings: Vec<String>,
}

/// One of the modules.
struct Unit<'a> {
    /// `None`: the main module.
    name: Option<&'a str>,
    file: &'a str,
    reexport: bool,
    info: ModuleInfo<'a>,
    bodies: Vec<FunctionBody<'a>>,
}

/// Merges a main module and the libraries that it, and they, import from. Each library is instantiated once, after those
/// that it imports from and otherwise in the order given; the main module is the last.
///
/// `features` are those that the modules may use.
///
/// # Errors
/// If a module is invalid, two libraries have one name, they import from each other, or an import from a library is not
/// among its exports or of another type. The error knows the file ([`Error::file`]).
pub fn merge(main: Source<'_>, libraries: &[Library<'_>], features: WasmFeatures) -> Result<Merged> {
    let mut names = BTreeMap::new();
    for library in libraries {
        if let Some(other) = names.insert(library.name, library.source.file) {
            let message =
                format!("two modules are called `{}`: {other} and {}", library.name, library.source.file);
            return Err(Error::new(ErrorKind::Config, message)
                .with_help("give each a name of its own; the same file can be given under several names"));
        }
    }
    let libraries = libraries.iter().map(|library| (Some(library.name), library.source, library.reexport));
    let units = libraries.chain([(None, main, false)]);
    let units: Vec<Unit<'_>> = units
        .map(|(name, source, reexport)| {
            let (info, bodies) = read(source.wasm, features).map_err(|error| error.in_file(source.file))?;
            Ok(Unit { name, file: source.file, reexport, info, bodies })
        })
        .collect::<Result<_>>()?;
    let units = bind::in_order(units)?;
    let warnings = warnings(&units);
    let bound = bind::bind(&units)?;
    let live = live::live(&units, &bound)?;
    let wasm = encode::encode(&units, &bound, &live)?;
    Ok(Merged { wasm, warnings })
}

/// Reads and validates a module, bodies too: from here on all indices are in range.
fn read(wasm: &[u8], features: WasmFeatures) -> Result<(ModuleInfo<'_>, Vec<FunctionBody<'_>>)> {
    let (info, bodies) = module::parse(wasm, features)?;
    let checked: Vec<Result<FunctionBody<'_>>> = bodies
        .into_par_iter()
        .map_init(FuncValidatorAllocations::default, |allocations, Body { func, body, validator }| {
            let mut validator = validator.into_validator(std::mem::take(allocations));
            let result = validator.validate(&body);
            *allocations = validator.into_allocations();
            match result {
                Ok(()) => Ok(body),
                Err(error) => Err(Error::from(error).in_function(func, info.func_name(func))),
            }
        })
        .collect();
    let bodies = checked.into_iter().collect::<Result<_>>()?;
    Ok((info, bodies))
}

fn warnings(units: &[Unit<'_>]) -> Vec<String> {
    let mut warnings = Vec::new();
    for Unit { name, file, info, .. } in units {
        if info.debug.is_damaged {
            let message = "debug information of modules that it was linked from is damaged and left out";
            warnings.push(format!("{file}: {message}"));
        }
        let Some(name) = name else { continue };
        let is_imported =
            units.iter().any(|unit| unit.info.imports.iter().any(|import| import.module == *name));
        if !is_imported {
            warnings.push(format!("nothing is imported from `{name}` ({file})"));
        }
        if info.exports.iter().any(|export| export.name == "_start") {
            warnings.push(format!(
                "`{name}` ({file}) is a program, and its `_start` is not called: build it as a library, without `main` \
                 (clang: `-mexec-model=reactor`)"
            ));
        }
    }
    warnings
}
