//! The keys of functions: hashes of all that their code depends on.
//!
//! Code depends on the compiler and its options; on the module's declarations, but for the numbers of functions, data, and
//! names; on the body; on the types of what it calls; and on the bodies of what may be inlined into it, which depend on
//! theirs in turn. Where a body is in the file does not matter: offsets are kept relative to it.

use super::entry::Shape;
use crate::debug::Operand;
use crate::plan::FixedTable;
use crate::profile::{FunctionProfile, ModuleProfile, Promotion};
use crate::translate::ModuleContext;
use aot_abi::memory::static_context;
use aot_abi::types::FuncType;
use aot_abi::vmctx::Counts;
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The keys of the defined functions. A body that is not valid has none, and neither has what may get it inlined.
pub(super) fn keys(
    context: &ModuleContext<'_>,
    shape: &Shape<'_>,
    declarations: &blake3::Hash,
) -> Vec<Option<[u8; 32]>> {
    let tables = blake3::hash(tables(context).as_bytes());
    let mut keys = vec![None; shape.scans.len()];
    for functions in shape.callees_first() {
        let key = |input: &mut Vec<u8>, function: &u32| {
            // What is hashed, in one piece.
            input.clear();
            input.extend(declarations.as_bytes());
            add_function(input, context, shape, *function, &keys, &tables)?;
            Some(*blake3::hash(input).as_bytes())
        };
        let made: Vec<_> = functions.par_iter().map_init(Vec::new, key).collect();
        for (function, key) in functions.into_iter().zip(made) {
            keys[function as usize] = key;
        }
    }
    keys
}

fn add_function(
    input: &mut Vec<u8>,
    context: &ModuleContext<'_>,
    shape: &Shape<'_>,
    function: u32,
    keys: &[Option<[u8; 32]>],
    tables: &blake3::Hash,
) -> Option<()> {
    let info = context.info;
    let identity = shape.scans[function as usize].identity.as_ref()?;
    add_type(input, info.func_type(function + shape.imported));
    input.extend(identity.hash);
    // Of functions with the same body, one may be inlined everywhere, and another one not.
    input.extend(shape.standing(function));
    if identity.uses_tables {
        input.extend(tables.as_bytes());
    }
    let frame = context.frame_locals.and_then(|locals| locals.get(&function));
    input.extend(frame.map_or(0, |local| local + 1).to_le_bytes());
    let operands = context.operands.map_or(&[][..], |operands| operands.of(function));
    input.extend((operands.len() as u32).to_le_bytes());
    for Operand { at, index } in operands {
        input.extend(at.to_le_bytes());
        input.extend(index.to_le_bytes());
    }
    add_profile(
        input,
        context.profiling.profile().and_then(|profile| profile.function(function)),
        &identity.refs,
    );
    input.extend((identity.refs.len() as u32).to_le_bytes());
    for func in &identity.refs {
        // A call of a function that is not there is for the validator to find.
        let ty = *info.funcs.get(*func as usize)?;
        add_type(input, &info.types[ty as usize]);
        match func.checked_sub(shape.imported) {
            None => {
                let memory = info.caller_memory(*func).map_or(u32::MAX, |memory| memory);
                let is_bound = matches!(context.import_symbols.get(*func as usize), Some(Some(_)));
                input.extend([0, u8::from(is_bound)]);
                input.extend(func.to_le_bytes());
                input.extend(memory.to_le_bytes());
            }
            Some(callee) if callee == function => input.push(1),
            Some(callee) if shape.follows(function, callee) => {
                input.extend([2, u8::from(shape.is_only_call(callee))]);
                input.extend(keys[callee as usize]?);
            }
            // One of its own cycle, or one too large.
            Some(_) => input.push(3),
        }
    }
    Some(())
}

/// What the profile says of a function. The targets of promoted calls are among `refs`.
fn add_profile(input: &mut Vec<u8>, profile: Option<&FunctionProfile>, refs: &[u32]) {
    let Some(FunctionProfile { counts, promotions }) = profile else { return input.push(0) };
    input.push(1);
    input.extend((counts.len() as u32).to_le_bytes());
    counts.iter().for_each(|count| input.extend(count.to_le_bytes()));
    for promotion in promotions {
        let Some(Promotion { element, func, calls }) = promotion else {
            input.push(0);
            continue;
        };
        let position = refs.iter().position(|known| known == func).map_or(u32::MAX, |at| at as u32);
        input.push(1);
        input.extend(position.to_le_bytes());
        input.extend(element.to_le_bytes());
        input.extend(calls.to_le_bytes());
    }
}

fn add_type(input: &mut Vec<u8>, ty: &FuncType) {
    for list in [&ty.params, &ty.results] {
        input.extend((list.len() as u32).to_le_bytes());
        input.extend(list.iter().map(|ty| *ty as u8));
    }
}

/// A hash of all that every function may depend on.
///
/// The values of globals are not among it: code loads them. Nor are data, exports, names and what is in tables.
pub(super) fn declarations(context: &ModuleContext<'_>, options: &str) -> blake3::Hash {
    let ModuleContext {
        info,
        plan,
        isa,
        model,
        imports,
        import_symbols: _,
        libcalls_by_symbol,
        stack_check,
        // They follow from the settings of `isa`.
        shuffles_bytes: _,
        rounds: _,
        // Trampolines are made anew.
        typed_entries: _,
        interruptible,
        fuel,
        tracking,
        // Each function has its own.
        frame_locals: _,
        operands: _,
        profiling,
        progress: _,
    } = context;
    let mut text = String::new();
    let mut add = |part: &dyn std::fmt::Debug| _ = writeln!(text, "{part:?}");
    add(&crate::IDENTITY);
    add(&options);
    add(&(isa.triple().to_string(), isa.flags().to_string()));
    isa.isa_flags().iter().for_each(|flag| add(&flag.to_string()));
    add(&profiling.profile().map(ModuleProfile::hash));
    add(&(model, imports, libcalls_by_symbol, stack_check, interruptible, fuel, tracking));
    add(&(&info.types, &info.canonical_types));
    add(&(info.imported_funcs, info.imported_tables, info.imported_memories, info.imported_globals));
    info.tables.iter().for_each(|table| add(&table.ty));
    add(&info.memories);
    info.globals.iter().for_each(|global| add(&global.ty));
    info.elements.iter().for_each(|segment| add(&segment.ty));
    add(&(info.data.len(), info.link.import_memories.is_some()));
    // How many functions escape moves nothing but the start of the static context.
    add(&Counts { funcrefs: 0, ..*plan.offsets.counts() });
    add(&plan.offsets.layout());
    add(&(plan.model, static_context(plan.offsets.size())));
    blake3::hash(text.as_bytes())
}

/// What calls through tables depend on, as text: their lengths, and the types in them.
fn tables(context: &ModuleContext<'_>) -> String {
    let info = context.info;
    let mut text = String::new();
    for table in &context.plan.fixed_tables {
        let summary = table.as_ref().map(|FixedTable { elements }| {
            let types: BTreeSet<Option<u32>> = elements
                .iter()
                .map(|func| func.map(|func| info.canonical_types[info.funcs[func as usize] as usize]))
                .collect();
            (elements.len(), types)
        });
        _ = writeln!(text, "{summary:?}");
    }
    text
}
