//! From a fault to the trap that it stands for, and the wasm functions on the stack.

use crate::arch::{self, Registers};
use crate::module::LoadedModule;
use aot_abi::trap::TrapCode;

/// A trap and where it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrapSite {
    pub code: TrapCode,
    /// Offset in the wasm file, if the instruction is known.
    pub wasm_offset: Option<u32>,
}

/// Faults this close to the stack pointer are accesses of the stack: a frame is probed page by page.
const STACK_REACH: usize = 1 << 16;

/// The trap that a fault in the code of a module stands for; `None` if the fault is not the module's doing.
pub fn classify(module: &LoadedModule, registers: &Registers, fault: Option<usize>) -> Option<TrapSite> {
    let location = module.description().locate(module.text_offset(registers.pc)?)?;
    match location.trap() {
        Some(site) => Some(TrapSite { code: site.code, wasm_offset: Some(site.wasm_offset) }),
        None => is_stack_overflow(registers, fault)
            .then_some(TrapSite { code: TrapCode::StackOverflow, wasm_offset: None }),
    }
}

/// Whether a fault is an access of the stack, which then is used up.
pub fn is_stack_overflow(registers: &Registers, fault: Option<usize>) -> bool {
    fault.is_some_and(|fault| fault.abs_diff(registers.sp) < STACK_REACH)
}

/// A function on the stack.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Function index.
    pub func: u32,
    /// UTF-8.
    pub name: Option<&'static [u8]>,
    /// Offset in the text section of the instruction, or of the last byte of the call.
    pub text_offset: u32,
}

/// Walks the wasm functions on the stack, the innermost first, by their frame records. `stack_end` is the highest
/// address of the stack.
///
/// # Safety
/// The registers belong to code of `module` that is interrupted, on a stack that is readable from its stack pointer
/// up to `stack_end`.
pub unsafe fn backtrace(
    module: &LoadedModule,
    registers: &Registers,
    stack_end: usize,
    mut visit: impl FnMut(Frame),
) {
    let (mut pc, mut fp, mut low) = (registers.pc, None, registers.sp);
    let mut return_address = false;
    // A return address may be the first byte after its function.
    while let Some((text_offset, location)) = module
        .text_offset(pc.wrapping_sub(usize::from(return_address)))
        .and_then(|offset| Some((offset, module.description().locate(offset)?)))
    {
        if location.range < module.funcs() {
            let func = location.range + module.imported_funcs();
            visit(Frame { func, name: location.name_bytes(), text_offset });
        }
        // Frame records lie ever higher on the stack; anything else is not one.
        // SAFETY: the first program counter is that of the code that is interrupted, and it is the module's.
        let record = *fp.get_or_insert_with(|| unsafe { arch::frame_of(registers) });
        if record < low
            || record % size_of::<usize>() != 0
            || record.saturating_add(arch::RECORD_SIZE) > stack_end
        {
            return;
        }
        low = record + 1;
        // SAFETY: the record lies in the readable part of the stack.
        let (return_to, callers) = unsafe { arch::caller(record) };
        (pc, fp) = (return_to, Some(callers));
        return_address = true;
    }
}
