//! What `import` finds: scripts, WebAssembly modules and images, and the module `aot:host`.
//!
//! A WebAssembly module becomes a small script that imports what the module imports, makes the instance, and exports what the
//! instance exports: the way of the proposal for WebAssembly as ECMAScript modules. So the engine does the rest:
//! order of evaluation, cycles, names that do not exist.

use crate::error::throw;
use crate::native::compile_wasm;
use crate::realm::Realm;
use aot_runtime::embed::Module as WasmModule;
use rquickjs::loader::{ImportAttributes, Loader, Resolver};
use rquickjs::module::{Declarations, Declared, Exports, ModuleDef};
use rquickjs::{Ctx, Exception, Function, Module, Result, Value};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// What belongs to this host and to no standard.
const HOST: &str = "aot:host";

/// Finds and loads files.
pub struct Files;

impl Resolver for Files {
    fn resolve<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        base: &str,
        name: &str,
        _: Option<ImportAttributes<'js>>,
    ) -> Result<String> {
        if name == HOST { Ok(name.to_owned()) } else { resolve(ctx, base, name) }
    }
}

impl Loader for Files {
    fn load<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        path: &str,
        _: Option<ImportAttributes<'js>>,
    ) -> Result<Module<'js, Declared>> {
        if path == HOST {
            return Module::declare_def::<Host, _>(ctx.clone(), path);
        }
        if !is_wasm(path) {
            let source = fs::read(path).map_err(|error| cannot_load(ctx, path, &error.to_string()))?;
            return Module::declare(ctx.clone(), path, source);
        }
        let module = load_wasm(ctx, path)?;
        let script = script_of(path, &module);
        Realm::of(ctx).modules.borrow_mut().insert(path.to_owned(), module);
        Module::declare(ctx.clone(), path, script)
    }
}

/// The file that a specifier means in a module: relative to that module, or what the command line says.
///
/// # Errors
/// If it is neither a path nor named on the command line, or there is no such file.
pub fn resolve(ctx: &Ctx<'_>, base: &str, name: &str) -> Result<String> {
    let path = if let Some(path) = Realm::of(ctx).options.imports.get(name) {
        path.clone()
    } else if name.starts_with("./") || name.starts_with("../") || name.starts_with('/') {
        Path::new(base).parent().unwrap_or(Path::new("")).join(name)
    } else {
        let message = format!(
            "cannot resolve `{name}`, imported by `{base}`: it is not a path, which begins with `./`, `../` or `/`; \
             `--import {name}=FILE` says which file it means"
        );
        return Err(Exception::throw_reference(ctx, &message));
    };
    canonical(&path).map_err(|error| {
        cannot_load(ctx, &path.display().to_string(), &format!("{error}; it is imported by `{base}`"))
    })
}

/// The one name of a file, so that it is one module however it is imported.
///
/// # Errors
/// If there is no such file, or its name is no text.
pub fn canonical(path: &Path) -> std::result::Result<String, String> {
    let path = fs::canonicalize(path).map_err(|error| error.to_string())?;
    path.into_os_string().into_string().map_err(|_| "the path is not UTF-8".to_owned())
}

fn cannot_load(ctx: &Ctx<'_>, path: &str, reason: &str) -> rquickjs::Error {
    Exception::throw_reference(ctx, &format!("cannot load `{path}`: {reason}"))
}

fn is_wasm(path: &str) -> bool {
    let extension = Path::new(path).extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("wasm" | "wat" | "cwasm"))
}

/// Loads a WebAssembly module: compiles it, or maps an image.
///
/// # Errors
/// If the file cannot be read, is damaged or invalid, or is an image and nobody said that those are trusted.
pub fn load_wasm(ctx: &Ctx<'_>, path: &str) -> Result<WasmModule> {
    let failed = |message: &str| throw(ctx, "CompileError", &format!("{path}: {message}"));
    let bytes = fs::read(path).map_err(|error| cannot_load(ctx, path, &error.to_string()))?;
    if bytes.starts_with(b"\x7fELF") || path.ends_with(".cwasm") {
        let options = &Realm::of(ctx).options;
        if !options.trust_images {
            return Err(failed(
                "an image is machine code that runs as it is; `--trust-images` if it is one of yours",
            ));
        }
        // SAFETY: the user trusts images.
        let image = unsafe { WasmModule::deserialize(&bytes) }.map_err(|error| failed(&error.to_string()))?;
        if options.timeout.is_some() && !image.is_interruptible() {
            return Err(failed(
                "nothing can stop this image when the timeout is over; build it with `-W epoch-interruption`",
            ));
        }
        return Ok(image);
    }
    let wasm = aot_compiler::parse_text(&bytes, path).map_err(|error| failed(&error.to_string()))?;
    compile_wasm(ctx, &wasm)
}

/// The script that stands for a module.
fn script_of(path: &str, module: &WasmModule) -> String {
    let mut script = format!("import {{ evaluate }} from {};\n", quoted(HOST));
    let mut modules: Vec<&str> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    modules.extend(module.imports().map(|import| import.module).filter(|module| seen.insert(*module)));
    let mut names = String::new();
    for (index, module) in modules.iter().enumerate() {
        let _ = writeln!(script, "import * as i{index} from {};", quoted(module));
        let _ = write!(names, "i{index}, ");
    }
    let _ = writeln!(script, "const exports = evaluate({}, [{names}]);", quoted(path));
    for (index, export) in module.exports().enumerate() {
        let _ = writeln!(
            script,
            "const e{index} = exports[{index}]; export {{ e{index} as {} }};",
            quoted(export.name)
        );
    }
    script
}

/// A string literal of JavaScript.
fn quoted(text: &str) -> String {
    let mut literal = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => literal.extend(['\\', c]),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                let _ = write!(literal, "\\u{:04x}", u32::from(c));
            }
            c => literal.push(c),
        }
    }
    literal + "\""
}

/// The module `aot:host`.
struct Host;

impl ModuleDef for Host {
    fn declare(declarations: &Declarations<'_>) -> Result<()> {
        for name in ["evaluate", "boolean", "load", "readFile"] {
            declarations.declare(name)?;
        }
        Ok(())
    }

    fn evaluate<'js>(ctx: &Ctx<'js>, exports: &Exports<'js>) -> Result<()> {
        let realm = Realm::of(ctx);
        for name in ["evaluate", "boolean"] {
            exports.export(name, realm.hook(name)?)?;
        }
        // These take specifiers as the calling module would import them.
        for name in ["load", "readFile"] {
            let of_caller = move |ctx: Ctx<'js>, specifier: Value<'js>| -> Result<Value<'js>> {
                let base = ctx.script_or_module_name(0).map(|name| name.to_string()).transpose()?;
                let function: Function<'js> = Realm::of(&ctx).hook(name)?;
                function.call((base.unwrap_or_default(), specifier))
            };
            exports.export(name, Function::new(ctx.clone(), of_caller)?.with_name(name)?)?;
        }
        Ok(())
    }
}

/// Parses `NAME=FILE`.
pub fn named_file(argument: &str) -> Option<(String, PathBuf)> {
    let (name, path) = argument.split_once('=')?;
    // Relative to the working directory, not to who imports it.
    let path = std::path::absolute(path).ok()?;
    Some((name.to_owned(), path))
}
