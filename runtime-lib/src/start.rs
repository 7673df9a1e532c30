//! An executable's life: from the entry of the process to its exit.

mod general;
mod initial;
pub mod position;

use crate::arch::{self, Registers};
use crate::call::{Activation, Slot, enter};
use crate::instance::Instance;
use crate::message::Message;
use crate::module::LoadedModule;
use crate::options::{self, OptionError, RunOptions};
use crate::trap::{self, Frame, TrapSite};
use crate::vmctx::VmContext;
use crate::{signal, sys, wasi};
use alloc::boxed::Box;
use alloc::vec::Vec;
use aot_abi::trap::TrapCode;
use aot_abi::types::EntityKind;
use core::cell::UnsafeCell;
use core::ffi::{c_char, c_int, c_void};
use initial::Initial;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::runtime_448b8ad740e2a26f::{Siginfo, Signal};

/// Exit code of a program that trapped: that of a process that was aborted, as a shell reports it.
const TRAP_EXIT_CODE: i32 = 134;

/// Functions that a backtrace shows; the rest is counted.
const MAX_FRAMES: usize = 32;

const SIGNAL_STACK_SIZE: usize = 32 * 1024;

/// The descriptor that the compiler writes (`aot_abi::descriptor`).
#[repr(C)]
struct Descriptor {
    text: *const u8,
    text_len: usize,
    info: *const u8,
    info_len: usize,
    data: *const u8,
    data_len: usize,
    /// Null in the instance model, as is `memory`.
    vmctx: *mut u8,
    memory: *mut u8,
    /// `cpu::aot_check_cpu`, if the code uses features that not every machine has.
    check_cpu: Option<CheckCpu>,
    cpu_features: *const u8,
    cpu_features_len: usize,
    /// `general::aot_instantiate`, unless the initial state is all that there is to do.
    instantiate: Option<Instantiate>,
    /// Null if nothing is known.
    initial: *const Initial,
    /// `source::aot_print_source`, if the program has source positions.
    print_source: Option<PrintSource>,
    /// `profile::aot_write_profile`, if the program counts how often its code runs, and what it counts with.
    write_profile: Option<WriteProfile>,
    profile: *mut u64,
}

/// Makes the instance, and runs what runs when a program starts.
type Instantiate = unsafe extern "C" fn(start: Start<'_>) -> &'static mut Instance;

/// What an instance gets from its process.
#[repr(C)]
struct Start<'a> {
    descriptor: Descriptor,
    options: &'a RunOptions,
    context: Box<wasi::WasiCtx>,
    /// Highest address of the stack.
    stack_end: usize,
    /// Whether the program's `_start` runs, and not something else afterwards.
    is_command: bool,
}

/// Writes the profile of the program (`aot_abi::profile`), which gets ready for it. Gets the environment.
pub type WriteProfile = unsafe extern "C" fn(profile: *mut u64, environ: *const &[u8], count: usize);

/// Ends the process if the machine lacks a feature. Gets the names of the features, and the auxiliary vector.
pub type CheckCpu = unsafe extern "C" fn(names: *const u8, len: usize, auxv: *const [usize; 2]);

/// Prints a function of a backtrace with its source positions, or tells that nothing is known of them.
pub type PrintSource = unsafe extern "C" fn(line: &FrameLine<'_>) -> bool;

/// A function of a backtrace.
pub struct FrameLine<'a> {
    number: usize,
    frame: &'a Frame,
    /// Of the instruction that trapped.
    wasm_offset: Option<u32>,
}

#[expect(improper_ctypes, reason = "the functions that they point to are this library's own")]
unsafe extern "C" {
    static aot_module: Descriptor;
    static aot_options: u8;
    static aot_options_len: u64;
    static aot_sealed: u8;
    static aot_entry: Entry;
}

/// What runs in place of `_start`, if anything: the compiler's `link::entry`.
#[repr(C)]
struct Entry {
    invoke: Option<Invoke>,
    /// What makes the instance then: it has to know more of it than others.
    instantiate: Option<Instantiate>,
}

/// Calls an export and ends the process. Gets the instance and the arguments of the process.
pub type Invoke = unsafe extern "C" fn(instance: &mut Instance, args: *const &[u8], count: usize) -> i32;

/// State of the one instance, for the signal handler.
struct Process {
    /// Null until it is loaded: all zero, so that it takes no room in the file.
    module: Option<&'static LoadedModule>,
    /// Highest address of the stack.
    stack_end: usize,
}

struct Global<T>(UnsafeCell<T>);

// SAFETY: an executable has one thread; its signal handler only reads what was complete before wasm code ran.
unsafe impl<T> Sync for Global<T> {}

static PROCESS: Global<Process> = Global(UnsafeCell::new(Process { module: None, stack_end: 0 }));

static SIGNAL_STACK: Global<[u8; SIGNAL_STACK_SIZE]> = Global(UnsafeCell::new([0; SIGNAL_STACK_SIZE]));

/// What the entry of the process calls, with the stack as the kernel made it: argument count, arguments, null,
/// environment, null.
///
/// # Safety
/// Called once, by `_start`.
pub unsafe extern "C" fn main(stack: *const usize) -> ! {
    // SAFETY: the kernel made this layout.
    let (args, environ) = unsafe {
        let argc = stack.read();
        let args = strings(stack.add(1).cast());
        (args, strings(stack.add(argc + 2).cast()))
    };
    // SAFETY: the linker resolved the symbols to what the compiler made.
    let (descriptor, entry) = unsafe { ((&raw const aot_module).read(), (&raw const aot_entry).read()) };
    if let Some(check) = descriptor.check_cpu {
        // SAFETY: the names are the compiler's; the auxiliary vector follows the environment.
        unsafe {
            let auxv = stack.add(args.len() + environ.len() + 3).cast();
            check(descriptor.cpu_features, descriptor.cpu_features_len, auxv);
        }
    }
    let options = match read_options(&environ) {
        Ok(options) => options,
        Err(error) => fail(&error.message()),
    };
    apply_stack_limit(&options);
    install_handlers();
    let context = match wasi::context_from_options(&options, &args, &environ) {
        Ok(context) => Box::new(context),
        Err(error) => fail(&error.message()),
    };
    let is_command = entry.invoke.is_none();
    let instantiate = entry.instantiate.or(descriptor.instantiate).unwrap_or(initial::instantiate);
    let start = Start { descriptor, options: &options, context, stack_end: stack as usize, is_command };
    // SAFETY: the compiler chose the function.
    let instance = unsafe { instantiate(start) };
    if let Some(invoke) = entry.invoke {
        // SAFETY: the arguments are as its type says.
        exit(unsafe { invoke(instance, args.as_ptr(), args.len()) });
    }
    exit(0)
}

/// Ends the process of a program that ran.
pub fn exit(code: i32) -> ! {
    // SAFETY: the descriptor is the compiler's, and what is in it is of these types.
    unsafe {
        let Descriptor { write_profile, profile, .. } = (&raw const aot_module).read();
        if let Some(write) = write_profile {
            let environ = if is_sealed() { Vec::new() } else { environment() };
            write(profile, environ.as_ptr(), environ.len());
        }
    }
    sys::exit_group(code)
}

/// The environment, once the module is loaded.
fn environment() -> Vec<&'static [u8]> {
    // SAFETY: nothing changes it any more; the kernel made the stack.
    unsafe {
        match (*PROCESS.0.get()).stack_end as *const usize {
            stack if stack.is_null() => Vec::new(),
            stack => strings(stack.add(stack.read() + 2).cast()),
        }
    }
}

/// The strings of a null-terminated array.
///
/// # Safety
/// The array and its strings live as long as the process.
#[inline(never)]
unsafe fn strings(mut array: *const *const c_char) -> Vec<&'static [u8]> {
    // SAFETY: the caller vouches for the array.
    unsafe {
        let mut count = 0;
        while !array.add(count).read().is_null() {
            count += 1;
        }
        let mut strings = Vec::with_capacity(count);
        while !array.read().is_null() {
            let start = array.read().cast::<u8>();
            // A volatile read: the compiler turns other loops of this kind into `strlen`, which only a libc has.
            let mut len = 0;
            while start.add(len).read_volatile() != 0 {
                len += 1;
            }
            strings.push(core::slice::from_raw_parts(start, len));
            array = array.add(1);
        }
        strings
    }
}

/// The options written into the executable, then those of `AOT_RUN` unless it is sealed.
#[inline(never)]
fn read_options(environ: &[&'static [u8]]) -> Result<RunOptions, OptionError> {
    // SAFETY: the linker resolved the symbols to an object that the compiler made.
    let words = unsafe {
        let len = (&raw const aot_options_len).read() as usize;
        core::slice::from_raw_parts(&raw const aot_options, len)
    };
    let value = |variable: &&'static [u8]| variable.strip_prefix(options::AOT_RUN)?.strip_prefix(b"=");
    let line = environ.iter().copied().find_map(|variable| value(&variable)).filter(|_| !is_sealed());
    options::parse_sources(words, line)
}

/// Whether variables of the environment say nothing about how the program runs.
fn is_sealed() -> bool {
    // SAFETY: the linker resolved the symbol to a byte of an object that the compiler made.
    unsafe { (&raw const aot_sealed).read() != 0 }
}

/// The kernel lets the stack of the process grow up to the limit of the moment.
#[inline(never)]
fn apply_stack_limit(options: &RunOptions) {
    let Some(bytes) = options.max_wasm_stack else { return };
    let old = getrlimit(Resource::Stack);
    let current = old.maximum.map_or(bytes, |maximum| bytes.min(maximum));
    if setrlimit(Resource::Stack, Rlimit { current: Some(current), maximum: old.maximum }).is_err() {
        fail(b"cannot set the limit of the stack");
    }
}

/// Makes the module known to the signal handler.
///
/// # Safety
/// Called once, before any code of the module runs.
unsafe fn set_module(module: LoadedModule, stack_end: usize) -> &'static LoadedModule {
    // SAFETY: the handler reads the module in faults of compiled code only.
    let process = unsafe { &mut *PROCESS.0.get() };
    process.stack_end = stack_end;
    process.module.insert(Box::leak(Box::new(module)))
}

#[cold]
#[inline(never)]
fn fail_damaged() -> ! {
    fail(b"this executable is damaged: the description of the module cannot be read")
}

#[cold]
#[inline(never)]
fn fail_out_of_memory(kind: EntityKind) -> ! {
    let mut message = Message::new();
    message.text("cannot allocate a ").text(kind.name()).text(
        " of the module: not enough memory or address space, or `max-memory-size` is below its initial size",
    );
    fail(message.as_bytes())
}

#[inline(never)]
fn install_handlers() {
    // SAFETY: the stack is used for nothing else; the handler allocates nothing and touches no locks; an ignored
    // SIGPIPE turns writing to a closed pipe into an errno.
    let installed = unsafe {
        signal::set_stack(SIGNAL_STACK.0.get().cast(), SIGNAL_STACK_SIZE)
            .and_then(|()| {
                signal::FAULTS.iter().try_for_each(|fault| signal::handle(*fault, on_fault).map(drop))
            })
            .and_then(|()| signal::ignore(Signal::PIPE))
    };
    if installed.is_err() {
        fail(b"cannot install signal handlers");
    }
}

/// Calls a function without parameters and results.
///
/// # Safety
/// `entry` is the entry trampoline of such functions, `code` one of them, and `vmctx` its context.
unsafe fn run(entry: *const u8, code: *const u8, vmctx: *mut VmContext) {
    let mut activation = Activation::default();
    let mut values: [Slot; 1] = [[0; 16]];
    // SAFETY: the caller vouches for them; there are neither parameters nor results.
    unsafe { enter(&mut activation, entry, code, vmctx, values.as_mut_ptr()) };
}

/// Handles a hardware fault: prints the trap that it stands for and ends the process.
unsafe extern "C" fn on_fault(number: c_int, info: *mut Siginfo, context: *mut c_void) {
    // SAFETY: the kernel passes valid records; `PROCESS` is complete when code of the module runs.
    let (registers, fault, process) = unsafe {
        let has_address = number == Signal::SEGV.as_raw() || number == Signal::BUS.as_raw();
        let fault = has_address.then(|| signal::fault_address(info));
        (arch::registers(number, context), fault, &*PROCESS.0.get())
    };
    if let Some(module) = process.module {
        if let Some(site) = trap::classify(module, &registers, fault) {
            report(Some((module, &registers, process.stack_end)), site, None);
            exit(TRAP_EXIT_CODE);
        }
        if trap::is_stack_overflow(&registers, fault) {
            let site = TrapSite { code: TrapCode::StackOverflow, wasm_offset: None };
            report(None, site, Some("    in the runtime, called by the guest"));
            exit(TRAP_EXIT_CODE);
        }
    }
    let in_module = |module: &LoadedModule| module.text_offset(registers.pc).is_some();
    if number == Signal::ILL.as_raw() && process.module.is_some_and(in_module) {
        // Not a trap: every trap of the module is known.
        fail(b"the CPU of this machine lacks an instruction that the program needs");
    }
    // Not the guest's doing: let the process die as if there were no handler, when the fault happens again.
    // SAFETY: the default action is always valid.
    unsafe { signal::reset(number) };
}

/// Prints a trap.
fn report(stack: Option<(&LoadedModule, &Registers, usize)>, site: TrapSite, note: Option<&str>) {
    let mut message = Message::new();
    message.text("error: wasm trap: ").text(site.code.message()).text("\n");
    if let Some(note) = note {
        message.text(note).text("\n");
    }
    message.flush();
    let Some((module, registers, stack_end)) = stack else { return };
    let mut count = 0;
    // SAFETY: the descriptor is the compiler's.
    let Descriptor { print_source, .. } = unsafe { (&raw const aot_module).read() };
    // SAFETY: the registers are those of the code of the module that the signal interrupted.
    unsafe {
        trap::backtrace(module, registers, stack_end, |frame| {
            if count < MAX_FRAMES {
                let wasm_offset = site.wasm_offset.filter(|_| count == 0);
                let line = FrameLine { number: count, frame: &frame, wasm_offset };
                // SAFETY: the linker resolved the symbol to a function of this type.
                if !print_source.is_some_and(|print| unsafe { print(&line) }) {
                    line.print(frame.name);
                }
            }
            count += 1;
        });
    }
    if count > MAX_FRAMES {
        let mut message = Message::new();
        message.text("   and ").decimal((count - MAX_FRAMES) as u64).text(" more\n").flush();
    }
}

impl FrameLine<'_> {
    /// Where the function was, in the code of the module.
    pub fn text_offset(&self) -> u32 {
        self.frame.text_offset
    }

    /// Prints the line of a function, by this name or its own.
    #[inline(never)]
    pub fn print(&self, name: Option<&[u8]>) {
        let mut message = Message::new();
        message.text("   ").decimal(self.number as u64).text(": ");
        match name.or(self.frame.name) {
            Some(name) => message.bytes(name),
            None => message.text("wasm-function[").decimal(u64::from(self.frame.func)).text("]"),
        };
        if let Some(offset) = self.wasm_offset {
            message.text(" (wasm offset 0x").hexadecimal(u64::from(offset)).text(")");
        }
        message.text("\n").flush();
    }

    /// What the function is called, in UTF-8.
    pub fn name(&self) -> Option<&[u8]> {
        self.frame.name
    }
}

/// Ends a process that cannot start.
#[cold]
#[inline(never)]
pub(crate) fn fail(message: &[u8]) -> ! {
    let mut out = Message::new();
    out.text("error: ").bytes(message).text("\n").flush();
    sys::exit_group(1)
}

#[cfg(not(test))]
#[panic_handler]
#[allow(
    unused_attributes,
    reason = "inlined or not, it works; but what formats the rest of a message stays out if it is"
)]
#[inline(always)]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let mut message = Message::new();
    message.text("error: bug in the runtime of aot");
    if let Some(location) = info.location() {
        message.text(" at ").text(location.file()).text(":").decimal(u64::from(location.line()));
    }
    message.text("\n").flush();
    sys::exit_group(TRAP_EXIT_CODE)
}
