//! RISC-V, 64 bits.

use super::Registers;
use crate::signal;
use core::arch::{asm, naked_asm};
use core::ffi::{c_int, c_void};
use rustix::io;
use rustix::runtime_448b8ad740e2a26f::{KernelSigaction, Siginfo, Signal};

/// Where the kernel enters the process.
///
/// On entry `sp` points to the argument count, the arguments and the environment follow; nothing is initialised.
#[cfg(feature = "standalone")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!(
        // Linkers make addresses relative to the global pointer, but not its own.
        ".option push",
        ".option norelax",
        "lla gp, __global_pointer$",
        ".option pop",
        "mv a0, sp",     // the initial stack is the argument
        "li s0, 0",      // the frame chain ends here
        "li ra, 0",
        "andi sp, sp, -16", // the ABI's alignment before a call
        "call {main}",
        "unimp",         // main does not return
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
        "lla a0, __ehdr_start",
        "lla a1, _DYNAMIC",
        "call {relocate}",
        "tail {start}",
        relocate = sym crate::start::position::relocate,
        start = sym _start,
    )
}

/// The information of `R_RISCV_RELATIVE`: adds where the program is.
#[cfg(feature = "standalone")]
pub const RELATIVE: usize = 3;

/// The largest page of the machine.
#[cfg(feature = "standalone")]
pub const MAX_PAGE: usize = 4096;

/// Tells the kernel what it lets a signal handler return to: on this machine it knows by itself.
pub fn set_restorer(_action: &mut KernelSigaction) {}

/// Offsets in `ucontext_t`, in words: `asm/ucontext.h` and `asm/ptrace.h` of Linux. The machine context starts at
/// byte 176 with the general registers, the program counter being in the place of `x0`.
const PC: usize = 176 / 8;
const SP: usize = PC + 2;
const S0: usize = PC + 8;
#[cfg(feature = "library")]
const A0: usize = PC + 10;

/// The registers that a signal interrupted.
///
/// # Safety
/// `context` is the third argument of a signal handler that runs now, `_signal` the first.
pub unsafe fn registers(_signal: c_int, context: *const c_void) -> Registers {
    let words = context.cast::<usize>();
    // SAFETY: the caller vouches for `context`; the offsets lie in a `ucontext_t`.
    unsafe { Registers { pc: words.add(PC).read(), sp: words.add(SP).read(), fp: words.add(S0).read() } }
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
        words.add(S0).write(registers.fp);
    }
}

/// Makes a landing pad find a word where the exceptions of Cranelift have theirs (`exception_payload_regs`).
///
/// # Safety
/// As [`registers`]; the code to go on at is a landing pad.
#[cfg(feature = "library")]
pub unsafe fn set_payload(context: *mut c_void, payload: usize) {
    // SAFETY: the caller vouches for `context`; the offset lies in a `ucontext_t`.
    unsafe { context.cast::<usize>().add(A0).write(payload) };
}

// Cranelift's frame pointer points to the record, not behind it as that of C compilers does.
pub use super::record::{RECORD_SIZE, caller, frame_of};

/// Makes instructions that were written as data visible, to all threads.
///
/// # Safety
/// The memory is readable.
pub unsafe fn sync_code(start: *const u8, len: usize) {
    const RISCV_FLUSH_ICACHE: usize = 259;
    let _failed: usize;
    // SAFETY: the system call reads nothing and changes no memory. It fails only for unknown flags.
    unsafe {
        asm!(
            "ecall",
            inout("a0") start as usize => _failed,
            in("a1") start as usize + len,
            in("a2") 0,
            in("a7") RISCV_FLUSH_ICACHE,
            options(nostack),
        );
    }
}

/// Sets what happens on a signal, and tells what happened before.
///
/// Some versions of QEMU have a field for the restorer in the record, though Linux has none on this machine: the
/// record has room for one here.
///
/// # Errors
/// None that the kernel documents for valid signals.
///
/// # Safety
/// The action does only what a signal handler may do.
pub unsafe fn set_action(signal: Signal, action: KernelSigaction) -> io::Result<KernelSigaction> {
    #[repr(C)]
    struct Record {
        action: KernelSigaction,
        room: [usize; 2],
    }
    const RT_SIGACTION: usize = 134;
    let new = Record { action, room: [0; 2] };
    // SAFETY: all-zero is a valid action.
    let mut old: Record = unsafe { core::mem::zeroed() };
    let result: isize;
    // SAFETY: the kernel reads one record and writes the other; the caller vouches for the action.
    unsafe {
        asm!(
            "ecall",
            inout("a0") signal.as_raw() as isize => result,
            in("a1") &raw const new,
            in("a2") &raw mut old,
            in("a3") size_of_val(&old.action.sa_mask),
            in("a7") RT_SIGACTION,
            options(nostack),
        );
    }
    match result {
        0 => Ok(old.action),
        error => Err(io::Errno::from_raw_os_error(-error as i32)),
    }
}

/// Whether code may use vectors: reads the register that holds their length, which is an illegal instruction where
/// there are none, or the system does not save them.
///
/// To be called before the process has other threads or handlers of its own.
pub fn has_vectors() -> bool {
    /// Skips the instruction. All of this machine's that are not compressed have 4 bytes.
    unsafe extern "C" fn skip(number: c_int, _info: *mut Siginfo, context: *mut c_void) {
        // SAFETY: these are the arguments of a signal handler; the code after the instruction takes all values.
        unsafe {
            let mut at = registers(number, context);
            at.pc += 4;
            set_registers(context, &at);
        }
    }
    let mut len_bytes = 0_usize;
    // SAFETY: the handler only moves the program counter, and what was there before is put back.
    unsafe {
        let Ok(before) = signal::handle(Signal::ILL, skip) else { return false };
        asm!(
            ".word 0xc2202573", // csrr a0, vlenb
            inout("a0") len_bytes,
            options(nostack),
        );
        signal::restore(Signal::ILL, before);
    }
    len_bytes > 0
}
