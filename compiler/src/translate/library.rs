//! What C programs call of a module that is a library: its exported functions, and access to its memories and globals.

use super::c_abi;
use super::function::ModuleContext;
use super::trampoline::{Entered, build, call_wasm, set_caller_memory};
use super::types::clif_type;
use crate::codegen::symbol::Symbol;
use crate::error::Result;
use crate::passes::{self, Located};
use aot_abi::call::library::{SET_AT_POINTERS, TOLERANCE};
use aot_abi::types::ValType;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    AbiParam, Function, InstBuilder, MemFlagsData, Signature, SourceLoc, Type, Value, types,
};
use cranelift_frontend::FunctionBuilder;

/// An exported function for C: `result f(instance, parameters…, addresses of results…, aot_trap **)`. What is returned
/// after a trap is zero, and results by address stay as they are.
///
/// The stack limit is good as long as calls come from about the same place on the stack; else the runtime sets it.
pub(crate) fn export(module: &ModuleContext<'_>, func: u32) -> Function {
    let pointer = module.isa.pointer_type();
    let type_index = module.info.funcs[func as usize];
    let ty = &module.info.types[type_index as usize];
    let mut sig = c_abi::signature(ty, module.isa);
    sig.params.push(AbiParam::new(pointer));
    let returns: Vec<_> = sig.returns.iter().map(|param| param.value_type).collect();
    build(sig, |builder| {
        let params = builder.block_params(builder.current_block().expect("entry")).to_vec();
        let (vmctx, trap) = (params[0], *params.last().expect("two and more"));
        let (args, places) = params[1..params.len() - 1].split_at(ty.params.len());

        let failed = builder.create_block();
        builder.append_block_param(failed, pointer);
        builder.set_cold_block(failed);
        check_stack(module, builder, vmctx, failed);

        let mut passed = vec![vmctx];
        for (ty, arg) in ty.params.iter().zip(args) {
            passed.push(match ty {
                ValType::V128 => {
                    builder.ins().load(clif_type(*ty, pointer), c_abi::stored_flags(*ty), *arg, 0)
                }
                _ => *arg,
            });
        }
        let callee = Entered::Function(func);
        let results = call_wasm(module, builder, type_index, callee, &passed, |builder, record| {
            builder.ins().jump(failed, &[record.into()]);
        });
        let by_address = c_abi::results_by_address(ty);
        for ((ty, value), place) in by_address.iter().zip(&results).zip(places) {
            builder.ins().store(c_abi::stored_flags(*ty), *value, *place, 0);
        }
        builder.ins().return_(if by_address.is_empty() { &results } else { &[] });

        builder.switch_to_block(failed);
        let record = builder.block_params(failed)[0];
        let mut sig = Signature::new(module.isa.default_call_conv());
        sig.params.extend([AbiParam::new(pointer); 3]);
        let sig = builder.import_signature(sig);
        let trapped = module.import_function(builder, Symbol::Trapped, sig);
        builder.ins().call(trapped, &[vmctx, record, trap]);
        let zero: Vec<Value> = returns.iter().map(|ty| c_abi::zero(builder, *ty)).collect();
        builder.ins().return_(&zero);
    })(module)
}

/// An exported function that is a leaf (`passes::is_leaf`), for C: does at once what the function does, unless there is
/// something to do first, which is [`export`]'s to do. Nothing of it needs a frame, and it is quick to call.
///
/// # Errors
/// If the inliner refuses.
pub(crate) fn shortcut(module: &ModuleContext<'_>, func: u32, leaf: &Function) -> Result<Located> {
    let imported = module.info.imported_funcs;
    let range = &module.info.debug.bodies[(func - imported) as usize];
    let pointer = module.isa.pointer_type();
    let type_index = module.info.funcs[func as usize];
    let ty = &module.info.types[type_index as usize];
    let mut sig = c_abi::signature(ty, module.isa);
    sig.params.push(AbiParam::new(pointer));
    let function = build(sig.clone(), |builder| {
        // All of it stands for the call.
        builder.set_srcloc(SourceLoc::new(u32::try_from(range.start).unwrap_or(!0)));
        let params = builder.block_params(builder.current_block().expect("entry")).to_vec();
        let constant = MemFlagsData::trusted().with_readonly().with_can_move();
        let limit_at = module.plan.offsets.stack_limit() as i32;
        let cells = builder.ins().load(pointer, constant, params[0], limit_at);
        let here = builder.ins().get_stack_pointer(pointer);
        let is_far = is_far_from_last(builder, pointer, cells, here);
        // The limit is also what stops the guest.
        let limit = builder.ins().load(pointer, MemFlagsData::trusted(), cells, 0);
        let is_below = builder.ins().icmp(IntCC::UnsignedLessThan, here, limit);
        let is_slow = builder.ins().bor(is_far, is_below);
        let [quick, slow] = [(); 2].map(|()| builder.create_block());
        builder.set_cold_block(slow);
        builder.ins().brif(is_slow, slow, &[], quick, &[]);

        builder.switch_to_block(quick);
        let wasm = builder.import_signature(module.signature(type_index));
        let callee = module.import_function(builder, Symbol::Function(func), wasm);
        let call = builder.ins().call(callee, &params[..=ty.params.len()]);
        let results = builder.inst_results(call).to_vec();
        builder.ins().return_(&results);

        builder.switch_to_block(slow);
        let sig = builder.import_signature(sig);
        let export = module.import_function(builder, Symbol::Export(func), sig);
        let call = builder.ins().call(export, &params);
        let results = builder.inst_results(call).to_vec();
        builder.ins().return_(&results);
    })(module);
    passes::inline_leaf(function, func, imported, leaf, range)
}

/// Goes on in a new block if the stack limit is good, or could be set; else in `failed`.
fn check_stack(
    module: &ModuleContext<'_>,
    builder: &mut FunctionBuilder<'_>,
    vmctx: Value,
    failed: cranelift_codegen::ir::Block,
) {
    let pointer = module.isa.pointer_type();
    let [good, unknown] = [(); 2].map(|()| builder.create_block());
    builder.set_cold_block(unknown);
    let constant = MemFlagsData::trusted().with_readonly().with_can_move();
    let cells = builder.ins().load(pointer, constant, vmctx, module.plan.offsets.stack_limit() as i32);
    let here = builder.ins().get_stack_pointer(pointer);
    let is_far = is_far_from_last(builder, pointer, cells, here);
    builder.ins().brif(is_far, unknown, &[], good, &[]);

    builder.switch_to_block(unknown);
    let mut sig = Signature::new(module.isa.default_call_conv());
    sig.params.extend([AbiParam::new(pointer); 2]);
    sig.returns.push(AbiParam::new(pointer));
    let sig = builder.import_signature(sig);
    let enter = module.import_function(builder, Symbol::Enter, sig);
    let call = builder.ins().call(enter, &[vmctx, here]);
    let entered = builder.inst_results(call)[0];
    let no_record = builder.ins().iconst(pointer, 0);
    builder.ins().brif(entered, good, &[], failed, &[no_record.into()]);

    builder.switch_to_block(good);
}

/// Whether the stack pointer `here` is not near the one that the stack limit was set at.
fn is_far_from_last(builder: &mut FunctionBuilder<'_>, pointer: Type, cells: Value, here: Value) -> Value {
    let offset = (SET_AT_POINTERS * pointer.bytes()) as i32;
    let set_at = builder.ins().load(pointer, MemFlagsData::trusted(), cells, offset);
    let distance = builder.ins().isub(here, set_at);
    builder.ins().icmp_imm_u(IntCC::UnsignedGreaterThan, distance, i64::from(TOLERANCE))
}

/// The address of the definition of an exported memory, which starts with its base and length: `f(instance)`.
pub(crate) fn memory(module: &ModuleContext<'_>, memory: u32) -> Function {
    let pointer = module.isa.pointer_type();
    let defined = memory - module.info.imported_memories;
    let offset = module.plan.offsets.memory(defined);
    accessor(module, &[], Some(AbiParam::new(pointer)), |builder, params| {
        Some(builder.ins().iadd_imm_u(params[0], u64::from(offset).cast_signed()))
    })
}

/// The value of an exported global: `value f(instance)`.
pub(crate) fn global_get(module: &ModuleContext<'_>, global: u32) -> Function {
    let (param, flags, offset) = global_place(module, global);
    accessor(module, &[], Some(param), |builder, params| {
        Some(builder.ins().load(param.value_type, flags, params[0], offset))
    })
}

/// Sets an exported global: `void f(instance, value)`.
pub(crate) fn global_set(module: &ModuleContext<'_>, global: u32) -> Function {
    let (param, flags, offset) = global_place(module, global);
    accessor(module, &[param], None, |builder, params| {
        builder.ins().store(flags, params[1], params[0], offset);
        None
    })
}

/// The value of a global in C, how it is stored, and where in the VM context.
fn global_place(module: &ModuleContext<'_>, global: u32) -> (AbiParam, MemFlagsData, i32) {
    use super::types::{CInt, c_param};
    let ty = module.info.globals[global as usize].ty.content;
    let param = c_param(clif_type(ty, module.isa.pointer_type()), CInt::Signed, module.isa);
    let offset = module.plan.offsets.global(global - module.info.imported_globals);
    (param, MemFlagsData::trusted(), offset as i32)
}

/// A C function that gets the instance, and does one thing.
fn accessor(
    module: &ModuleContext<'_>,
    params: &[AbiParam],
    result: Option<AbiParam>,
    body: impl FnOnce(&mut FunctionBuilder<'_>, &[Value]) -> Option<Value>,
) -> Function {
    let mut sig = Signature::new(module.isa.default_call_conv());
    sig.params.push(AbiParam::new(module.isa.pointer_type()));
    sig.params.extend(params);
    sig.returns.extend(result);
    build(sig, |builder| {
        let params = builder.block_params(builder.current_block().expect("entry")).to_vec();
        let value = body(builder, &params);
        builder.ins().return_(value.as_slice());
    })(module)
}

/// Calls an imported function of a library, one of the runtime or of the host program. If it has failed, the code traps.
pub(super) fn call_import(
    module: &ModuleContext<'_>,
    builder: &mut FunctionBuilder<'_>,
    func: u32,
    vmctx: Value,
    args: &[Value],
) -> Vec<Value> {
    use super::trap::clif_trap_code;
    use aot_abi::call::library::FAILED_POINTERS;
    use aot_abi::trap::TrapCode;
    let pointer = module.isa.pointer_type();
    let ty = module.info.func_type(func);
    let (mut passed, places) = c_abi::arguments(builder, ty, args, pointer);
    passed.insert(0, vmctx);
    let sig = builder.import_signature(c_abi::signature(ty, module.isa));
    let constant = MemFlagsData::trusted().with_readonly().with_can_move();
    let call = match &module.import_symbols[func as usize] {
        Some(_) => {
            set_caller_memory(module, builder, func, vmctx);
            let callee = module.import_function(builder, Symbol::Import(func), sig);
            builder.ins().call(callee, &passed)
        }
        None => {
            let offset = module.plan.offsets.imported_func(func) as i32;
            let code = builder.ins().load(pointer, constant, vmctx, offset);
            builder.ins().call_indirect(sig, code, &passed)
        }
    };
    let returned = builder.inst_results(call).to_vec();
    let cells = builder.ins().load(pointer, constant, vmctx, module.plan.offsets.stack_limit() as i32);
    let offset = (FAILED_POINTERS * pointer.bytes()) as i32;
    let failed = builder.ins().load(types::I32, MemFlagsData::trusted(), cells, offset);
    builder.ins().trapnz(failed, clif_trap_code(TrapCode::HostFunction));
    c_abi::results(builder, ty, &returned, places, pointer)
}
