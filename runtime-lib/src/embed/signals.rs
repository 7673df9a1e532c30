//! Faults in wasm code become errors of the call that entered it.
//!
//! The handler finds the trap by the program counter, and makes the interrupted code go on at the landing pad of the
//! entry trampoline. Faults anywhere else go to the handlers that were there before.

use super::code::with_module_at;
use crate::arch::{self, Registers};
use crate::call::{Activation, Slot, enter};
use crate::signal;
use crate::trap::{self, TrapSite};
use crate::vmctx::VmContext;
use aot_abi::trap::TrapCode;
use core::cell::Cell;
use core::ffi::{c_int, c_void};
use core::ptr;
use rustix::runtime_448b8ad740e2a26f::{KernelSigaction, Siginfo, Signal};
use std::sync::OnceLock;

/// An entry into wasm code that has not returned. Compiled code knows the first field.
#[repr(C)]
struct Entered {
    activation: Activation,
    entry: *const u8,
    trap: Cell<Option<TrapSite>>,
}

std::thread_local! {
    /// The innermost entry of this thread.
    static CURRENT: Cell<*const Entered> = const { Cell::new(ptr::null()) };
}

/// What the process did about faults before.
static PREVIOUS: OnceLock<[Previous; signal::FAULTS.len()]> = OnceLock::new();

struct Previous(KernelSigaction);

// SAFETY: plain data.
unsafe impl Send for Previous {}
// SAFETY: plain data.
unsafe impl Sync for Previous {}

fn install() {
    PREVIOUS.get_or_init(|| {
        signal::FAULTS.map(|fault| {
            // SAFETY: the handler takes no locks that interrupted wasm code could hold, and does not allocate.
            let previous = unsafe { signal::handle(fault, on_fault) };
            Previous(previous.expect("the kernel takes handlers of these signals"))
        })
    });
}

/// Calls a wasm function and waits for it to return or trap.
///
/// # Safety
/// As [`enter`].
pub(super) unsafe fn call(
    entry: *const u8,
    code: *const u8,
    vmctx: *mut VmContext,
    values: &mut [Slot],
) -> Result<(), TrapSite> {
    install();
    let mut entered = Entered { activation: Activation::default(), entry, trap: Cell::new(None) };
    let previous = CURRENT.replace(&raw const entered);
    // SAFETY: the caller vouches for the arguments.
    let returned = unsafe { enter(&raw mut entered.activation, entry, code, vmctx, values) };
    CURRENT.set(previous);
    match returned {
        true => Ok(()),
        false => {
            let unknown = TrapSite { code: TrapCode::Unreachable, wasm_offset: None };
            Err(entered.trap.get().unwrap_or(unknown))
        }
    }
}

unsafe extern "C" fn on_fault(number: c_int, info: *mut Siginfo, context: *mut c_void) {
    // SAFETY: the kernel passes valid records.
    let (registers, fault) = unsafe {
        let has_address = number == Signal::SEGV.as_raw() || number == Signal::BUS.as_raw();
        (arch::registers(number, context), has_address.then(|| signal::fault_address(info)))
    };
    let current = CURRENT.get();
    if !current.is_null()
        && let Some(Some(site)) =
            with_module_at(registers.pc, |module| trap::classify(module, &registers, fault))
    {
        // SAFETY: the entry has not returned, since its code is interrupted; its frame is on this stack.
        let entered = unsafe { &*current };
        entered.trap.set(Some(site));
        let pad = with_module_at(entered.entry as usize, |module| {
            let entry = module.text_offset(entered.entry as usize)?;
            let entry = module.declarations().entries.iter().find(|e| e.code_offset == entry)?;
            Some((module.code(entry.pad_offset) as usize, entry.frame_size as usize))
        });
        if let Some(Some((pc, frame_size))) = pad {
            let fp = entered.activation.frame_pointer;
            // SAFETY: the landing pad of the trampoline that owns the frame expects exactly these registers.
            unsafe { arch::set_registers(context, &Registers { pc, sp: fp - frame_size, fp }) };
            return;
        }
    }
    forward(number);
}

/// Puts the previous handler back: the fault happens again at once, and is handled as if we were not here.
fn forward(number: c_int) {
    let index = signal::FAULTS.iter().position(|fault| fault.as_raw() == number);
    if let (Some(index), Some(previous)) = (index, PREVIOUS.get()) {
        // SAFETY: it was in force before.
        unsafe { signal::restore(signal::FAULTS[index], previous[index].0.clone()) };
    }
}
