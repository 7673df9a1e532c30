//! The code between the host and wasm code: CLIF made from signatures, not from wasm.

use super::function::{ImportCalls, ModuleContext};
use super::trap::clif_trap_code;
use super::types::{CInt, c_param, clif_type, host_signature};
use super::{c_abi, library};
use crate::codegen::symbol::Symbol;
use aot_abi::call::{ACTIVATION_FRAME_POINTER, HOST_CONTEXT_FUNCTION, VALUE_SIZE};
use aot_abi::trap::TrapCode;
use aot_abi::types::{FuncType, ValType};
use aot_abi::vmctx::NO_MEMORY;
use cranelift_codegen::ir::{
    AbiParam, BlockArg, Endianness, ExceptionTableData, ExceptionTableItem, Function, InstBuilder,
    MemFlagsData, Signature, StackSlotData, StackSlotKind, Type, UserFuncName, Value, types,
};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};

/// The entry trampoline of a type (`aot_abi::module::Entry`): the host calls it to enter wasm code.
pub(crate) fn entry(module: &ModuleContext<'_>, type_index: u32) -> Function {
    let pointer = module.isa.pointer_type();
    let ty = &module.info.types[type_index as usize];
    let mut sig = Signature::new(module.isa.default_call_conv());
    sig.params.extend([AbiParam::new(pointer); 4]);
    sig.returns.push(c_param(types::I32, CInt::Unsigned, module.isa));
    build(sig, |builder| {
        let [activation, code, vmctx, values] =
            *builder.block_params(builder.current_block().expect("entry"))
        else {
            unreachable!("four parameters")
        };
        let mut args = vec![vmctx];
        for (index, ty) in ty.params.iter().enumerate() {
            args.push(load_value(builder, *ty, pointer, values, index));
        }
        let callee = Entered::Code(code);
        store_frame(builder, activation, pointer);
        let results = call_wasm(module, builder, type_index, callee, &args, |builder, record| {
            if module.imports == ImportCalls::Library {
                builder.ins().store(MemFlagsData::trusted(), record, values, 0);
            }
            let status = builder.ins().iconst(types::I32, 1);
            builder.ins().return_(&[status]);
        });
        for (index, (ty, value)) in ty.results.iter().zip(results).enumerate() {
            store_value(builder, *ty, values, index, value);
        }
        let status = builder.ins().iconst(types::I32, 0);
        builder.ins().return_(&[status]);
    })(module)
}

/// The typed entry trampoline of an exported function (`aot_abi::module::TypedEntry`). It passes on the arguments where
/// they are.
pub(crate) fn typed_entry(module: &ModuleContext<'_>, func: u32) -> Function {
    let pointer = module.isa.pointer_type();
    let type_index = module.info.funcs[func as usize];
    let ty = &module.info.types[type_index as usize];
    let c_type = |ty: &ValType| c_param(clif_type(*ty, pointer), CInt::Signed, module.isa);
    let mut sig = Signature::new(module.isa.default_call_conv());
    sig.params.push(AbiParam::new(pointer));
    sig.params.extend(ty.params.iter().map(c_type));
    sig.params.push(AbiParam::new(pointer));
    sig.returns.extend(ty.results.iter().map(c_type));
    build(sig, |builder| {
        let params = builder.block_params(builder.current_block().expect("entry")).to_vec();
        let Some((activation, args)) = params.split_last() else { unreachable!("two and more") };
        let callee = Entered::Function(func);
        store_frame(builder, *activation, pointer);
        let results = call_wasm(module, builder, type_index, callee, args, |builder, _| {
            let zero: Vec<Value> =
                ty.results.iter().map(|ty| c_abi::zero(builder, clif_type(*ty, pointer))).collect();
            builder.ins().return_(&zero);
        });
        builder.ins().return_(&results);
    })(module)
}

/// Tells the host where the frame of the trampoline is.
fn store_frame(builder: &mut FunctionBuilder<'_>, activation: Value, pointer: Type) {
    let frame = builder.ins().get_frame_pointer(pointer);
    builder.ins().store(MemFlagsData::trusted(), frame, activation, ACTIVATION_FRAME_POINTER as i32);
}

/// What an entry trampoline calls.
pub(super) enum Entered {
    /// The code at an address.
    Code(Value),
    /// A function of the module.
    Function(u32),
}

/// Calls a wasm function for the host, and leaves the builder where it has returned. `args` start with the VM context.
/// `trapped` fills the block where a trap lands; it gets what the handler of faults passes on, if it does.
///
/// The call is a `try_call`: what a trap resumes at is its landing pad, and all that the host's calling convention wants
/// preserved is restored from the trampoline's own frame.
pub(super) fn call_wasm(
    module: &ModuleContext<'_>,
    builder: &mut FunctionBuilder<'_>,
    type_index: u32,
    callee: Entered,
    args: &[Value],
    trapped: impl FnOnce(&mut FunctionBuilder<'_>, Value),
) -> Vec<Value> {
    let pointer = module.isa.pointer_type();
    let ty = &module.info.types[type_index as usize];
    let args = if module.model.has_vmctx() { args } else { &args[1..] };
    let returned = builder.create_block();
    for ty in &ty.results {
        builder.append_block_param(returned, clif_type(*ty, pointer));
    }
    let landing = builder.create_block();
    builder.append_block_param(landing, pointer);
    let rets: Vec<BlockArg> = (0..ty.results.len() as u32).map(BlockArg::TryCallRet).collect();
    let normal = builder.func.dfg.block_call(returned, &rets);
    let pad = builder.func.dfg.block_call(landing, &[BlockArg::TryCallExn(0)]);
    let sig = builder.import_signature(module.signature(type_index));
    let table = ExceptionTableData::new(sig, normal, [ExceptionTableItem::Default(pad)]);
    let table = builder.func.dfg.exception_tables.push(table);
    match callee {
        Entered::Code(code) => builder.ins().try_call_indirect(code, args, table),
        Entered::Function(func) => {
            let func = module.import_function(builder, Symbol::Function(func), sig);
            builder.ins().try_call(func, args, table)
        }
    };

    builder.switch_to_block(landing);
    let passed_on = builder.block_params(landing)[0];
    trapped(builder, passed_on);
    builder.switch_to_block(returned);
    builder.block_params(returned).to_vec()
}

/// The host trampoline of a type (`aot_abi::module::HostTrampoline`): wasm code calls it to leave.
pub(crate) fn host(module: &ModuleContext<'_>, type_index: u32) -> Function {
    let pointer = module.isa.pointer_type();
    let ty = &module.info.types[type_index as usize];
    build(module.signature(type_index), |builder| {
        let params = builder.block_params(builder.current_block().expect("entry")).to_vec();
        let (context, args) = params.split_first().expect("the instance model passes a context");
        let slots = ty.params.len().max(ty.results.len()).max(1) as u32;
        let slot = StackSlotData::new(StackSlotKind::ExplicitSlot, slots * VALUE_SIZE, 4);
        let slot = builder.create_sized_stack_slot(slot);
        let values = builder.ins().stack_addr(pointer, slot, 0);
        for (index, (ty, value)) in ty.params.iter().zip(args).enumerate() {
            store_value(builder, *ty, values, index, *value);
        }
        let mut sig = Signature::new(module.isa.default_call_conv());
        sig.params.extend([AbiParam::new(pointer); 2]);
        sig.returns.push(AbiParam::new(types::I32));
        let sig = builder.import_signature(sig);
        let host =
            builder.ins().load(pointer, MemFlagsData::trusted(), *context, HOST_CONTEXT_FUNCTION as i32);
        let call = builder.ins().call_indirect(sig, host, &[*context, values]);
        let status = builder.inst_results(call)[0];
        builder.ins().trapnz(status, clif_trap_code(TrapCode::HostFunction));
        let mut results = Vec::new();
        for (index, ty) in ty.results.iter().enumerate() {
            results.push(load_value(builder, *ty, pointer, values, index));
        }
        builder.ins().return_(&results);
    })(module)
}

/// What stands in for an imported function that is bound at build time: calls the runtime's function, or traps if
/// there is none. In a library, it calls the function of the host program.
pub(crate) fn import_shim(module: &ModuleContext<'_>, func: u32) -> Function {
    let type_index = module.info.funcs[func as usize];
    let ty: &FuncType = &module.info.types[type_index as usize];
    build(module.signature(type_index), |builder| {
        if module.imports == ImportCalls::Library {
            let args = builder.block_params(builder.current_block().expect("entry")).to_vec();
            let results = library::call_import(module, builder, func, args[0], &args[1..]);
            builder.ins().return_(&results);
            return;
        }
        if module.import_symbols[func as usize].is_none() {
            builder.ins().trap(clif_trap_code(TrapCode::UnknownImport));
            return;
        }
        let mut args = builder.block_params(builder.current_block().expect("entry")).to_vec();
        let param = module.model.has_vmctx().then(|| args.remove(0));
        let context = module.model.context(module, builder, param);
        args.insert(0, context);
        set_caller_memory(module, builder, func, context);
        let sig = builder.import_signature(host_signature(ty, module.isa));
        let callee = module.import_function(builder, Symbol::Import(func), sig);
        let call = builder.ins().call(callee, &args);
        let results = builder.inst_results(call).to_vec();
        builder.ins().return_(&results);
    })(module)
}

/// Tells functions of the runtime which memory they act on, if that is not the same in every call.
pub(super) fn set_caller_memory(
    module: &ModuleContext<'_>,
    builder: &mut FunctionBuilder<'_>,
    func: u32,
    context: Value,
) {
    if module.info.link.import_memories.is_some() {
        let memory = module.info.caller_memory(func).unwrap_or(NO_MEMORY);
        let memory = builder.ins().iconst(types::I32, i64::from(memory));
        let offset = module.plan.offsets.caller_memory() as i32;
        builder.ins().store(MemFlagsData::trusted(), memory, context, offset);
    }
}

/// Makes a function whose body is filled in block by block, from its entry block on.
pub(super) fn build(
    sig: Signature,
    body: impl FnOnce(&mut FunctionBuilder<'_>),
) -> impl FnOnce(&ModuleContext<'_>) -> Function {
    move |module| {
        let mut function = Function::with_name_signature(UserFuncName::default(), sig);
        let mut context = FunctionBuilderContext::new();
        let mut builder = FunctionBuilder::new(&mut function, &mut context);
        let entry = builder.create_block();
        builder.append_block_params_for_function_params(entry);
        builder.switch_to_block(entry);
        body(&mut builder);
        builder.seal_all_blocks();
        builder.finalize(module.isa.frontend_config());
        function
    }
}

/// Slots hold numbers in little-endian order on every machine; references are the machine's own pointers.
pub(super) fn value_flags(ty: ValType) -> MemFlagsData {
    if ty.is_ref() {
        MemFlagsData::trusted()
    } else {
        MemFlagsData::trusted().with_endianness(Endianness::Little)
    }
}

fn load_value(
    builder: &mut FunctionBuilder<'_>,
    ty: ValType,
    pointer: Type,
    values: Value,
    index: usize,
) -> Value {
    let offset = index as i32 * VALUE_SIZE as i32;
    builder.ins().load(clif_type(ty, pointer), value_flags(ty), values, offset)
}

fn store_value(builder: &mut FunctionBuilder<'_>, ty: ValType, values: Value, index: usize, value: Value) {
    builder.ins().store(value_flags(ty), value, values, index as i32 * VALUE_SIZE as i32);
}
