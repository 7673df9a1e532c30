//! Entering wasm code, and leaving it by a trap.
//!
//! Each entry has a record on the stack; the records of a thread form a list. A fault in wasm code is found by its
//! program counter in the tables of its module, and the interrupted thread goes on at the landing pad of the entry
//! trampoline, which returns to the host as if the function had. Faults anywhere else go to the handlers that were there
//! before.

use super::code::{with_image_at, with_module_at};
use super::error::{Error, Frame, FrameSymbol, MAX_FRAMES, Trap};
use super::store::{Cells, StoreBase};
use crate::arch::{self, Registers};
use crate::call::Activation;
use crate::signal;
use crate::trap::{self, TrapSite};
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::vec::Vec;
use aot_abi::image::section_bytes;
use aot_abi::source::{SECTION, SourceLines};
use aot_abi::trap::TrapCode;
use core::any::Any;
use core::cell::Cell;
use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use rustix::runtime_448b8ad740e2a26f::{KernelSigaction, Siginfo, Signal};
use std::panic::resume_unwind;
use std::sync::OnceLock;

/// An entry into wasm code that has not returned. Compiled code knows the first field.
#[repr(C)]
pub(super) struct Entered {
    activation: Activation,
    /// The entry around this one, in the same thread.
    previous: *const Entered,
    store: NonNull<StoreBase>,
    entry: *const u8,
    trap: Cell<Option<TrapSite>>,
}

/// Why wasm code that called the host was left.
pub(super) enum Pending {
    Error(Error),
    Panic(Box<dyn Any + Send>),
}

std::thread_local! {
    /// The innermost entry of this thread.
    static CURRENT: Cell<*const Entered> = const { Cell::new(ptr::null()) };
}

/// How far the stack pointer of an entry may be from that of the one that set the stack limit: the limit then stays.
const LIMIT_TOLERANCE: usize = 64 * 1024;

/// What the process did about faults before.
static PREVIOUS: OnceLock<[Previous; signal::FAULTS.len()]> = OnceLock::new();

struct Previous(KernelSigaction);

// SAFETY: plain data.
unsafe impl Send for Previous {}
// SAFETY: plain data.
unsafe impl Sync for Previous {}

/// Handles faults from now on. To be called before wasm code runs.
pub(super) fn install() {
    PREVIOUS.get_or_init(|| {
        signal::FAULTS.map(|fault| {
            // SAFETY: the handler takes no locks that interrupted wasm code could hold, and does not allocate.
            let previous = unsafe { signal::handle(fault, on_fault) };
            Previous(previous.expect("the kernel takes handlers of these signals"))
        })
    });
}

/// Enters wasm code by `call`, which gets the record for the trampoline `entry`.
///
/// # Safety
/// `call` calls `entry` with what it expects, for a function of this store.
#[inline]
pub(super) unsafe fn enter<R>(
    store: NonNull<StoreBase>,
    entry: *const u8,
    call: impl FnOnce(*mut Activation) -> R,
) -> Result<R, Error> {
    // One place calls, whatever the record: what the closure holds then stays in registers. Entries are bound by their
    // stores to memory.
    let mut inner = MaybeUninit::<Entered>::uninit();
    // SAFETY: the store exists. The record in it is used by the outermost entry only, of which there is one at a time: a
    // store is used by one thread at a time. The other one outlives the call.
    unsafe {
        let distance = (inner.as_ptr() as usize).wrapping_sub(store.as_ref().limit_set_at);
        let entered = match CURRENT.with(Cell::get).is_null() && distance <= LIMIT_TOLERANCE {
            true => &raw mut (*store.as_ptr()).outermost,
            false => begin_inner(store, &mut inner),
        };
        if (*entered).entry != entry {
            (*entered).entry = entry;
        }
        CURRENT.with(|current| current.set(entered));
        let result = call(&raw mut (*entered).activation);
        CURRENT.with(|current| current.set((*entered).previous));
        match (*entered).trap.get() {
            None => Ok(result),
            Some(site) => {
                (*entered).trap.set(None);
                Err(left_by(store, site))
            }
        }
    }
}

/// The record of an entry inside of another one, or with another stack than before.
#[cold]
#[inline(never)]
unsafe fn begin_inner(store: NonNull<StoreBase>, place: &mut MaybeUninit<Entered>) -> *mut Entered {
    let entered = place.write(Entered {
        activation: Activation::default(),
        previous: CURRENT.get(),
        store,
        entry: ptr::null(),
        trap: Cell::new(None),
    });
    // SAFETY: the store exists.
    unsafe { set_limit(&mut *store.as_ptr(), entered) };
    entered
}

impl Entered {
    /// The record of the outermost entries of a store.
    pub fn outermost() -> Entered {
        Entered {
            activation: Activation::default(),
            previous: ptr::null(),
            store: NonNull::dangling(),
            entry: ptr::null(),
            trap: Cell::new(None),
        }
    }

    /// Tells the record where its store is.
    pub fn belongs_to(&mut self, store: NonNull<StoreBase>) {
        self.store = store;
    }
}

/// Sets the stack limit for an entry that is not like the last one.
unsafe fn set_limit(store: &mut StoreBase, entered: &Entered) {
    let here = ptr::from_ref(entered) as usize;
    let mut outer = entered.previous;
    let mut limit = here.saturating_sub(store.wasm_stack());
    // The limit of an inner entry depends on those around it, and is good for that one only.
    let set_at = if outer.is_null() { here } else { 0 };
    let mut innermost = true;
    while !outer.is_null() {
        // SAFETY: entries around this one are alive.
        let record = unsafe { &*outer };
        if record.store == entered.store {
            // What the outer entry may use is for all that it calls.
            return;
        }
        if innermost {
            // A chain of stores shares one stack.
            // SAFETY: a store exists while it is entered.
            let real = unsafe { (*record.store.as_ref().cells()).real_limit.load(Relaxed) };
            limit = limit.max(real);
            innermost = false;
        }
        outer = record.previous;
    }
    store.limit_set_at = set_at;
    // SAFETY: the store exists.
    unsafe { (*store.cells()).set_limit(limit) };
}

/// Why wasm code was left. A panic of a host function goes on.
#[cold]
#[inline(never)]
unsafe fn left_by(mut store: NonNull<StoreBase>, site: TrapSite) -> Error {
    // SAFETY: the caller vouches for the store; wasm code that could use it is not running.
    let store = unsafe { store.as_mut() };
    match (site.code, store.pending.take()) {
        (TrapCode::HostFunction, Some(Pending::Error(error))) => return error,
        (TrapCode::HostFunction, Some(Pending::Panic(payload))) => resume_unwind(payload),
        _ => {}
    }
    // SAFETY: the store exists.
    let interrupted = unsafe { (*store.cells()).take_interrupt() };
    let code = match site.code {
        // The limit that stops a guest is found by the check of the stack too.
        TrapCode::StackOverflow | TrapCode::Interrupt if interrupted => TrapCode::Interrupt,
        code => code,
    };
    let frames = store.backtrace[..store.backtrace_len].iter().filter_map(|pc| frame(*pc)).collect();
    store.backtrace_len = 0;
    Error::Trap(Trap::new(code, site.wasm_offset, frames))
}

/// The wasm function at an address of code.
fn frame(pc: usize) -> Option<Frame> {
    with_image_at(pc, |module, image| {
        let text_offset = module.text_offset(pc)?;
        let location = module.description().locate(text_offset)?;
        let is_function = location.range < module.declarations().funcs.len() as u32;
        is_function.then(|| Frame {
            func: location.range + module.imported_funcs(),
            name: location.name().map(ToOwned::to_owned),
            symbols: symbols(image, text_offset, location.name()),
        })
    })?
}

/// What the source says of a place in the code of an image.
fn symbols(image: &[u8], text_offset: u32, name: Option<&str>) -> Vec<FrameSymbol> {
    let lines = section_bytes(image, SECTION).and_then(|bytes| SourceLines::new(bytes).ok());
    let frames = lines.and_then(|lines| lines.frames(text_offset));
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let number = |number: u32| Some(number).filter(|number| *number > 0);
    let symbols = frames.into_iter().flatten().map(|frame| FrameSymbol {
        name: text(frame.function).or_else(|| name.map(ToOwned::to_owned)),
        file: text(frame.file),
        line: number(frame.line),
        column: number(frame.column),
    });
    symbols.collect()
}

/// The trap of the innermost entry of this thread; frames are those of wasm code that called the host.
#[cfg(target_arch = "x86_64")]
pub(super) unsafe fn raise_host_error() -> ! {
    let current = CURRENT.get();
    // SAFETY: the caller was called by wasm code, so there is an entry; its frame is on this stack.
    unsafe {
        (*current).trap.set(Some(TrapSite { code: TrapCode::HostFunction, wasm_offset: None }));
        let Registers { pc, sp, fp } = landing(&*current).expect("entries have landing pads");
        arch::resume(pc, sp, fp)
    }
}

/// The landing pad of an entry.
fn landing(entered: &Entered) -> Option<Registers> {
    let entry = entered.entry as usize;
    let (pc, frame_size) = with_module_at(entry, |module| {
        let offset = module.text_offset(entry)?;
        let declarations = module.declarations();
        let untyped = declarations.entries.iter().map(|e| (e.code_offset, e.pad_offset, e.frame_size));
        let typed = declarations.typed_entries.iter().map(|e| (e.code_offset, e.pad_offset, e.frame_size));
        let (_, pad, frame_size) = untyped.chain(typed).find(|(code, ..)| *code == offset)?;
        Some((module.code(pad) as usize, frame_size as usize))
    })??;
    let fp = entered.activation.frame_pointer;
    Some(Registers { pc, sp: fp - frame_size, fp })
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
        if let Some(landing) = landing(entered) {
            // SAFETY: the store exists while it is entered; the frames from here to the entry are on this stack. The
            // landing pad of the trampoline that owns the frame expects exactly these registers.
            unsafe {
                let mut store = entered.store;
                keep_backtrace(store.as_mut(), &registers, entered.activation.frame_pointer);
                arch::set_registers(context, &landing);
            }
            return;
        }
    }
    forward(number, info, context);
}

/// Notes the addresses of code on the stack, up to the entry trampoline.
unsafe fn keep_backtrace(store: &mut StoreBase, registers: &Registers, entry_frame: usize) {
    let (mut pc, mut fp, mut low) = (registers.pc, None, registers.sp);
    let mut len = 0;
    while len < MAX_FRAMES && with_module_at(pc, |_| ()).is_some() {
        store.backtrace[len] = pc;
        len += 1;
        // SAFETY: the first program counter is that of the code that is interrupted.
        let record = *fp.get_or_insert_with(|| unsafe { arch::frame_of(registers) });
        // Frame records lie ever higher on the stack; anything else is not one.
        if record < low || record % size_of::<usize>() != 0 || record >= entry_frame {
            break;
        }
        low = record + 1;
        // SAFETY: the record lies in the part of the stack that wasm code uses.
        let (return_to, callers) = unsafe { arch::caller(record) };
        // A return address may be the first byte after its function.
        (pc, fp) = (return_to.wrapping_sub(1), Some(callers));
    }
    store.backtrace_len = len;
}

/// Leaves a fault to what was there before.
fn forward(number: c_int, info: *mut Siginfo, context: *mut c_void) {
    let index = signal::FAULTS.iter().position(|fault| fault.as_raw() == number);
    if let (Some(index), Some(previous)) = (index, PREVIOUS.get()) {
        // SAFETY: it was in force before, and the arguments are those of the fault.
        unsafe { signal::forward(signal::FAULTS[index], &previous[index].0, info, context) };
    }
}

impl Cells {
    /// Sets the limit of the stack, unless the guest is to stop: no interruption is lost, whichever comes first.
    fn set_limit(&self, limit: usize) {
        self.real_limit.store(limit, Relaxed);
        self.stack_limit.swap(limit, SeqCst);
        if self.interrupted.load(SeqCst) {
            self.stack_limit.store(usize::MAX, SeqCst);
        }
    }

    /// Stops the guest at the next function or, where code looks for it, loop.
    pub(super) fn interrupt(&self) {
        self.interrupted.store(true, SeqCst);
        self.stack_limit.store(usize::MAX, SeqCst);
    }

    /// Whether the guest was to stop; it may go on from here.
    fn take_interrupt(&self) -> bool {
        if self.stack_limit.load(SeqCst) != usize::MAX && !self.interrupted.load(SeqCst) {
            return false;
        }
        self.interrupted.store(false, SeqCst);
        self.set_limit(self.real_limit.load(Relaxed));
        true
    }
}
