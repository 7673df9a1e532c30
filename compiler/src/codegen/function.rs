//! One CLIF function → [`CompiledFunction`]: code, relocations, trap sites, unwind information.

use super::aarch64;
use super::epilogue;
use super::moved::Moved;
use super::placement::{Alignment, place};
use super::symbol::Symbol;
use super::x64::{self, Rewritten};
use crate::config::{Pass, Passes};
use crate::debug::{FIRST, FunctionDebug, VMCTX, ValuePlace, ValueRange, WIDE, frame_and_index, is_operand};
use crate::error::{Error, ErrorKind, Result};
use crate::passes::{self, Halves, Located};
use crate::translate::abi_trap_code;
use aot_abi::module::TrapSite;
use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{ExternalName, Function, SourceLoc, Value, ValueLabelAssignments};
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::isa::unwind::{CfaUnwindInfo, UnwindInfo, UnwindInfoKind, UnwindInst};
use cranelift_codegen::settings::OptLevel;
use cranelift_codegen::{
    CodegenResult, CompiledCode, Context, FinalizedMachExceptionHandler, FinalizedRelocTarget, LabelValueLoc,
    Reg, RegClass,
};
use std::collections::{BTreeMap, HashMap};
use target_lexicon::Architecture;

/// A place in code that needs the address of something.
#[derive(Clone, Debug)]
pub(crate) struct CodeReloc {
    /// Offset in the function's code.
    pub offset: u32,
    pub kind: Reloc,
    pub target: CodeTarget,
    pub addend: i64,
}

/// What a relocation points to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CodeTarget {
    Symbol(Symbol),
    /// An offset in the code of the function itself: the first instruction of a pair.
    Code(u32),
}

/// Where traps resume in an entry trampoline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LandingPad {
    pub code_offset: u32,
    /// Bytes from the stack pointer up to the frame pointer.
    pub frame_size: u32,
}

/// How the frame of a function is walked.
#[derive(Debug)]
pub(crate) struct Unwind {
    /// What the prologue does to the frame, and the offset in the code after the instruction that does it.
    pub prologue: Vec<(u32, UnwindInst)>,
    /// The same for DWARF.
    pub dwarf: Option<CfaUnwindInfo>,
}

/// Machine code of one function, before it has an address.
#[derive(Debug)]
pub(crate) struct CompiledFunction {
    pub code: Vec<u8>,
    pub alignment: Alignment,
    pub relocs: Vec<CodeReloc>,
    /// Ascending by code offset.
    pub traps: Vec<TrapSite>,
    pub unwind: Unwind,
    pub debug: FunctionDebug,
    /// Whether it computes with vectors.
    pub uses_vectors: bool,
    pub landing_pad: Option<LandingPad>,
    pub clif: Option<String>,
    pub asm: Option<String>,
}

/// How functions are compiled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub passes: Passes,
    /// Text to keep beside the code.
    pub keep_clif: bool,
    pub keep_asm: bool,
}

/// Buffers that are reused from one function to the next.
pub(crate) struct Scratch {
    context: Context,
    registers: regalloc2::Ctx,
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch { context: Context::new(), registers: regalloc2::Ctx::default() }
    }
}

/// Compiles a function.
///
/// # Errors
/// If the function passes a limit of the code generator.
pub(crate) fn compile(
    body: impl Into<Located>,
    isa: &dyn TargetIsa,
    scratch: &mut Scratch,
    options: Options,
) -> Result<CompiledFunction> {
    let Located { function, locations } = body.into();
    let clif = options.keep_clif.then(|| function.display().to_string());
    scratch.context.clear();
    scratch.context.func = function;
    let compiled = optimise_and_lower(isa, scratch, options);
    let context = &scratch.context;
    let Lowered { code: mut compiled, marked } = match compiled {
        Ok(lowered) => lowered,
        Err(error) => return Err(codegen_error(&error, &context.func)),
    };
    correct_prologue(&mut compiled.buffer.unwind_info);
    let buffer = &compiled.buffer;
    let has_loop = context.loop_analysis.is_valid() && context.loop_analysis.loops().len() > 0;

    let mut relocs = Vec::with_capacity(buffer.relocs().len());
    for reloc in buffer.relocs() {
        let target = match &reloc.target {
            FinalizedRelocTarget::ExternalName(name) => CodeTarget::Symbol(symbol(name, &context.func)?),
            FinalizedRelocTarget::Func(offset) => CodeTarget::Code(*offset),
        };
        relocs.push(CodeReloc { offset: reloc.offset, kind: reloc.kind, target, addend: reloc.addend });
    }

    let changes = buffer
        .get_srclocs_sorted()
        .iter()
        .map(|range| (range.start, if marked { epilogue::without_mark(range.loc) } else { range.loc }))
        .filter(|(_, location)| !location.is_default())
        .map(|(start, location)| (start, location.bits()));
    let mut values = values(&compiled, &context.func, isa);
    let (lines, calls) = locations.lines(changes, &mut values);
    values.sort_unstable();
    let wasm_offset = |code_offset: u32| match lines.partition_point(|line| line.code <= code_offset) {
        0 => 0,
        after => lines[after - 1].wasm,
    };
    let mut traps = Vec::with_capacity(buffer.traps().len());
    for trap in buffer.traps() {
        let code = abi_trap_code(trap.code)
            .ok_or_else(|| Error::internal(format!("trap code `{}` has no meaning", trap.code)))?;
        traps.push(TrapSite { code_offset: trap.offset, code, wasm_offset: wasm_offset(trap.offset) });
    }
    traps.sort_by_key(|trap| trap.code_offset);

    let landing_pad = buffer.call_sites().find_map(|site| {
        let pad = site.exception_handlers.iter().find_map(|handler| match handler {
            FinalizedMachExceptionHandler::Default(offset) => Some(*offset),
            _ => None,
        })?;
        Some(LandingPad { code_offset: pad, frame_size: site.frame_offset? })
    });
    let dwarf = compiled
        .create_unwind_info_of_kind(isa, UnwindInfoKind::SystemV)
        .map_err(|error| Error::internal(format!("no unwind information: {error}")))?;
    let dwarf = match dwarf {
        Some(UnwindInfo::SystemV(dwarf)) => Some(dwarf),
        _ => None,
    };
    let unwind = Unwind { prologue: buffer.unwind_info.to_vec(), dwarf };
    let mut made = CompiledFunction {
        code: Vec::new(),
        alignment: Alignment { to: buffer.alignment.max(1), rest: 0 },
        relocs,
        traps,
        unwind,
        debug: FunctionDebug { lines, calls, values },
        uses_vectors: uses_vectors(&context.func),
        landing_pad,
        clif,
        asm: compiled.vcode.clone(),
    };
    let copies = match marked {
        true => epilogue::copies(buffer.data(), buffer.get_srclocs_sorted()),
        false => Vec::new(),
    };
    let optimises = isa.flags().opt_level() != OptLevel::None;
    let rewrites = |pass| optimises && options.passes.has(pass);
    let architecture = isa.triple().architecture;
    let relaxes = architecture == Architecture::X86_64 && rewrites(Pass::Relaxation);
    let ends_loops = matches!(architecture, Architecture::Aarch64(_)) && rewrites(Pass::LoopEnds);
    let rewritten = relaxes.then(|| x64::rewrite(&compiled, &copies, options.passes)).flatten();
    match rewritten {
        Some(Rewritten { code, moved, alignment }) => {
            made.code = code;
            made.alignment.to = alignment;
            made.follow(&moved);
        }
        None => {
            made.code = buffer.data().to_vec();
            epilogue::fill(&mut made.code, &copies);
            if ends_loops {
                aarch64::branch_back(&compiled, &mut made.code);
            }
            if has_loop {
                made.alignment = place(&compiled);
            }
        }
    }
    Ok(made)
}

impl CompiledFunction {
    /// Has everything that refers to places in the code follow where they went.
    fn follow(&mut self, moved: &Moved) {
        for reloc in &mut self.relocs {
            reloc.offset = moved.at(reloc.offset);
            if let CodeTarget::Code(offset) = &mut reloc.target {
                *offset = moved.at(*offset);
            }
        }
        self.traps.iter_mut().for_each(|trap| trap.code_offset = moved.at(trap.code_offset));
        self.debug.lines.iter_mut().for_each(|line| line.code = moved.at(line.code));
        for range in &mut self.debug.values {
            (range.start, range.end) = (moved.at(range.start), moved.at(range.end));
        }
        self.debug.values.retain(|range| range.start < range.end);
    }
}

/// Where the values are that the function keeps for debuggers.
fn values(compiled: &CompiledCode, function: &Function, isa: &dyn TargetIsa) -> Vec<ValueRange> {
    let mut values = Vec::new();
    let ends = ends_in_source(function);
    let returns: Vec<u32> = compiled.buffer.call_sites().map(|site| site.ret_addr).collect();
    for (label, ranges) in &compiled.value_labels_ranges {
        let value = match label.as_u32() {
            VMCTX => VMCTX,
            label => label & !(WIDE | FIRST),
        };
        for range in ranges {
            let mut end = range.end;
            let place = match range.loc {
                LabelValueLoc::Reg(register) => match isa.map_regalloc_reg_to_dwarf(register) {
                    Ok(number) => {
                        if !outlives_calls(register, isa.triple().architecture) {
                            end = end_at_call(&returns, range.start, end);
                        }
                        ValuePlace::Register(number)
                    }
                    Err(_) => continue,
                },
                LabelValueLoc::CFAOffset(offset) => ValuePlace::Frame(offset),
            };
            if range.start < end {
                let until = ends.get(&(label.as_u32() & !WIDE)).copied().unwrap_or(0);
                values.push(ValueRange { value, start: range.start, end, place, until });
            }
        }
    }
    let buffer = &compiled.buffer;
    let frame_to_cfa = buffer.unwind_info.iter().find_map(|(_, event)| match event {
        UnwindInst::PushFrameRegs { offset_upward_to_caller_sp } => Some(*offset_upward_to_caller_sp),
        _ => None,
    });
    if let (Some(layout), Some(frame_to_cfa)) = (buffer.frame_layout(), frame_to_cfa) {
        let below = i64::from(layout.frame_to_fp_offset) + i64::from(frame_to_cfa);
        for slot in layout.stackslots.values() {
            let Some(value) = slot.key.and_then(|key| u32::try_from(key.bits()).ok()) else { continue };
            let place = ValuePlace::Frame(i64::from(slot.offset) - below);
            values.push(ValueRange { value, start: 0, end: buffer.data().len() as u32, place, until: 0 });
        }
    }
    values
}

/// Where values are no longer those of what they are labelled for ([`ValueRange::until`]), by label: translation says so where
/// the labels have their beginnings.
fn ends_in_source(function: &Function) -> HashMap<u32, u32> {
    let mut ends = HashMap::new();
    for label in function.dfg.values_labels.iter().flat_map(BTreeMap::values) {
        let ValueLabelAssignments::Starts(starts) = label else { continue };
        for start in starts {
            let label = start.label.as_u32();
            let (_, index) = frame_and_index(label & !(WIDE | FIRST));
            if label != VMCTX && (label & FIRST != 0 || is_operand(index)) {
                let end = ends.entry(label & !WIDE).or_insert(0);
                *end = start.from.expand(SourceLoc::new(0)).bits().max(*end);
            }
        }
    }
    ends
}

/// Whether functions of the module leave a register as it was.
fn outlives_calls(register: Reg, architecture: Architecture) -> bool {
    let Some(register) = register.to_real_reg() else { return true };
    let number = register.hw_enc();
    let is_integer = register.class() == RegClass::Int;
    match architecture {
        Architecture::X86_64 => is_integer && matches!(number, 3 | 12..=15),
        Architecture::Aarch64(_) => is_integer && number >= 18,
        Architecture::Riscv64(_) => matches!(number, 8 | 9 | 18..=27),
        Architecture::S390x => is_integer && number >= 8,
        _ => true,
    }
}

/// Where the range of a value ends that lies in a register which calls change. The code generator has it last until the
/// instruction behind a call that takes it; but who looks at the function from one that it calls, by the address of
/// return, would find something else there.
fn end_at_call(returns: &[u32], start: u32, end: u32) -> u32 {
    let next = returns.partition_point(|address| *address <= start);
    returns.get(next).map_or(end, |address| end.min(address - 1))
}

/// Whether what is left of a function after optimisation has a vector.
fn uses_vectors(function: &Function) -> bool {
    let is_vector = |value: &Value| function.dfg.value_type(*value).is_vector();
    function.layout.blocks().any(|block| {
        function.dfg.block_params(block).iter().any(is_vector)
            || function
                .layout
                .block_insts(block)
                .any(|inst| function.dfg.inst_results(inst).iter().any(is_vector))
    })
}

/// Where a tail call needs more room for arguments than the function got, the prologue moves the frame down, and
/// Cranelift then measures from the caller's stack pointer what DWARF is told to measure from the frame pointer.
fn correct_prologue(events: &mut [(u32, UnwindInst)]) {
    let mut frame = None;
    for (_, event) in events {
        match event {
            UnwindInst::PushFrameRegs { offset_upward_to_caller_sp } => {
                frame = Some(*offset_upward_to_caller_sp)
            }
            UnwindInst::DefineNewFrame { offset_upward_to_caller_sp, .. } => {
                *offset_upward_to_caller_sp = frame.unwrap_or(*offset_upward_to_caller_sp);
            }
            _ => {}
        }
    }
}

struct Lowered {
    code: CompiledCode,
    /// Whether the source locations of returns are marked.
    marked: bool,
}

/// Cranelift's optimiser, our passes after it, Cranelift's back end.
fn optimise_and_lower(
    isa: &dyn TargetIsa,
    Scratch { context, registers }: &mut Scratch,
    options: Options,
) -> CodegenResult<Lowered> {
    let mut control = ControlPlane::default();
    let architecture = isa.triple().architecture;
    context.verify_if(isa)?;
    let optimises = isa.flags().opt_level() != OptLevel::None;
    let runs = |pass| optimises && options.passes.has(pass);
    if runs(Pass::Threading) {
        passes::skip_cold(&mut context.func);
        passes::thread_jumps(context);
    }
    if runs(Pass::Rotation) {
        passes::rotate_loops(context);
    }
    if (runs(Pass::Forwarding) || runs(Pass::Masks)) && !context.cfg.is_valid() {
        context.compute_cfg();
    }
    if runs(Pass::Forwarding) {
        passes::forward_stores(context);
    }
    if runs(Pass::Masks) {
        passes::leave_out_masks(context);
    }
    context.optimize(isa, &mut control)?;
    if optimises {
        if runs(Pass::Hoisting) {
            passes::hoist(context);
        }
        let machine = passes::Machine::of(architecture);
        if runs(Pass::Invariants)
            && let Some(machine) = machine
        {
            passes::move_invariants(context, machine);
        }
        if runs(Pass::Advances) {
            passes::share_advances(context, architecture == Architecture::X86_64);
        }
        if runs(Pass::Dispatch) {
            passes::thread_dispatch(context, isa)?;
        }
        if architecture == Architecture::X86_64 {
            passes::constant_addresses(&mut context.func);
        }
        if runs(Pass::Widening)
            && let Some(halves) = halves(architecture)
        {
            passes::widen(context, halves);
        }
        if runs(Pass::Schedule) {
            passes::schedule(&mut context.func);
        }
        if runs(Pass::Constants) && architecture == Architecture::X86_64 {
            passes::store_constants(&mut context.func);
        }
        if runs(Pass::Constants)
            && let Some(machine) = machine
        {
            passes::keep_constants(context, machine);
        }
        context.verify_if(isa)?;
    }
    let marked = options.passes.has(Pass::Epilogue)
        && architecture == Architecture::X86_64
        && epilogue::mark(&mut context.func);
    let stencil =
        isa.compile_function(&context.func, &context.domtree, registers, options.keep_asm, &mut control)?;
    Ok(Lowered { code: stencil.apply_params(&context.func.params), marked })
}

/// What operations on 32 bits do to the upper half, on machines where it pays to extend values where they are made. The
/// accesses of others extend their index themselves.
fn halves(architecture: Architecture) -> Option<Halves> {
    match architecture {
        Architecture::X86_64 => Some(Halves::Cleared),
        Architecture::Riscv64(_) | Architecture::S390x => Some(Halves::Other),
        _ => None,
    }
}

fn symbol(name: &ExternalName, function: &Function) -> Result<Symbol> {
    let symbol = match name {
        ExternalName::User(reference) => {
            Symbol::from_external_name(&function.params.user_named_funcs()[*reference])
        }
        ExternalName::LibCall(libcall) => Some(Symbol::Helper(*libcall)),
        _ => None,
    };
    symbol.ok_or_else(|| Error::internal(format!("code refers to `{name:?}`, which has no symbol")))
}

fn codegen_error(error: &cranelift_codegen::CodegenError, function: &Function) -> Error {
    use cranelift_codegen::CodegenError;
    match error {
        CodegenError::ImplLimitExceeded => {
            Error::new(ErrorKind::Limit, "the function is too large for the code generator")
                .with_help("split the function, or build the module with less inlining")
        }
        CodegenError::CodeTooLarge => {
            Error::new(ErrorKind::Limit, "the function's machine code is too large")
        }
        CodegenError::Verifier(errors) => Error::internal(format!(
            "invalid CLIF: {}",
            cranelift_codegen::print_errors::pretty_verifier_error(function, None, errors.clone())
        )),
        other => Error::internal(format!("code generation failed: {other}")),
    }
}
