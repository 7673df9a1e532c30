//! The driver of translation: reads the operators of one body, validates them, and hands each to its family.

use super::control::Frame;
use super::operand::{Wanted, add_label};
use super::profile::{Counting, Profiling};
use super::state::{State, StateModel};
use super::trap::clif_trap_code;
use super::types::{clif_type, clif_type_of, wasm_signature};
use crate::codegen::symbol::Symbol;
use crate::config::Progress;
use crate::debug::{FIRST, Operands, Tracking, VMCTX, WIDE};
use crate::error::{Error, ErrorKind, Result};
use crate::module::{Body, ModuleInfo};
use crate::plan::Plan;
use aot_abi::libcall::Libcall;
use aot_abi::trap::TrapCode;
use cranelift_codegen::ir::{
    self, AbiParam, ArgumentPurpose, ExtFuncData, ExternalName, Function, GlobalValueData, Inst, InstBuilder,
    InstructionData, MemFlagsData, Opcode, RelSourceLoc, Signature, SourceLoc, StackSlot, StackSlotData,
    StackSlotKey, StackSlotKind, Type, UserFuncName, Value, ValueLabel, ValueLabelAssignments,
    ValueLabelStart, types,
};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Variable};
use std::collections::HashMap;
use wasmparser::{FuncValidator, FuncValidatorAllocations, Operator, ValidatorResources};

/// Locals that get places in the frame; functions with more need the stack for other things.
const MAX_SLOTS: usize = 4096;

/// How imported functions are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ImportCalls {
    /// As wasm functions, by slots of the VM context: code and context.
    Slots,
    /// As shims of the module.
    Shims,
    /// As C functions, of the runtime by symbol, of the host program by slots.
    Library,
}

/// What the translation of every function of a module shares.
#[derive(Clone, Copy)]
pub(crate) struct ModuleContext<'m> {
    pub info: &'m ModuleInfo<'m>,
    pub plan: &'m Plan,
    pub isa: &'m dyn TargetIsa,
    /// Whether the machine has an instruction for each shuffle of bytes.
    pub shuffles_bytes: bool,
    /// Whether it has one that rounds to integral numbers.
    pub rounds: bool,
    pub model: StateModel,
    pub imports: ImportCalls,
    /// Symbols of imported functions, by function index; empty if imports are slots.
    pub import_symbols: &'m [Option<String>],
    pub libcalls_by_symbol: bool,
    pub stack_check: bool,
    pub typed_entries: bool,
    pub interruptible: bool,
    pub fuel: bool,
    /// What debuggers are to find.
    pub tracking: Tracking,
    /// For functions, counted without imported ones, the local by which debuggers find variables of the source.
    pub frame_locals: Option<&'m HashMap<u32, u32>>,
    /// The values on operand stacks that debuggers are to find.
    pub operands: Option<&'m Operands>,
    pub profiling: Profiling<'m>,
    pub progress: Option<&'m Progress>,
}

impl ModuleContext<'_> {
    /// The CLIF signature of a type of the module.
    pub fn signature(&self, type_index: u32) -> Signature {
        wasm_signature(&self.info.types[type_index as usize], self.model, self.isa.pointer_type())
    }

    /// Declares a function that code of this module calls directly.
    pub fn import_function(
        &self,
        builder: &mut FunctionBuilder<'_>,
        symbol: Symbol,
        signature: ir::SigRef,
    ) -> ir::FuncRef {
        let name = symbol.external_name().expect("only called for symbols that CLIF can name");
        let name = builder.func.declare_imported_user_function(name);
        builder.import_function(ExtFuncData {
            name: ExternalName::user(name),
            signature,
            // All of the module's code is in one section; the runtime is linked to it statically.
            colocated: true,
            patchable: false,
        })
    }
}

/// Buffers that are reused from one function to the next.
#[derive(Default)]
pub(crate) struct Scratch {
    builder: FunctionBuilderContext,
    validator: FuncValidatorAllocations,
}

/// The translation of one function.
pub(crate) struct FunctionTranslator<'f, 'm> {
    pub(super) builder: FunctionBuilder<'f>,
    pub(super) module: &'m ModuleContext<'m>,
    pub(super) state: Box<dyn State + 'm>,
    /// The operand stack. A `v128` is always an `i8x16` here.
    pub(super) stack: Vec<Value>,
    pub(super) frames: Vec<Frame>,
    /// Whether the next operator can be reached.
    pub(super) reachable: bool,
    /// Constructs that were opened in unreachable code.
    pub(super) dead_frames: u32,
    pub(super) pointer: Type,
    /// Operators that were translated, and not yet taken from the fuel.
    pub(super) fuel: u32,
    /// Whether each local that has got a value got several, if debuggers are to find them.
    set_often: Vec<Option<bool>>,
    /// What the function got for its parameters, and where their locals may have other values, once they get some.
    first: Vec<(Value, Option<u64>)>,
    /// The loops around the instruction that is translated: their places among `frames`, and in the body. Some that were there
    /// before may be among them.
    pub(super) loops: Vec<(usize, u64)>,
    /// The instruction that is translated: bytes from the start of the body.
    pub(super) at: u64,
    /// The places of locals in the frame, where they have some.
    slots: Vec<(StackSlot, Type)>,
    /// A local that has a copy in the frame, and where.
    copied: Option<(u32, StackSlot)>,
    /// The operands that debuggers are to find.
    wanted: Wanted<'m>,
    /// What a profile counts or has counted.
    pub(super) counting: Counting<'m>,
}

/// A function in CLIF.
pub(crate) struct Translated {
    pub function: Function,
    /// How often calls ran, for those that a profile knows. Ascending.
    pub calls: Vec<(Inst, u64)>,
}

/// Validates and translates a function body.
///
/// # Errors
/// If the body is invalid, or uses what is not supported.
pub(crate) fn translate(
    module: &ModuleContext<'_>,
    body: Body<'_>,
    scratch: &mut Scratch,
) -> Result<Translated> {
    let func = body.func;
    let Scratch { builder: context, validator: allocations } = scratch;
    let mut validator = body.validator.into_validator(std::mem::take(allocations));
    let name = UserFuncName::user(0, func);
    let mut function =
        Function::with_name_signature(name, module.signature(module.info.funcs[func as usize]));
    let builder = FunctionBuilder::new(&mut function, context);
    let result = FunctionTranslator::body(module, builder, &body.body, &mut validator);
    *allocations = validator.into_allocations();
    match result {
        Ok(calls) => Ok(Translated { function, calls }),
        Err(error) => {
            // A builder that was not finished leaves its context dirty.
            *context = FunctionBuilderContext::new();
            Err(error.in_function(func, module.info.func_name(func)))
        }
    }
}

/// Zero-extends a value. Of a local that is an address, often nothing else is left: debuggers find it there too.
pub(super) fn extended(builder: &mut FunctionBuilder<'_>, ty: Type, value: Value) -> Value {
    let wide = builder.ins().uextend(ty, value);
    if let Some(labels) = &mut builder.func.dfg.values_labels
        && let Some(ValueLabelAssignments::Starts(starts)) = labels.get(&value)
    {
        let mut starts = starts.clone();
        for start in &mut starts {
            start.label = ValueLabel::from_u32(start.label.as_u32() | WIDE);
        }
        labels.insert(wide, ValueLabelAssignments::Starts(starts));
    }
    wide
}

impl<'f, 'm> FunctionTranslator<'f, 'm> {
    fn body(
        module: &'m ModuleContext<'m>,
        mut builder: FunctionBuilder<'f>,
        body: &wasmparser::FunctionBody<'_>,
        validator: &mut FuncValidator<ValidatorResources>,
    ) -> Result<Vec<(Inst, u64)>> {
        let pointer = module.isa.pointer_type();
        let entry = builder.create_block();
        builder.append_block_params_for_function_params(entry);
        builder.switch_to_block(entry);
        builder.seal_block(entry);
        let ty = module.info.func_type(validator.index());
        let vmctx = module.model.has_vmctx().then(|| builder.block_params(entry)[0]);
        if module.stack_check {
            set_stack_limit(&mut builder, module);
        }
        if module.tracking != Tracking::None {
            builder.func.collect_debug_info();
            builder.set_srcloc(source_location(body.range().start));
        }
        let params = builder.block_params(entry)[usize::from(vmctx.is_some())..].to_vec();
        let state = module.model.open(module, &mut builder, vmctx);
        let defined = validator.index() - module.info.imported_funcs;
        let mut this = FunctionTranslator {
            state,
            builder,
            module,
            stack: Vec::new(),
            frames: Vec::new(),
            reachable: true,
            dead_frames: 0,
            pointer,
            fuel: 0,
            set_often: Vec::new(),
            first: params.iter().map(|param| (*param, None)).collect(),
            loops: Vec::new(),
            at: 0,
            slots: Vec::new(),
            copied: None,
            wanted: Wanted::new(module.operands.map_or(&[], |operands| operands.of(defined))),
            counting: Counting::new(module.profiling, defined),
        };
        if module.tracking == Tracking::Follow
            && let Some(local) = module.frame_locals.and_then(|locals| locals.get(&defined))
        {
            // Optimised code would forget it with its last use.
            this.copied = Some((*local, this.slot(types::I32, *local)));
        }
        if let Some(vmctx) = vmctx {
            this.track_context(vmctx);
        }
        for (param, ty) in params.into_iter().zip(&ty.params) {
            this.declare_local(clif_type(*ty, pointer), param);
        }
        this.enter_function();
        this.count_function();
        let results: Vec<Type> = ty.results.iter().map(|ty| clif_type(*ty, pointer)).collect();
        let exit = this.block_with_params(&results);
        this.frames.push(Frame::function(exit, results.len(), this.counting.now));

        this.locals(&mut body.get_binary_reader(), validator)?;
        // That they start as zero does not count.
        this.set_often.truncate(ty.params.len());
        let start = body.range().start;
        let mut reader = body.get_operators_reader()?;
        while !reader.eof() {
            let (operator, offset) = reader.read_with_offset()?;
            validator.op(offset, &operator)?;
            this.builder.set_srcloc(source_location(offset));
            this.at = offset - start;
            this.wanted.pass(this.at, this.reachable, &this.stack, &mut this.builder.func.dfg);
            this.counting.at(&operator);
            this.operator(&operator).map_err(|error| error.at(offset))?;
        }
        reader.finish()?;
        if this.reachable {
            let values = std::mem::take(&mut this.stack);
            this.builder.ins().return_(&values);
        }
        this.forget_addresses();
        this.wanted.finish(body.range().end - start, &mut this.builder.func.dfg);
        let calls = std::mem::take(&mut this.counting.calls);
        this.builder.finalize(module.isa.frontend_config());
        Ok(calls)
    }

    /// Declares the locals; they start as zero or null.
    fn locals(
        &mut self,
        reader: &mut wasmparser::BinaryReader<'_>,
        validator: &mut FuncValidator<ValidatorResources>,
    ) -> Result<()> {
        let groups = reader.read_var_u32()?;
        for _ in 0..groups {
            let offset = reader.original_position();
            let count = reader.read_var_u32()?;
            let ty: wasmparser::ValType = reader.read()?;
            validator.define_locals(offset, count, ty)?;
            let ty = clif_type_of(ty, self.pointer).map_err(|error| error.at(offset))?;
            if count == 0 {
                continue;
            }
            let zero = self.zero(ty);
            for _ in 0..count {
                self.declare_local(ty, zero);
            }
        }
        Ok(())
    }

    /// Declares the next local.
    fn declare_local(&mut self, ty: Type, value: Value) {
        let variable = self.builder.declare_var(ty);
        if self.module.tracking == Tracking::Slots
            && self.slots.len() == variable.as_u32() as usize
            && self.slots.len() < MAX_SLOTS
        {
            let slot = self.slot(ty, variable.as_u32());
            self.slots.push((slot, ty));
        }
        self.set_local(variable.as_u32(), value);
    }

    /// A place in the frame that debuggers find under a number.
    fn slot(&mut self, ty: Type, key: u32) -> StackSlot {
        let align = ty.bytes().trailing_zeros() as u8;
        let key = StackSlotKey::new(u64::from(key));
        let data = StackSlotData::new_with_key(StackSlotKind::ExplicitSlot, ty.bytes(), align, key);
        self.builder.create_sized_stack_slot(data)
    }

    /// Lets debuggers find the VM context.
    fn track_context(&mut self, vmctx: Value) {
        match self.module.tracking {
            Tracking::None => {}
            Tracking::Follow => self.builder.set_val_label(vmctx, ValueLabel::from_u32(VMCTX)),
            Tracking::Slots => {
                let slot = self.slot(self.pointer, VMCTX);
                self.builder.ins().stack_store(self.pointer, vmctx, slot, 0);
            }
        }
    }

    /// The value of a local.
    pub(super) fn local(&mut self, index: u32) -> Value {
        if let Some((slot, ty)) = self.slots.get(index as usize) {
            return self.builder.ins().stack_load(self.pointer, *ty, *slot, 0);
        }
        let value = self.builder.use_var(Variable::from_u32(index));
        self.follow(index, value);
        value
    }

    pub(super) fn set_local(&mut self, index: u32, value: Value) {
        if let Some((slot, _)) = self.slots.get(index as usize) {
            self.builder.ins().stack_store(self.pointer, value, *slot, 0);
            return;
        }
        if let Some((local, slot)) = self.copied
            && local == index
            && self.builder.func.dfg.value_type(value) == types::I32
        {
            self.builder.ins().stack_store(self.pointer, value, slot, 0);
        }
        self.builder.def_var(Variable::from_u32(index), value);
        self.follow(index, value);
        if self.module.tracking == Tracking::Follow {
            let index = index as usize;
            self.set_often.resize(self.set_often.len().max(index + 1), None);
            if self.set_often[index] == Some(false)
                && let Some((_, end @ None)) = self.first.get_mut(index)
            {
                // A loop may come back with the new value.
                let depth = self.frames.len();
                let outermost = self.loops.first().filter(|(frame, _)| *frame < depth);
                *end = Some(outermost.map_or(self.at, |(_, at)| *at));
            }
            self.set_often[index] = Some(self.set_often[index].is_some());
        }
    }

    /// Forgets where addresses are that locals with several values became: one that is still needed for something else may not
    /// be that of the local any more. What a function gets for a parameter is it until the local gets another value.
    fn forget_addresses(&mut self) {
        let dfg = &mut self.builder.func.dfg;
        let Some(mut labels) = dfg.values_labels.take() else { return };
        labels.retain(|value, label| {
            let ValueLabelAssignments::Starts(starts) = label else { return true };
            starts.retain_mut(|start| {
                let label = start.label.as_u32();
                let index = (label & !WIDE) as usize;
                if label == VMCTX || label & WIDE == 0 || self.set_often.get(index) != Some(&Some(true)) {
                    return true;
                }
                let Some((first, Some(end))) = self.first.get(index) else { return false };
                let Ok(end) = u32::try_from(*end) else { return false };
                let inst = dfg.value_def(*value).inst().map(|inst| dfg.insts[inst]);
                let extends_it = matches!(inst, Some(InstructionData::Unary { opcode: Opcode::Uextend, arg })
                    if dfg.resolve_aliases(arg) == *first);
                start.label = ValueLabel::from_u32(label | FIRST);
                start.from = RelSourceLoc::new(end);
                extends_it && end > 0
            });
            !starts.is_empty()
        });
        dfg.values_labels = Some(labels);
    }

    /// Notes that a value is that of a local from here on.
    fn follow(&mut self, index: u32, value: Value) {
        if self.module.tracking != Tracking::None {
            let start = ValueLabelStart { from: RelSourceLoc::default(), label: ValueLabel::from_u32(index) };
            add_label(&mut self.builder.func.dfg, value, start);
        }
    }

    fn operator(&mut self, op: &Operator<'_>) -> Result<()> {
        if !self.reachable {
            self.unreachable_operator(op);
            return Ok(());
        }
        if self.module.fuel {
            self.count_fuel(op);
        }
        let done = self.variable_operator(op)?
            || self.numeric_operator(op)
            || self.memory_operator(op)?
            || self.control_operator(op)?
            || self.call_operator(op)?
            || self.simd_operator(op)?
            || self.table_operator(op)?;
        if done {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unsupported, format!("instruction `{op:?}` is not supported")))
    }

    pub(super) fn push(&mut self, value: Value) {
        self.stack.push(value);
    }

    pub(super) fn pop(&mut self) -> Value {
        self.stack.pop().expect("validated: the operand stack is not empty")
    }

    /// Pops `N` values; the one that was pushed last comes last.
    pub(super) fn pop_n<const N: usize>(&mut self) -> [Value; N] {
        let mut values = [Value::from_u32(0); N];
        for value in values.iter_mut().rev() {
            *value = self.pop();
        }
        values
    }

    /// Pops `count` values; the one that was pushed last comes last.
    pub(super) fn pop_list(&mut self, count: usize) -> Vec<Value> {
        self.stack.split_off(self.stack.len() - count)
    }

    /// The zero or null of a type.
    pub(super) fn zero(&mut self, ty: Type) -> Value {
        match ty {
            types::F32 => self.builder.ins().f32const(0.0),
            types::F64 => self.builder.ins().f64const(0.0),
            ty if ty.is_vector() => {
                let zero = self.builder.func.dfg.constants.insert(vec![0; 16].into());
                self.builder.ins().vconst(ty, zero)
            }
            ty => self.builder.ins().iconst(ty, 0),
        }
    }

    pub(super) fn i32_const(&mut self, value: u32) -> Value {
        self.builder.ins().iconst(types::I32, i64::from(value))
    }

    /// The low 32 bits of a value of pointer width.
    pub(super) fn pointer_to_i32(&mut self, value: Value) -> Value {
        if self.pointer == types::I32 { value } else { self.builder.ins().ireduce(types::I32, value) }
    }

    pub(super) fn trap(&mut self, code: TrapCode) {
        self.builder.ins().trap(clif_trap_code(code));
    }

    pub(super) fn trap_if(&mut self, condition: Value, code: TrapCode) {
        self.builder.ins().trapnz(condition, clif_trap_code(code));
    }

    /// Calls a libcall that has a result.
    pub(super) fn libcall(&mut self, libcall: Libcall, args: &[Value]) -> Value {
        self.state.libcall(&mut self.builder, libcall, args).expect("the libcall has a result")
    }
}

/// Source locations are offsets in the wasm file; the default location means none.
fn source_location(offset: u64) -> SourceLoc {
    SourceLoc::new(u32::try_from(offset).unwrap_or(!0))
}

/// Makes the prologue compare the stack pointer with the limit that the VM context points to.
fn set_stack_limit(builder: &mut FunctionBuilder<'_>, module: &ModuleContext<'_>) {
    let pointer = module.isa.pointer_type();
    let vmctx = builder.create_global_value(GlobalValueData::VMContext);
    let flags = builder.func.dfg.mem_flags.insert_unchecked(MemFlagsData::trusted());
    let cell = builder.create_global_value(GlobalValueData::Load {
        base: vmctx,
        offset: (module.plan.offsets.stack_limit() as i32).into(),
        global_type: pointer,
        flags,
    });
    let limit = builder.create_global_value(GlobalValueData::Load {
        base: cell,
        offset: 0.into(),
        global_type: pointer,
        flags,
    });
    builder.func.stack_limit = Some(limit);
    debug_assert!(
        builder
            .func
            .signature
            .params
            .first()
            .is_some_and(|param: &AbiParam| { param.purpose == ArgumentPurpose::VMContext })
    );
}
