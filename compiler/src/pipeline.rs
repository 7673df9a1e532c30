//! Calls the stages in order; the only file that knows all of them.

use crate::bottom_up::{self, Inlining};
use crate::code_cache::{CodeCache, CodeStore, Made, Share, ShareResult};
use crate::codegen::function::CodeTarget;
use crate::codegen::symbol::Symbol;
use crate::codegen::{self, CompiledFunction};
use crate::config::{Config, DebugInfo, Imports, Model, OptLevel, Pass};
use crate::cpu;
use crate::debug::{self, Debug, FunctionDebug, Tracking};
use crate::emit::fixed::Fixed;
use crate::emit::initial::Initial;
use crate::emit::interface::{self, Global, Interface, Memory};
use crate::emit::{self, Image, Text};
use crate::error::{Error, ErrorKind, Result};
use crate::module::{self, Body, ModuleInfo};
use crate::passes::{self, Located};
use crate::plan::{Plan, plan};
use crate::profile::{self, ModuleProfile, ProfileFit};
use crate::scan::{self, Scan};
use crate::target::{System, Target};
use crate::translate::state::StateModel;
use crate::translate::{ImportCalls, ModuleContext, Profiling, Scratch, library, trampoline, translate};
use aot_abi::image::flags;
use aot_abi::memory::{STATIC_MEMORY, static_context};
use aot_abi::module::Module;
use aot_abi::vmctx::GLOBAL_SIZE;
use cranelift_codegen::ir::Function;
use cranelift_codegen::isa::{OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::Configurable;
use rayon::prelude::*;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use wasmparser::WasmFeatures;

/// A module as machine code, ready to be written in one of the output forms.
pub struct CompiledModule {
    target: Target,
    /// What only the static model has.
    fixed: Option<Fixed>,
    initial: Option<Initial>,
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
    /// What an executable that counts carries.
    profile: Option<profile::Layout>,
    profile_fit: ProfileFit,
    isa: OwnedTargetIsa,
    /// Functions whose code an earlier build had made.
    reused: usize,
    clif: String,
    asm: String,
}

/// The machine code of a wasm function.
pub struct FunctionCode<'a> {
    /// Function index.
    pub func: u32,
    pub name: &'a str,
    /// Where it is in the code of the module.
    pub offset: u32,
    pub bytes: &'a [u8],
    /// Which instructions it is of. Ascending by place in the code.
    pub lines: Vec<CodeLine>,
    /// Offset in the function's code, and what is to be put in there.
    pub relocations: Vec<(u32, String)>,
}

/// Where code of another instruction begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeLine {
    /// Offset in the function's code.
    pub code: u32,
    /// Offset in the module of the instruction that the code from there on is of.
    pub wasm: u32,
    /// Index of the function that the instruction is of, if this compiler has inlined a call of it.
    pub inlined: Option<u32>,
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
    let (prepared, bodies) = Prepared::new(wasm, config)?;
    let for_code = prepared.source_for_code(config);
    let context = prepared.context(config, for_code.as_ref());
    let options = codegen_options(config);
    let Prepared { info, plan, interface, .. } = &prepared;
    let inlines = config.inlining && config.opt_level != OptLevel::None;
    let interface_of_leaves = interface.as_ref().filter(|_| inlines);
    let leaves = interface_of_leaves.map(|interface| leaves(&context, interface, &bodies));
    let leaves = leaves.unwrap_or_default();
    let (compiled, for_lines) = rayon::join(
        || compile_bodies(&context, &prepared.scans, bodies, config, None),
        || prepared.source_for_lines(config),
    );
    let (functions, reused) = compiled?;
    let source = for_code.as_ref().or(for_lines.as_ref());
    let mut text = emit::text::Builder::new(&context);
    text.functions(functions)?;
    add_trampolines(&context, interface.as_ref(), &leaves, &mut text, options)?;
    let (text, clif, asm) = text.finish();
    let describe = || -> Result<_> {
        let (fixed, initial) = match plan.model {
            Model::Static => (
                Some(emit::fixed::describe(info, plan, &text)?),
                emit::initial::describe(info, plan, &text, &config.target),
            ),
            Model::Instance => (None, None),
        };
        let (module, data) = emit::description::describe(info, &text, initial.is_some())?;
        Ok((module, data, fixed, initial))
    };
    let (described, debug) = rayon::join(describe, || debug_information(&context, &text, source, config));
    let (module, data, fixed, initial) = described?;
    let Prepared { import_symbols, interface, isa, layout, profile, .. } = prepared;
    Ok(CompiledModule {
        target: config.target.clone(),
        fixed,
        initial,
        text,
        module,
        data,
        import_symbols,
        interface,
        features: config.features,
        flags: image_flags(config),
        debug,
        profile: layout,
        profile_fit: profile.map_or_else(ProfileFit::default, |profile| profile.fit()),
        isa,
        reused,
        clif,
        asm,
    })
}

/// Compiles one share of a module's functions into the configuration's store of code, for a build that comes later.
///
/// # Errors
/// As [`compile`]; and if there is no store, or the share is none.
pub fn compile_share(wasm: &[u8], config: &Config, share: Share) -> Result<ShareResult> {
    if share.index >= share.count {
        return Err(Error::new(ErrorKind::Config, "there is no such share"));
    }
    if config.code_store.is_none() {
        return Err(Error::new(
            ErrorKind::Config,
            "a share of a module is compiled into a cache, and there is none",
        ));
    }
    let (prepared, bodies) = Prepared::new(wasm, config)?;
    let source = prepared.source_for_code(config);
    let context = prepared.context(config, source.as_ref());
    let mut result = ShareResult { functions: bodies.len(), ..ShareResult::default() };
    compile_bodies(&context, &prepared.scans, bodies, config, Some((share, &mut result)))?;
    Ok(result)
}

/// A module that was read, and what follows from it and the options.
struct Prepared<'a> {
    info: ModuleInfo<'a>,
    /// Of all bodies, or none.
    scans: Vec<Scan>,
    plan: Plan,
    /// Where the code counts how often it runs, and how often it ran; not both.
    layout: Option<profile::Layout>,
    profile: Option<ModuleProfile>,
    import_symbols: Vec<Option<String>>,
    interface: Option<Interface>,
    isa: OwnedTargetIsa,
}

impl<'a> Prepared<'a> {
    /// Reads a module.
    fn new(wasm: &'a [u8], config: &Config) -> Result<(Self, Vec<Body<'a>>)> {
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
        let with_profile = config.profile.is_some() || config.profile_to.is_some();
        let with_identity = with_profile || code_store(config).is_some();
        let mut scans: Vec<Scan> = match config.model == Model::Static || with_identity {
            true => {
                let buffer = || with_identity.then(Vec::new);
                let scan = |buffer: &mut Option<Vec<u8>>, body| scan::scan(&info, body, buffer.as_mut());
                bodies.par_iter().map_init(buffer, scan).collect()
            }
            false => Vec::new(),
        };
        let plan = plan(&info, &bodies, &scans, config)?;
        let layout = match &config.profile_to {
            Some(file) => Some(profile_layout(&info, &plan, &scans, config, file)?),
            None => None,
        };
        let profile =
            config.profile.as_ref().map(|profile| ModuleProfile::new(profile, &info, &plan, &scans));
        if let Some(profile) = &profile {
            for (function, scan) in (0..).zip(&mut scans) {
                profile.promoted(function).for_each(|func| scan.add_call(func, info.imported_funcs));
            }
        }
        let import_symbols = bind_imports(&info, config)?;
        let interface = match &config.imports {
            Imports::Library { prefix, .. } => Some(Interface::new(&info, &import_symbols, prefix)?),
            _ => None,
        };
        let isa = isa(config, plan.model)?;
        Ok((Prepared { info, scans, plan, layout, profile, import_symbols, interface, isa }, bodies))
    }

    /// What the module says of its source, if code depends on it: where variables are to be found.
    fn source_for_code(&self, config: &Config) -> Option<debug::Source<'_>> {
        (config.debug_info == DebugInfo::Full)
            .then(|| debug::Source::read(&self.info.debug, config.debug_info))
    }

    /// The same, if it is only for the lines of code that is made without it.
    fn source_for_lines(&self, config: &Config) -> Option<debug::Source<'_>> {
        (config.debug_info == DebugInfo::Lines)
            .then(|| debug::Source::read(&self.info.debug, config.debug_info))
    }

    /// What the translation of its functions shares.
    fn context<'m>(&'m self, config: &'m Config, source: Option<&'m debug::Source<'_>>) -> ModuleContext<'m> {
        ModuleContext {
            info: &self.info,
            plan: &self.plan,
            isa: &*self.isa,
            shuffles_bytes: cpu::has_on_x86(&config.target, &*self.isa, "ssse3"),
            rounds: cpu::has_on_x86(&config.target, &*self.isa, "sse41"),
            model: StateModel::from(self.plan.model),
            imports: match config.imports {
                Imports::AtInstantiation => ImportCalls::Slots,
                Imports::AtBuild { .. } => ImportCalls::Shims,
                Imports::Library { .. } => ImportCalls::Library,
            },
            import_symbols: &self.import_symbols,
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
            frame_locals: source.map(|source| &source.map.frame_locals),
            operands: source.map(|source| &source.operands),
            profiling: match (&self.layout, &self.profile) {
                (Some(layout), _) => Profiling::Count(layout),
                (None, Some(profile)) => Profiling::Use(profile),
                (None, None) => Profiling::None,
            },
            progress: config.progress.as_deref(),
        }
    }
}

/// Where an executable counts.
fn profile_layout(
    info: &ModuleInfo<'_>,
    plan: &Plan,
    scans: &[Scan],
    config: &Config,
    file: &str,
) -> Result<profile::Layout> {
    if plan.model != Model::Static || config.profile.is_some() {
        let message = "only an executable of the static model counts how often its code runs";
        return Err(Error::new(ErrorKind::Config, message).with_help(
            "what it counts is good for all other results too: build one, and use its profile for them",
        ));
    }
    profile::Layout::new(info, plan, scans, &config.target, file).ok_or_else(|| {
        Error::new(ErrorKind::Limit, "the module has more places to count than a profile can have")
    })
}

/// Cranelift's machine, with the settings of a configuration.
fn isa(config: &Config, model: Model) -> Result<OwnedTargetIsa> {
    config.target.isa(|flags| {
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
        // Where functions start depends on their loops.
        set("machine_code_cfg_info", "true");
        // Frames larger than a page must not step over the guard page of the stack.
        set("enable_probestack", "true");
        set("probestack_strategy", "inline");
        // Calls out of the module go to symbols of the same link.
        set("use_colocated_libcalls", "true");
        // Addresses of the static model are those of the link; other code can be mapped anywhere.
        set("is_pic", if model == Model::Static { "false" } else { "true" });
        // Functions may have more results than there are registers for them.
        set("enable_multi_ret_implicit_sret", "true");
    })
}

fn codegen_options(config: &Config) -> codegen::Options {
    codegen::Options { passes: config.passes, keep_clif: config.keep_clif, keep_asm: config.keep_asm }
}

/// Describes the code to debuggers.
fn debug_information(
    context: &ModuleContext<'_>,
    text: &Text,
    source: Option<&debug::Source<'_>>,
    config: &Config,
) -> Debug {
    let Some(source) = source else { return Debug::default() };
    debug::build(&debug::Parts {
        info: context.info,
        source,
        text,
        endian: match config.target.is_big_endian() {
            true => gimli::RunTimeEndian::Big,
            false => gimli::RunTimeEndian::Little,
        },
        level: config.debug_info,
        states: debug_states(context.info, context.plan, config),
        has_address_table: config.target.system() == System::MacOs,
    })
}

/// Where variables of the source are, as far as they lie in memories and globals: those of the module, and of the modules
/// that were linked to it.
fn debug_states(info: &ModuleInfo<'_>, plan: &Plan, config: &Config) -> Vec<debug::State> {
    let own = (info.imported_memories == 0).then_some(0);
    let linked = info.debug.linked.iter().map(|linked| (linked.memory, Some(linked.globals.clone())));
    let state = |(memory, linked_globals)| debug::State {
        base: debug_base(info, plan, memory),
        linked_globals,
        imported_globals: info.imported_globals,
        global_size: GLOBAL_SIZE,
        address_size: config.target.pointer_size() as u8,
        frame: debug_frame(&config.target),
    };
    std::iter::once((own, None)).chain(linked).map(state).collect()
}

/// Where a memory and the globals are.
fn debug_base(info: &ModuleInfo<'_>, plan: &Plan, memory: Option<u32>) -> debug::Base {
    let offsets = &plan.offsets;
    let globals = if offsets.counts().globals > 0 { offsets.global(0) } else { 0 };
    let is_there = |memory: &u32| (*memory as usize) < info.memories.len();
    let defined = memory.filter(is_there).and_then(|memory| memory.checked_sub(info.imported_memories));
    let Some(memory) = defined else { return debug::Base::Elsewhere };
    match (plan.model, static_context(offsets.size())) {
        (Model::Static, Some(context)) => {
            let globals = context + u64::from(globals);
            match memory {
                0 => debug::Base::Fixed { memory: STATIC_MEMORY, globals },
                _ => debug::Base::Cell { memory: context + u64::from(offsets.memory(memory)), globals },
            }
        }
        _ => debug::Base::Context { memory: offsets.memory(memory), globals },
    }
}

/// How debuggers find the frame of a function. What Windows unwinds by is no DWARF.
fn debug_frame(target: &Target) -> debug::FrameBase {
    /// The frame pointers, as DWARF numbers them.
    const RBP: u16 = 6;
    const X29: u16 = 29;
    match (target.system(), target.triple().architecture) {
        (System::Windows, target_lexicon::Architecture::X86_64) => {
            debug::FrameBase::Pointer { register: RBP }
        }
        (System::Windows, _) => debug::FrameBase::Pointer { register: X29 },
        _ => debug::FrameBase::Canonical,
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

/// Where code of functions is looked for.
fn code_store(config: &Config) -> Option<&Arc<dyn CodeStore>> {
    let keeps_text = config.keep_clif || config.keep_asm;
    // Where a function counts depends on all that are before it.
    config.code_store.as_ref().filter(|_| !keeps_text && config.profile_to.is_none())
}

/// Validates, translates and compiles all bodies, or those of a share; what the store of code has is not compiled. The
/// results are in index order, and come with the number of those that the store had.
fn compile_bodies(
    context: &ModuleContext<'_>,
    scans: &[Scan],
    bodies: Vec<Body<'_>>,
    config: &Config,
    share: Option<(Share, &mut ShareResult)>,
) -> Result<(Vec<Option<CompiledFunction>>, usize)> {
    let mut options = codegen_options(config);
    if context.plan.model != Model::Static {
        // The pass knows no other addresses.
        options.passes.set(Pass::Forwarding, false);
    }
    // Code of the instance model gains next to nothing, since every body is fatter (docs/architecture.md).
    let inlines =
        config.inlining && config.opt_level != OptLevel::None && context.plan.model == Model::Static;
    let inlining =
        inlines.then(|| Inlining::new(scans, context.info.imported_funcs, context.profiling.profile()));
    let machine = share.as_ref().map(|(share, _)| *share);
    let cache = code_store(config).map(|store| {
        // Features decide what is valid.
        let options = format!("{options:?} {inlines} {:?}", config.features);
        CodeCache::open(store, context, scans, inlining.as_ref(), &options, machine)
    });
    let reused = cache.as_ref().map_or(0, CodeCache::len);
    let mut count = bodies.len() - reused;
    let members = share.map(|(_, result)| {
        let members = cache.as_ref().map(CodeCache::members).unwrap_or_default();
        result.own = members.iter().filter(|is_member| **is_member).count();
        result.compiled = result.own - reused;
        count = result.compiled;
        members
    });
    if let Some(progress) = context.progress {
        progress.begin(count);
    }
    let results = match &inlining {
        Some(inlining) => bottom_up::compile(context, bodies, options, inlining, cache, members)?,
        None => compile_apart(context, bodies, options, cache, members)?,
    };
    Ok((results, reused))
}

/// Compiles functions that nothing is inlined into, in parallel. Of several errors the one of the first function is
/// reported, whatever the order of execution.
fn compile_apart(
    context: &ModuleContext<'_>,
    bodies: Vec<Body<'_>>,
    options: codegen::Options,
    mut cache: Option<CodeCache<'_>>,
    members: Option<Vec<bool>>,
) -> Result<Vec<Option<CompiledFunction>>> {
    let is_wanted = |func: usize| {
        members.as_ref().is_none_or(|members| members[func])
            && !cache.as_ref().and_then(|cache| cache.entry(func as u32)).is_some_and(|entry| entry.had_code)
    };
    let results: Vec<Option<Result<CompiledFunction>>> = bodies
        .into_par_iter()
        .enumerate()
        .map_init(
            || (Scratch::default(), codegen::Scratch::default()),
            |(scratch, codegen), (index, body)| {
                let func = body.func;
                let mut compile = |body| {
                    let mut function = translate(context, body, scratch)?.function;
                    passes::widen_multiplication(&mut function);
                    let compiled = codegen::compile(function, context.isa, codegen, options)
                        .map_err(|error| error.in_function(func, context.info.func_name(func)));
                    context.progress.inspect(|progress| progress.step());
                    compiled
                };
                is_wanted(index).then(|| compile(body))
            },
        )
        .collect();
    let mut results = results.into_iter().map(Option::transpose).collect::<Result<Vec<_>>>()?;
    if let Some(cache) = &mut cache {
        let made: Vec<_> = results.iter().map(|result| result.as_ref().map(|_| Made::default())).collect();
        for (func, result) in results.iter_mut().enumerate().filter(|(_, result)| result.is_none()) {
            *result = cache.take(func as u32, true, true);
        }
        cache.save(&results, &made);
    }
    Ok(results)
}

/// The exported functions of a library whose bodies C can run without entering wasm code.
fn leaves(context: &ModuleContext<'_>, interface: &Interface, bodies: &[Body<'_>]) -> HashMap<u32, Function> {
    /// Bytes of the largest body that is looked at.
    const MOST: u64 = 128;
    let mut scratch = Scratch::default();
    // The trampoline has looked at the limit.
    let context = ModuleContext { stack_check: false, ..*context };
    let mut leaf = |export: &interface::Function| {
        let func = export.func;
        let body = &bodies[func.checked_sub(context.info.imported_funcs)? as usize];
        let range = body.body.range();
        if range.end - range.start > MOST || !export.ty.is_c() {
            return None;
        }
        // Of a body that is invalid, compiling it will tell.
        let function = translate(&context, body.clone(), &mut scratch).ok()?.function;
        passes::is_leaf(&function).then_some((func, function))
    };
    interface.functions.iter().filter_map(&mut leaf).collect()
}

/// Adds the code that does not come from bodies: import shims, entry and host trampolines.
fn add_trampolines(
    context: &ModuleContext<'_>,
    interface: Option<&Interface>,
    leaves: &HashMap<u32, Function>,
    text: &mut emit::text::Builder<'_>,
    options: codegen::Options,
) -> Result<()> {
    let info = context.info;
    let mut codegen = codegen::Scratch::default();
    let mut compile = |function: Located| codegen::compile(function, context.isa, &mut codegen, options);
    if context.imports != ImportCalls::Slots {
        for func in 0..info.imported_funcs {
            text.import_shim(func, compile(trampoline::import_shim(context, func).into())?)?;
        }
    } else {
        for ty in host_types(info) {
            text.host_trampoline(ty, compile(trampoline::host(context, ty).into())?)?;
        }
    }
    for ty in canonical_types(info, info.escaped.iter().copied().chain(info.start)) {
        text.entry(ty, compile(trampoline::entry(context, ty).into())?)?;
    }
    if context.typed_entries {
        for func in exported_functions(info) {
            text.typed_entry(func, compile(trampoline::typed_entry(context, func).into())?)?;
        }
    }
    if let Some(interface) = interface {
        for interface::Function { symbol, func, .. } in &interface.functions {
            let entry = compile(library::export(context, *func).into())?;
            let shortcut = match leaves.get(func) {
                Some(leaf) => Some(compile(library::shortcut(context, *func, leaf)?)?),
                None => None,
            };
            text.library_entry(symbol, *func, entry, shortcut)?;
        }
        for Memory { symbol, index, .. } in &interface.memories {
            text.c_function(symbol, compile(library::memory(context, *index).into())?)?;
        }
        for Global { get, set, index, .. } in &interface.globals {
            text.c_function(get, compile(library::global_get(context, *index).into())?)?;
            if let Some(set) = set {
                text.c_function(set, compile(library::global_set(context, *index).into())?)?;
            }
        }
    }
    text.helpers(|function| compile(function.into()))
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
            module: &self.module,
            data: &self.data,
            import_symbols: &self.import_symbols,
            fixed: self.fixed.as_ref(),
            initial: self.initial.as_ref(),
            profile: self.profile.as_ref().map(profile::Layout::bytes),
            interface: self.interface.as_ref(),
            debug: &self.debug.sections,
            // Libraries are parts of programs that the runtime knows nothing of.
            source: if self.interface.is_none() { &self.debug.record } else { &[] },
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
            source: &self.debug.record,
        })
    }

    #[cfg(test)]
    pub(crate) fn debug_sections(&self) -> &[debug::output::DebugSection] {
        &self.debug.sections
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

    /// The machine code of the wasm functions that have some, in index order.
    pub fn functions(&self) -> impl Iterator<Item = FunctionCode<'_>> {
        let Text { ranges, relocs, bytes, .. } = &self.text;
        let imported = self.imported_funcs().count();
        let defined =
            ranges.iter().take(self.module.funcs.len()).enumerate().filter(|(_, range)| range.len > 0);
        defined.map(move |(index, range)| {
            let end = range.offset + range.len;
            let first = relocs.partition_point(|reloc| reloc.offset < range.offset);
            let own = relocs[first..].iter().take_while(move |reloc| reloc.offset < end);
            let relocations = own.filter_map(|reloc| match reloc.target {
                CodeTarget::Symbol(symbol) => {
                    Some((reloc.offset - range.offset, self.symbol_name(symbol, imported)))
                }
                CodeTarget::Code(_) => None,
            });
            let FunctionDebug { lines, calls, .. } = &range.debug;
            let lines = lines.iter().map(|line| {
                let call = line.frame.checked_sub(1).map(|call| calls[call as usize]);
                let inlined = call.map(|call| imported as u32 + call.callee);
                CodeLine { code: line.code, wasm: line.wasm, inlined }
            });
            FunctionCode {
                func: (imported + index) as u32,
                name: &range.name,
                offset: range.offset,
                bytes: &bytes[range.offset as usize..end as usize],
                lines: lines.collect(),
                relocations: relocations.collect(),
            }
        })
    }

    fn imported_funcs(&self) -> impl Iterator<Item = &aot_abi::types::Import> {
        let imports = self.module.imports.iter();
        imports.filter(|import| matches!(import.ty, aot_abi::types::EntityType::Func(_)))
    }

    /// A symbol for people.
    fn symbol_name(&self, symbol: Symbol, imported: usize) -> String {
        match symbol {
            Symbol::Function(func) => match (func as usize).checked_sub(imported) {
                Some(defined) => self.text.ranges[defined].name.clone(),
                None => match self.imported_funcs().nth(func as usize) {
                    Some(import) => format!("{} {}", import.module, import.name),
                    None => format!("wasm-function[{func}]"),
                },
            },
            Symbol::Libcall(libcall) => libcall.symbol().to_owned(),
            Symbol::Helper(libcall) => libcall.to_string(),
            Symbol::Memory => String::from("memory"),
            Symbol::Counters => String::from("counters"),
            Symbol::Table(table) => format!("table {table}"),
            Symbol::Import(_) | Symbol::Export(_) | Symbol::Enter | Symbol::Trapped => format!("{symbol:?}"),
        }
    }

    /// Number of functions and trampolines.
    pub fn function_count(&self) -> usize {
        self.text.ranges.len()
    }

    /// Number of functions that were not compiled now: the configuration's store had them.
    pub fn reused_count(&self) -> usize {
        self.reused
    }

    /// How much of the configuration's profile is of this module.
    pub fn profile_fit(&self) -> ProfileFit {
        self.profile_fit
    }

    /// Size of the machine code in bytes.
    pub fn text_len(&self) -> usize {
        self.text.bytes.len()
    }
}
