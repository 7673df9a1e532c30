//! AArch64.

use super::Registers;
use core::arch::{asm, naked_asm};
use core::ffi::{c_int, c_void};
use rustix::runtime_448b8ad740e2a26f::{KernelSigaction, KernelSigactionFlags};

/// Where the kernel enters the process.
///
/// On entry `sp` points to the argument count, the arguments and the environment follow; nothing is initialised.
#[cfg(feature = "standalone")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!(
        "mov x0, sp",    // the initial stack is the argument
        "mov x29, xzr",  // the frame chain ends here
        "mov x30, xzr",
        "and x1, x0, #-16",
        "mov sp, x1",    // the ABI's alignment before a call
        "bl {main}",
        "udf #0",        // main does not return
        main = sym crate::start::main,
    )
}

/// Where the kernel enters an executable that it may map anywhere.
#[cfg(feature = "standalone")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn aot_start_pie() -> ! {
    naked_asm!(
        // Linkers of other executables do not define it.
        ".weak _DYNAMIC",
        ".hidden _DYNAMIC",
        ".hidden __ehdr_start",
        "adrp x0, __ehdr_start",
        "add x0, x0, :lo12:__ehdr_start",
        "adrp x1, _DYNAMIC",
        "add x1, x1, :lo12:_DYNAMIC",
        "bl {relocate}",
        "b {start}",
        relocate = sym crate::start::position::relocate,
        start = sym _start,
    )
}

/// The information of `R_AARCH64_RELATIVE`: adds where the program is.
#[cfg(feature = "standalone")]
pub const RELATIVE: usize = 1027;

/// The largest page of the machine.
#[cfg(feature = "standalone")]
pub const MAX_PAGE: usize = 65536;

/// Tells the kernel what it lets a signal handler return to.
pub fn set_restorer(action: &mut KernelSigaction) {
    action.sa_flags |= KernelSigactionFlags::RESTORER;
    action.sa_restorer = Some(restore);
}

#[unsafe(naked)]
unsafe extern "C" fn restore() {
    naked_asm!(
        "mov x8, #139", // rt_sigreturn
        "svc #0",
        "udf #0",
    )
}

/// Offsets in `ucontext_t`, in words: `asm/ucontext.h` and `asm/sigcontext.h` of Linux. The machine context starts
/// at byte 176 with the fault address, which the general registers follow.
const X0: usize = 176 / 8 + 1;
const X29: usize = X0 + 29;
const SP: usize = X0 + 31;
const PC: usize = X0 + 32;

/// The registers that a signal interrupted.
///
/// # Safety
/// `context` is the third argument of a signal handler that runs now, `_signal` the first.
pub unsafe fn registers(_signal: c_int, context: *const c_void) -> Registers {
    let words = context.cast::<usize>();
    // SAFETY: the caller vouches for `context`; the offsets lie in a `ucontext_t`.
    unsafe { Registers { pc: words.add(PC).read(), sp: words.add(SP).read(), fp: words.add(X29).read() } }
}

/// Makes the interrupted code go on elsewhere.
///
/// # Safety
/// As [`registers`]; the code at the new program counter expects the other values.
pub unsafe fn set_registers(context: *mut c_void, registers: &Registers) {
    let words = context.cast::<usize>();
    // SAFETY: the caller vouches for `context`; the offsets lie in a `ucontext_t`.
    unsafe {
        words.add(PC).write(registers.pc);
        words.add(SP).write(registers.sp);
        words.add(X29).write(registers.fp);
    }
}

/// Makes a landing pad find a word where the exceptions of Cranelift have theirs (`exception_payload_regs`).
///
/// # Safety
/// As [`registers`]; the code to go on at is a landing pad.
#[cfg(feature = "library")]
pub unsafe fn set_payload(context: *mut c_void, payload: usize) {
    // SAFETY: the caller vouches for `context`; the offset lies in a `ucontext_t`.
    unsafe { context.cast::<usize>().add(X0).write(payload) };
}

pub use super::record::{RECORD_SIZE, caller, frame_of};

/// Makes instructions that were written as data visible: cleans the data cache, and drops the instruction cache.
///
/// # Safety
/// The memory is readable.
pub unsafe fn sync_code(start: *const u8, len: usize) {
    let (start, end) = (start as usize, start as usize + len);
    let sizes: usize;
    // SAFETY: the cache type register can be read by every program.
    unsafe { asm!("mrs {}, ctr_el0", out(reg) sizes, options(nomem, nostack)) };
    let (code_line, data_line) = (4 << (sizes & 15), 4 << (sizes >> 16 & 15));
    // SAFETY: cache maintenance by address, of memory that is readable.
    unsafe {
        for line in (start & !(data_line - 1)..end).step_by(data_line) {
            asm!("dc cvau, {}", in(reg) line, options(nostack));
        }
        asm!("dsb ish", options(nostack));
        for line in (start & !(code_line - 1)..end).step_by(code_line) {
            asm!("ic ivau, {}", in(reg) line, options(nostack));
        }
        asm!("dsb ish", "isb", options(nostack));
    }
}
