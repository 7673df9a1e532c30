//! Calls the stages in order; the only file that knows all of them.

use crate::bottom_up;
use crate::codegen::{self, CompiledFunction};
use crate::config::{Config, DebugInfo, Imports, Model, OptLevel};
use crate::debug::{self, Debug, Tracking};
use crate::emit::fixed::Fixed;
use crate::emit::interface::{Function, Global, Interface, Memory};
use crate::emit::{self, Image, Text};
use crate::error::{Error, ErrorKind, Result};
use crate::module::{self, Body, ModuleInfo};
use crate::passes;
use crate::plan::{Plan, plan};
use crate::target::Target;
use crate::translate::state::StateModel;
use crate::translate::{ImportCalls, ModuleContext, Scratch, library, trampoline, translate};
use aot_abi::image::flags;
use aot_abi::memory::{STATIC_MEMORY, static_context};
use aot_abi::module::Module;
use aot_abi::vmctx::GLOBAL_SIZE;
use cranelift_codegen::isa::{OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::Configurable;
use rayon::prelude::*;
use std::borrow::Cow;
use wasmparser::WasmFeatures;

/// A module as machine code, ready to be written in one of the output forms.
pub struct CompiledModule {
    target: Target,
    /// What only the static model has.
    fixed: Option<Fixed>,
    text: Text,
    /// What the runtime has to know of it.
    module: Module,
    /// The bytes of all data segments.
    data: Vec<u8>,
    /// Symbols of the runtime's functions that imports are bound to, by function index.
    import_symbols: Vec<Option<String>>,
    /// What C programs see of a library.
    interface: Option<Interface>,
    /// Features of WebAssembly that were on.
    features: WasmFeatures,
    /// What a loader has to know (`aot_abi::image::flags`).
    flags: u64,
    debug: Debug,
    isa: OwnedTargetIsa,
    clif: String,
    asm: String,
}

/// Turns the text format into the binary format. Binary modules pass through.
///
/// # Errors
/// If the bytes are text, and not a module in the text format.
pub fn parse_text<'a>(bytes: &'a [u8], file_name: &str) -> Result<Cow<'a, [u8]>> {
    if bytes.starts_with(b"\0") {
        return Ok(Cow::Borrowed(bytes));
    }
    let parsed = wat::Parser::new().parse_bytes(Some(std::path::Path::new(file_name)), bytes);
    parsed.map_err(|error| Error::new(ErrorKind::Syntax, error.to_string()))
}

/// Compiles a module in the binary format.
///
/// # Errors
/// If the module is invalid, or uses what is not supported or not enabled.
pub fn compile(wasm: &[u8], config: &Config) -> Result<CompiledModule> {
    let stops = config.interruptible || config.fuel;
    let is_library = matches!(config.imports, Imports::Library { .. });
    let can_stop = matches!(config.imports, Imports::AtInstantiation) || is_library && !config.fuel;
    if stops && (!can_stop || !config.stack_check) {
        let message =
            "only code of images can be interrupted or count fuel, and that of libraries be interrupted";
        return Err(Error::new(ErrorKind::Config, message).with_help(
            "`--emit cwasm` makes an image, and `aot run` uses one when it is to stop the program",
        ));
    }
    let (info, bodies) = module::parse(wasm, config.features)?;
    let plan = plan(&info, &bodies, config)?;
    let import_symbols = bind_imports(&info, config)?;
    let interface = match &config.imports {
        Imports::Library { prefix, .. } => Some(Interface::new(&info, &import_symbols, prefix)?),
        _ => None,
    };
    let isa = config.target.isa(|flags| {
        let mut set = |name, value| flags.set(name, value).expect("a setting of this version of Cranelift");
        set(
            "opt_level",
            match config.opt_level {
                OptLevel::None => "none",
                OptLevel::Speed => "speed",
                OptLevel::SpeedAndSize => "speed_and_size",
            },
        );
        set("enable_verifier", if config.verify_clif { "true" } else { "false" });
        set("preserve_frame_pointers", "true");
        set("unwind_info", "true");
        // Frames larger than a page must not step over the guard page of the stack.
        set("enable_probestack", "true");
        set("probestack_strategy", "inline");
        // Calls out of the module go to symbols of the same link.
        set("use_colocated_libcalls", "true");
        // Addresses of the static model are those of the link; other code can be mapped anywhere.
        set("is_pic", if plan.model == Model::Static { "false" } else { "true" });
        // Functions may have more results than there are registers for them.
        set("enable_multi_ret_implicit_sret", "true");
    })?;
    let source = (config.debug_info != DebugInfo::None).then(|| debug::Source::read(&info.debug));
    let context = ModuleContext {
        info: &info,
        plan: &plan,
        isa: &*isa,
        model: StateModel::from(plan.model),
        imports: match config.imports {
            Imports::AtInstantiation => ImportCalls::Slots,
            Imports::AtBuild { .. } => ImportCalls::Shims,
            Imports::Library { .. } => ImportCalls::Library,
        },
        import_symbols: &import_symbols,
        libcalls_by_symbol: config.libcalls_by_symbol,
        stack_check: config.stack_check,
        typed_entries: config.typed_entries,
        interruptible: config.interruptible,
        fuel: config.fuel,
        tracking: match (config.debug_info, config.opt_level) {
            (DebugInfo::Full, OptLevel::None) => Tracking::Slots,
            (DebugInfo::Full, _) => Tracking::Follow,
            (DebugInfo::None | DebugInfo::Lines, _) => Tracking::None,
        },
        frame_locals: source.as_ref().map(|source| &source.map.frame_locals),
    };
    let options = codegen::Options {
        schedule: config.schedule,
        dispatch: config.dispatch,
        epilogue: config.epilogue,
        keep_clif: config.keep_clif,
        keep_asm: config.keep_asm,
    };
    // Code of the instance model gains next to nothing, since every body is fatter (docs/architecture.md).
    let inlining = config.inlining && config.opt_level != OptLevel::None && plan.model == Model::Static;
    let functions = match inlining {
        true => bottom_up::compile(&context, bodies, options)?,
        false => compile_bodies(&context, bodies, options)?,
    };
    let mut text = emit::text::Builder::new(&context);
    for (index, function) in functions.into_iter().enumerate() {
        let func = info.imported_funcs + index as u32;
        match function {
            Some(function) => text.function(func, function)?,
            None => text.dead_function(func),
        }
    }
    add_trampolines(&context, interface.as_ref(), &mut text, options)?;
    let (text, clif, asm) = text.finish();
    let (module, data) = emit::description::describe(&info, &text)?;
    let fixed = match plan.model {
        Model::Static => Some(emit::fixed::describe(&info, &plan, &text)?),
        Model::Instance => None,
    };
    let debug = debug_information(&info, &plan, &text, source.as_ref(), config);
    Ok(CompiledModule {
        target: config.target.clone(),
        fixed,
        text,
        module,
        data,
        import_symbols,
        interface,
        features: config.features,
        flags: image_flags(config),
        debug,
        isa,
        clif,
        asm,
    })
}

/// Describes the code to debuggers.
fn debug_information<'a>(
    info: &'a ModuleInfo<'a>,
    plan: &Plan,
    text: &'a Text,
    source: Option<&'a debug::Source<'a>>,
    config: &Config,
) -> Debug {
    let Some(source) = source else { return Debug::default() };
    debug::build(&debug::Parts {
        input: &info.debug,
        source,
        text,
        name: info.name,
        endian: match config.target.is_big_endian() {
            true => gimli::RunTimeEndian::Big,
            false => gimli::RunTimeEndian::Little,
        },
        level: config.debug_info,
        state: debug_state(info, plan, config),
    })
}

/// Where variables of the source are, as far as they lie in memories and globals.
fn debug_state(info: &ModuleInfo<'_>, plan: &Plan, config: &Config) -> debug::State {
    let offsets = &plan.offsets;
    let globals = if offsets.counts().globals > 0 { offsets.global(0) } else { 0 };
    let context = static_context(offsets.size());
    let base = match (plan.model, context) {
        _ if info.imported_memories > 0 || info.memories.is_empty() => debug::Base::Elsewhere,
        (Model::Static, Some(context)) => {
            debug::Base::Fixed { memory: STATIC_MEMORY, globals: context + u64::from(globals) }
        }
        _ => debug::Base::Context { memory: offsets.memory(0), globals },
    };
    debug::State {
        base,
        imported_globals: info.imported_globals,
        global_size: GLOBAL_SIZE,
        address_size: config.target.pointer_size() as u8,
    }
}

/// What a loader has to know of how the code was made.
fn image_flags(config: &Config) -> u64 {
    [
        (config.stack_check, flags::STACK_CHECKED),
        (config.interruptible, flags::INTERRUPTIBLE),
        (config.fuel, flags::FUEL),
    ]
    .into_iter()
    .filter(|(set, _)| *set)
    .fold(0, |all, (_, flag)| all | flag)
}

/// Validates, translates and compiles all bodies in parallel; the results are in index order. Of several errors the
/// one of the first function is reported, whatever the order of execution.
fn compile_bodies(
    context: &ModuleContext<'_>,
    bodies: Vec<Body<'_>>,
    options: codegen::Options,
) -> Result<Vec<Option<CompiledFunction>>> {
    let results: Vec<Result<CompiledFunction>> = bodies
        .into_par_iter()
        .map_init(
            || (Scratch::default(), codegen::Scratch::default()),
            |(scratch, codegen), body| {
                let func = body.func;
                let mut function = translate(context, body, scratch)?;
                passes::widen_multiplication(&mut function);
                codegen::compile(function, context.isa, codegen, options)
                    .map_err(|error| error.in_function(func, context.info.func_name(func)))
            },
        )
        .collect();
    results.into_iter().map(|result| result.map(Some)).collect()
}

/// Adds the code that does not come from bodies: import shims, entry and host trampolines.
fn add_trampolines(
    context: &ModuleContext<'_>,
    interface: Option<&Interface>,
    text: &mut emit::text::Builder<'_>,
    options: codegen::Options,
) -> Result<()> {
    let info = context.info;
    let mut codegen = codegen::Scratch::default();
    let mut compile = |function| codegen::compile(function, context.isa, &mut codegen, options);
    if context.imports != ImportCalls::Slots {
        for func in 0..info.imported_funcs {
            text.function(func, compile(trampoline::import_shim(context, func))?)?;
        }
    } else {
        for ty in host_types(info) {
            text.host_trampoline(ty, compile(trampoline::host(context, ty))?)?;
        }
    }
    for ty in canonical_types(info, info.escaped.iter().copied().chain(info.start)) {
        text.entry(ty, compile(trampoline::entry(context, ty))?)?;
    }
    if context.typed_entries {
        for func in exported_functions(info) {
            text.typed_entry(func, compile(trampoline::typed_entry(context, func))?)?;
        }
    }
    if let Some(interface) = interface {
        for Function { symbol, func, .. } in &interface.functions {
            text.library_entry(symbol, *func, compile(library::export(context, *func))?)?;
        }
        for Memory { symbol, index, .. } in &interface.memories {
            text.accessor(symbol, compile(library::memory(context, *index))?)?;
        }
        for Global { get, set, index, .. } in &interface.globals {
            text.accessor(get, compile(library::global_get(context, *index))?)?;
            if let Some(set) = set {
                text.accessor(set, compile(library::global_set(context, *index))?)?;
            }
        }
    }
    text.helpers(compile)
}

/// The distinct types of some functions, ascending.
fn canonical_types(info: &ModuleInfo<'_>, funcs: impl Iterator<Item = u32>) -> Vec<u32> {
    let types = funcs.map(|func| info.canonical_types[info.funcs[func as usize] as usize]);
    types.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

/// The defined functions that are exported and that C can have, ascending.
fn exported_functions(info: &ModuleInfo<'_>) -> std::collections::BTreeSet<u32> {
    let exports = info.exports.iter().filter(|export| export.kind == aot_abi::types::EntityKind::Func);
    let defined = exports.map(|export| export.index).filter(|func| *func >= info.imported_funcs);
    defined.filter(|func| info.func_type(*func).is_c()).collect()
}

/// The distinct types of the functions through which code of the module may reach its host: imported ones, and, if it
/// shares a table with others, those of every type.
fn host_types(info: &ModuleInfo<'_>) -> Vec<u32> {
    let exported = |export: &aot_abi::types::Export| export.kind == aot_abi::types::EntityKind::Table;
    if info.imported_tables > 0 || info.exports.iter().any(exported) {
        let types: std::collections::BTreeSet<u32> = info.canonical_types.iter().copied().collect();
        return types.into_iter().collect();
    }
    canonical_types(info, 0..info.imported_funcs)
}

/// Finds the symbol of every imported function, where imports are bound at build time.
fn bind_imports(info: &ModuleInfo<'_>, config: &Config) -> Result<Vec<Option<String>>> {
    // Whether functions that nobody knows may be left open.
    let (resolve, open) = match config.imports {
        Imports::AtInstantiation => return Ok(Vec::new()),
        Imports::AtBuild { resolve, unknown_trap } => (resolve, unknown_trap),
        Imports::Library { resolve, .. } => (resolve, true),
    };
    let mut symbols = Vec::new();
    let mut unknown = Vec::new();
    for import in &info.imports {
        let name = format!("`{}` `{}`", import.module, import.name);
        let aot_abi::types::EntityType::Func(ty) = import.ty else {
            unknown.push(format!("{} {name}", entity_name(&import.ty)));
            continue;
        };
        match resolve(&import.module, &import.name) {
            Some(symbol) if symbol.ty == info.types[ty as usize] => symbols.push(Some(symbol.symbol)),
            Some(symbol) => {
                let message = format!(
                    "import {name} has type {}, but the function has type {}",
                    type_text(&info.types[ty as usize]),
                    type_text(&symbol.ty)
                );
                return Err(Error::new(ErrorKind::UnknownImport, message));
            }
            None if open => symbols.push(None),
            None => unknown.push(format!("func {name}")),
        }
    }
    if unknown.is_empty() {
        return Ok(symbols);
    }
    const SHOWN: usize = 10;
    let more = unknown.len().saturating_sub(SHOWN);
    let mut list = unknown[..unknown.len().min(SHOWN)].join(", ");
    if more > 0 {
        list.push_str(&format!(" and {more} more"));
    }
    let plural = if unknown.len() == 1 { "unknown import" } else { "unknown imports" };
    let help = match config.imports {
        Imports::Library { .. } => {
            "a library can import functions only; `aot link` binds other imports to another module"
        }
        _ => EXECUTABLE_IMPORTS,
    };
    Err(Error::new(ErrorKind::UnknownImport, format!("{plural}: {list}")).with_help(help))
}
/// What to do about imports of an executable that nobody knows.
const EXECUTABLE_IMPORTS: &str = "executables can import the functions of `wasi_snapshot_preview1`; \
         `-W unknown-imports-trap` builds anyway, and calls of unknown functions trap";

fn entity_name(ty: &aot_abi::types::EntityType) -> &'static str {
    match ty {
        aot_abi::types::EntityType::Func(_) => "func",
        aot_abi::types::EntityType::Table(_) => "table",
        aot_abi::types::EntityType::Memory(_) => "memory",
        aot_abi::types::EntityType::Global(_) => "global",
    }
}

/// A function type for a message.
pub(crate) fn type_text(ty: &aot_abi::types::FuncType) -> String {
    let list =
        |types: &[aot_abi::types::ValType]| types.iter().map(|ty| ty.name()).collect::<Vec<_>>().join(" ");
    format!("[{}] -> [{}]", list(&ty.params), list(&ty.results))
}

impl CompiledModule {
    /// Writes a relocatable object file.
    ///
    /// # Errors
    /// If the code cannot be expressed in the target's object format.
    pub fn object(&self) -> Result<Vec<u8>> {
        emit::object::write(&emit::object::Input {
            target: &self.target,
            isa: &*self.isa as &dyn TargetIsa,
            text: &self.text,
            description: &emit::description::encode(&self.module, &self.text),
            data: &self.data,
            import_symbols: &self.import_symbols,
            fixed: self.fixed.as_ref(),
            interface: self.interface.as_ref(),
            debug: &self.debug.sections,
        })
    }

    /// What programs see of a library. Nothing for other code.
    pub fn interface(&self) -> Option<&Interface> {
        self.interface.as_ref()
    }

    /// The C header of a library. Nothing for other code.
    pub fn header(&self) -> Option<String> {
        self.interface.as_ref().map(emit::header::write)
    }

    /// The model that the code was made for.
    pub fn model(&self) -> Model {
        if self.fixed.is_some() { Model::Static } else { Model::Instance }
    }

    /// Makes an image that can be mapped at any address.
    ///
    /// # Errors
    /// If the code refers to symbols outside the module.
    pub fn image(&self) -> Result<Image> {
        Image::new(&self.text, &self.module, &self.data)
    }

    /// Writes an image as a file that a host program maps (`aot_abi::image`).
    ///
    /// # Errors
    /// If there are no images for the target, or the code refers to symbols outside the module.
    pub fn cwasm(&self) -> Result<Vec<u8>> {
        let name = |(name, _): (&str, WasmFeatures)| name.to_ascii_lowercase().replace('_', "-");
        // The parser's own, which are no proposals.
        let features = self.features.difference(WasmFeatures::FLOATS | WasmFeatures::GC_TYPES);
        emit::cwasm::write(&emit::cwasm::Input {
            target: &self.target,
            isa: &*self.isa as &dyn TargetIsa,
            text: &self.text,
            module: &self.module,
            data: &self.data,
            wasm_features: features.iter_names().map(name).collect(),
            flags: self.flags,
            debug: &self.debug.sections,
        })
    }

    /// What of the module's debug information was damaged, and is missing from that of the code.
    pub fn debug_warnings(&self) -> &[String] {
        &self.debug.warnings
    }

    /// The CLIF of all functions before optimisation, if the configuration asked for it.
    pub fn clif(&self) -> &str {
        &self.clif
    }

    /// The assembly of all functions, if the configuration asked for it.
    pub fn asm(&self) -> &str {
        &self.asm
    }

    /// Number of functions and trampolines.
    pub fn function_count(&self) -> usize {
        self.text.ranges.len()
    }

    /// Size of the machine code in bytes.
    pub fn text_len(&self) -> usize {
        self.text.bytes.len()
    }
}
