//! An executable's life: from the entry of the process to its exit.

use crate::arch::{self, Registers};
use crate::call::{Activation, Slot, enter};
use crate::instance::{Callee, Extern, Instance, InstantiateError, ResourceLimits, Resources};
use crate::memory::{MAPPING_SIZE, Reservation, reserve};
use crate::message::Message;
use crate::module::LoadedModule;
use crate::options::{self, OptionError, RunOptions};
use crate::trap::{self, Frame, TrapSite};
use crate::vmctx::{FuncRef, VmContext};
use crate::{signal, sys, wasi};
use alloc::boxed::Box;
use alloc::vec::Vec;
use aot_abi::trap::TrapCode;
use aot_abi::types::FuncType;
use core::cell::UnsafeCell;
use core::ffi::{c_char, c_int, c_void};
use core::ptr::NonNull;
use rustix::mm::{MprotectFlags, mprotect};
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
    /// `source::aot_print_source`, if the program has source positions.
    print_source: Option<PrintSource>,
}

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

unsafe extern "C" {
    static aot_module: Descriptor;
    static aot_options: u8;
    static aot_options_len: u64;
    static aot_sealed: u8;
    /// What runs in place of `_start`, if anything: the compiler's `link::entry`.
    static aot_entry: Option<Invoke>;
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
    // SAFETY: the descriptor is the compiler's; the auxiliary vector follows the environment.
    unsafe {
        let Descriptor { check_cpu, cpu_features, cpu_features_len, .. } = (&raw const aot_module).read();
        if let Some(check) = check_cpu {
            check(cpu_features, cpu_features_len, stack.add(args.len() + environ.len() + 3).cast());
        }
    }
    let options = match read_options(&environ) {
        Ok(options) => options,
        Err(error) => fail(&error.message()),
    };
    apply_stack_limit(&options);
    // SAFETY: first and only initialisation, before wasm code runs.
    let module = unsafe { load(stack as usize) };
    install_handlers();
    let context = match wasi::context_from_options(&options, &args, &environ) {
        Ok(context) => context,
        Err(error) => fail(&error.message()),
    };
    let instance = instantiate(module, context, &options);
    if let Some(start) = module.declarations().start {
        let callee = instance.callee(start);
        run(callee);
    }
    // SAFETY: the linker resolved the symbol to a pointer that is zero or a function of this type.
    let invoke = unsafe { (&raw const aot_entry).read() };
    let names: &[&str] = if invoke.is_some() { &["_initialize"] } else { &["_initialize", "_start"] };
    for name in names {
        if let Some(Extern::Func(func)) = instance.export(name) {
            check_command_type(module, name);
            // SAFETY: a reference of the instance, which lives as long as the process.
            let FuncRef { code, vmctx, entry, .. } = unsafe { *func };
            run(Some(Callee { entry, code, vmctx }));
        }
    }
    if let Some(invoke) = invoke {
        // SAFETY: the arguments are as its type says.
        sys::exit_group(unsafe { invoke(instance, args.as_ptr(), args.len()) });
    }
    sys::exit_group(0)
}

/// The strings of a null-terminated array.
///
/// # Safety
/// The array and its strings live as long as the process.
#[inline(never)]
unsafe fn strings(mut array: *const *const c_char) -> Vec<&'static [u8]> {
    let mut strings = Vec::new();
    // SAFETY: the caller vouches for the array.
    unsafe {
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
    }
    strings
}

/// The options written into the executable, then those of `AOT_RUN` unless it is sealed.
#[inline(never)]
fn read_options(environ: &[&'static [u8]]) -> Result<RunOptions, OptionError> {
    // SAFETY: the linker resolved the symbols to an object that the compiler made.
    let (words, sealed) = unsafe {
        let len = (&raw const aot_options_len).read() as usize;
        (core::slice::from_raw_parts(&raw const aot_options, len), (&raw const aot_sealed).read() != 0)
    };
    let value = |variable: &&'static [u8]| variable.strip_prefix(options::AOT_RUN)?.strip_prefix(b"=");
    let line = environ.iter().copied().find_map(|variable| value(&variable)).filter(|_| !sealed);
    options::parse_sources(words, line)
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

/// # Safety
/// Called once, before anything reads [`PROCESS`].
#[inline(never)]
unsafe fn load(stack_end: usize) -> &'static LoadedModule {
    let mut seen: Vec<FuncType> = Vec::new();
    let type_id = |ty: &FuncType| match seen.iter().position(|other| other == ty) {
        Some(id) => id as u32,
        None => {
            seen.push(ty.clone());
            seen.len() as u32 - 1
        }
    };
    // SAFETY: the descriptor is the compiler's; all that it points to is part of the executable.
    let module = unsafe {
        let Descriptor { text, text_len, info, info_len, data, data_len, .. } =
            (&raw const aot_module).read();
        let info = core::slice::from_raw_parts(info, info_len);
        let data = core::slice::from_raw_parts(data, data_len);
        LoadedModule::new(text, text_len, info, data, type_id)
    };
    let Ok(module) = module else {
        fail(b"this executable is damaged: the description of the module cannot be read")
    };
    // SAFETY: the caller vouches for this being the only access.
    let process = unsafe { &mut *PROCESS.0.get() };
    process.stack_end = stack_end;
    process.module.insert(Box::leak(Box::new(module)))
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

#[inline(never)]
fn instantiate(
    module: &'static LoadedModule,
    context: wasi::WasiCtx,
    options: &RunOptions,
) -> &'static mut Instance {
    let limits = ResourceLimits { memory_bytes: options.max_memory_size, table_elements: None };
    static NO_LIMIT: usize = 0;
    let (vmctx, memory) = fixed_place().unzip();
    let stack_limit = &raw const NO_LIMIT;
    let resources = Resources { stack_limit, limits: &limits, vmctx, memory, has_image: false };
    // SAFETY: the module lives as long as the process; an executable has no imports left; the place was just made.
    let (instance, result) = unsafe { Instance::new(module, core::iter::empty(), resources) };
    match (instance, result) {
        (Some(instance), Ok(())) => {
            let instance = Box::leak(instance);
            instance.set_wasi(Box::new(context));
            instance
        }
        (_, Err(InstantiateError::Trap(code))) => {
            report(None, TrapSite { code, wasm_offset: None }, None);
            sys::exit_group(TRAP_EXIT_CODE)
        }
        (_, Err(InstantiateError::OutOfMemory(kind))) => {
            let mut message = Message::new();
            message.text("cannot allocate a ").text(kind.name()).text(" of the module: not enough memory or address space, or `max-memory-size` is below its initial size");
            fail(message.as_bytes())
        }
        _ => fail(b"this executable is damaged: the description of the module contradicts itself"),
    }
}

/// Reserves the addresses that the code of the static model has in it; nothing in the instance model.
#[inline(never)]
fn fixed_place() -> Option<(NonNull<VmContext>, Reservation)> {
    // SAFETY: the descriptor is the compiler's.
    let Descriptor { vmctx, memory, .. } = unsafe { (&raw const aot_module).read() };
    let context = NonNull::new(vmctx)?;
    // The largest page of any machine.
    let start = vmctx.map_addr(|address| address & !0xffff);
    let context_size = (memory as usize).saturating_sub(start as usize);
    let flags = MprotectFlags::READ | MprotectFlags::WRITE;
    // SAFETY: the range was just reserved and nothing refers to it.
    let reserved = reserve(start, context_size + MAPPING_SIZE)
        .and_then(|start| unsafe { mprotect(start.cast(), context_size, flags) });
    if reserved.is_err() {
        let mut message = Message::new();
        message.text("cannot reserve the addresses of the program's memory, 6 GiB from 0x");
        message.hexadecimal(start as u64);
        message.text(": address space is limited (`ulimit -v`), or something else is there, which a program built with `-C model=instance` does not mind");
        fail(message.as_bytes());
    }
    // SAFETY: reserved just now.
    Some((context.cast(), unsafe { Reservation::from_raw(memory, 0) }))
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
fn run(callee: Option<Callee>) {
    let Some(Callee { entry, code, vmctx }) = callee else {
        fail(b"this executable is damaged: a function has no code");
    };
    let mut activation = Activation::default();
    let mut values: [Slot; 1] = [[0; 16]];
    // SAFETY: the trampoline is that of the function's type, which has neither parameters nor results.
    unsafe { enter(&mut activation, entry, code, vmctx, values.as_mut_ptr()) };
}

/// Handles a hardware fault: prints the trap that it stands for and ends the process.
unsafe extern "C" fn on_fault(number: c_int, info: *mut Siginfo, context: *mut c_void) {
    // SAFETY: the kernel passes valid records; `PROCESS` was complete before handlers were installed.
    let (registers, fault, process) = unsafe {
        let has_address = number == Signal::SEGV.as_raw() || number == Signal::BUS.as_raw();
        let fault = has_address.then(|| signal::fault_address(info));
        (arch::registers(number, context), fault, &*PROCESS.0.get())
    };
    if let Some(module) = process.module {
        if let Some(site) = trap::classify(module, &registers, fault) {
            report(Some((module, &registers, process.stack_end)), site, None);
            sys::exit_group(TRAP_EXIT_CODE);
        }
        if trap::is_stack_overflow(&registers, fault) {
            let site = TrapSite { code: TrapCode::StackOverflow, wasm_offset: None };
            report(None, site, Some("    in the runtime, called by the guest"));
            sys::exit_group(TRAP_EXIT_CODE);
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
    pub fn print(&self, name: Option<&str>) {
        let mut message = Message::new();
        message.text("   ").decimal(self.number as u64).text(": ");
        match name.or(self.frame.name) {
            Some(name) => message.text(name),
            None => message.text("wasm-function[").decimal(u64::from(self.frame.func)).text("]"),
        };
        if let Some(offset) = self.wasm_offset {
            message.text(" (wasm offset 0x").hexadecimal(u64::from(offset)).text(")");
        }
        message.text("\n").flush();
    }

    /// What the function is called.
    pub fn name(&self) -> Option<&str> {
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
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let mut message = Message::new();
    message.text("error: bug in the runtime of aot");
    if let Some(location) = info.location() {
        message.text(" at ").text(location.file()).text(":").decimal(u64::from(location.line()));
    }
    message.text("\n").flush();
    sys::exit_group(TRAP_EXIT_CODE)
}
