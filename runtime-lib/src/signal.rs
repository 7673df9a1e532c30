//! Signals of hardware faults.

use crate::arch;
use core::ffi::{c_int, c_void};
use rustix::io;
use rustix::runtime_448b8ad740e2a26f::{
    KernelSigaction, KernelSigactionFlags, KernelSighandler, Siginfo, Signal, Stack, kernel_sig_ign,
    kernel_sigaltstack,
};

/// A signal handler of the form `SA_SIGINFO`.
pub type Handler = unsafe extern "C" fn(c_int, *mut Siginfo, *mut c_void);

/// The signals that faulting code raises.
pub const FAULTS: [Signal; 4] = [Signal::SEGV, Signal::BUS, Signal::ILL, Signal::FPE];

/// Handles a signal on the alternate stack, if the thread has one. Returns what was there before.
///
/// # Errors
/// None that the kernel documents for valid signals.
///
/// # Safety
/// `handler` does only what a signal handler may do.
pub unsafe fn handle(signal: Signal, handler: Handler) -> io::Result<KernelSigaction> {
    // SAFETY: the kernel calls a handler of the form `SA_SIGINFO` with three arguments, whatever its declared type.
    let handler: KernelSighandler =
        Some(unsafe { core::mem::transmute::<Handler, unsafe extern "C" fn(c_int)>(handler) });
    // SAFETY: all-zero is a valid action: default handler, no flags, empty mask.
    let mut action: KernelSigaction = unsafe { core::mem::zeroed() };
    action.sa_handler_kernel = handler;
    action.sa_flags = KernelSigactionFlags::SIGINFO | KernelSigactionFlags::ONSTACK;
    arch::set_restorer(&mut action);
    // SAFETY: the caller vouches for the handler.
    unsafe { arch::set_action(signal, action) }
}

/// Puts back what [`handle`] returned.
///
/// # Safety
/// `action` was in force before.
pub unsafe fn restore(signal: Signal, action: KernelSigaction) {
    // SAFETY: the caller vouches for the action. It was accepted before, so this does not fail.
    let restored = unsafe { arch::set_action(signal, action) };
    debug_assert!(restored.is_ok());
}

/// Does what another action does about a fault, as if the kernel had chosen that one: calls its handler, with the
/// signals blocked that it asked for. Our own handler stays, so that faults that come later are still seen.
///
/// An action that is no handler, or one for a single fault, is put back: the fault happens again at once.
///
/// # Safety
/// `action` was in force before; the other arguments are those of a handler that runs now for this signal.
#[cfg(any(feature = "embed", feature = "library"))]
pub unsafe fn forward(signal: Signal, action: &KernelSigaction, info: *mut Siginfo, context: *mut c_void) {
    use rustix::runtime_448b8ad740e2a26f::{How, KernelSigSet, kernel_sigprocmask};
    let flags = action.sa_flags;
    // The default action is a null handler, and ignoring a fault does not make it go away.
    let is_ignored =
        |handler: KernelSighandler| handler.map(|f| f as usize) == kernel_sig_ign().map(|f| f as usize);
    let once = flags.contains(KernelSigactionFlags::RESETHAND);
    let handler = action.sa_handler_kernel.filter(|_| !once && !is_ignored(action.sa_handler_kernel));
    let Some(handler) = handler else {
        // SAFETY: the caller vouches for the action.
        unsafe { restore(signal, action.clone()) };
        return;
    };
    // SAFETY: the handler expects these signals to be blocked, and the kernel puts the mask back when this one returns.
    // A handler of the form `SA_SIGINFO` takes three arguments, whatever its declared type.
    unsafe {
        // Setting a mask fails for bad arguments only.
        let _ = kernel_sigprocmask(How::BLOCK, Some(&action.sa_mask));
        if flags.contains(KernelSigactionFlags::NODEFER) {
            let mut this = KernelSigSet::empty();
            this.insert(signal);
            let _ = kernel_sigprocmask(How::UNBLOCK, Some(&this));
        }
        if flags.contains(KernelSigactionFlags::SIGINFO) {
            core::mem::transmute::<unsafe extern "C" fn(c_int), Handler>(handler)(
                signal.as_raw(),
                info,
                context,
            );
        } else {
            handler(signal.as_raw());
        }
    }
}

/// Gives this thread a stack for signal handlers.
///
/// # Errors
/// If the kernel finds the stack too small.
///
/// # Safety
/// The memory is used for nothing else while the thread lives.
pub unsafe fn set_stack(base: *mut u8, size: usize) -> io::Result<()> {
    let stack = Stack { ss_sp: base.cast(), ss_flags: 0, ss_size: size as _ };
    // SAFETY: the caller vouches for the memory.
    unsafe { kernel_sigaltstack(Some(stack)).map(drop) }
}

/// Whether this thread has a stack for signal handlers.
pub fn has_stack() -> bool {
    const DISABLED: c_int = 2;
    // SAFETY: only asks.
    unsafe { kernel_sigaltstack(None) }.is_ok_and(|stack| stack.ss_flags & DISABLED == 0)
}

/// The address whose access failed, of a `SIGSEGV` or `SIGBUS`.
///
/// # Safety
/// `info` is the second argument of a signal handler that runs now.
pub unsafe fn fault_address(info: *const Siginfo) -> usize {
    // SAFETY: the kernel fills `si_addr` for these signals.
    unsafe { (*info).__bindgen_anon_1.__bindgen_anon_1._sifields._sigfault._addr as usize }
}

/// Ignores a signal.
///
/// # Errors
/// None that the kernel documents for valid signals.
pub fn ignore(signal: Signal) -> io::Result<()> {
    // SAFETY: all-zero is a valid action, and ignoring a signal is one.
    unsafe {
        let mut action: KernelSigaction = core::mem::zeroed();
        action.sa_handler_kernel = kernel_sig_ign();
        arch::set_action(signal, action).map(drop)
    }
}

/// Gives one of the faults its default action back: the process dies of it.
///
/// # Safety
/// No other code relies on a handler of this signal.
pub unsafe fn reset(number: c_int) {
    if let Some(signal) = FAULTS.into_iter().find(|signal| signal.as_raw() == number) {
        // SAFETY: all-zero is a valid action: the default one.
        unsafe { restore(signal, core::mem::zeroed()) };
    }
}
