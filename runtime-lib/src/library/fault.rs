//! Faults of compiled code: from the signal to the landing pad of the export that was called.
//!
//! No list of running calls is kept. The handler walks the frames of wasm code up to the trampoline that C has called: its
//! frame is all that the landing pad needs. What the handler found out is put into a record, whose address the landing
//! pad gets.

use super::instance::Library;
use super::trap::{MAX_FRAMES, Trap, backtrace_text};
use crate::arch::{self, Registers};
use crate::module::LoadedModule;
use crate::signal;
use crate::trap::{TrapSite, classify};
use alloc::boxed::Box;
use alloc::string::String;
use aot_abi::trap::TrapCode;
use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicPtr};
use rustix::runtime_448b8ad740e2a26f::{KernelSigaction, Siginfo, Signal};

/// What the handler tells the landing pad.
pub struct Record {
    is_used: AtomicBool,
    content: UnsafeCell<Content>,
}

#[derive(Clone, Copy)]
struct Content {
    site: TrapSite,
    frames: [usize; MAX_FRAMES],
    len: usize,
}

// SAFETY: the one that has set `is_used` is the only one that touches the content, until it is reset.
unsafe impl Sync for Record {}

/// A record is used from the fault to the landing pad only, so a few are enough for all threads.
static RECORDS: [Record; 16] = [const {
    let site = TrapSite { code: TrapCode::Unreachable, wasm_offset: None };
    let content = Content { site, frames: [0; MAX_FRAMES], len: 0 };
    Record { is_used: AtomicBool::new(false), content: UnsafeCell::new(content) }
}; 16];

/// A module that has been instantiated. The list only grows.
pub(super) struct Known {
    pub module: LoadedModule,
    pub descriptor: *const super::Descriptor,
    next: *const Known,
}

static KNOWN: AtomicPtr<Known> = AtomicPtr::new(ptr::null_mut());

/// What the process did about faults before.
struct Previous(UnsafeCell<MaybeUninit<[KernelSigaction; signal::FAULTS.len()]>>);

// SAFETY: written once, when the handlers that read it are not yet in force for good.
unsafe impl Sync for Previous {}

/// All zero is the default action, for faults of other threads while it is found out.
static PREVIOUS: Previous = Previous(UnsafeCell::new(MaybeUninit::zeroed()));

/// The known modules.
fn known() -> impl Iterator<Item = &'static Known> {
    let mut next: *const Known = KNOWN.load(Acquire);
    core::iter::from_fn(move || {
        // SAFETY: entries are whole before they are in the list, and are never freed.
        let known = unsafe { next.as_ref()? };
        next = known.next;
        Some(known)
    })
}

/// The module of a descriptor, if it is known.
pub(super) fn find(descriptor: *const super::Descriptor) -> Option<&'static LoadedModule> {
    known().find(|known| known.descriptor == descriptor).map(|known| &known.module)
}

/// Makes a module known, and handles faults from now on. One thread at a time.
///
/// # Errors
/// If the kernel refuses handlers.
pub(super) fn add(
    module: LoadedModule,
    descriptor: *const super::Descriptor,
) -> Result<&'static LoadedModule, ()> {
    let head = KNOWN.load(Relaxed);
    if head.is_null() {
        install()?;
    }
    let known = Box::leak(Box::new(Known { module, descriptor, next: head }));
    KNOWN.store(known, Release);
    Ok(&known.module)
}

fn install() -> Result<(), ()> {
    let mut previous = [const { MaybeUninit::<KernelSigaction>::uninit() }; signal::FAULTS.len()];
    for (fault, place) in signal::FAULTS.into_iter().zip(&mut previous) {
        // SAFETY: only asks, by setting what was set.
        let action = unsafe {
            let action = signal::handle(fault, on_fault).map_err(drop)?;
            signal::restore(fault, action.clone());
            action
        };
        place.write(action);
    }
    // SAFETY: all were written; nobody reads it before the handlers are in force.
    unsafe {
        let all = previous.map(|action| action.assume_init());
        (*PREVIOUS.0.get()).write(all);
        for fault in signal::FAULTS {
            signal::handle(fault, on_fault).map_err(drop)?;
        }
    }
    Ok(())
}

/// Handles a fault, if it is one of compiled code. For programs that install handlers of their own after the first
/// instance was made: theirs have to ask first. Returns whether the handler has to return at once.
///
/// # Safety
/// The arguments are those of a handler of the form `SA_SIGINFO` that runs now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aot_handle_fault(number: c_int, info: *mut Siginfo, context: *mut c_void) -> bool {
    // SAFETY: the caller vouches for the arguments.
    let (registers, fault) = unsafe {
        let has_address = number == Signal::SEGV.as_raw() || number == Signal::BUS.as_raw();
        (arch::registers(number, context), has_address.then(|| signal::fault_address(info)))
    };
    let Some((module, site)) =
        known().find_map(|known| Some((&known.module, classify(&known.module, &registers, fault)?)))
    else {
        return false;
    };
    let record = claim();
    // SAFETY: it was claimed just now.
    let content = unsafe { &mut *record.content.get() };
    content.site = site;
    content.len = 0;
    // SAFETY: the code of the module was called through one of its trampolines, on this stack.
    let landing = unsafe { walk(module, &registers, content) };
    let Some(landing) = landing else {
        record.is_used.store(false, Release);
        return false;
    };
    // SAFETY: the landing pad expects these registers, and the record; all frames up to it are those of wasm code.
    unsafe {
        arch::set_registers(context, &landing);
        arch::set_payload(context, ptr::from_ref(record) as usize);
    }
    true
}

unsafe extern "C" fn on_fault(number: c_int, info: *mut Siginfo, context: *mut c_void) {
    // SAFETY: the kernel passes valid records.
    if !unsafe { aot_handle_fault(number, info, context) } {
        let Some(index) = signal::FAULTS.iter().position(|fault| fault.as_raw() == number) else { return };
        // SAFETY: as above; the action before was written before this handler was installed.
        unsafe {
            let previous = (*PREVIOUS.0.get()).assume_init_ref();
            signal::forward(signal::FAULTS[index], &previous[index], info, context);
        }
    }
}

fn claim() -> &'static Record {
    loop {
        for record in &RECORDS {
            if record.is_used.compare_exchange(false, true, AcqRel, Relaxed).is_ok() {
                return record;
            }
        }
        // Others are between their faults and their landing pads.
        rustix::thread::sched_yield();
    }
}

/// Walks to the trampoline, noting wasm functions, and gives the registers of its landing pad.
unsafe fn walk(module: &LoadedModule, registers: &Registers, content: &mut Content) -> Option<Registers> {
    let (mut pc, mut record, mut low) = (registers.pc, None, registers.sp);
    loop {
        let offset = module.text_offset(pc)?;
        let location = module.description().locate(offset)?;
        // SAFETY: the first program counter is that of the code that is interrupted, and it is the module's.
        let fp = *record.get_or_insert_with(|| unsafe { arch::frame_of(registers) });
        // Frames lie ever higher on the stack.
        if fp < low || fp % size_of::<usize>() != 0 {
            return None;
        }
        let declarations = module.declarations();
        if location.range < declarations.funcs.len() as u32 {
            if let Some(place) = content.frames.get_mut(content.len) {
                *place = pc;
                content.len += 1;
            }
        } else {
            let start = offset - location.offset;
            let exports =
                declarations.typed_entries.iter().map(|e| (e.code_offset, e.pad_offset, e.frame_size));
            let inner = declarations.entries.iter().map(|e| (e.code_offset, e.pad_offset, e.frame_size));
            if let Some((_, pad, frame_size)) = exports.chain(inner).find(|(code, ..)| *code == start) {
                let sp = fp.checked_sub(frame_size as usize)?;
                return Some(Registers { pc: module.code(pad) as usize, sp, fp });
            }
        }
        low = fp + 1;
        // SAFETY: functions of the module keep a chain of records, which ends at a trampoline at the earliest.
        let (return_to, callers) = unsafe { arch::caller(fp) };
        // A return address may be the first byte after its function.
        (pc, record) = (return_to.wrapping_sub(1), Some(callers));
    }
}

/// The trap that a record tells of; gives the record back.
///
/// # Safety
/// The handler passed it on for a call of this instance.
pub(super) unsafe fn take(library: &mut Library, record: NonNull<Record>) -> Trap {
    // SAFETY: the caller vouches for it.
    let record = unsafe { record.as_ref() };
    // SAFETY: the handler claimed it for this call.
    let Content { site, frames, len } = unsafe { *record.content.get() };
    record.is_used.store(false, Release);
    let backtrace: String = backtrace_text(library.module(), &frames[..len]);
    library.trap(site, backtrace)
}
