//! Instantiation by the module description: for modules of which it is not known in advance what it comes to.

use super::initial::{self, Initial};
use super::{
    Descriptor, Start, TRAP_EXIT_CODE, fail, fail_damaged, fail_out_of_memory, report, run, set_module,
};
use crate::instance::{Callee, Extern, Instance, InstantiateError, ResourceLimits, Resources};
use crate::message::Message;
use crate::module::LoadedModule;
use crate::sys;
use crate::trap::TrapSite;
use crate::vmctx::FuncRef;
use alloc::boxed::Box;
use alloc::vec::Vec;
use aot_abi::types::FuncType;
use core::ptr;

/// Makes the instance, and runs its start function and what the program starts with.
///
/// # Safety
/// The descriptor is the compiler's; called once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aot_instantiate(start: Start<'_>) -> &'static mut Instance {
    // SAFETY: the caller vouches for it.
    let module = unsafe { load(&start) };
    let instance = instantiate(module, &start);
    instance.set_wasi(start.context);
    if let Some(start) = module.declarations().start {
        call(instance.callee(start));
    }
    let names: &[&str] = if start.is_command { &["_initialize", "_start"] } else { &["_initialize"] };
    for name in names {
        if let Some(Extern::Func(func)) = instance.export(name) {
            check_command_type(module, name);
            // SAFETY: a reference of the instance, which lives as long as the process.
            let FuncRef { code, vmctx, entry, .. } = unsafe { *func };
            call(Some(Callee { entry, code, vmctx }));
        }
    }
    instance
}

/// # Safety
/// As [`aot_instantiate`].
#[inline(never)]
unsafe fn load(start: &Start<'_>) -> &'static LoadedModule {
    let mut seen: Vec<FuncType> = Vec::new();
    let type_id = |ty: &FuncType| match seen.iter().position(|other| other == ty) {
        Some(id) => id as u32,
        None => {
            seen.push(ty.clone());
            seen.len() as u32 - 1
        }
    };
    let Descriptor { text, text_len, info, info_len, data, data_len, .. } = start.descriptor;
    // SAFETY: the descriptor is the compiler's; all that it points to is part of the executable.
    unsafe {
        let info = core::slice::from_raw_parts(info, info_len);
        let data = core::slice::from_raw_parts(data, data_len);
        match LoadedModule::new(text, text_len, info, data, type_id) {
            Ok(module) => set_module(module, start.stack_end),
            Err(_) => fail_damaged(),
        }
    }
}

#[inline(never)]
fn instantiate(module: &'static LoadedModule, start: &Start<'_>) -> &'static mut Instance {
    // SAFETY: the compiler's, or null.
    let initial: Option<&Initial> = unsafe { start.descriptor.initial.as_ref() };
    let limits = ResourceLimits { memory_bytes: start.options.max_memory_size, table_elements: None };
    static NO_LIMIT: usize = 0;
    let (vmctx, memory) = initial::fixed_place(&start.descriptor, initial, 0).unzip();
    let resources = Resources {
        stack_limit: &raw const NO_LIMIT,
        libcalls: ptr::null(),
        limits: &limits,
        vmctx,
        memory,
        has_image: initial.is_some(),
    };
    // SAFETY: the module lives as long as the process; an executable has no imports left; the place was just made.
    let (instance, result) = unsafe { Instance::new(module, core::iter::empty(), resources) };
    match (instance, result) {
        (Some(instance), Ok(())) => {
            if let Some(initial) = initial {
                // SAFETY: the memory is there; what the context has comes from the description here.
                unsafe { initial.copy(start.descriptor.memory) };
            }
            Box::leak(instance)
        }
        (_, Err(InstantiateError::Trap(code))) => {
            report(None, TrapSite { code, wasm_offset: None }, None);
            sys::exit_group(TRAP_EXIT_CODE)
        }
        (_, Err(InstantiateError::OutOfMemory(kind))) => fail_out_of_memory(kind),
        _ => fail(b"this executable is damaged: the description of the module contradicts itself"),
    }
}

/// A command's entry takes and returns nothing.
#[inline(never)]
fn check_command_type(module: &LoadedModule, name: &str) {
    let declarations = module.declarations();
    let ty = declarations
        .export(name)
        .and_then(|export| declarations.func_type_index(export.index))
        .and_then(|ty| declarations.types.get(ty as usize));
    if !ty.is_some_and(|ty| ty.params.is_empty() && ty.results.is_empty()) {
        let mut message = Message::new();
        message.text("the export `").text(name).text("` cannot be run: it has parameters or results");
        fail(message.as_bytes());
    }
}

/// Calls a function without parameters and results.
fn call(callee: Option<Callee>) {
    let Some(Callee { entry, code, vmctx }) = callee else {
        fail(b"this executable is damaged: a function has no code");
    };
    // SAFETY: the trampoline is that of the function's type, which has neither parameters nor results.
    unsafe { run(entry, code, vmctx) };
}
