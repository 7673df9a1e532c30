//! x86-64.

use super::Registers;
use core::arch::naked_asm;
use core::ffi::{c_int, c_void};
use rustix::runtime_448b8ad740e2a26f::{KernelSigaction, KernelSigactionFlags};

/// Where the kernel enters the process.
///
/// On entry `rsp` points to the argument count, the arguments and the environment follow; nothing is initialised.
#[cfg(feature = "standalone")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!(
        "mov rdi, rsp",  // the initial stack is the argument
        "xor ebp, ebp",  // the frame chain ends here
        "and rsp, -16",  // the ABI's alignment before a call
        "call {main}",
        "ud2",           // main does not return
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
        "lea rdi, [rip + __ehdr_start]",
        "lea rsi, [rip + _DYNAMIC]",
        "call {relocate}", // the kernel has aligned the stack
        "jmp {start}",
        relocate = sym crate::start::position::relocate,
        start = sym _start,
    )
}

/// The information of `R_X86_64_RELATIVE`: adds where the program is.
#[cfg(feature = "standalone")]
pub const RELATIVE: usize = 8;

/// The largest page of the machine.
#[cfg(feature = "standalone")]
pub const MAX_PAGE: usize = 4096;

/// Tells the kernel what it lets a signal handler return to.
pub fn set_restorer(action: &mut KernelSigaction) {
    action.sa_flags |= KernelSigactionFlags::RESTORER;
    action.sa_restorer = Some(restore);
}

#[unsafe(naked)]
unsafe extern "C" fn restore() {
    naked_asm!(
        "mov eax, 15", // rt_sigreturn
        "syscall",
        "ud2",
    )
}

/// Offset of `gregs` in `ucontext_t`, in words, and the order of registers in it: `sys/ucontext.h` of Linux.
const GREGS: usize = 5;
const RBP: usize = GREGS + 10;
#[cfg(feature = "library")]
const RAX: usize = GREGS + 13;
const RSP: usize = GREGS + 15;
const RIP: usize = GREGS + 16;

/// The registers that a signal interrupted.
///
/// # Safety
/// `context` is the third argument of a signal handler that runs now, `_signal` the first.
pub unsafe fn registers(_signal: c_int, context: *const c_void) -> Registers {
    let words = context.cast::<usize>();
    // SAFETY: the caller vouches for `context`; the offsets lie in a `ucontext_t`.
    unsafe { Registers { pc: words.add(RIP).read(), sp: words.add(RSP).read(), fp: words.add(RBP).read() } }
}

/// Makes the interrupted code go on elsewhere.
///
/// # Safety
/// As [`registers`]; the code at the new program counter expects the other values.
pub unsafe fn set_registers(context: *mut c_void, registers: &Registers) {
    let words = context.cast::<usize>();
    // SAFETY: the caller vouches for `context`; the offsets lie in a `ucontext_t`.
    unsafe {
        words.add(RIP).write(registers.pc);
        words.add(RSP).write(registers.sp);
        words.add(RBP).write(registers.fp);
    }
}

/// Makes a landing pad find a word where the exceptions of Cranelift have theirs (`exception_payload_regs`).
///
/// # Safety
/// As [`registers`]; the code to go on at is a landing pad.
#[cfg(feature = "library")]
pub unsafe fn set_payload(context: *mut c_void, payload: usize) {
    // SAFETY: the caller vouches for `context`; the offset lies in a `ucontext_t`.
    unsafe { context.cast::<usize>().add(RAX).write(payload) };
}

pub use super::record::{RECORD_SIZE, caller, frame_of};

/// Makes this thread go on elsewhere, with another stack pointer and frame pointer.
///
/// # Safety
/// The code at `pc` expects these values; nothing in the frames that are left behind needs to be dropped.
#[cfg(feature = "embed")]
#[unsafe(naked)]
pub unsafe extern "C" fn resume(pc: usize, sp: usize, fp: usize) -> ! {
    naked_asm!("mov rsp, rsi", "mov rbp, rdx", "jmp rdi",)
}

/// Makes instructions that were written as data visible to this thread: on this machine they are.
///
/// # Safety
/// The memory is readable.
pub unsafe fn sync_code(_start: *const u8, _len: usize) {}
