//! s390x: big-endian, and without a frame pointer. Functions keep a chain of stack pointers instead.
//!
//! What is called a frame pointer here is the value that the stack pointer had at the entry of a function. There the
//! caller's frame begins, whose first word points to the frame before it; word 14 is where the function saves
//! its return address.

use super::Registers;
use core::arch::naked_asm;
use core::ffi::{c_int, c_void};
use rustix::runtime_448b8ad740e2a26f::{KernelSigaction, KernelSigactionFlags, Signal};

/// Where the kernel enters the process.
///
/// On entry `%r15` points to the argument count, the arguments and the environment follow; nothing is initialised.
#[cfg(feature = "standalone")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!(
        "lgr %r2, %r15",          // the initial stack is the argument
        "aghi %r15, -160",        // the area where every function may save its registers
        "xc 0(8,%r15), 0(%r15)",  // the frame chain ends here
        "brasl %r14, {main}",
        ".short 0",               // main does not return
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
        "larl %r2, __ehdr_start",
        "larl %r3, _DYNAMIC",
        "aghi %r15, -160",       // the area where every function may save its registers
        "brasl %r14, {relocate}",
        "aghi %r15, 160",
        "jg {start}",
        relocate = sym crate::start::position::relocate,
        start = sym _start,
    )
}

/// The information of `R_390_RELATIVE`: adds where the program is.
#[cfg(feature = "standalone")]
pub const RELATIVE: usize = 12;

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
        "svc 173", // rt_sigreturn
        ".short 0",
    )
}

/// Offsets in `ucontext_t`, in words: `asm/ucontext.h` and `asm/sigcontext.h` of Linux. The machine context starts
/// at byte 40 with the program status word, whose second half is the address, and the general registers.
const PSW_ADDRESS: usize = 40 / 8 + 1;
const R0: usize = PSW_ADDRESS + 1;
const R1: usize = R0 + 1;
#[cfg(feature = "library")]
const R6: usize = R0 + 6;
const R15: usize = R0 + 15;

/// The registers that a signal interrupted.
///
/// # Safety
/// `context` is the third argument of a signal handler that runs now, `signal` the first.
pub unsafe fn registers(signal: c_int, context: *const c_void) -> Registers {
    let words = context.cast::<usize>();
    // SAFETY: the caller vouches for `context`; the offsets lie in a `ucontext_t`.
    let (pc, sp, r1) =
        unsafe { (words.add(PSW_ADDRESS).read(), words.add(R15).read(), words.add(R1).read()) };
    // The address is behind an instruction that is illegal or traps, and at one that accesses memory. The compiler
    // notes the traps of the former at their last byte.
    let is_behind = signal == Signal::ILL.as_raw() || signal == Signal::FPE.as_raw();
    Registers { pc: pc.wrapping_sub(usize::from(is_behind)), sp, fp: r1 }
}

/// Makes the interrupted code go on elsewhere.
///
/// # Safety
/// As [`registers`]; the code at the new program counter expects the other values.
pub unsafe fn set_registers(context: *mut c_void, registers: &Registers) {
    let words = context.cast::<usize>();
    // SAFETY: the caller vouches for `context`; the offsets lie in a `ucontext_t`.
    unsafe {
        words.add(PSW_ADDRESS).write(registers.pc);
        words.add(R15).write(registers.sp);
    }
}

/// Makes a landing pad find a word where the exceptions of Cranelift have theirs (`exception_payload_regs`).
///
/// # Safety
/// As [`registers`]; the code to go on at is a landing pad.
#[cfg(feature = "library")]
pub unsafe fn set_payload(context: *mut c_void, payload: usize) {
    // SAFETY: the caller vouches for `context`; the offset lies in a `ucontext_t`.
    unsafe { context.cast::<usize>().add(R6).write(payload) };
}

/// Words from the start of a frame to the place of the return address.
const RETURN_ADDRESS: usize = 14;

/// Where the record of the function lies that was interrupted.
///
/// # Safety
/// The registers are those of compiled code that a signal interrupted.
pub unsafe fn frame_of(registers: &Registers) -> usize {
    // `stg %r1, 0(%r15)` continues the chain in a prologue: it is where the stack overflows, and until it is done
    // the register has what it stores.
    const LINK: [u8; 6] = [0xe3, 0x10, 0xf0, 0x00, 0x00, 0x24];
    // Behind an instruction that traps (see `registers`) the address is odd.
    if registers.pc.is_multiple_of(2) {
        // SAFETY: the program counter is in compiled code, whose instructions are readable. Behind the last one of a
        // function comes another function, or the rest of the page.
        let instruction = unsafe { (registers.pc as *const [u8; 6]).read_unaligned() };
        if instruction == LINK {
            return registers.fp;
        }
        if stores_on_stack(&instruction) {
            return 0;
        }
    }
    // SAFETY: elsewhere the stack pointer is that of a complete frame.
    unsafe { (registers.sp as *const usize).read() }
}

/// Whether an instruction stores relative to the stack pointer. Where it faults, the stack ends above what the stack pointer points
/// to, and nothing leads to the caller: registers are saved, arguments passed, or a large frame is probed, before the chain goes on.
fn stores_on_stack(instruction: &[u8; 6]) -> bool {
    let [.., base, _, _, extension] = *instruction;
    let is_store = match instruction[0] {
        0x40 | 0x42 | 0x50 | 0x60 | 0x70 | 0x90 | 0x92 | 0xd2 => true, // sth, stc, st, std, ste, stm, mvi, mvc
        0xe3 => matches!(extension, 0x24 | 0x50 | 0x70 | 0x72),        // stg, sty, sthy, stcy
        0xe5 => matches!(instruction[1], 0x44 | 0x48 | 0x4c),          // mvhhi, mvghi, mvhi
        0xe7 => extension == 0x0e,                                     // vst
        0xeb => matches!(extension, 0x24 | 0x90),                      // stmg, stmy
        0xed => matches!(extension, 0x66 | 0x67),                      // stey, stdy
        _ => false,
    };
    is_store && base >> 4 == 15
}

/// The caller of a frame: return address and the caller's own record.
///
/// # Safety
/// `fp` points to a frame record.
pub unsafe fn caller(fp: usize) -> (usize, usize) {
    let words = fp as *const usize;
    // SAFETY: the caller vouches for `fp`.
    unsafe { (words.add(RETURN_ADDRESS).read(), words.read()) }
}

/// Bytes of a frame that [`caller`] reads.
pub const RECORD_SIZE: usize = (RETURN_ADDRESS + 1) * 8;

/// Makes instructions that were written as data visible to this thread: on this machine they are.
///
/// # Safety
/// The memory is readable.
pub unsafe fn sync_code(_start: *const u8, _len: usize) {}
